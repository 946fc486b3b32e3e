/** An orchestrator's task is another orchestrator's feature. */
import assert from "node:assert/strict";
import { test } from "node:test";

import { TerminalError, type } from "cadre";
import { defineAgent, defineTask, type AnyAgent, type FeaturePlan } from "cadre/agents";
import { testTeam } from "cadre/testing";

import { dyingStore, writesTo, type Death } from "./dying-store.ts";

const number = type<number>();
const Leaf = defineTask({ name: "leaf", input: number, output: number });
const Chapter = defineTask({ name: "chapter", input: number, output: type<unknown>() });
const Again = defineTask({ name: "again", input: number, output: type<unknown>() });

const leaves = (n: number): FeaturePlan => ({
  title: `Chapter ${n}`,
  tasks: [
    { name: "one", definition: Leaf, input: n },
    { name: "two", definition: Leaf, input: n * 10 },
    { name: "three", definition: Leaf, input: 100, dependsOn: ["one", "two"] },
  ],
});

/** Of capacity 1 each: an orchestrator that waits must not hold up those that it waits for. */
const team = (done: string[] = []): AnyAgent[] => [
  defineAgent({ name: "leaf" }).does(Leaf, async (value, ctx) => {
    const n = typeof value === "number" ? value : (value as { value: number }).value;
    if (n < 0) throw new TerminalError(`${n} is no page`);
    if (n > 1_000) await ctx.sleep("long", n);
    return ctx.step("read", () => {
      done.push(ctx.task.id);
      return n;
    });
  }),
  defineAgent({ name: "editor" }).does(Chapter, async (n, ctx) => {
    const results = await ctx.feature("pages", leaves(n));
    return Object.values(results).reduce((sum: number, page) => sum + Number(page), 0);
  }),
];

const book = (chapters: readonly number[], more: Partial<FeaturePlan> = {}): FeaturePlan => ({
  id: "book",
  title: "A book",
  tasks: chapters.map((n) => ({ name: `c${n}`, definition: Chapter, input: n })),
  ...more,
});

test("a task's feature is done with its tasks, and their results are the task's", async () => {
  const bench = testTeam();
  const running = await bench.start({ agents: team() });
  const feature = await running.features.create(book([1, 2]));
  assert.equal((await bench.until(feature.finished())).status, "completed");
  assert.deepEqual(await feature.results(), { c1: 111, c2: 122 });
  const nested = await running.features.get("book.c1/pages");
  const state = await nested!.state();
  assert.equal(state.parent, "book.c1");
  assert.equal(state.status, "completed");
  await bench.close();
});

test("a feature within a task has its tenant, and no more time and budget than it", async () => {
  const bench = testTeam();
  const asks = defineAgent({ name: "asks" }).does(Chapter, (n, ctx) =>
    ctx.feature("pages", {
      ...leaves(n),
      tenant: "somebody else",
      deadlineMs: 90_000,
      budget: { tokens: 900, calls: 2 },
    }),
  );
  const running = await bench.start({ agents: [asks, ...team().slice(0, 1)] });
  const bounds = { tenant: "acme", deadlineMs: 30_000, budget: { tokens: 500 } };
  const feature = await running.features.create(book([1], bounds));
  await bench.until(feature.finished());
  const nested = await (await running.features.get("book.c1/pages"))!.state();
  const whole = await feature.state();
  assert.equal(nested.tenant, "acme");
  assert.deepEqual(nested.budget, { tokens: 500, calls: 2 });
  assert.equal(nested.deadlineAt, whole.deadlineAt);
  const leaf = await running.tasks.get("book.c1/pages.one");
  assert.equal(leaf?.tenant, "acme");
  assert.equal(leaf?.deadlineAt, whole.deadlineAt);
  assert.equal(leaf?.depth, 2);
  await bench.close();
});

test("failure goes up in words", async () => {
  const bench = testTeam();
  const running = await bench.start({ agents: team() });
  const feature = await running.features.create(book([1, -2]));
  const end = await bench.until(feature.finished());
  assert.equal(end.status, "blocked");
  assert.match(
    end.reason ?? "",
    /"c-2" failed: Feature "Chapter -2" \(book\.c-2\/pages\) is blocked: its task "\w+" failed: -2/,
  );
  await bench.clock.advance(5_000);
  const nested = await (await running.features.get("book.c-2/pages"))!.state();
  assert.equal(nested.status, "cancelled");
  assert.match(nested.reason ?? "", /the task that waits for it failed/);
  await bench.close();
});

test("cancelling goes down, through features in features, also over a restart", async () => {
  const bench = testTeam();
  const deep = defineAgent({ name: "deep" }).does(Again, (n, ctx) =>
    ctx.feature("inner", {
      title: "inner",
      tasks: [{ name: "c", definition: Chapter, input: n }],
    }),
  );
  const first = await bench.start({ agents: [deep, ...team()] });
  const tasks = [{ name: "a", definition: Again, input: 5_000 }];
  const feature = await first.features.create({ id: "f", title: "deep", tasks });
  await bench.clock.advance(1_000);
  assert.equal((await first.tasks.get("f.a/inner.c/pages.one"))?.status, "running");
  await bench.until(first.close({ deadlineMs: 0 }));
  const client = await bench.start({ orchestrator: false, agents: [] });
  assert.ok(await (await client.features.get("f"))!.cancel("it rains"));
  await bench.start({ agents: [deep, ...team()] });
  await bench.clock.advance(60_000);
  for (const { id, status } of await client.tasks.list()) {
    assert.equal(status, "cancelled", id);
  }
  for (const id of ["f", "f.a/inner", "f.a/inner.c/pages"]) {
    assert.equal((await (await client.features.get(id))!.state()).status, "cancelled", id);
  }
  assert.equal(feature.id, "f");
  await bench.close();
});

test("a feature that asks for itself ends at the depth that is allowed", async () => {
  const bench = testTeam();
  const endless = defineAgent({ name: "endless", capacity: 2 }).does(Again, (n, ctx) =>
    ctx.feature("again", {
      title: "again",
      tasks: [{ name: "t", definition: Again, input: n + 1 }],
    }),
  );
  const running = await bench.start({ agents: [endless] });
  const task = await running.tasks.create(Again, 0);
  await assert.rejects(bench.until(task.result()), /8 features deep.*8 is the most/);
  await bench.close();
});

test("a function within a task plans once over all attempts", async () => {
  const bench = testTeam();
  let plans = 0;
  const planner = defineAgent({ name: "planner" }).does(Chapter, async (n, ctx) => {
    const results = await ctx.feature("pages", {
      title: "planned",
      goal: n,
      planner: (goal) => {
        plans += 1;
        return [{ name: "one", definition: Leaf, input: Number(goal) }];
      },
    });
    if (ctx.attempt === 1) throw new Error("again");
    return results;
  });
  const running = await bench.start({ agents: [planner, ...team().slice(0, 1)] });
  const task = await running.tasks.create(Chapter, 7);
  assert.deepEqual(await bench.until(task.result()), { one: 7 });
  assert.equal(plans, 1);
  await bench.close();
});

async function nest(works: boolean, death: Death | undefined): Promise<number> {
  const bench = testTeam();
  const done: string[] = [];
  const { mortal, writes } = dyingStore(bench.store, death, writesTo(/^(task|feature)\//));
  const client = await bench.start({ name: "client", orchestrator: false });
  const chapters = works ? [1, 2] : [1, -2];
  const feature = await client.features.create(book(chapters));
  await bench.start({ name: "mortal", agents: team(done), store: mortal });
  await bench.clock.advance(5_000);
  if (death) await bench.start({ name: "next", agents: team(done) });
  const what = JSON.stringify({ works, death });
  const end = await bench.until(feature.finished(), 600_000);
  assert.equal(end.status, works ? "completed" : "blocked", `${what} ${end.reason}`);
  if (works) assert.deepEqual(await feature.results(), { c1: 111, c2: 122 }, what);
  assert.ok(done.length <= new Set(done).size + 1, `${what}: at most what was in flight ran again`);
  await bench.clock.advance(60_000);
  for (const { id, status } of await client.tasks.list()) {
    assert.match(status, /completed|failed|cancelled/, `${what}: ${id} is ${status}`);
  }
  return writes();
}

const one = (at: number) => [at % 2 === 0 ? ("before" as const) : ("after" as const)];

for (const works of [true, false]) {
  test(`nested features that ${works ? "work" : "fail"} survive a death at any write`, async () => {
    const writes = await nest(works, undefined);
    assert.ok(writes >= 15, `${writes} writes`);
    for (let at = 1; at <= writes; at += 1) {
      for (const when of works ? (["before", "after"] as const) : one(at)) {
        await nest(works, { at, when });
      }
    }
  });
}
