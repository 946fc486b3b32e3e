/** Plans: what is refused, changed while it runs, blocked, and made by agents. */
import assert from "node:assert/strict";
import { test } from "node:test";

import { TerminalError, isCadreError, type } from "cadre";
import {
  defineAgent,
  defineTask,
  draftPlan,
  type FeatureHandle,
  type FeaturePlan,
  type FeatureState,
  type PlanDraft,
  type PlanRequest,
} from "cadre/agents";
import { testTeam } from "cadre/testing";

const numberSchema = { type: "object", properties: { n: { type: "number" } }, required: ["n"] };
const Work = defineTask({
  name: "work",
  input: type<{ n: number }>(numberSchema),
  output: type<number>(),
});
const Sum = defineTask({
  name: "sum",
  input: type<{ results?: Record<string, number> }>(),
  output: type<number>(),
});

/** Fails for negative numbers; slow for those over 100. */
const worker = defineAgent({ name: "worker", capacity: 2 })
  .does(Work, async ({ n }, ctx) => {
    if (n < 0) throw new TerminalError("it is negative");
    if (n > 100) await ctx.sleep("slowly", n);
    return n;
  })
  .does(Sum, ({ results = {} }) => Object.values(results).reduce((sum, n) => sum + n, 0));

const item = (n: number, more: object = {}): NonNullable<FeaturePlan["tasks"]>[number] => ({
  name: `w${n}`,
  definition: Work,
  input: { n },
  ...more,
});

async function problemsOf(promise: Promise<unknown>): Promise<readonly string[]> {
  const error: unknown = await promise.then(
    () => assert.fail("it was taken"),
    (refusal: unknown) => refusal,
  );
  assert.ok(isCadreError(error, "INVALID_PLAN"), String(error));
  return error.details.problems;
}

test("a plan is refused for everything that is wrong with it at once", async () => {
  const bench = testTeam();
  const team = await bench.start({ agents: [worker] });
  const problems = await problemsOf(
    team.features.create({
      title: "wrong",
      deadlineMs: 1_000,
      budget: { tokens: 100 },
      unknownCapabilities: "refuse",
      tasks: [
        item(1, { budget: { tokens: 60 } }),
        item(1, { budget: { tokens: 60 } }),
        item(2, { input: { n: "two" } }),
        item(3, { dependsOn: ["w9"] }),
        item(4, { deadlineMs: 2_000 }),
        item(5, { estimateMs: -1 }),
        item(6, { name: "~6" }),
        item(7, { definition: defineTask({ name: "nobody" }) }),
        item(8, { priority: "urgent" }),
      ],
    }),
  );
  const text = problems.join("\n");
  for (const part of [
    /two tasks named "w1"/,
    /spend 120 tokens together, and the feature has 100/,
    /task "w2".*n/,
    /"w3" depend on "w9"/,
    /"w4" may take 2000 ms, and the feature has 1000 ms/,
    /"w5" has estimateMs -1/,
    /names a task "~6"/,
    /no known agent offers "nobody"/,
    /"w8" has priority "urgent"/,
  ]) {
    assert.match(text, part);
  }
  assert.deepEqual(await problemsOf(team.features.create({ title: "empty", tasks: [] })), [
    "it has no task, and no planner that could make some",
  ]);
});

test("a plan whose longest path takes more time than there is is refused", async () => {
  const bench = testTeam();
  const team = await bench.start({ agents: [worker] });
  const chain = (ms: number): FeaturePlan => ({
    title: "a chain",
    deadlineMs: 1_000,
    tasks: [
      item(1, { estimateMs: ms }),
      item(2, { estimateMs: 10 }),
      item(3, { estimateMs: ms, dependsOn: ["w1", "w2"] }),
    ],
  });
  assert.match((await problemsOf(team.features.create(chain(600))))[0]!, /w1 → w3.*1200 ms/);
  await team.features.create(chain(500));
});

test("a patch adds, removes, replaces and reprioritises in one append, once", async () => {
  const bench = testTeam();
  const team = await bench.start({ agents: [worker] });
  const feature = await team.features.create({
    id: "f",
    title: "five",
    tasks: [
      item(500),
      item(2, { dependsOn: ["w500"] }),
      item(3, { dependsOn: ["w500"] }),
      item(4, { dependsOn: ["w500"] }),
      { name: "sum", definition: Sum, input: {}, dependsOn: ["w2", "w3", "w4"] },
    ],
  });
  await bench.clock.advance(100);
  const change = {
    id: "p1",
    add: [item(10, { dependsOn: ["w500"] })],
    remove: ["w2"],
    replace: [
      { name: "w3", input: { n: 30 }, definition: Work },
      { name: "sum", dependsOn: ["w3", "w4", "w10", "w500"] },
    ],
    priorities: { w4: "high" as const },
    note: "the plan was poor",
  };
  const [once, twice] = await bench.until(
    Promise.all([feature.patch(change), feature.patch(change)]),
  );
  assert.equal(once?.total, 5);
  assert.equal(twice?.total, 5);
  const end = await bench.until(feature.finished());
  assert.equal(end.status, "completed", end.reason);
  assert.deepEqual(await feature.results(), { w500: 500, w3: 30, w4: 4, sum: 544, w10: 10 });
  assert.equal((await team.tasks.get("f.w4"))?.priority, "high");
  const patched = [];
  for await (const { event } of bench.store.read({ type: "feature.patched" })) patched.push(event);
  assert.equal(patched.length, 1);
  await assert.rejects(feature.patch({ remove: ["w3"] }), { code: "WRONG_STATE" });
});

test("a patch that touches what has started, is unknown, or makes a cycle is refused", async () => {
  const bench = testTeam();
  const team = await bench.start({ agents: [worker] });
  const tasks = [item(500), item(2, { dependsOn: ["w500"] }), item(3, { dependsOn: ["w2"] })];
  const feature = await team.features.create({ id: "f", title: "three", tasks });
  await bench.clock.advance(100);
  const problems = await problemsOf(
    feature.patch({
      remove: ["w500", "w9"],
      retry: ["w2"],
      add: [item(3)],
      replace: [{ name: "w3", input: { n: "x" }, definition: Work }],
    }),
  );
  const text = problems.join("\n");
  assert.match(text, /"w500" has started, by worker, and can't be removed/);
  assert.match(text, /no task "w9" to remove/);
  assert.match(text, /"w2" is planned, and has not failed/);
  assert.match(text, /has a task "w3" already/);
  assert.match(text, /task "w3": /);
  const cycle = { replace: [{ name: "w2", dependsOn: ["w3"] }] };
  assert.match((await problemsOf(feature.patch(cycle)))[0]!, /cycle among: w2, w3/);
  assert.match((await problemsOf(feature.patch({ remove: ["w2"] })))[0]!, /"w3" depend on "w2"/);
  assert.equal((await bench.until(feature.finished())).status, "completed");
});

test("a task that waits to be claimed is cancelled by the patch that removes it", async () => {
  const bench = testTeam();
  const team = await bench.start();
  const feature = await team.features.create({ id: "f", title: "two", tasks: [item(1), item(2)] });
  await bench.clock.advance(100);
  assert.equal((await team.tasks.get("f.w1"))?.status, "offered");
  await feature.patch({ remove: ["w1"], replace: [{ name: "w2", input: { n: 22 } }] });
  assert.equal((await team.tasks.get("f.w1"))?.status, "cancelled");
  assert.equal((await team.tasks.get("f.w2"))?.status, "cancelled");
  await bench.start({ agents: [worker] });
  assert.equal((await bench.until(feature.finished())).status, "completed");
  assert.deepEqual(await feature.results(), { w2: 22 });
});

test("a blocked feature says what to do, and goes on when the task is retried", async () => {
  const bench = testTeam();
  const moody = { works: false };
  const agent = defineAgent({ name: "moody" }).does(Work, ({ n }) => {
    if (!moody.works) throw new TerminalError("not today");
    return n;
  });
  const team = await bench.start({ agents: [agent] });
  const tasks = [item(1), item(2, { dependsOn: ["w1"] })];
  const feature = await team.features.create({ id: "f", title: "two", tasks });
  const blocked = await bench.until(feature.finished());
  assert.equal(blocked.status, "blocked");
  assert.equal(blocked.lacks, "task");
  assert.match(
    blocked.reason ?? "",
    /"w1" failed: not today\. Retry it \(patch: retry: \["w1"\]\)/,
  );
  moody.works = true;
  assert.equal((await feature.patch({ retry: ["w1"] })).status, "started");
  assert.equal((await bench.until(feature.finished())).status, "completed");
  assert.equal((await team.tasks.get("f.w1~2"))?.result, 1);
});

test("a feature lacks an agent in words, and goes on by itself when one is there", async () => {
  const bench = testTeam();
  const team = await bench.start();
  const tasks = [item(1), item(2, { dependsOn: ["w1"] })];
  const feature = await team.features.create({ id: "f", title: "one", tasks });
  const end = feature.finished();
  await bench.clock.advance(20_000);
  const state = await feature.state();
  assert.equal(state.status, "blocked");
  assert.equal(state.lacks, "agent");
  assert.match(state.reason ?? "", /no live agent offers "work".*f\.w1.*none that did is known/);
  await bench.start({ agents: [worker] });
  assert.equal((await bench.until(end)).status, "completed");
  const types: string[] = [];
  for await (const { event } of bench.store.read({ stream: "feature/f" })) types.push(event.type);
  assert.deepEqual(types.slice(-3), ["feature.blocked", "feature.resumed", "feature.completed"]);
});

test("a feature that goes over its deadline is blocked, and more time lets it go on", async () => {
  const bench = testTeam();
  const team = await bench.start();
  const plan = { id: "f", title: "one", deadlineMs: 5_000, tasks: [item(1)] };
  const feature = await team.features.create(plan);
  const late = await bench.until(feature.finished());
  assert.equal(late.lacks, "deadline");
  assert.match(late.reason ?? "", /went over its deadline/);
  await bench.start({ agents: [worker] });
  await bench.clock.advance(10_000);
  const patched = await feature.patch({ deadlineMs: 60_000, retry: ["w1"] });
  assert.equal(patched.status, "started");
  assert.equal((await bench.until(feature.finished())).status, "completed");
});

test("a cancelled feature cancels what is open of it, also after a restart", async () => {
  const bench = testTeam();
  const first = await bench.start({ agents: [worker] });
  const tasks = [item(5_000), item(6_000), item(3, { dependsOn: ["w5000"] })];
  const feature = await first.features.create({ id: "f", title: "long", tasks });
  await bench.clock.advance(100);
  await bench.until(first.close({ deadlineMs: 0 }));
  const client = await bench.start({ orchestrator: false });
  const handle = await client.features.get("f");
  assert.equal(await handle!.cancel("nobody wants it"), true);
  await bench.start();
  await bench.clock.advance(10_000);
  const end = await bench.until(handle!.finished());
  assert.equal(end.status, "cancelled");
  assert.equal(end.reason, "nobody wants it");
  const states = await handle!.tasks();
  assert.deepEqual(
    states.map(({ status }) => status),
    ["cancelled", "cancelled"],
  );
  assert.equal(feature.id, "f");
});

const Plan = defineTask({
  name: "plan",
  input: type<PlanRequest>(),
  output: type<PlanDraft>(),
});

async function planned(
  answer: (request: PlanRequest) => PlanDraft,
  maxPlanRounds?: number,
): Promise<{ feature: FeatureHandle; end: FeatureState; asked: readonly PlanRequest[] }> {
  const bench = testTeam();
  const asked: PlanRequest[] = [];
  const planner = defineAgent({ name: "planner" }).does(Plan, (request) => {
    asked.push(request);
    return answer(request);
  });
  const team = await bench.start({ agents: [worker, planner] });
  const feature = await team.features.create({
    title: "planned",
    goal: { upTo: 3 },
    planner: Plan,
    ...(maxPlanRounds === undefined ? {} : { maxPlanRounds }),
  });
  return { feature, asked, end: await bench.until(feature.finished()) };
}

test("an agent plans, and plans again when a task of its plan fails", async () => {
  const { feature, end, asked } = await planned(({ goal, round }) => {
    const { upTo } = goal as { upTo: number };
    const numbers = Array.from({ length: upTo }, (_, n) => n + 1);
    if (round === 1) return draftPlan([...numbers.map((n) => item(n)), item(-1)]);
    return draftPlan([item(4)], { remove: ["w-1"] });
  });
  assert.equal(end.status, "completed", end.reason);
  assert.deepEqual(Object.keys(await feature.results()).sort(), ["w1", "w2", "w3", "w4"]);
  assert.equal(asked.length, 2);
  assert.match(asked[1]?.blocked ?? "", /"w-1" failed: it is negative/);
});

test("a planner is told what is wrong with its plan, and asked no more often than agreed", async () => {
  const { end, asked } = await planned(() => draftPlan([item(1, { dependsOn: ["w9"] })]), 2);
  assert.equal(end.status, "blocked");
  assert.equal(end.lacks, "plan");
  assert.match(end.reason ?? "", /no plan in 2 rounds.*"w1" depend on "w9"/);
  assert.deepEqual(asked[1]?.problems, ['it lets "w1" depend on "w9", which it doesn\'t contain']);
});

test("a function plans once, however often the feature is asked for", async () => {
  const bench = testTeam();
  const team = await bench.start({ agents: [worker] });
  let times = 0;
  const plan: FeaturePlan = {
    id: "f",
    title: "planned",
    goal: 7,
    planner: (goal) => {
      times += 1;
      return [item(Number(goal))];
    },
  };
  await team.features.create(plan);
  const feature = await team.features.create(plan);
  assert.equal((await bench.until(feature.finished())).status, "completed");
  assert.deepEqual(await feature.results(), { w7: 7 });
  assert.equal(times, 1);
});
