import assert from "node:assert/strict";
import { test } from "node:test";

import { TerminalError, isCadreError, type } from "cadre";
import { defineAgent, defineTask, type Cadre, type FeaturePlan } from "cadre/agents";
import { testTeam } from "cadre/testing";

const Fetch = defineTask({
  name: "fetch",
  input: type<{ page: number }>(),
  output: type<string>(),
});
const Join = defineTask({
  name: "join",
  input: type<{ results?: Record<string, string> }>(),
  output: type<string>(),
});

const worker = defineAgent({ name: "worker", capacity: 4 })
  .does(Fetch, ({ page }) => {
    if (page < 0) throw new TerminalError("there is no such page");
    return `page ${page}`;
  })
  .does(Join, ({ results = {} }) => Object.values(results).join(" + "));

const plan = (pages: readonly number[], id = "book"): FeaturePlan => ({
  id,
  title: "A book",
  tasks: [
    ...pages.map((page) => ({ name: `fetch-${page}`, definition: Fetch, input: { page } })),
    {
      name: "join",
      definition: Join,
      input: {},
      dependsOn: pages.map((page) => `fetch-${page}`),
    },
  ],
});

const joined = async (team: Cadre, id: string): Promise<unknown> =>
  (await team.tasks.get(`${id}.join`))?.result;

test("a feature's tasks run in the order of their dependencies and hand their results on", async () => {
  const bench = testTeam();
  const team = await bench.start({ agents: [worker] });
  const feature = await team.features.create(plan([1, 2, 3]));
  const state = await bench.until(feature.finished());
  assert.equal(state.status, "completed");
  assert.equal(state.completed, 4);
  assert.equal(await joined(team, "book"), "page 1 + page 2 + page 3");
  await bench.close();
});

test("a feature is blocked when a task fails for good, and says which and why", async () => {
  const bench = testTeam();
  const team = await bench.start({ agents: [worker] });
  const feature = await team.features.create(plan([1, -1]));
  const state = await bench.until(feature.finished());
  assert.equal(state.status, "blocked");
  assert.match(state.reason ?? "", /fetch--1.*there is no such page/);
  await bench.close();
});

test("an orchestrator that dies is replaced by one that reads the log", async () => {
  const bench = testTeam();
  const chief = await bench.start();
  await chief.features.create(plan([1, 2]));
  await bench.clock.advance(100);
  await bench.until(chief.close({ deadlineMs: 100 }));
  const hands = await bench.start({ agents: [worker], orchestrator: false });
  await bench.clock.advance(10_000);
  assert.equal(await joined(hands, "book"), undefined);
  const next = await bench.start();
  const feature = await next.features.get("book");
  assert.equal((await bench.until(feature!.finished())).status, "completed");
  await bench.close();
});

test("an orchestrator that has ended a feature goes on with the next", async () => {
  const bench = testTeam();
  const team = await bench.start({ agents: [worker] });
  for (const id of ["first", "second"]) {
    const feature = await team.features.create(plan([1], id));
    assert.equal((await bench.until(feature.finished())).status, "completed");
    await bench.clock.advance(3_000);
  }
  await bench.close();
});

test("a chain of a thousand tasks in the worst order is planned at once", async () => {
  const bench = testTeam();
  const team = await bench.start();
  const tasks = Array.from({ length: 1_000 }, (_, n) => ({
    name: `t${n}`,
    definition: Join,
    input: {},
    dependsOn: n === 999 ? [] : [`t${n + 1}`],
  }));
  const feature = await team.features.create({ id: "chain", title: "A chain", tasks });
  await bench.clock.advance(1_000);
  const created = (await feature.tasks()).map(({ id }) => id);
  assert.deepEqual(created, ["chain.t999"]);
  await bench.close();
});

test("several orchestrators run one feature once", async () => {
  const bench = testTeam();
  const teams = [await bench.start({ agents: [worker] }), await bench.start(), await bench.start()];
  const features = await Promise.all(
    teams.map((team, n) => team.features.create(plan([1, 2, 3, 4], `book-${n}`))),
  );
  for (const feature of features)
    assert.equal((await bench.until(feature.finished())).status, "completed");
  const types = new Map<string, number>();
  for await (const { event } of bench.store.read({}))
    types.set(event.type, (types.get(event.type) ?? 0) + 1);
  assert.equal(types.get("feature.completed"), 3);
  assert.equal(types.get("task.created"), 15);
  assert.equal(types.get("task.completed"), 15);
  await bench.close();
});

test("a plan with a cycle, an unknown dependency, or two tasks of one name is refused", async () => {
  const bench = testTeam();
  const team = await bench.start();
  const task = (name: string, dependsOn: string[] = []) => ({
    name,
    definition: Join,
    input: {},
    dependsOn,
  });
  const bad = [
    { tasks: [task("a", ["b"]), task("b", ["a"])], says: /cycle among: a, b/ },
    { tasks: [task("a", ["z"])], says: /depend on "z"/ },
    { tasks: [task("a"), task("a")], says: /two tasks named "a"/ },
    { tasks: [], says: /no task, and no planner/ },
  ];
  for (const { tasks, says } of bad) {
    await assert.rejects(team.features.create({ title: "bad", tasks }), (error: unknown) => {
      assert.ok(isCadreError(error, "INVALID_PLAN"));
      assert.match(error.message, says);
      return true;
    });
  }
  assert.equal(await bench.store.head(), 0);
  await bench.close();
});
