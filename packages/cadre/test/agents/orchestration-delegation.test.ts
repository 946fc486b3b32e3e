/** Handoff, scatter-gather and map: what a handler hands on to others. */
import assert from "node:assert/strict";
import { test } from "node:test";

import { TerminalError, type } from "cadre";
import { defineAgent, defineTask, type AnyAgent } from "cadre/agents";
import { testTeam } from "cadre/testing";

import { dyingStore, writesTo, type Death } from "./dying-store.ts";

const number = type<number>();
const Part = defineTask({ name: "part", input: number, output: number });
const Whole = defineTask({ name: "whole", input: number, output: type<unknown>() });

/** Takes as many milliseconds as its input says; negative ones fail. */
const parts = (done: number[] = [], capacity = 8): AnyAgent =>
  defineAgent({ name: "parts", capacity }).does(Part, async (n, ctx) => {
    await ctx.sleep("work", Math.abs(n));
    if (n < 0) throw new TerminalError(`${n} is negative`);
    return ctx.step("done", () => {
      done.push(n);
      return n;
    });
  });

test("a task that is handed off goes on elsewhere with its journal and all its attempts", async () => {
  const bench = testTeam();
  const Letter = defineTask({
    name: "letter",
    input: type<string>(),
    output: type<string>(),
    maxAttempts: 1,
  });
  const opened: string[] = [];
  const open = (name: string) => (): string => {
    opened.push(name);
    return `opened by ${name}`;
  };
  const clerk = defineAgent({ name: "clerk" }).does(Letter, async (_text, ctx) => {
    await ctx.step("open", open("clerk"));
    return ctx.handoff({ agent: "judge" }, "it is a matter of law");
  });
  const judge = defineAgent({ name: "judge" }).does(Letter, async (text, ctx) => {
    const by = await ctx.step("open", open("judge"));
    const [handoff] = ctx.task.handoffs ?? [];
    return `${text}: ${by}, from ${handoff?.from}: ${handoff?.note}, attempt ${ctx.attempt}`;
  });
  const team = await bench.start({ agents: [clerk, judge] });
  const task = await team.tasks.create(Letter, "a claim", { id: "l", assignTo: "clerk" });
  assert.equal(
    await bench.until(task.result()),
    "a claim: opened by clerk, from clerk: it is a matter of law, attempt 1",
  );
  assert.deepEqual(opened, ["clerk"]);
  const types: string[] = [];
  for await (const { event } of bench.store.read({ stream: "task/l" })) types.push(event.type);
  assert.ok(types.includes("task.handed_off"));
  await bench.close();
});

test("a task is handed off to whoever offers a capability", async () => {
  const bench = testTeam();
  const Case = defineTask({ name: "case", input: number, output: type<string>() });
  const junior = defineAgent({ name: "junior" }).does(Case, (_n, ctx) =>
    ctx.handoff({ capability: "case.hard" }),
  );
  const senior = defineAgent({ name: "senior", capabilities: ["case.hard"] }).does(
    Case,
    (n, ctx) => `${n} by ${ctx.agent}`,
  );
  const first = await bench.start({ agents: [junior] });
  const task = await first.tasks.create(Case, 7);
  await bench.clock.advance(1_000);
  await bench.start({ agents: [senior] });
  assert.equal(await bench.until(task.result()), "7 by senior");
  await bench.close();
});

test("two agents that hand each other the same task end with its failure", async () => {
  const bench = testTeam();
  const Ball = defineTask({ name: "ball", input: number, output: number });
  const player = (name: string, other: string): AnyAgent =>
    defineAgent({ name }).does(Ball, (_n, ctx) => ctx.handoff({ agent: other }));
  const team = await bench.start({ agents: [player("ann", "bob"), player("bob", "ann")] });
  const task = await team.tasks.create(Ball, 1);
  await assert.rejects(bench.until(task.result(), 600_000), /handed off 32 times.*nobody does it/);
  await bench.close();
});

test("a handoff to nobody is refused", async () => {
  const bench = testTeam();
  const agent = defineAgent({ name: "one" }).does(Part, (_n, ctx) =>
    ctx.handoff({} as { agent: string }),
  );
  const team = await bench.start({ agents: [agent] });
  const task = await team.tasks.create(Part, 1);
  await assert.rejects(bench.until(task.result()), /hand it off to \{ agent \}/);
  await bench.close();
});

test("a scatter has the first results, as many as its quorum says, and stops the rest", async () => {
  const bench = testTeam();
  const done: number[] = [];
  const whole = defineAgent({ name: "whole" }).does(Whole, (_n, ctx) =>
    ctx.scatter("votes", Part, { inputs: [5_000, 100, 60_000, 200, -1] }, { quorum: 2 }),
  );
  const team = await bench.start({ agents: [whole, parts(done)] });
  const task = await team.tasks.create(Whole, 1, { id: "w" });
  const result = await bench.until(task.result(), 3_000);
  assert.deepEqual(result, [
    { index: 1, result: 100 },
    { index: 3, result: 200 },
  ]);
  await bench.clock.advance(10_000);
  assert.deepEqual(done, [100, 200]);
  assert.equal((await team.tasks.get("w.votes.0"))?.status, "cancelled");
  assert.equal((await team.tasks.get("w.votes.2"))?.status, "cancelled");
  await bench.close();
});

test("a scatter asks each of several agents, and leaves the late ones alone when told to", async () => {
  const bench = testTeam();
  const Opinion = defineTask({ name: "opinion", input: number, output: type<string>() });
  const agents = ["ann", "bob", "cleo"].map((name, index) =>
    defineAgent({ name }).does(Opinion, async (_n, ctx) => {
      await ctx.clock.sleep(1_000 * (index + 1));
      return name;
    }),
  );
  const whole = defineAgent({ name: "whole" }).does(Whole, async (n, ctx) => {
    const to = { agents: ["ann", "bob", "cleo"], input: n };
    const first = await ctx.scatter("asked", Opinion, to, { quorum: 2, onLate: "keep" });
    return first.map(({ agent, result }) => `${agent}=${result}`);
  });
  const team = await bench.start({ agents: [...agents, whole] });
  const task = await team.tasks.create(Whole, 1, { id: "w" });
  assert.deepEqual(await bench.until(task.result()), ["ann=ann", "bob=bob"]);
  await bench.clock.advance(5_000);
  assert.equal((await team.tasks.get("w.asked.2"))?.status, "completed");
  await bench.close();
});

test("a scatter that cannot have its quorum, or not in time, says so", async () => {
  const bench = testTeam();
  const whole = defineAgent({ name: "whole", capacity: 4 }).does(Whole, (n, ctx) =>
    n === 1
      ? ctx.scatter("s", Part, { inputs: [-1, -2, 30_000] }, { quorum: 2 })
      : ctx.scatter("s", Part, { inputs: [10, 90_000] }, { timeoutMs: 2_000 }),
  );
  const team = await bench.start({ agents: [whole, parts()] });
  const fails = await team.tasks.create(Whole, 1, { id: "a" });
  await assert.rejects(
    bench.until(fails.result()),
    /can't have 2 of 3 results: 2 failed \(0: .*-1/,
  );
  const late = await team.tasks.create(Whole, 2, { id: "b" });
  await assert.rejects(bench.until(late.result()), /had 1 of 2 results within 2000 ms/);
  await bench.clock.advance(5_000);
  assert.equal((await team.tasks.get("a.s.2"))?.status, "cancelled");
  assert.equal((await team.tasks.get("b.s.1"))?.status, "cancelled");
  await bench.close();
});

test("an impossible quorum or concurrency is refused", async () => {
  const bench = testTeam();
  const whole = defineAgent({ name: "whole", capacity: 4 }).does(Whole, (n, ctx) =>
    n === 1
      ? ctx.scatter("s", Part, { inputs: [1, 2] }, { quorum: 3 })
      : ctx.map("m", Part, [1], { concurrency: 0 }),
  );
  const team = await bench.start({ agents: [whole, parts()] });
  for (const [n, says] of [
    [1, /2 parts and quorum 3/],
    [2, /concurrency 0/],
  ] as const) {
    const task = await team.tasks.create(Whole, n);
    await assert.rejects(bench.until(task.result()), says);
  }
  await bench.close();
});

test("a map keeps the order of its items and its bound, and folds what it need not keep", async () => {
  const bench = testTeam();
  const times = [300, 100, 200, 50, 400, 10];
  let most = 0;
  let now = 0;
  const slow = defineAgent({ name: "slow", capacity: 20 }).does(Part, async (n, ctx) => {
    now += 1;
    most = Math.max(most, now);
    await ctx.clock.sleep(n);
    now -= 1;
    return n * 2;
  });
  const whole = defineAgent({ name: "whole" }).does(Whole, async (_n, ctx) => {
    const list = await ctx.map("all", Part, times, { concurrency: 3 });
    const sum = await ctx.map("sum", Part, times, {
      concurrency: 2,
      initial: "",
      reduce: (text: string, n, index) => `${text} ${index}:${n}`,
    });
    return { list, sum };
  });
  const team = await bench.start({ agents: [slow, whole] });
  const task = await team.tasks.create(Whole, 1);
  assert.deepEqual(await bench.until(task.result()), {
    list: [600, 200, 400, 100, 800, 20],
    sum: " 0:600 1:200 2:400 3:100 4:800 5:20",
  });
  assert.equal(most, 3);
  await bench.close();
});

test("a map fails with its first failure and cancels what runs, or collects them all", async () => {
  const bench = testTeam();
  const whole = defineAgent({ name: "whole", capacity: 4 }).does(Whole, async (n, ctx) =>
    n === 1
      ? ctx.map("m", Part, [20_000, -10, 30_000, 40], { concurrency: 3 })
      : ctx.map("m", Part, [20, -10, 30], { onFailure: "collect" }),
  );
  const team = await bench.start({ agents: [whole, parts()] });
  const fast = await team.tasks.create(Whole, 1, { id: "fast" });
  await assert.rejects(bench.until(fast.result(), 5_000), /item 1 of map "m" failed: .*negative/);
  await bench.clock.advance(5_000);
  assert.equal((await team.tasks.get("fast.m.0"))?.status, "cancelled");
  assert.equal(await team.tasks.get("fast.m.3"), undefined);
  const all = await team.tasks.create(Whole, 2);
  const outcomes = (await bench.until(all.result())) as { status: string }[];
  assert.deepEqual(
    outcomes.map(({ status }) => status),
    ["completed", "failed", "completed"],
  );
  await bench.close();
});

test("what is handed on to several takes place once, also in strict mode", async () => {
  const bench = testTeam({ strict: true });
  const done: number[] = [];
  const whole = defineAgent({ name: "whole" }).does(Whole, async (_n, ctx) => {
    const some = await ctx.scatter("s", Part, { inputs: [50, 10, 90_000] }, { quorum: 2 });
    const all = await ctx.map("m", Part, [1, 2, 3], { concurrency: 2 });
    return ctx.step("sum", () => some.length + all.length);
  });
  const team = await bench.start({ agents: [whole, parts(done)] });
  const task = await team.tasks.create(Whole, 1);
  assert.equal(await bench.until(task.result()), 5);
  assert.deepEqual(
    done.toSorted((a, b) => a - b),
    [1, 2, 3, 10, 50],
  );
  await bench.close();
});

test("a handoff in strict mode leaves the same journal behind", async () => {
  const bench = testTeam({ strict: true });
  const agents = ["ann", "bob"].map((name) =>
    defineAgent({ name }).does(Whole, async (n, ctx) => {
      const once = await ctx.step("once", () => `${n} by ${name}`);
      if (ctx.task.handoffs === undefined) return ctx.handoff({ agent: "bob" });
      return once;
    }),
  );
  const team = await bench.start({ agents });
  const task = await team.tasks.create(Whole, 3, { assignTo: "ann" });
  assert.equal(await bench.until(task.result()), "3 by ann");
  await bench.close();
});

/** All of it, on processes of which one dies at one of its writes. */
async function delegate(death: Death | undefined): Promise<number> {
  const bench = testTeam();
  const done: number[] = [];
  const agents = (): AnyAgent[] => [
    parts(done, 3),
    ...["whole", "other"].map((name) =>
      defineAgent({ name }).does(Whole, async (n, ctx) => {
        await ctx.step("begin", () => n);
        if (ctx.task.handoffs === undefined) return ctx.handoff({ agent: "other" });
        const some = await ctx.scatter("s", Part, { inputs: [50, 10, 90_000] }, { quorum: 2 });
        const sum = await ctx.map("m", Part, [1, 2, 3], {
          concurrency: 2,
          initial: 0,
          reduce: (all: number, one) => all + one,
        });
        return { some: some.map(({ result }) => result).toSorted((a, b) => a - b), sum };
      }),
    ),
  ];
  const { mortal, writes } = dyingStore(bench.store, death, writesTo(/^(task|feature)\//));
  const client = await bench.start({ name: "client" });
  const task = await client.tasks.create(Whole, 1, { id: "w", assignTo: "whole" });
  await bench.start({ name: "mortal", agents: agents(), store: mortal });
  await bench.clock.advance(5_000);
  if (death) await bench.start({ name: "next", agents: agents() });
  const what = JSON.stringify(death);
  const result = await bench.until(task.result(), 600_000);
  assert.deepEqual(result, { some: [10, 50], sum: 6 }, what);
  const counts = new Map<number, number>();
  for (const n of done) counts.set(n, (counts.get(n) ?? 0) + 1);
  const doubled = [...counts.values()].reduce((sum, times) => sum + times - 1, 0);
  assert.ok(doubled <= 3, `${what}: at most what was in flight ran again`);
  await bench.clock.advance(30_000);
  for (const { id, status } of await client.tasks.list()) {
    assert.match(status, /completed|cancelled/, `${what}: ${id} is ${status}`);
  }
  return writes();
}

test("handoff, scatter and map survive a death at any of their writes", async () => {
  const writes = await delegate(undefined);
  assert.ok(writes >= 20, `${writes} writes`);
  for (let at = 1; at <= writes; at += 1) {
    for (const when of ["before", "after"] as const) await delegate({ at, when });
  }
});
