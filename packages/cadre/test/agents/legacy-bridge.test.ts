/** Older agents do tasks of a team, and the team does theirs. */
import assert from "node:assert/strict";
import { test } from "node:test";

import { isCadreError, type, type AgentEvent } from "cadre";
import { defineAgent, defineTask, legacyBridge } from "cadre/agents";
import type { LegacyAgent, LegacyBridgeOptions } from "cadre/agents";
import { coder, oldSide, WriteCode } from "./legacy-old-side.ts";

test("an older agent does a task: TASK_ASSIGNED goes out, TASK_COMPLETED is the result", async () => {
  await using old = await oldSide((assigned, side) => side.complete(assigned));
  const team = await old.team();
  const handle = await team.tasks.create(WriteCode, { issue: 7 });
  assert.deepEqual(await old.bench.until(handle.result()), { patch: "+1" });
  assert.equal(old.sent.length, 1);
  const [sent] = old.sent;
  assert.equal(sent!.metadata.target, "CoderAgent");
  assert.deepEqual(sent!.payload, {
    task_id: handle.id,
    task_type: "write.code",
    parameters: { issue: 7 },
    priority: "normal",
    assignment: 1,
    agent_id: "CoderAgent",
  });
  const { owner, epoch } = await handle.state();
  assert.equal(owner, undefined);
  assert.equal(epoch, 1);
});

test("the bridge's agents are of the directory, by names that the team takes", async () => {
  await using old = await oldSide();
  const team = await old.team({}, [
    coder,
    { name: "Test Agent", as: "tester", does: [], capacity: 3 },
  ]);
  await old.bench.clock.advance(3_000);
  const cardOf = (name: string) =>
    team.directory.find().find(({ card }) => card.agent === name)?.card;
  assert.equal(cardOf("coderagent")?.capabilities[0], "write.code");
  assert.equal(cardOf("tester")?.capacity, 3);
});

test("TASK_FAILED ends the attempt, and another one follows as a new assignment", async () => {
  await using old = await oldSide((assigned, side) => {
    const { task_id } = assigned.payload as { task_id: string };
    if (side.sent.length === 2) return side.complete(assigned);
    return side.say("task.failed", { task_id, error: "no compiler" });
  });
  const team = await old.team();
  const handle = await team.tasks.create(WriteCode, { issue: 7 });
  assert.deepEqual(await old.bench.until(handle.result()), { patch: "+1" });
  assert.deepEqual(
    old.sent.map(({ payload }) => (payload as { assignment: number }).assignment),
    [1, 2],
  );
  assert.equal((await handle.state()).attempt, 2);
});

test("a TASK_FAILED that is not to be retried fails the task, in the agent's words", async () => {
  await using old = await oldSide((assigned, side) => {
    const { task_id } = assigned.payload as { task_id: string };
    const error = { message: "no such repository" };
    return side.say("task.failed", { task_id, error, retryable: false });
  });
  const team = await old.team();
  const handle = await team.tasks.create(WriteCode, { issue: 7 });
  await assert.rejects(old.bench.until(handle.result()), /no such repository/);
  assert.equal(old.sent.length, 1);
});

test("a silent agent loses the task by its lease, and no attempt is counted", async () => {
  await using old = await oldSide((assigned, side) =>
    side.sent.length === 2 ? side.complete(assigned) : undefined,
  );
  const team = await old.team();
  const handle = await team.tasks.create(WriteCode, { issue: 7 });
  assert.deepEqual(await old.bench.until(handle.result(), 600_000), { patch: "+1" });
  const { attempt, epoch, lost } = await handle.state();
  // The second assignment is a step further: a task that gets on is not what kills its owners.
  assert.deepEqual({ attempt, epoch, lost }, { attempt: 1, epoch: 2, lost: 0 });
  assert.ok((await old.typesOf(handle.id)).includes("task.lease_expired"));
});

test("any event of the agent keeps its lease", async () => {
  await using old = await oldSide();
  const team = await old.team();
  const handle = await team.tasks.create(WriteCode, { issue: 7 });
  for (let beat = 0; beat < 10; beat += 1) {
    await old.bench.clock.advance(30_000);
    await old.say("agent.heartbeat", { status: "busy" });
  }
  assert.equal((await handle.state()).epoch, 1);
  await old.complete(old.sent[0]!);
  assert.deepEqual(await old.bench.until(handle.result()), { patch: "+1" });
  assert.equal(old.sent.length, 1);
});

test("another agent's events keep nobody's lease", async () => {
  await using old = await oldSide();
  const team = await old.team();
  const handle = await team.tasks.create(WriteCode, { issue: 7 });
  for (let beat = 0; beat < 5; beat += 1) {
    await old.bench.clock.advance(30_000);
    await old.say("agent.heartbeat", {}, "TesterAgent");
  }
  assert.ok((await handle.state()).epoch > 1);
});

test("how far the agent says it is, is the task's progress", async () => {
  await using old = await oldSide();
  const team = await old.team();
  const heard: unknown[] = [];
  await team.bus.subscribe("task.progress", ({ payload }) => void heard.push(payload));
  const handle = await team.tasks.create(WriteCode, { issue: 7 });
  await old.bench.clock.advance(2_000);
  await old.say("task.progress", { task_id: handle.id, progress: 40 });
  await old.bench.clock.advance(2_000);
  assert.equal((heard[0] as { progress: number }).progress, 0.4);
});

test("a second TASK_COMPLETED does nothing", async () => {
  await using old = await oldSide((assigned, side) => side.complete(assigned));
  const team = await old.team();
  const handle = await team.tasks.create(WriteCode, { issue: 7 });
  await old.bench.until(handle.result());
  const before = await old.typesOf(handle.id);
  await old.complete(old.sent[0]!, { result: { patch: "-1" } });
  await old.bench.clock.advance(5_000);
  assert.deepEqual(await old.typesOf(handle.id), before);
  assert.deepEqual(await handle.result(), { patch: "+1" });
});

test("a result that comes after the task has gone to another agent is rejected, on record", async () => {
  await using old = await oldSide();
  const tester: LegacyAgent = { name: "TesterAgent", does: [WriteCode], silentMs: 600_000 };
  const team = await old.team({}, [coder]);
  const handle = await team.tasks.create(WriteCode, { issue: 7 });
  await old.bench.clock.advance(1_000);
  const second = old.bridge({ name: "second" }, [tester]);
  const other = await old.bench.start({ name: "other", agents: second.agents });
  await second.start(other);
  for (let waited = 0; old.sent.length < 2 && waited < 300; waited += 1) {
    await old.bench.clock.advance(1_000);
  }
  assert.equal(old.sent[1]?.metadata.target, "TesterAgent");
  await old.complete(old.sent[0]!, { result: { patch: "late" } });
  await old.bench.clock.advance(5_000);
  const rejected: AgentEvent[] = [];
  for await (const { event } of old.bench.store.read({ type: "task.result_rejected" })) {
    rejected.push(event);
  }
  assert.ok(rejected.length >= 1);
  const { taskId, agent, epoch, currentEpoch, outcome } = rejected[0]!.payload as Record<
    string,
    unknown
  >;
  assert.deepEqual(
    { taskId, agent, epoch, currentEpoch, outcome },
    { taskId: handle.id, agent: "CoderAgent", epoch: 1, currentEpoch: 2, outcome: "completed" },
  );
  const good = { task_id: handle.id, result: { patch: "good" } };
  await old.say("task.completed", good, "TesterAgent");
  assert.deepEqual(await old.bench.until(handle.result()), { patch: "good" });
});

test("a result that names an older assignment is rejected, also from the same agent", async () => {
  await using old = await oldSide();
  const team = await old.team();
  const handle = await team.tasks.create(WriteCode, { issue: 7 });
  for (let waited = 0; old.sent.length < 2 && waited < 300; waited += 1) {
    await old.bench.clock.advance(1_000);
  }
  await old.complete(old.sent[0]!, { assignment: 1, result: { patch: "late" } });
  await old.bench.clock.advance(1_000);
  assert.equal((await handle.state()).status, "running");
  assert.ok((await old.typesOf(handle.id)).includes("task.result_rejected"));
  await old.complete(old.sent[1]!, { assignment: 2 });
  assert.deepEqual(await old.bench.until(handle.result()), { patch: "+1" });
});

test("an agent of the team takes over from a silent older one", async () => {
  await using old = await oldSide();
  const bridge = old.bridge();
  const native = defineAgent({ name: "native" }).does(WriteCode, () => ({ patch: "own" }));
  const team = await old.bench.start({ name: "first", agents: bridge.agents });
  await bridge.start(team);
  const handle = await team.tasks.create(WriteCode, { issue: 7 });
  await old.bench.clock.advance(1_000);
  await old.bench.start({ name: "second", agents: [native] });
  assert.deepEqual(await old.bench.until(handle.result(), 600_000), { patch: "own" });
  await old.complete(old.sent[0]!);
  await old.bench.clock.advance(5_000);
  assert.deepEqual(await handle.result(), { patch: "own" });
});

test("where the older side claims, TASK_CREATED goes out and TASK_ASSIGNED is the claim", async () => {
  await using old = await oldSide();
  const team = await old.team({ claim: "announced" });
  const handle = await team.tasks.create(WriteCode, { issue: 7 });
  await old.bench.clock.advance(1_000);
  const created = old.seen.find(({ type: each }) => each === "task.created");
  assert.equal((created!.payload as { task_id: string }).task_id, handle.id);
  assert.equal(old.sent.length, 0);
  await old.say("task.assigned", { task_id: handle.id, agent_id: "CoderAgent" }, "OldOrchestrator");
  await old.bench.clock.advance(1_000);
  await old.say("task.completed", { task_id: handle.id, result: { patch: "x" } }, "Stranger");
  await old.bench.clock.advance(1_000);
  assert.equal((await handle.state()).status, "running");
  await old.say("task.completed", { task_id: handle.id, result: { patch: "+1" } });
  assert.deepEqual(await old.bench.until(handle.result()), { patch: "+1" });
});

test("a task that an older program creates is done once, and it hears of it in its own words", async () => {
  await using old = await oldSide();
  const bridge = old.bridge({ takes: [{ definition: WriteCode }] }, []);
  const native = defineAgent({ name: "native" }).does(WriteCode, ({ issue }) => ({
    patch: `for ${issue}`,
  }));
  const team = await old.bench.start({ agents: [...bridge.agents, native] });
  await bridge.start(team);
  const payload = { task_id: "T-1", task_type: "write.code", parameters: { issue: 3 } };
  await old.say("task.created", payload, "Planner", "e-1");
  await old.say("task.created", payload, "Planner", "e-2");
  await old.say("task.created", { task_id: "T-2", task_type: "bake.bread" }, "Planner");
  await old.bench.clock.advance(5_000);
  assert.deepEqual(
    (await team.tasks.list()).map(({ id }) => id),
    ["legacy-T-1"],
  );
  const told = old.seen.filter(({ source }) => source === "cadre");
  assert.deepEqual(
    told.map(({ type: each, payload: said }) => [each, said]),
    [
      ["task.assigned", { task_id: "T-1", agent_id: "native" }],
      ["task.started", { task_id: "T-1", agent_id: "native" }],
      ["task.completed", { task_id: "T-1", agent_id: "native", result: { patch: "for 3" } }],
    ],
  );
});

test("a task of theirs that an older agent does goes by their id, and is said once", async () => {
  await using old = await oldSide((assigned, side) => side.complete(assigned));
  const team = await old.team({ takes: [{ definition: WriteCode }] });
  const payload = { task_id: "T-1", task_type: "write.code", parameters: { issue: 3 } };
  await old.say("task.created", payload, "Planner");
  await old.bench.clock.advance(5_000);
  assert.equal((await team.tasks.get("legacy-T-1"))?.status, "completed");
  assert.equal((old.sent[0]!.payload as { task_id: string }).task_id, "T-1");
  assert.equal(old.seen.filter(({ type: each }) => each === "task.completed").length, 1);
});

test("a TASK_CREATED whose parameters do not fit is a dead letter, and holds up nothing", async () => {
  const Strict = defineTask({
    name: "strict",
    input: type<{ issue: number }>({ type: "object", required: ["issue"] }),
  });
  await using old = await oldSide();
  const bus = old.busOf("cadre");
  const team = await old.team({ bus, takes: [{ definition: Strict }] }, []);
  await old.say("task.created", { task_id: "1", task_type: "strict", parameters: {} }, "Planner");
  await old.say(
    "task.created",
    { task_id: "2", task_type: "strict", parameters: { issue: 1 } },
    "P",
  );
  await old.bench.clock.advance(5_000);
  assert.deepEqual(
    (await team.tasks.list()).map(({ id }) => id),
    ["legacy-2"],
  );
  const letters = await Array.fromAsync(bus.deadLetters.list());
  assert.deepEqual(
    letters.map(({ reason }) => reason),
    ["terminal"],
  );
});

test("what is no task of the bridge's is left alone", async () => {
  await using old = await oldSide();
  const native = defineAgent({ name: "native" }).does(WriteCode, () => ({ patch: "own" }));
  const bridge = old.bridge({}, []);
  const team = await old.bench.start({ agents: [native] });
  await bridge.start(team);
  const handle = await team.tasks.create(WriteCode, { issue: 1 });
  await old.bench.until(handle.result());
  const before = await old.typesOf(handle.id);
  await old.say("task.completed", { task_id: handle.id });
  await old.say("task.completed", { task_id: "unknown" });
  await old.say("task.completed", {});
  await old.say("task.failed", { task_id: "__proto__" });
  await old.bench.clock.advance(5_000);
  assert.deepEqual(await old.typesOf(handle.id), before);
});

test("a bridge refuses options that it does not know, and its team's own bus", async () => {
  await using old = await oldSide();
  const refused = (run: () => unknown): void =>
    assert.throws(run, (error) => isCadreError(error, "INVALID_OPTION"));
  refused(() => old.bridge({ claim: "never" as "assigned" }));
  refused(() => old.bridge({}, [{ ...coder, silentMs: 0 }]));
  refused(() => legacyBridge({} as LegacyBridgeOptions));
  const team = await old.bench.start();
  await assert.rejects(old.bridge({ bus: team.bus }).start(team), (error) =>
    isCadreError(error, "INVALID_OPTION"),
  );
});
