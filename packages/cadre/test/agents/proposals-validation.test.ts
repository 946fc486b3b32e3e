/** Results that are released only when rules and other agents have passed them. */
import assert from "node:assert/strict";
import { test } from "node:test";

import { isCadreError, type } from "cadre";
import { defineAgent, defineTask, type Ballot, type BallotAnswer } from "cadre/agents";
import { testTeam } from "cadre/testing";

const minute = 60_000;
const Summary = defineTask({
  name: "summary",
  input: type<string>(),
  output: type<{ text: string; round: number }>(),
});

const short = {
  name: "short",
  check: (content: unknown) => (content as { text: string }).text.length <= 10 || "too long",
};

function checker(name: string, judge: (ballot: Ballot) => BallotAnswer) {
  return defineAgent({ name, capabilities: ["checker"] }).votes((ballot) => judge(ballot));
}

async function types(store: { read(query: object): AsyncIterable<{ event: { type: string } }> }) {
  const found: string[] = [];
  for await (const { event } of store.read({ streamPrefix: "proposal/" })) found.push(event.type);
  return found;
}

test("a rule that refuses asks no agent, and the next round knows why", async () => {
  const bench = testTeam();
  let asked = 0;
  const said: unknown[] = [];
  const writer = defineAgent({ name: "writer" }).does(
    Summary,
    { validate: { voters: { validators: [short], agents: ["c1"] }, deadlineMs: minute } },
    (_input, ctx) => {
      said.push(ctx.feedback);
      return { text: ctx.round === 1 ? "far too long a text" : "short", round: ctx.round };
    },
  );
  const c1 = checker("c1", () => {
    asked += 1;
    return { verdict: "approve" };
  });
  const team = await bench.start({ agents: [writer, c1] });
  const task = await team.tasks.create(Summary, "x", { id: "s" });
  assert.deepEqual(await bench.until(task.result()), { text: "short", round: 2 });
  assert.equal(asked, 1);
  assert.deepEqual(said, [[], [{ validator: "short", reason: "too long" }]]);
  assert.deepEqual(await types(team.store), [
    "validation.requested",
    "validation.responded",
    "action.vetoed",
    "validation.requested",
    "validation.responded",
    "validation.responded",
    "action.approved",
  ]);
  await bench.close();
});

test("a result that no round gets passed fails its task, with the validators' words", async () => {
  const bench = testTeam();
  const validate = { voters: { role: "checker" }, quorum: 2, deadlineMs: minute, rounds: 2 };
  let runs = 0;
  const writer = defineAgent({ name: "writer" }).does(Summary, { validate }, (_input, ctx) => {
    runs += 1;
    return { text: "wrong", round: ctx.round };
  });
  const no = (): BallotAnswer => ({ verdict: "reject", reason: "it is wrong" });
  const team = await bench.start({ agents: [writer, checker("c1", no), checker("c2", no)] });
  const task = await team.tasks.create(Summary, "x", { id: "s" });
  await assert.rejects(bench.until(task.result()), /was not released \(vetoed\): c\d: it is wrong/);
  assert.equal(runs, 2);
  const state = await task.state();
  assert.deepEqual(
    [state.status, state.attempt, state.error?.code],
    ["failed", 1, "VALIDATION_FAILED"],
  );
  await bench.close();
});

test("a validator that nobody hears from lets nothing out", async () => {
  const bench = testTeam();
  const validate = { voters: { people: ["ana"] }, deadlineMs: minute };
  const writer = defineAgent({ name: "writer" }).does(Summary, { validate }, (_input, ctx) => ({
    text: "fine",
    round: ctx.round,
  }));
  const team = await bench.start({ agents: [writer] });
  const task = await team.tasks.create(Summary, "x", { id: "s" });
  await bench.clock.advance(50_000);
  assert.equal((await task.state()).status, "running");
  await assert.rejects(bench.until(task.result()), /was not released \(expired\)/);
  await bench.close();
});

test("what a refused round held back does not happen, and its steps are its own", async () => {
  const bench = testTeam();
  const writer = defineAgent({ name: "writer" }).does(
    Summary,
    { validate: { voters: { validators: [short] }, deadlineMs: minute } },
    async (_input, ctx) => {
      const text = await ctx.step("write", () => (ctx.round === 1 ? "far too long a text" : "ok"));
      await ctx.publish("custom.written", { text });
      return { text, round: ctx.round };
    },
  );
  const team = await bench.start({ agents: [writer] });
  const heard: unknown[] = [];
  await team.bus.subscribe("custom.written", ({ payload }) => void heard.push(payload));
  const task = await team.tasks.create(Summary, "x");
  assert.deepEqual(await bench.until(task.result()), { text: "ok", round: 2 });
  await bench.clock.advance(2_000);
  assert.deepEqual(heard, [{ text: "ok" }]);
  await bench.close();
});

test("validated returns what was passed, also to an attempt that makes something else", async () => {
  const bench = testTeam();
  let runs = 0;
  const Draw = defineTask({ name: "draw", output: type<number>() });
  const drawer = defineAgent({ name: "drawer" }).does(Draw, async (_input, ctx) => {
    runs += 1;
    const passed = await ctx.validated(runs, { voters: { people: ["ana"] }, deadlineMs: minute });
    if (runs < 3) throw new Error("again");
    return passed;
  });
  const team = await bench.start({ agents: [drawer] });
  const task = await team.tasks.create(Draw, undefined, { id: "d" });
  await bench.clock.advance(1_000);
  const { contentHash: hash, content } = (await team.proposals.get("d.validated"))!;
  assert.equal(content, 1);
  await team.proposals.vote("d.validated", { as: "ana", verdict: "approve", hash });
  assert.equal(await bench.until(task.result()), 1);
  assert.equal(runs, 3);
  assert.equal((await team.proposals.list()).length, 1);
  await bench.close();
});

test("the author's own word does not pass its result", async () => {
  const bench = testTeam();
  const validate = { voters: { role: "checker" }, deadlineMs: minute };
  const writer = defineAgent({ name: "writer", capabilities: ["checker"] })
    .votes(() => ({ verdict: "approve" }))
    .does(Summary, { validate }, () => ({ text: "mine", round: 1 }));
  const team = await bench.start({ agents: [writer] });
  const task = await team.tasks.create(Summary, "x", { id: "s" });
  await assert.rejects(bench.until(task.result()), /expired/);
  const { contentHash: hash } = (await team.proposals.get("s.validate.1"))!;
  await assert.rejects(
    team.proposals.vote("s.validate.1", { as: "writer", verdict: "approve", hash }),
    (error) => isCadreError(error, "VOTE_REFUSED") && error.details.reason === "lineage",
  );
  await bench.close();
});
