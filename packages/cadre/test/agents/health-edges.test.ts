/** Health at its edges: orders that a restart must not undo, leases of sleepers, limits and clocks. */
import assert from "node:assert/strict";
import { test } from "node:test";

import { memoryStore, SeededRandom, type, VirtualClock } from "cadre";
import { defineAgent, defineTask } from "cadre/agents";
import { testTeam } from "cadre/testing";
import { SharedRateLimits } from "#src/agents/health/rate-limits.ts";
import { leavingStore } from "./leaving-store.ts";

const Work = defineTask({ name: "work", input: type<number>(), output: type<number>() });
const Nap = defineTask({ name: "nap", input: type<number>(), output: type<number>() });
const hour = 3_600_000;

test("a paused agent that is restarted, stuck or by hand, is paused still", async () => {
  const bench = testTeam();
  let runs = 0;
  const agent = defineAgent({ name: "worker", stuckAfterMs: 20_000 }).does(Work, () => {
    runs += 1;
    return runs === 1 ? new Promise<number>(() => {}) : runs;
  });
  const health = { onStuck: "restart" } as const;
  const team = await bench.start({ agents: [agent], health });
  const task = await team.tasks.create(Work, 1);
  await bench.clock.advance(1_000);
  await team.agents.pause("worker", { reason: "lunch" });
  await bench.clock.advance(60_000);
  const stateOf = () => team.directory.find({ agent: "worker" })[0]?.card.state;
  assert.deepEqual([stateOf(), (await task.state()).status, runs], ["paused", "offered", 1]);
  await bench.until(team.agents.restart("worker"));
  await bench.clock.advance(10_000);
  assert.deepEqual([stateOf(), (await task.state()).status, runs], ["paused", "offered", 1]);
  await team.agents.resume("worker");
  assert.equal(await bench.until(task.result()), 2);
  await bench.close();
});

test("a store that is away for a while stops no agent that is being restarted", async () => {
  const bench = testTeam();
  const power = leavingStore(bench.store);
  let runs = 0;
  const agent = defineAgent({ name: "worker", stuckAfterMs: 20_000 }).does(Work, () => {
    runs += 1;
    return runs === 1 ? new Promise<number>(() => {}) : runs;
  });
  const health = { onStuck: "restart" } as const;
  const team = await bench.start({ store: power.store, agents: [agent], health });
  const asking = await bench.start();
  const task = await asking.tasks.create(Work, 1);
  await bench.clock.advance(19_000);
  power.isAway = true;
  await bench.clock.advance(120_000);
  power.isAway = false;
  assert.equal(await bench.until(task.result()), 2);
  assert.equal(team.directory.find({ agent: "worker" })[0]?.card.state, "running");
  await bench.close();
});

test("what a sleeping agent still holds is offered again when its process is gone", async () => {
  const bench = testTeam();
  const power = leavingStore(bench.store);
  const hangs = defineAgent({ name: "sleeper" }).does(Work, () => new Promise<number>(() => {}));
  const team = await bench.start({ store: power.store, agents: [hangs] });
  const asking = await bench.start();
  const task = await asking.tasks.create(Work, 1);
  await bench.clock.advance(1_000);
  await team.agents.sleep("sleeper", { until: bench.clock.now() + 8 * hour });
  await bench.clock.advance(5_000);
  power.isAway = true;
  await bench.start({ agents: [defineAgent({ name: "other" }).does(Work, () => 2)] });
  assert.equal(await bench.until(task.result(), 60_000), 2);
  await bench.close();
});

test("a wall clock that was ahead for a moment holds no limit up for longer than a window", async () => {
  const clock = new VirtualClock();
  const context = { store: memoryStore({ clock }), clock, random: new SeededRandom(1) };
  const limits = new SharedRateLimits(context, { api: { perSecond: 2 } });
  clock.jump(24 * hour);
  assert.equal(await limits.tryTake("api", 2), 0);
  clock.jump(-24 * hour);
  const waitMs = await limits.tryTake("api");
  assert.ok(waitMs > 0 && waitMs <= 1_100, `${waitMs} ms`);
  await clock.advance(1_099);
  assert.ok((await limits.tryTake("api")) > 0, "the window is used up");
  await clock.advance(1_100);
  assert.equal(await limits.tryTake("api", 2), 0);
  assert.ok((await limits.tryTake("api")) > 0, "and again");
});

test("that nobody takes a task is told again when somebody has taken some in between", async () => {
  const bench = testTeam();
  const team = await bench.start({ agents: [defineAgent({ name: "w" }).does(Work, (n) => n)] });
  const notes: unknown[] = [];
  await team.bus.subscribe(
    "status.updated",
    ({ payload }) => void notes.push((payload as { note?: string }).note),
  );
  for (let round = 0; round < 2; round += 1) {
    await team.agents.pause("w");
    await bench.clock.advance(5_000);
    const task = await team.tasks.create(Work, 1);
    await bench.clock.advance(5_000);
    await team.agents.resume("w");
    await bench.until(task.result());
    await bench.clock.advance(5_000);
  }
  assert.equal(notes.length, 2, JSON.stringify(notes));
  await bench.close();
});

test("a handler that waits for its slot, to go on, is not stuck", async () => {
  const bench = testTeam();
  const notes: unknown[] = [];
  const agent = defineAgent({ name: "w", stuckAfterMs: 20_000 })
    .does(Nap, async (n, ctx) => {
      await ctx.sleep("s", 1_000);
      return n;
    })
    .does(Work, async (n, ctx) => {
      for (let i = 0; i < 60; i += 1) {
        await ctx.clock.sleep(1_000);
        await ctx.breathe();
      }
      return n;
    });
  const team = await bench.start({ agents: [agent] });
  await team.bus.subscribe("status.updated", ({ payload }) => void notes.push(payload));
  const nap = await team.tasks.create(Nap, 1);
  await bench.clock.advance(100);
  await team.tasks.create(Work, 1);
  await bench.until(nap.result());
  assert.deepEqual(
    notes.filter((n) => (n as { status: string }).status === "stuck"),
    [],
  );
  await bench.close();
});
