/**
 * Steps of every policy, each with an effect in the world, in a handler that is interrupted again
 * and again: what is journaled happens as often as its policy allows.
 */
import assert from "node:assert/strict";

import type { AgentDefinition } from "../../agents/agent.ts";
import type { Cadre } from "../../agents/cadre.ts";
import { defineAgent } from "../../agents/define-agent.ts";
import { defineTask } from "../../agents/define-task.ts";
import { type } from "../../core/event-definition.ts";
import type { Scenario } from "../sim-options.ts";
import { CountingWorld } from "./world.ts";

const maxAttempts = 30; // the store fails often here, and each failure may cost an attempt
const Journey = defineTask({
  name: "journey",
  input: type<number>(),
  output: type<{ readonly stops: readonly (string | null)[] }>(),
  maxAttempts,
});
const journeys = [1, 2, 3];
const sleepMs = 2_000;

const traveller = (world: CountingWorld): AgentDefinition =>
  defineAgent({ name: "traveller", capacity: 2 }).does(Journey, async (_n, ctx) => {
    const go = async (key: string): Promise<string> => {
      world.effect(key);
      await ctx.clock.sleep(300);
      return `${key} was here`;
    };
    const isHere = (key: string): string | undefined =>
      world.times(key) > 0 ? `${key} was here` : undefined;
    const begunAt = await ctx.step("clock", () => ctx.clock.now());
    const again = await ctx.step("retried", go);
    await ctx.sleep("rest", sleepMs);
    const once = await ctx.step("checked", go, { after: "check", check: isHere });
    const most = await ctx.step("skipped", go, { after: "skip" });
    const both = await Promise.all([
      ctx.step("left", go, { after: "check", check: isHere }),
      ctx.step("right", go, { after: "check", check: isHere }),
    ]);
    // Told by the journal: the same in every attempt.
    const same = await ctx.step("same", () => begunAt);
    assert.equal(same, begunAt);
    return { stops: [again, once, most, ...both] };
  });

async function work(team: Cadre): Promise<void> {
  const tasks = [];
  for (const n of journeys) tasks.push(await team.tasks.create(Journey, n, { id: `journey-${n}` }));
  for (const [index, task] of tasks.entries()) {
    const id = `journey-${journeys[index]}`;
    const { stops } = await task.result();
    const [again, once, most, ...both] = stops;
    assert.equal(again, `${id}/retried was here`);
    assert.equal(once, `${id}/checked was here`);
    // a step that is in doubt is left out, and its result is nothing
    assert.ok(most === null || most === `${id}/skipped was here`, `skipped gave ${most}`);
    assert.deepEqual(both, [`${id}/left was here`, `${id}/right was here`]);
  }
}

/** How often the effect of a step may happen, by the step's policy. */
function allowed(key: string, times: number): boolean {
  return key.endsWith("/retried") ? times >= 1 : times === 1;
}

/** See the head of the file. */
export const steps: Scenario<CountingWorld> = {
  world: () => new CountingWorld(),
  agents: (_process, world) => [traveller(world)],
  work,
  invariants: [
    async (_store, world) => world.wrong(allowed),
    async (_store, world) =>
      journeys
        .flatMap((n) => ["retried", "checked", "left", "right"].map((s) => `journey-${n}/${s}`))
        .filter((key) => world.times(key) === 0)
        .map((key) => `the effect of ${key} never happened`),
  ],
};
