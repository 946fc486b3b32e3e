/** Orders to agents: pause, resume, drain, restart and sleep, here and in other processes. */
import assert from "node:assert/strict";
import { test } from "node:test";

import { isCadreError, type } from "cadre";
import { defineAgent, defineTask, type AgentDefinition, type Cadre } from "cadre/agents";
import { testTeam } from "cadre/testing";

const Work = defineTask({ name: "work", input: type<number>(), output: type<number>() });
const worker = (): AgentDefinition => defineAgent({ name: "worker" }).does(Work, (n) => n);
const slow = (ms: number): AgentDefinition =>
  defineAgent({ name: "worker" }).does(Work, async (n, ctx) => {
    await ctx.clock.sleep(ms, ctx.signal);
    return n;
  });

async function lives(team: Cadre, until: (done: Promise<unknown>) => Promise<unknown>) {
  const handle = await team.tasks.create(Work, 1);
  return { handle, done: () => until(handle.result()) };
}

/** Events of the agents' life, as they are published. */
async function story(team: Cadre): Promise<string[]> {
  const told: string[] = [];
  for (const type of ["agent.paused", "agent.started", "agent.stopped"] as const) {
    await team.bus.subscribe(type, ({ payload }) => {
      const { reason = "-" } = payload as { readonly reason?: string };
      told.push(`${type.slice(6)} ${reason}`);
    });
  }
  return told;
}

test("a paused agent claims nothing, ends what runs, and goes on when it is resumed", async () => {
  const bench = testTeam();
  const team = await bench.start({ agents: [slow(5_000)] });
  const told = await story(team);
  const running = await team.tasks.create(Work, 1);
  await bench.clock.advance(1_000);
  await team.agents.pause("worker", { reason: "lunch" });
  const next = await team.tasks.create(Work, 2);
  assert.equal(await bench.until(running.result()), 1);
  await bench.clock.advance(20_000);
  assert.equal((await next.state()).status, "offered");
  const [entry] = team.directory.find({ agent: "worker" });
  assert.deepEqual([entry?.card.state, entry?.card.reason], ["paused", "lunch"]);
  await team.agents.resume("worker");
  assert.equal(await bench.until(next.result()), 2);
  assert.deepEqual(told, ["paused lunch", "started -"]);
  await bench.close();
});

test("a paused agent hears nothing, and misses nothing", async () => {
  const bench = testTeam();
  const heard: unknown[] = [];
  const ear = defineAgent({ name: "ear" }).on("custom.said", ({ payload }) => {
    heard.push(payload);
  });
  const team = await bench.start({ agents: [ear] });
  await team.agents.pause("ear");
  await team.bus.publish("custom.said", { n: 1 });
  await bench.clock.advance(10_000);
  assert.deepEqual(heard, []);
  await team.agents.resume("ear");
  await bench.clock.advance(2_000);
  assert.deepEqual(heard, [{ n: 1 }]);
  await bench.close();
});

test("orders reach other processes within a heartbeat, and last over their restarts", async () => {
  const bench = testTeam();
  const first = await bench.start({ agents: [worker()] });
  const asking = await bench.start();
  await bench.clock.advance(2_100);
  await asking.agents.pause("worker");
  await bench.clock.advance(2_100);
  const handle = await asking.tasks.create(Work, 1);
  await bench.clock.advance(10_000);
  assert.equal((await handle.state()).status, "offered");
  await bench.until(first.close());
  await bench.start({ agents: [worker()] });
  await bench.clock.advance(10_000);
  assert.equal((await handle.state()).status, "offered", "still paused");
  await asking.agents.resume("worker");
  assert.equal(await bench.until(handle.result()), 1);
  await bench.close();
});

test("a drained agent ends what it has, stops, and begins a new incarnation when resumed", async () => {
  const bench = testTeam();
  const team = await bench.start({ agents: [slow(3_000)] });
  const running = await team.tasks.create(Work, 1);
  await bench.clock.advance(500);
  const drained = team.agents.drain("worker");
  const next = await team.tasks.create(Work, 2);
  await bench.until(drained);
  assert.equal((await running.state()).status, "completed");
  await bench.clock.advance(3_000);
  assert.equal(team.directory.find({ agent: "worker" })[0]?.card.state, "stopped");
  assert.equal((await next.state()).status, "offered");
  await team.agents.resume("worker");
  assert.equal(await bench.until(next.result()), 2);
  const { incarnation } = team.directory.find({ agent: "worker" })[0]!.card;
  assert.match(incarnation, /\.1$/);
  await bench.close();
});

test("what does not end within a drain's deadline is given back", async () => {
  const bench = testTeam();
  const team = await bench.start({ agents: [slow(3_600_000)] });
  const running = await team.tasks.create(Work, 1);
  await bench.clock.advance(500);
  await bench.until(team.agents.drain("worker", { deadlineMs: 1_000 }));
  const state = await running.state();
  assert.deepEqual([state.status, state.attempt, state.lost], ["offered", 0, 0]);
  await bench.close();
});

test("a restart gives work back, and the old incarnation is known to be gone", async () => {
  const bench = testTeam();
  let entered = 0;
  const agent = defineAgent({ name: "worker" }).does(Work, (n) => {
    entered += 1;
    return entered === 1 ? new Promise<number>(() => {}) : n;
  });
  const team = await bench.start({ agents: [agent] });
  const watching = await bench.start();
  const handle = await team.tasks.create(Work, 7);
  await bench.clock.advance(2_500);
  const before = watching.directory.find({ agent: "worker" })[0]!.card.incarnation;
  const edges: string[] = [];
  watching.directory.watch(({ card, presence }) => {
    edges.push(`${card.incarnation === before ? "old" : "new"} ${presence}`);
  });
  await bench.until(team.agents.restart("worker", { reason: "a new day" }));
  assert.equal(await bench.until(handle.result()), 7);
  await bench.clock.advance(4_000);
  assert.deepEqual(edges.toSorted(), ["new online", "old left"]);
  assert.equal((await handle.state()).epoch, 2);
  await bench.close();
});

test("a sleeping agent shows when it is active again, and is then", async () => {
  const bench = testTeam();
  const team = await bench.start({ agents: [worker()] });
  const watching = await bench.start();
  const until = bench.clock.now() + 60_000;
  await team.agents.sleep("worker", { until });
  const { handle, done } = await lives(team, (promise) => bench.until(promise, 100_000));
  await bench.clock.advance(30_000);
  const [entry] = watching.directory.find({ agent: "worker" });
  assert.deepEqual([entry?.card.state, entry?.card.nextActiveAt], ["asleep", until]);
  assert.equal((await handle.state()).status, "offered");
  assert.equal(await handle.noAgent(), undefined, "somebody will come");
  assert.equal(await done(), 1);
  assert.ok(bench.clock.now() >= until);
  await bench.close();
});

test("work of a sleeping agent goes to others", async () => {
  const bench = testTeam();
  const team = await bench.start({ agents: [worker()] });
  await team.agents.sleep("worker", { until: bench.clock.now() + 3_600_000 });
  const other = defineAgent({ name: "other" }).does(Work, (n) => n * 10);
  await bench.start({ agents: [other] });
  const handle = await team.tasks.create(Work, 4);
  assert.equal(await bench.until(handle.result()), 40);
  await bench.close();
});

test("an order to nobody, or one that makes no sense, is refused", async () => {
  const bench = testTeam();
  const team = await bench.start({ agents: [worker()] });
  await assert.rejects(team.agents.pause("nobody"), (error) => isCadreError(error, "NOT_FOUND"));
  // @ts-expect-error: there is no such option
  assert.throws(() => void team.agents.pause("worker", { because: "x" }), /no option "because"/);
  assert.throws(() => void team.agents.drain("worker", { deadlineMs: -1 }), /deadlineMs/);
  await bench.close();
});
