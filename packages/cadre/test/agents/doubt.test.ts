import assert from "node:assert/strict";
import { test } from "node:test";

import { isCadreError, type } from "cadre";
import { defineAgent, defineSaga, defineTask, type Cadre, type TaskContext } from "cadre/agents";
import { testTeam } from "cadre/testing";

const Job = defineTask({ name: "job", input: type<number>(), output: type<unknown>() });

/** A task whose only step loses its answer at its first run, and asks a person about it. */
function doubtful() {
  const seen = { runs: 0, undone: [] as unknown[] };
  const agent = defineAgent({ name: "agent" }).does(Job, (_input, ctx) =>
    ctx.step(
      "charge",
      () => {
        seen.runs += 1;
        if (seen.runs === 1) throw new Error("the answer was lost");
        return `ran ${seen.runs}`;
      },
      { undo: ({ result }) => seen.undone.push(result) },
    ),
  );
  return { agent, seen };
}

async function inDoubt(bench: ReturnType<typeof testTeam>, team: Cadre) {
  const handle = await team.tasks.create(Job, 1, { id: "job-1" });
  await bench.clock.advance(10_000);
  const state = await handle.state();
  assert.equal(state.status, "in_doubt");
  assert.deepEqual(state.question, { step: "charge", phase: "step" });
  assert.equal(state.owner, undefined, "nobody owns what waits for a person");
  return handle;
}

for (const [action, expected] of [
  ["retry", { result: "ran 2", runs: 2 }],
  ["done", { result: "by hand", runs: 1 }],
  ["skip", { result: "by hand", runs: 1 }],
] as const) {
  test(`a person's "${action}" lets a task in doubt go on`, async () => {
    const bench = testTeam();
    const { agent, seen } = doubtful();
    const team = await bench.start({ agents: [agent] });
    const handle = await inDoubt(bench, team);
    await team.resolveStep("job-1", "charge", { action, result: "by hand", by: "ada" });
    assert.equal(await bench.until(handle.result()), expected.result);
    assert.equal(seen.runs, expected.runs);
    assert.deepEqual(seen.undone, []);
    await bench.close();
  });
}

test('a person\'s "fail" fails the task, and the step counts as not done', async () => {
  const bench = testTeam();
  const { agent, seen } = doubtful();
  const team = await bench.start({ agents: [agent] });
  const handle = await inDoubt(bench, team);
  await team.resolveStep("job-1", "charge", { action: "fail", reason: "the bank says no" });
  await assert.rejects(bench.until(handle.result()), /the bank says no/);
  assert.deepEqual(seen.undone, []);
  await bench.close();
});

test("a step that a person fails is told of like any other end, and nobody is needed for it", async () => {
  const bench = testTeam();
  const lost = defineSaga({ name: "lost", input: type<null>() }, (saga) =>
    saga
      .step("a", () => 1, { undo: () => {} })
      .step("b", () => Promise.reject(new Error("lost")), { after: "ask" }),
  );
  const agent = defineAgent({ name: "shop" }).does(lost);
  const team = await bench.start({ agents: [agent] });
  const { id } = await team.sagas.start(lost, null, { key: "1" });
  await bench.clock.advance(10_000);
  await team.resolveStep(id, "b", { action: "fail", reason: "not there" });
  await bench.clock.advance(10_000);
  const types: string[] = [];
  for await (const { event } of bench.store.read({ stream: `task/${id}` })) types.push(event.type);
  assert.deepEqual(
    types.slice(types.indexOf("step.resolved")).filter((name) => !/^task\.(cl|st)/.test(name)),
    [
      "step.resolved",
      "saga.failed",
      "saga.undo_started",
      "step.undo_intent",
      "step.undo_receipt",
      "saga.undone",
      "task.failed",
    ],
  );
  await bench.close();
});

test("a task in doubt waits for its person over a restart of everything", async () => {
  const bench = testTeam();
  const { agent } = doubtful();
  const first = await bench.start({ agents: [agent] });
  await inDoubt(bench, first);
  await bench.until(first.close());
  const second = await bench.start({ agents: [agent] });
  await bench.clock.advance(600_000);
  assert.equal((await second.tasks.get("job-1"))?.status, "in_doubt");
  const waiting = await second.tasks.list({ status: "in_doubt" });
  assert.deepEqual(
    waiting.map(({ id }) => id),
    ["job-1"],
  );
  const state = await second.resolveStep("job-1", "charge", { action: "done", result: 7 });
  assert.equal(state.status, "offered");
  await bench.clock.advance(10_000);
  assert.equal((await second.tasks.get("job-1"))?.result, 7);
  await bench.close();
});

test("a task in doubt that is cancelled asks whether there is something to undo", async () => {
  for (const [action, undone] of [
    ["done", ["paid"]],
    ["skip", []],
  ] as const) {
    const bench = testTeam();
    const { agent, seen } = doubtful();
    const team = await bench.start({ agents: [agent] });
    const handle = await inDoubt(bench, team);
    await handle.cancel("not wanted any more");
    await bench.clock.advance(10_000);
    assert.equal((await handle.state()).status, "in_doubt", "it still has to be said");
    await assert.rejects(
      team.resolveStep("job-1", "charge", { action: "retry" }),
      (error: unknown) => isCadreError(error, "WRONG_STATE"),
    );
    await team.resolveStep("job-1", "charge", { action, result: "paid" });
    await assert.rejects(bench.until(handle.result()), /not wanted any more/);
    assert.equal((await handle.state()).status, "cancelled");
    assert.deepEqual(seen.undone, undone);
    await bench.close();
  }
});

test("a step in doubt that has no undo keeps nobody from the way back", async () => {
  const bench = testTeam();
  const undone: string[] = [];
  const agent = defineAgent({ name: "agent" }).does(Job, async (_input, ctx) => {
    await ctx.step("a", () => 1, { undo: () => undone.push("a") });
    await ctx.step("b", () => Promise.reject(new Error("lost")), { after: "ask" });
  });
  const team = await bench.start({ agents: [agent] });
  const handle = await team.tasks.create(Job, 1, { id: "t" });
  await bench.clock.advance(10_000);
  assert.equal((await handle.state()).question?.step, "b");
  await handle.cancel("stop");
  await assert.rejects(bench.until(handle.result()), /stop/);
  assert.deepEqual(undone, ["a"]);
  assert.equal((await handle.state()).question, undefined);
  await bench.close();
});

test("of two persons who decide at once one does, and the other is told", async () => {
  const bench = testTeam();
  const agent = defineAgent({ name: "agent" }).does(Job, (_input, ctx) =>
    ctx.step("b", () => Promise.reject(new Error("lost")), { after: "ask" }),
  );
  const team = await bench.start({ agents: [agent] });
  const other = await bench.start({ name: "other" });
  const handle = await team.tasks.create(Job, 1, { id: "t" });
  await bench.clock.advance(10_000);
  const ends = await Promise.allSettled([
    team.resolveStep("t", "b", { action: "done", result: "one" }),
    other.resolveStep("t", "b", { action: "done", result: "two" }),
  ]);
  const [refused] = ends.flatMap((end) => (end.status === "rejected" ? [end.reason] : []));
  assert.ok(isCadreError(refused, "WRONG_STATE"), "one of them, and only one");
  assert.deepEqual(ends.map(({ status }) => status).toSorted(), ["fulfilled", "rejected"]);
  assert.equal(await bench.until(handle.result()), ends[0]?.status === "fulfilled" ? "one" : "two");
  await bench.close();
});

test("a decision about what nobody asks is refused", async () => {
  const bench = testTeam();
  const { agent } = doubtful();
  const team = await bench.start({ agents: [agent] });
  const wrong = (error: unknown): boolean => isCadreError(error, "WRONG_STATE");
  await assert.rejects(team.resolveStep("none", "charge", { action: "done" }), (error: unknown) =>
    isCadreError(error, "NOT_FOUND"),
  );
  await inDoubt(bench, team);
  await assert.rejects(team.resolveStep("job-1", "other", { action: "done" }), wrong);
  await assert.rejects(
    team.resolveStep("job-1", "charge", { action: "maybe" as "done" }),
    (error: unknown) => isCadreError(error, "INVALID_OPTION"),
  );
  await team.resolveStep("job-1", "charge", { action: "done" });
  await assert.rejects(team.resolveStep("job-1", "charge", { action: "done" }), wrong);
  await bench.close();
});

test("a refusal is no doubt: it comes again in a later attempt, and the step does not run", async () => {
  const bench = testTeam();
  const { TerminalError } = await import("cadre");
  let runs = 0;
  let attempts = 0;
  const team = await bench.start({
    agents: [
      defineAgent({ name: "agent" }).does(Job, async (_input, ctx: TaskContext) => {
        attempts += 1;
        const paid = await ctx
          .step(
            "charge",
            () => {
              runs += 1;
              throw new TerminalError("no money");
            },
            { undo: () => assert.fail("nothing to undo") },
          )
          .catch((error: Error) => error.message);
        if (attempts === 1) throw new Error("crash behind it");
        return paid;
      }),
    ],
  });
  const handle = await team.tasks.create(Job, 1);
  assert.equal(await bench.until(handle.result()), "no money");
  assert.equal(runs, 1);
  await bench.close();
});
