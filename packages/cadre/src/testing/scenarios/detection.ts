/**
 * Agents of four processes that die, freeze and are restarted by order, with the orchestrators
 * among them: who beats is never taken for dead, and what the dead held is done by others, once.
 *
 * A witness that never fails reads the beats from the store itself, ten times a second; every
 * verdict of every process is compared with what it has seen.
 */
import assert from "node:assert/strict";

import type { AgentDefinition } from "../../agents/agent.ts";
import type { Cadre } from "../../agents/cadre.ts";
import { defineAgent } from "../../agents/define-agent.ts";
import { defineTask } from "../../agents/define-task.ts";
import { presencePrefix, processOf, readCards } from "../../agents/health/beat.ts";
import type { Clock } from "../../core/clock.ts";
import { type } from "../../core/event-definition.ts";
import type { EventStore } from "../../store/event-store.ts";
import type { Scenario, SimulatedProcess } from "../sim-options.ts";
import { CountingWorld } from "./world.ts";

const maxAttempts = 30; // the store fails often here, and each failure may cost an attempt
const Dig = defineTask({ name: "dig", input: type<number>(), output: type<number>(), maxAttempts });
const Fill = defineTask({
  name: "fill",
  input: type<{ results?: Record<string, number> }>(),
  output: type<number>(),
  maxAttempts,
});
const tasks = 10;
const witnessMs = 100;
const timing = { heartbeatMs: 2_000, suspectAfterMs: 6_000, leaseMs: 10_000 } as const;
// an observer's clock runs up to a hundredth too fast, and the witness looks so often
const slackMs = timing.leaseMs / 50 + 2 * witnessMs;

/** Counts effects, and knows what the witness saw. */
export class Witness {
  readonly effects: CountingWorld = new CountingWorld();
  /** When each run of an agent was last seen to beat, by the witness' clock. */
  readonly #beatAt = new Map<string, number>();
  readonly #beats = new Map<string, string>();
  readonly #verdicts: string[] = [];
  #now: () => number = () => 0;

  async watch(store: EventStore, clock: Clock, signal: AbortSignal): Promise<void> {
    this.#now = () => clock.monotonic();
    while (!signal.aborted) {
      for (const { card, beat } of readCards(await store.slots(presencePrefix))) {
        const key = `${card.agent}/${card.incarnation}`;
        if (this.#beats.get(key) === beat) continue;
        this.#beats.set(key, beat);
        this.#beatAt.set(key, clock.monotonic());
      }
      await clock.sleep(witnessMs);
    }
  }

  /** Somebody takes a run of an agent for dead. */
  verdict(observer: string, agent: string, incarnation: string): void {
    const beatAt = this.#beatAt.get(`${agent}/${incarnation}`);
    if (beatAt === undefined) return;
    const silentMs = this.#now() - beatAt;
    if (silentMs >= timing.leaseMs - slackMs) return;
    this.#verdicts.push(
      `${observer} took ${agent} for dead ${Math.round(silentMs)} ms after a beat of its ` +
        `process ${processOf(incarnation)}`,
    );
  }

  /** Dead while its beats were arriving. */
  get wrongVerdicts(): readonly string[] {
    return this.#verdicts;
  }
}

function digger(name: string, world: Witness): AgentDefinition {
  const agent = defineAgent({ name, capacity: 2, version: "1.0.0" }).does(
    Fill,
    ({ results = {} }) => Object.values(results).reduce((sum, n) => sum + n, 0),
  );
  return agent.does(Dig, async (n, ctx) => {
    await ctx.breathe();
    await ctx.clock.sleep(2_000, ctx.signal);
    const dig = (key: string): number => {
      world.effects.effect(key);
      return n * 2;
    };
    const check = (key: string): number | undefined =>
      world.effects.times(key) > 0 ? n * 2 : undefined;
    return ctx.step("dig", dig, { after: "check", check });
  });
}

function observe({ name, team }: SimulatedProcess, world: Witness): { close(): Promise<void> } {
  const end = team.directory.watch(({ card, presence }) => {
    if (presence === "dead") world.verdict(name, card.agent, card.incarnation);
  });
  return { close: () => Promise.resolve(end()) };
}

async function work(team: Cadre, world: Witness, clock: Clock): Promise<void> {
  const stop = new AbortController();
  const watching = world.watch(team.store, clock, stop.signal);
  await clock.sleep(5_000); // the first processes are up
  const handles = [];
  for (let n = 0; n < tasks; n += 1) {
    handles.push(await team.tasks.create(Dig, n, { id: `dig-${n}` }));
    await clock.sleep(1_500);
    if (n === 3) await team.agents.pause("digger-a").catch(() => undefined);
    if (n === 5) await team.agents.restart("digger-b").catch(() => undefined);
    if (n === 7) await team.agents.resume("digger-a").catch(() => undefined);
  }
  const names = [1, 2, 3].map((n) => `part-${n}`);
  const feature = await team.features.create({
    id: "hole",
    title: "A deep hole",
    tasks: [
      ...names.map((name, n) => ({ name, definition: Dig, input: n })),
      { name: "fill", definition: Fill, input: {}, dependsOn: names },
    ],
  });
  for (const [n, handle] of handles.entries()) assert.equal(await handle.result(), n * 2);
  assert.equal((await feature.finished()).status, "completed");
  assert.equal((await team.tasks.get("hole.fill"))?.result, 6);
  stop.abort();
  await watching;
}

async function ownersWereSilent(_store: EventStore, world: Witness): Promise<readonly string[]> {
  return [...world.wrongVerdicts, ...world.effects.wrong((_key, times) => times === 1)];
}

/** See the head of the file. */
export const detection: Scenario<Witness> = {
  world: () => new Witness(),
  agents: (process, world) => [digger(`digger-${process}`, world), digger("digger", world)],
  processes: ["a", "b", "c", "d"],
  work,
  beside: (process, world) => Promise.resolve(observe(process, world)),
  invariants: [ownersWereSilent],
  team: timing,
};
