/** The team, the work and the faults that the simulator's tests share. */
import assert from "node:assert/strict";

import { type, type EventStore } from "cadre";
import { defineAgent, defineTask, type AgentDefinition, type Cadre } from "cadre/agents";
import type { FaultRates, SimulationOptions } from "cadre/testing";

const maxAttempts = 20; // the store fails often here, and each failure may cost an attempt

const Double = defineTask({
  name: "double",
  input: type<number>(),
  output: type<number>(),
  maxAttempts,
});
const Total = defineTask({
  name: "total",
  input: type<{ results?: Record<string, number> }>(),
  output: type<number>(),
  maxAttempts,
});
const Parent = defineTask({
  name: "parent",
  input: type<number>(),
  output: type<number>(),
  maxAttempts,
});
const Pay = defineTask({ name: "pay", input: type<number>(), output: type<string>(), maxAttempts });
const Flaky = defineTask({ name: "flaky", input: type<number>(), output: type<number>() });
const Endless = defineTask({ name: "endless", input: type<number>(), output: type<number>() });
const Nobody = defineTask({ name: "nobody", input: type<number>(), output: type<number>() });

/** What is outside of every process: it counts the effects of each key and never forgets. */
export interface World {
  readonly effects: Map<string, number>;
}

const hands = (world: World): AgentDefinition =>
  defineAgent({ name: "hands", capacity: 2 })
    .does(Double, async (n, ctx) => {
      const doubled = await ctx.step("double", () => n * 2);
      await ctx.clock.sleep(200);
      await ctx.publish("custom.doubled", { task: ctx.task.id, doubled });
      return ctx.step("confirm", () => doubled);
    })
    .does(Total, ({ results = {} }, ctx) =>
      ctx.step("add", () => Object.values(results).reduce((sum, n) => sum + n, 0)),
    )
    .does(Parent, async (n, ctx) => {
      const both = [ctx.call("left", Double, n), ctx.call("right", Double, n + 1)] as const;
      const [left, right] = await Promise.all(both);
      await ctx.sleep("rest", 500);
      return left + right;
    })
    .does(Pay, async (amount, ctx) => {
      await ctx.progress(0.5);
      return ctx.step(
        "pay",
        async (key) => {
          world.effects.set(key, (world.effects.get(key) ?? 0) + 1);
          await ctx.clock.sleep(300);
          return `paid ${amount}`;
        },
        {
          input: { amount },
          after: "check",
          check: (key) => (world.effects.has(key) ? `paid ${amount}` : undefined),
        },
      );
    })
    .does(Flaky, (n, ctx) => {
      if (ctx.task.attempt === 1) throw new Error("not at the first attempt");
      return n;
    })
    .does(Endless, async (_n, ctx) => {
      await ctx.clock.sleep(10_000_000, ctx.signal);
      return 0;
    });

const ear = (): AgentDefinition<number> =>
  defineAgent({ name: "ear", state: { initial: 0, apply: (sum) => sum + 1 } }).on(
    "custom.doubled",
    { retry: { maxAttempts: 50 } },
    async (event, ctx) => {
      const { doubled } = event.payload as { readonly doubled: number };
      const noted = await ctx.step("note", () => doubled);
      await ctx.step("note-again", () => noted);
      ctx.record("custom.counted", { doubled: noted, before: "any" });
    },
  );

async function checkFeature(team: Cadre): Promise<void> {
  const numbers = [1, 2, 3];
  const names = numbers.map((n) => `double-${n}`);
  const feature = await team.features.create({
    id: "sum",
    title: "A sum",
    tasks: [
      ...numbers.map((n) => ({ name: `double-${n}`, definition: Double, input: n })),
      { name: "total", definition: Total, input: {}, dependsOn: names },
      { name: "grand", definition: Total, input: {}, dependsOn: ["total", "double-1"] },
    ],
  });
  const state = await feature.finished();
  assert.equal(state.status, "completed", state.reason);
  assert.equal((await team.tasks.get("sum.total"))?.result, 12);
  assert.equal((await team.tasks.get("sum.grand"))?.result, 14);
  const tasks = [{ name: "double", definition: Double, input: 8 }];
  const next = await team.features.create({ id: "next", title: "Another day", tasks });
  assert.equal((await next.finished()).status, "completed");
}

async function checkTasks(team: Cadre): Promise<void> {
  const parent = await team.tasks.create(Parent, 5, { id: "parent" });
  const pays = [];
  for (const n of [1, 2]) pays.push(await team.tasks.create(Pay, n, { id: `pay-${n}` }));
  const flaky = await team.tasks.create(Flaky, 7, { id: "flaky", dependsOn: ["pay-1"] });
  const endless = await team.tasks.create(Endless, 0, { id: "endless", maxAttempts });
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

/** Everything that was doubled was counted once. */
async function heardOnce(store: EventStore): Promise<readonly string[]> {
  const said = new Set<string>();
  const counted: string[] = [];
  for await (const { event } of store.read()) {
    if (event.type === "custom.doubled") said.add(event.id);
    if (event.type === "custom.counted") counted.push(event.metadata.causationId ?? "");
  }
  const heard = new Set(counted);
  const wrong: string[] = [];
  if (counted.length !== heard.size) wrong.push(`${counted.length - heard.size} counted twice`);
  const missed = [...said].filter((id) => !heard.has(id));
  if (missed.length > 0) wrong.push(`${missed.length} of ${said.size} doubled were not counted`);
  return wrong;
}

/** The standard simulation; each run has a world of its own. */
export function standardTeam(): Pick<SimulationOptions, "agents" | "work" | "invariants"> {
  const world: World = { effects: new Map() };
  return {
    agents: () => [hands(world), ear()],
    work: async (team) => {
      world.effects.clear();
      await Promise.all([checkFeature(team), checkTasks(team)]);
    },
    invariants: [
      heardOnce,
      async () =>
        [...world.effects]
          .filter(([, times]) => times !== 1)
          .map(([key, times]) => `the effect of ${key} happened ${times} times`),
    ],
  };
}

/** Everything that can go wrong does, in every run. */
export const standardFaults: FaultRates = {
  crashBefore: 0.002,
  crashAfter: 0.002,
  loseAnswer: 0.008,
  fail: 0.008,
  duplicate: 0.1,
  pauseBefore: 0.001,
  pauseAfter: 0.001,
  partition: 0.002,
  full: 0.001,
  slow: 0.005,
  clockSkewMs: 60_000,
  leaveAfterMs: 120_000,
};
