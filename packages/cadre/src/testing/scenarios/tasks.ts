/**
 * Tasks of every fate: with children, after others, failing at first, cancelled while they run, and
 * with a capability that nobody has.
 */
import assert from "node:assert/strict";

import type { AgentDefinition } from "../../agents/agent.ts";
import type { Cadre } from "../../agents/cadre.ts";
import { defineAgent } from "../../agents/define-agent.ts";
import { defineTask } from "../../agents/define-task.ts";
import { type } from "../../core/event-definition.ts";
import type { Scenario } from "../sim-options.ts";
import { CountingWorld } from "./world.ts";

const number = type<number>();
const maxAttempts = 30; // the store fails often here, and each failure may cost an attempt
const shape = { input: number, output: number, maxAttempts };
const Double = defineTask({ name: "double", ...shape });
const Parent = defineTask({ name: "parent", ...shape });
const Pay = defineTask({ name: "pay", input: number, output: type<string>(), maxAttempts });
const Flaky = defineTask({ name: "flaky", ...shape });
const Endless = defineTask({ name: "endless", ...shape });
const Nobody = defineTask({ name: "nobody", ...shape });

const hands = (world: CountingWorld): AgentDefinition =>
  defineAgent({ name: "hands", capacity: 2 })
    .does(Double, async (n, ctx) => {
      await ctx.clock.sleep(200);
      return ctx.step("double", () => n * 2);
    })
    .does(Parent, async (n, ctx) => {
      const both = [ctx.call("left", Double, n), ctx.call("right", Double, n + 1)] as const;
      const [left, right] = await Promise.all(both);
      await ctx.sleep("rest", 500);
      return left + right;
    })
    .does(Pay, async (amount, ctx) => {
      await ctx.progress(0.5);
      const pay = async (key: string): Promise<string> => {
        world.effect(key);
        await ctx.clock.sleep(300);
        return `paid ${amount}`;
      };
      const check = (key: string): string | undefined =>
        world.times(key) > 0 ? `paid ${amount}` : undefined;
      return ctx.step("pay", pay, { after: "check", check });
    })
    .does(Flaky, (n, ctx) => {
      if (ctx.task.attempt === 1) throw new Error("not at the first attempt");
      return n;
    })
    .does(Endless, async (_n, ctx) => {
      await ctx.clock.sleep(10_000_000, ctx.signal);
      return 0;
    });

async function work(team: Cadre): Promise<void> {
  const parent = await team.tasks.create(Parent, 5, { id: "parent" });
  const pays = [];
  for (const n of [1, 2]) pays.push(await team.tasks.create(Pay, n, { id: `pay-${n}` }));
  const flaky = await team.tasks.create(Flaky, 7, { id: "flaky", dependsOn: ["pay-1"] });
  const endless = await team.tasks.create(Endless, 0, { id: "endless" });
  const nobody = await team.tasks.create(Nobody, 0, { id: "nobody", deadlineMs: 30_000 });
  const cancelled = assert.rejects(endless.result(), /cancelled/);
  const failed = assert.rejects(nobody.result(), /deadline/);
  assert.equal(await parent.result(), 22);
  for (const [index, pay] of pays.entries()) {
    assert.equal(await pay.result(), `paid ${index + 1}`);
  }
  assert.equal(await flaky.result(), 7);
  await endless.cancel("the day is over");
  await Promise.all([cancelled, failed]);
}

/** See the head of the file. Every payment is made once. */
export const tasks: Scenario<CountingWorld> = {
  world: () => new CountingWorld(),
  agents: (_process, world) => [hands(world)],
  work,
  invariants: [async (_store, world) => world.wrong((_key, times) => times === 1)],
};
