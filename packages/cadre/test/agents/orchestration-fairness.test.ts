/** Who is served next: fair between tenants and features, and the urgent first. */
import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";

import { priorities, type } from "cadre";
import { defineAgent, defineTask, type TaskState } from "cadre/agents";
import { testTeam } from "cadre/testing";

import { FairQueue } from "#src/agents/orchestration/fair-queue.ts";
import type { BoardEntry } from "#src/agents/task-board.ts";

const seed = Number(process.env["CADRE_SEED"] ?? 1);

function entry(id: string, more: Partial<TaskState> = {}): BoardEntry {
  const state = { id, priority: "normal", ...more };
  // The queue looks at nothing else.
  return { state, version: 1 } as unknown as BoardEntry;
}

/** The first so many ids, each claimed as it comes. */
function serve(queue: FairQueue, times: number): string[] {
  const served: string[] = [];
  for (let turn = 0; turn < times; turn += 1) {
    const [next] = queue;
    if (!next) break;
    served.push(next.state.id);
    queue.remove(next, true);
  }
  return served;
}

test("features take turns, and within one the oldest task comes first", () => {
  const queue = new FairQueue();
  for (const id of ["a1", "a2", "a3"]) queue.put(entry(id, { feature: "a" }));
  for (const id of ["b1", "b2"]) queue.put(entry(id, { feature: "b" }));
  assert.deepEqual(
    [...queue].map(({ state }) => state.id),
    ["a1", "b1", "a2", "b2", "a3"],
  );
  assert.deepEqual(serve(queue, 9), ["a1", "b1", "a2", "b2", "a3"]);
  assert.equal(queue.size, 0);
});

test("a tenant with many features has no more turns than one with a single one", () => {
  const queue = new FairQueue();
  for (let n = 0; n < 10; n += 1) {
    queue.put(entry(`big${n}`, { tenant: "big", feature: `f${n}` }));
    queue.put(entry(`small${n}`, { tenant: "small", feature: "only" }));
  }
  const served = serve(queue, 10);
  assert.equal(served.filter((id) => id.startsWith("big")).length, 5);
});

test("a tenant's share is how many turns it has for one of the others", () => {
  const queue = new FairQueue({ gold: 3 });
  for (let n = 0; n < 30; n += 1) {
    queue.put(entry(`gold${n}`, { tenant: "gold" }));
    queue.put(entry(`lead${n}`, { tenant: "lead" }));
  }
  assert.equal(serve(queue, 20).filter((id) => id.startsWith("gold")).length, 15);
});

test("nobody starves, shares hold within a turn, and the urgent come first", () => {
  const task = fc.record({
    tenant: fc.constantFrom("a", "b", "c"),
    feature: fc.constantFrom("x", "y"),
    priority: fc.constantFrom(...priorities),
  });
  const shares = fc.record({
    a: fc.integer({ min: 1, max: 4 }),
    b: fc.integer({ min: 1, max: 4 }),
    c: fc.integer({ min: 1, max: 4 }),
  });
  fc.assert(
    fc.property(fc.array(task, { minLength: 1, maxLength: 120 }), shares, (tasks, share) => {
      const queue = new FairQueue(share);
      const entries = tasks.map((fields, n) => entry(String(n), fields));
      for (const each of entries) queue.put(each);
      const listed = [...queue].map(({ state }) => state.id);
      const served = serve(queue, tasks.length);
      assert.deepEqual(new Set(served).size, tasks.length, "each is served once");
      assert.deepEqual(listed, served, "what is listed is the order of service");
      const ranks = served.map((id) => priorities.indexOf(entries[Number(id)]!.state.priority));
      assert.ok(ranks.every((rank, n) => n === 0 || rank <= ranks[n - 1]!));
      for (const priority of priorities) assertShares(priority, served, entries, share);
    }),
    { seed, numRuns: 150 },
  );
});

/** While all three tenants wait, each has had its share but for one round. */
function assertShares(
  priority: string,
  served: readonly string[],
  entries: readonly BoardEntry[],
  share: Readonly<Record<string, number>>,
): void {
  const same = served
    .map((id) => entries[Number(id)]!.state)
    .filter((s) => s.priority === priority);
  const left = new Map<string, number>();
  for (const { tenant = "" } of same) left.set(tenant, (left.get(tenant) ?? 0) + 1);
  const had = new Map<string, number>();
  const names = [...left.keys()];
  for (const { tenant = "" } of same) {
    if (names.some((name) => left.get(name) === 0)) return;
    had.set(tenant, (had.get(tenant) ?? 0) + 1);
    left.set(tenant, left.get(tenant)! - 1);
    const rounds = names.map((name) => (had.get(name) ?? 0) / share[name]!);
    assert.ok(Math.max(...rounds) - Math.min(...rounds) <= 1, JSON.stringify([...had]));
  }
}

test("a small feature is done while a large one goes on", async () => {
  const bench = testTeam();
  const Item = defineTask({ name: "item", input: type<number>(), output: type<number>() });
  const agent = defineAgent({ name: "one" }).does(Item, async (n, ctx) => {
    await ctx.clock.sleep(100);
    return n;
  });
  const team = await bench.start({ agents: [agent] });
  const items = (count: number) =>
    Array.from({ length: count }, (_, n) => ({ name: `i${n}`, definition: Item, input: n }));
  const large = await team.features.create({ title: "large", tasks: items(100) });
  await bench.clock.advance(500);
  const small = await team.features.create({ title: "small", tasks: items(5) });
  assert.equal((await bench.until(small.finished(), 3_000)).status, "completed");
  assert.ok((await large.state()).completed < 30);
  await bench.close();
});

test("a plan of hundreds is released bit by bit", async () => {
  const bench = testTeam();
  const Item = defineTask({ name: "item", input: type<number>(), output: type<number>() });
  const agent = defineAgent({ name: "one", capacity: 4 }).does(Item, async (n, ctx) => {
    await ctx.clock.sleep(10);
    return n;
  });
  const team = await bench.start({ agents: [agent], orchestration: { maxWaiting: 8 } });
  const tasks = Array.from({ length: 200 }, (_, n) => ({
    name: `i${n}`,
    definition: Item,
    input: n,
  }));
  const feature = await team.features.create({ title: "large", tasks });
  const end = feature.finished();
  let most = 0;
  const unwatch = bench.store.watch(() => (most = Math.max(most, team.stats().tasksOpen)));
  assert.equal((await bench.until(end)).status, "completed");
  unwatch();
  assert.ok(most <= 24, `${most} were open at once`);
  await bench.close();
});

test("tasks beside a plan, however many, do not hold it up", async () => {
  const bench = testTeam();
  const Item = defineTask({ name: "item", input: type<number>(), output: type<number>() });
  const team = await bench.start({ orchestration: { maxWaiting: 8 } });
  for (let n = 0; n < 40; n += 1) await team.tasks.create(Item, n);
  const tasks = [1, 2].map((n) => ({ name: `i${n}`, definition: Item, input: n }));
  const feature = await team.features.create({ title: "small", tasks });
  await bench.clock.advance(3_000);
  assert.equal((await feature.tasks()).length, 2);
  await bench.close();
});

test("an agent that says it is full slows the release down", async () => {
  const bench = testTeam();
  const Item = defineTask({ name: "item", input: type<number>(), output: type<number>() });
  const agent = defineAgent({ name: "one", capacity: 2 }).does(Item, async (n, ctx) => {
    await ctx.clock.sleep(60_000);
    return n;
  });
  const team = await bench.start({ agents: [agent] });
  await bench.clock.advance(100);
  await team.bus.publish("agent.backpressure", { agent: "one" });
  await bench.clock.advance(100);
  const tasks = Array.from({ length: 50 }, (_, n) => ({
    name: `i${n}`,
    definition: Item,
    input: n,
  }));
  const feature = await team.features.create({ title: "many", tasks });
  await bench.clock.advance(1_000);
  const pressed = (await feature.tasks()).length;
  assert.ok(pressed <= 6, `${pressed} tasks were released`);
  await bench.clock.advance(30_000);
  assert.equal((await feature.tasks()).length, 50);
  await bench.close();
});

test("a policy of one's own assigns, with the trust that it is told", async () => {
  const bench = testTeam();
  const Item = defineTask({ name: "item", input: type<number>(), output: type<number>() });
  const agents = ["ann", "bob"].map((name) =>
    defineAgent({ name, capacity: 9 }).does(Item, (n) => n),
  );
  const seen: number[] = [];
  const team = await bench.start({
    agents,
    orchestration: {
      score: (agent) => (agent === "ann" ? 0.2 : 0.9),
      assignment: (_task, candidates) => {
        seen.push(...candidates.map(({ score }) => score));
        return candidates.toSorted((a, b) => b.score - a.score)[0]?.agent;
      },
    },
  });
  await bench.clock.advance(3_000);
  const tasks = [1, 2, 3].map((n) => ({ name: `i${n}`, definition: Item, input: n }));
  const feature = await team.features.create({ title: "trusted", tasks });
  await bench.until(feature.finished());
  const asked: unknown[] = [];
  for await (const { event } of bench.store.read({ type: "task.assigned.*" })) {
    asked.push((event.payload as { agent: string }).agent);
  }
  assert.deepEqual(asked, ["bob", "bob", "bob"]);
  assert.deepEqual(
    [...new Set(seen)].toSorted((a, b) => a - b),
    [0.2, 0.9],
  );
  await bench.close();
});
