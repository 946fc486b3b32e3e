import assert from "node:assert/strict";
import { test } from "node:test";

import { CadreError, isCadreError, memory, type, type Commit, type EventStore } from "cadre";
import { defineAgent, defineTask } from "cadre/agents";
import { testTeam } from "cadre/testing";
import { changed } from "../changed.ts";

const Work = defineTask({ name: "work", input: type<number>(), output: type<number>() });
const Outer = defineTask({ name: "outer", input: type<number>(), output: type<number>() });

/** A store with a commit of one's own; whoever uses it leaves it open. */
function withCommit(store: EventStore, commit: EventStore["commit"]): EventStore {
  return changed(store, { commit, close: async () => {} });
}

const unavailable = (): CadreError =>
  new CadreError("STORE_UNAVAILABLE", "the answer was lost", { path: "", reason: "test" });
const writes = (commit: Commit, eventType: string): boolean =>
  (commit.appends ?? []).some(({ events }) => events.some((event) => event.type === eventType));

async function types(store: EventStore, stream: string): Promise<readonly string[]> {
  const found: string[] = [];
  for await (const { event } of store.read({ stream })) found.push(event.type);
  return found;
}

for (const code of ["LEASE_LOST", "CLOSED", "CANCELLED"] as const) {
  test(`a handler's own ${code} is a failure like any other`, async () => {
    const bench = testTeam();
    let runs = 0;
    const agent = defineAgent({ name: "agent" }).does(Work, () => {
      runs += 1;
      throw new CadreError(code, "of a thing of the handler's own", { what: "its own" });
    });
    const team = await bench.start({ agents: [agent] });
    const handle = await team.tasks.create(Work, 1, { maxAttempts: 2 });
    await assert.rejects(bench.until(handle.result()), /of a thing of the handler's own/);
    assert.equal((await handle.state()).status, "failed");
    assert.equal(runs, 2);
    await bench.close();
  });
}

test("a lost answer to a result costs no attempt and is no late result", async () => {
  const bench = testTeam();
  let lost = 0;
  const store = withCommit(bench.store, async (commit) => {
    const result = await bench.store.commit(commit);
    if (writes(commit, "task.completed") && (lost += 1) === 1) throw unavailable();
    return result;
  });
  let runs = 0;
  const agent = defineAgent({ name: "agent" }).does(Work, (n) => ((runs += 1), n));
  const team = await bench.start({ agents: [agent], store });
  const handle = await team.tasks.create(Work, 7);
  assert.equal(await bench.until(handle.result()), 7);
  await bench.clock.advance(5_000);
  assert.equal(runs, 1);
  assert.equal(lost, 2);
  assert.equal(team.stats().rejectedLateResults, 0);
  await bench.close();
});

test("a store that refuses claims is not asked without a pause", async () => {
  const bench = testTeam();
  let refused = 0;
  const store = withCommit(bench.store, async (commit) => {
    if (!writes(commit, "task.claimed")) return bench.store.commit(commit);
    refused += 1;
    if (refused > 1_000) return new Promise(() => {});
    throw new CadreError("STORE_FULL", "full", { path: "" });
  });
  const asking = await bench.start();
  await asking.tasks.create(Work, 1);
  await bench.start({ agents: [defineAgent({ name: "agent" }).does(Work, (n) => n)], store });
  await bench.clock.advance(10_000);
  assert.ok(refused > 3 && refused < 100, `refused ${refused} times in 10 s`);
  await bench.close();
});

test("a handler that waits for several children at once holds one slot", async () => {
  const bench = testTeam();
  let running = 0;
  let most = 0;
  const agent = defineAgent({ name: "agent", capacity: 1 })
    .does(Work, async (n, ctx) => {
      running += 1;
      most = Math.max(most, running);
      await ctx.clock.sleep(100);
      running -= 1;
      return n;
    })
    .does(Outer, async (n, ctx) => {
      const calls = ["a", "b", "c"].map((name) => ctx.call(name, Work, n));
      return (await Promise.all(calls)).reduce((sum, each) => sum + each, 0);
    });
  const team = await bench.start({ agents: [agent] });
  const handle = await team.tasks.create(Outer, 2);
  assert.equal(await bench.until(handle.result()), 6);
  assert.equal(most, 1);
  assert.equal(team.directory.find()[0]?.card.load, 0);
  await bench.close();
});

test("a task that ended while the answer to its creation was on its way leaves the board", async () => {
  const bench = testTeam();
  const answers: (() => void)[] = [];
  const store = withCommit(bench.store, async (commit) => {
    const result = await bench.store.commit(commit);
    if (writes(commit, "task.created")) await new Promise<void>((resolve) => answers.push(resolve));
    return result;
  });
  await bench.start({ agents: [defineAgent({ name: "agent" }).does(Work, (n) => n)] });
  const asking = await bench.start({ store });
  const creating = asking.tasks.create(Work, 1, { id: "quick" });
  await bench.clock.advance(3_000);
  assert.equal((await types(bench.store, "task/quick")).at(-1), "task.completed");
  for (const answer of answers) answer();
  assert.equal(await bench.until((await creating).result()), 1);
  assert.equal(asking.stats().tasksOpen, 0);
  await bench.close();
});

test("a claim whose answer comes after the task's end runs nothing", async () => {
  const bench = testTeam();
  const answers: (() => void)[] = [];
  const store = withCommit(bench.store, async (commit) => {
    const result = await bench.store.commit(commit);
    if (writes(commit, "task.claimed")) await new Promise<void>((resolve) => answers.push(resolve));
    return result;
  });
  let runs = 0;
  const agent = defineAgent({ name: "agent" }).does(Work, () => {
    runs += 1;
    return new Promise<number>(() => {});
  });
  const team = await bench.start({ agents: [agent], store });
  const asking = await bench.start();
  const handle = await asking.tasks.create(Work, 1);
  await bench.clock.advance(1_000);
  await handle.cancel("too late");
  await assert.rejects(bench.until(handle.result()), /too late/);
  for (const answer of answers) answer();
  await bench.clock.advance(5_000);
  assert.equal(runs, 0);
  assert.equal(team.stats().tasksRunningHere, 0);
  assert.equal(team.directory.find()[0]?.card.load, 0);
  await bench.close();
});

test("createAll gives handles of what it created, also when a part was there", async () => {
  const bench = testTeam();
  const team = await bench.start({
    agents: [defineAgent({ name: "agent" }).does(Work, (n) => n)],
  });
  await team.tasks.create(Work, 1, { id: "there" });
  await bench.clock.advance(1_000);
  const handles = await team.tasks.createAll([
    { definition: Work, input: 1, options: { id: "there" } },
    { definition: Work, input: 2 },
  ]);
  assert.deepEqual(
    await bench.until(Promise.all(handles.map((handle) => handle.result()))),
    [1, 2],
  );
  await bench.close();
});

test("createAll puts no ended task on the board again", async () => {
  const bench = testTeam();
  const team = await bench.start({
    agents: [defineAgent({ name: "agent" }).does(Work, (n) => n)],
  });
  const there = { definition: Work, input: 1, options: { id: "there" } };
  const [first] = await team.tasks.createAll([there]);
  assert.equal(await bench.until(first!.result()), 1);
  // At the same instant, by the same runtime: the very same event, which the store skips.
  bench.clock.jump(-bench.clock.monotonic());
  await team.tasks.createAll([there, { definition: Work, input: 2 }]);
  await bench.clock.advance(5_000);
  assert.equal(team.stats().tasksOpen, 0);
  await bench.close();
});

test("who waits for a result or a feature is told when the runtime closes", async () => {
  const bench = testTeam();
  const team = await bench.start();
  const handle = await team.tasks.create(Work, 1);
  const tasks = [{ name: "work", definition: Work, input: 1 }];
  const feature = await team.features.create({ title: "Never", tasks });
  const isClosed = (error: unknown): boolean => isCadreError(error, "CLOSED");
  const told = [
    assert.rejects(handle.result(), isClosed),
    assert.rejects(feature.finished(), isClosed),
  ];
  await bench.until(team.close());
  await Promise.all(told);
  await assert.rejects(handle.result(), isClosed);
  await bench.close();
});

test("children of a cancelled task are cancelled, also one that is made meanwhile", async () => {
  const bench = testTeam();
  const agent = defineAgent({ name: "agent" }).does(Outer, async (n, ctx) => {
    await ctx.spawn("early", Work, n);
    await ctx.clock.sleep(1_000_000, ctx.signal);
    return n;
  });
  const team = await bench.start({ agents: [agent] });
  const handle = await team.tasks.create(Outer, 1, { id: "outer" });
  await bench.clock.advance(1_000);
  await handle.cancel("enough");
  await bench.clock.advance(10_000);
  assert.equal((await team.tasks.get("outer"))?.status, "cancelled");
  assert.equal((await team.tasks.get("outer.early"))?.status, "cancelled");
  // As a handler in another process would that does not know yet.
  const late = { ...Work, name: "late" };
  const [created] = await types(bench.store, "task/outer.early");
  assert.equal(created, "task.created");
  for await (const { event } of bench.store.read({ stream: "task/outer.early", limit: 1 })) {
    const payload = { ...(event.payload as object), taskId: "outer.late", name: late.name };
    const child = { ...event, id: "task/outer.late", payload };
    const appends = [{ stream: "task/outer.late", expectedVersion: 0, events: [child] }];
    await bench.store.commit({ appends });
  }
  await bench.clock.advance(1_000);
  assert.equal((await team.tasks.get("outer.late"))?.status, "cancelled");
  await bench.close();
});

test("a retried task does not wait for ever for an agent that never takes it", async () => {
  const bench = testTeam();
  let runs = 0;
  const doing = defineAgent({ name: "doing" }).does(Work, (n) => {
    runs += 1;
    if (runs === 1) throw new Error("once");
    return n;
  });
  const idle = defineAgent({ name: "idle", capabilities: ["work"] });
  const team = await bench.start({ agents: [doing, idle] });
  const handle = await team.tasks.create(Work, 3);
  assert.equal(await bench.until(handle.result(), 60_000), 3);
  await bench.close();
});

test("a step is not begun when its intent was written after the lease", async () => {
  const bench = testTeam();
  const answers: (() => void)[] = [];
  const store = withCommit(bench.store, async (commit) => {
    const isBeat = commit.slots?.some(({ name }) => name.startsWith("presence/"));
    if (answers.length > 0 && isBeat) throw unavailable();
    const result = await bench.store.commit(commit);
    if (writes(commit, "step.intent")) await new Promise<void>((resolve) => answers.push(resolve));
    return result;
  });
  let effects = 0;
  const agent = defineAgent({ name: "agent" }).does(Work, (n, ctx) =>
    ctx.step("pay", () => ((effects += 1), n), { after: "check", check: () => undefined }),
  );
  await bench.start({ agents: [agent], store });
  const asking = await bench.start();
  const handle = await asking.tasks.create(Work, 1);
  await bench.clock.advance(40_000);
  assert.equal((await handle.state()).epoch, 2);
  for (const answer of answers) answer();
  await bench.clock.advance(100);
  assert.equal(effects, 0);
  await bench.close();
});

test("steps of an event's handler may run at once", async () => {
  const bench = testTeam();
  const ran: string[] = [];
  let attempts = 0;
  const agent = defineAgent({ name: "agent" }).on("custom.go", async (_event, ctx) => {
    attempts += 1;
    const step = (name: string): Promise<number> =>
      ctx.step(name, () => ran.push(name), { after: "skip" });
    await Promise.all([step("left"), step("right")]);
  });
  const team = await bench.start({ agents: [agent] });
  await team.bus.publish("custom.go", {});
  await bench.clock.advance(10_000);
  assert.deepEqual(ran.sort(), ["left", "right"]);
  assert.equal(attempts, 1);
  await bench.close();
});

test("a second copy of an event does not run a finished step again", async () => {
  const bench = testTeam();
  let runs = 0;
  const transport = memory({ clock: bench.clock });
  const agent = defineAgent({ name: "agent" }).on("custom.go", async (_event, ctx) => {
    await ctx.step("once", () => void (runs += 1));
    throw new Error("after the step");
  });
  const team = await bench.start({ agents: [agent], bus: transport });
  const event = await team.bus.publish("custom.go", {});
  await bench.clock.advance(50);
  await transport.publish([{ event }]);
  await bench.clock.advance(120_000);
  assert.equal(runs, 1);
  await bench.close();
});
