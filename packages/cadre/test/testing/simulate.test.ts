import assert from "node:assert/strict";
import { test } from "node:test";

import { type } from "cadre";
import { defineAgent, defineTask, type AgentDefinition } from "cadre/agents";
import { simulate, simulateSeeds, SimulationError, type FaultRates } from "cadre/testing";

const Double = defineTask({
  name: "double",
  input: type<number>(),
  output: type<number>(),
  maxAttempts: 8,
});
const Total = defineTask({
  name: "total",
  input: type<{ results?: Record<string, number> }>(),
  output: type<number>(),
  maxAttempts: 8,
});

const hands = (): AgentDefinition =>
  defineAgent({ name: "hands", capacity: 2 })
    .does(Double, async (n, ctx) => {
      const doubled = await ctx.step("double", () => n * 2);
      await ctx.clock.sleep(200);
      await ctx.publish("custom.doubled", { doubled });
      return ctx.step("confirm", () => doubled);
    })
    .does(Total, ({ results = {} }, ctx) =>
      ctx.step("add", () => Object.values(results).reduce((sum, n) => sum + n, 0)),
    );

const numbers = [1, 2, 3];

async function work(team: Parameters<Parameters<typeof simulate>[0]["work"]>[0]): Promise<void> {
  const feature = await team.features.create({
    id: "sum",
    title: "A sum",
    tasks: [
      ...numbers.map((n) => ({ name: `double-${n}`, definition: Double, input: n })),
      { name: "total", definition: Total, input: {}, dependsOn: numbers.map((n) => `double-${n}`) },
    ],
  });
  const state = await feature.finished();
  assert.equal(state.status, "completed", state.reason);
  assert.equal((await team.tasks.get("sum.total"))?.result, 12);
}

const faults: FaultRates = {
  crashBefore: 0.004,
  crashAfter: 0.004,
  loseAnswer: 0.01,
  fail: 0.01,
  duplicate: 0.1,
  clockSkewMs: 60_000,
};

test("a team without faults ends its work, and no process dies", async () => {
  const result = await simulate({ seed: 1, agents: () => [hands()], work });
  assert.equal(result.crashes, 0);
  assert.equal(result.tasksCreated, 4);
});

test("equal seeds give equal runs, and other seeds give others", async () => {
  const run = (seed: number) => simulate({ seed, agents: () => [hands()], work, faults });
  const first = await run(7);
  const again = await run(7);
  const other = await run(8);
  assert.deepEqual(again.trace, first.trace);
  assert.deepEqual(again.faults, first.faults);
  assert.notDeepEqual(other.trace, first.trace);
});

test("no seed loses a task, gives an epoch two owners, or a step two receipts", async () => {
  const seeds = Number(process.env["CADRE_SEEDS"] ?? 60);
  const sum = await simulateSeeds({ seeds, agents: () => [hands()], work, faults });
  assert.equal(sum.tasksLost, 0);
  assert.equal(sum.doubleOwners, 0);
  assert.equal(sum.duplicateReceipts, 0);
  assert.ok(sum.crashes > seeds / 4, `only ${sum.crashes} crashes: the faults prove nothing`);
});

test("an invariant that does not hold fails the run, with the seed and the faults", async () => {
  const broken = simulate({
    seed: 3,
    agents: () => [hands()],
    work,
    faults,
    invariants: [async () => ["the moon is missing"]],
  });
  await assert.rejects(broken, (error: unknown) => {
    assert.ok(error instanceof SimulationError);
    assert.match(error.message, /CADRE_SEED=3/);
    assert.match(error.message, /the moon is missing/);
    return true;
  });
});

test("a team that never ends is found out", async () => {
  const stuck = simulate({
    seed: 1,
    agents: () => [],
    work: async (team) => void (await team.tasks.create(Double, 1)),
    maxVirtualMs: 60_000,
  });
  await assert.rejects(stuck, /no task lost: task .* is offered/);
});
