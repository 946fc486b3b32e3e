/** Proposals at their edges: quorums of nobody, edits near the end, names that meet, wrong answers. */
import assert from "node:assert/strict";
import { test } from "node:test";

import { isCadreError, type } from "cadre";
import { defineAgent, defineTask, type Debater, type DebateResult } from "cadre/agents";
import { testTeam } from "cadre/testing";

const minute = 60_000;
const people = [
  { name: "ana", roles: ["reviewer"] },
  { name: "ben", roles: ["reviewer"] },
];

const started = async () => {
  const bench = testTeam();
  return { bench, team: await bench.start({ people }) };
};

for (const quorum of ["all", "majority"] as const) {
  test(`a quorum of "${quorum}" is refused where nobody is left to vote`, async () => {
    const { bench, team } = await started();
    const options = { voters: { people: ["ana"] }, quorum, deadlineMs: minute, as: "ana" };
    await assert.rejects(
      team.proposals.open({ action: "deploy" }, options),
      (error: unknown) =>
        isCadreError(error, "INVALID_OPTION") && error.details.option === "quorum",
    );
    await bench.close();
  });
}

for (const [what, options] of [
  ["a veto window", { mode: "veto" }],
  ["what goes ahead by default", { otherwise: "approve" }],
] as const) {
  test(`${what} is open for a whole window again once it was edited`, async () => {
    const { bench, team } = await started();
    const asked = { voters: { role: "reviewer" }, deadlineMs: 10 * minute, ...options };
    const { id } = await team.proposals.open({ action: "pay", content: 1 }, { ...asked, as: "me" });
    await bench.clock.advance(10 * minute - 1);
    const edited = await team.proposals.amend(id, 1_000_000, { as: "me" });
    await bench.clock.advance(9 * minute);
    assert.equal((await team.proposals.get(id))?.status, "open");
    const vote = { as: "ana", verdict: "reject", hash: edited.contentHash } as const;
    assert.equal((await team.proposals.vote(id, vote)).votes.length, 1);
    await bench.clock.advance(2 * minute);
    assert.equal((await team.proposals.get(id))?.status, "vetoed");
    await bench.close();
  });
}

test("nothing is edited behind its deadline, whoever sees first that it passed", async () => {
  const { bench, team } = await started();
  const asked = {
    voters: { role: "reviewer" },
    mode: "veto",
    deadlineMs: minute,
    as: "me",
  } as const;
  const { id } = await team.proposals.open({ action: "pay", content: 1 }, asked);
  // The wall clock jumps: no timer of the keeper has told it yet.
  bench.clock.jump(minute);
  await assert.rejects(team.proposals.amend(id, 2, { as: "me" }), (error: unknown) =>
    isCadreError(error, "WRONG_STATE"),
  );
  const state = await team.proposals.get(id);
  assert.deepEqual([state?.status, state?.content], ["approved", 1]);
  await bench.close();
});

test("a voter of a rule's name leaves the rule's word as it is", async () => {
  const { bench, team } = await started();
  const voters = { people: ["ana", "ben"], validators: [{ name: "ana", check: () => true }] };
  const asked = { voters, quorum: 2, deadlineMs: minute, as: "me" };
  const { id, contentHash: hash } = await team.proposals.open({ action: "pay" }, asked);
  await team.proposals.vote(id, { as: "ana", verdict: "approve", hash });
  await team.proposals.vote(id, { as: "ben", verdict: "approve", hash });
  assert.equal((await team.proposals.get(id))?.status, "approved");
  await bench.close();
});

test("a vote with other evidence is another vote", async () => {
  const { bench, team } = await started();
  const asked = { voters: { role: "reviewer" }, quorum: 2, deadlineMs: minute, as: "me" };
  const { id, contentHash: hash } = await team.proposals.open({ action: "pay" }, asked);
  const vote = { as: "ana", verdict: "approve", hash } as const;
  await team.proposals.vote(id, vote);
  const state = await team.proposals.vote(id, { ...vote, evidence: { page: 4 }, confidence: 0.5 });
  assert.deepEqual(
    state.votes.map(({ evidence, confidence }) => [evidence, confidence]),
    [[{ page: 4 }, 0.5]],
  );
  await bench.close();
});

test("a veto window that nobody has seen escalates at its early instant", async () => {
  const { bench, team } = await started();
  const id = "window";
  const escalate = [{ voters: { people: ["eve"] }, deadlineMs: minute, earlyMs: 5_000 }];
  const options = { mode: "veto", minSeen: 1, escalate, deadlineMs: 62_000, as: "me", id } as const;
  await team.proposals.open({ action: "pay" }, { voters: { role: "reviewer" }, ...options });
  await bench.clock.advance(57_500);
  assert.equal((await team.proposals.get(id))?.level, 1);
  await bench.close();
});

test("an agent that vetoes without the right to it has rejected it", async () => {
  const bench = testTeam();
  const strict = defineAgent({ name: "strict" }).votes(() => ({ verdict: "veto", reason: "no" }));
  const team = await bench.start({ agents: [strict] });
  const asked = { voters: { agents: ["strict"] }, deadlineMs: minute, as: "me" };
  const { id } = await team.proposals.open({ action: "pay" }, asked);
  await bench.clock.advance(10_000);
  const { status, outcome } = (await team.proposals.get(id))!;
  assert.deepEqual([status, outcome?.by], ["vetoed", "strict"]);
  await bench.close();
});

const Summary = defineTask({ name: "summary", input: type<string>(), output: type<string[]>() });
const Part = defineTask({ name: "part", input: type<string>(), output: type<string>() });

test("children of a second round are its own, however they are asked for", async () => {
  const bench = testTeam();
  const short = { name: "short", check: (content: unknown) => !String(content).includes("1") };
  const parts = defineAgent({ name: "parts", capacity: 4 }).does(Part, (input) => input);
  const validate = { voters: { validators: [short] }, deadlineMs: minute };
  const writer = defineAgent({ name: "writer" }).does(
    Summary,
    { validate },
    async (_input, ctx) => {
      const mapped = await ctx.map("all", Part, [`a${ctx.round}`]);
      const some = await ctx.scatter("some", Part, { inputs: [`b${ctx.round}`] });
      const tasks = [{ name: "c", definition: Part, input: `c${ctx.round}` }];
      const ended = await ctx.feature("plan", { title: "plan", tasks });
      return [...mapped, ...some.map(({ result }) => result), ended["c"] as string];
    },
  );
  const team = await bench.start({ agents: [writer, parts] });
  const task = await team.tasks.create(Summary, "x", { id: "s" });
  assert.deepEqual(await bench.until(task.result()), ["a2", "b2", "c2"]);
  await bench.close();
});

const Ask = defineTask({ name: "ask", input: type<string>(), output: type<DebateResult>() });

function speaker(name: string, position: string): Debater {
  return {
    name,
    open: () => ({ position, evidence: [`${name} 0`] }),
    turn: ({ round }) => ({ evidence: [`${name} ${round}`] }),
  };
}

for (const [what, opening, reply] of [
  ["an opening without a shape", null, {}],
  ["evidence that is no list, in an opening", { position: "no", evidence: "x" }, {}],
  ["evidence that is no list, in a turn", { position: "no" }, { evidence: "a text" }],
  [
    "an argument that is no text",
    { position: "no", argument: { a: 1 } },
    { argument: 5, evidence: [1] },
  ],
  ["a turn without a shape", { position: "no" }, null],
] as const) {
  test(`${what} is its debater's own fault, and no end of the debate`, async () => {
    const bench = testTeam();
    const wild = { name: "wild", open: () => opening, turn: () => reply } as unknown as Debater;
    const moderator = defineAgent({ name: "moderator" }).does(Ask, (question, ctx) =>
      ctx.debate(question, {
        name: "topic",
        debaters: [speaker("a", "yes"), speaker("b", "yes"), speaker("c", "maybe"), wild],
        deadlineMs: 10 * minute,
        rounds: 1,
      }),
    );
    const team = await bench.start({ agents: [moderator] });
    const task = await team.tasks.create(Ask, "tea?", { id: "q" });
    const { transcript } = await bench.until(task.result());
    assert.ok(transcript.some(({ debater, round }) => debater === "a" && round === 1));
    assert.equal((await task.state()).attempt, 1);
    await bench.close();
  });
}

test("who answered in time is heard by a moderator that comes late", async () => {
  const bench = testTeam();
  const agents = ["a", "b"].map((name) =>
    defineAgent({ name }).debates({
      open: async (_view, ctx) => {
        await ctx.clock.sleep(5_000);
        return { position: name === "a" ? "tea" : "coffee" };
      },
      turn: async ({ debater }, ctx) => {
        await ctx.clock.sleep(5_000);
        return debater === "b" ? { concedes: "tea" } : { evidence: ["a cup"] };
      },
    }),
  );
  const moderator = () =>
    defineAgent({ name: "moderator" }).does(Ask, (question, ctx) =>
      ctx.debate(question, {
        name: "topic",
        debaters: ["a", "b"],
        deadlineMs: 100 * minute,
        roundMs: minute,
        rounds: 1,
      }),
    );
  const team = await bench.start({ agents });
  const task = await team.tasks.create(Ask, "tea?", { id: "q" });
  const first = await bench.start({ agents: [moderator()] });
  await bench.clock.advance(3_000);
  await bench.until(first.close({ deadlineMs: 100 }));
  await bench.clock.advance(5 * minute);
  await bench.start({ agents: [moderator()] });
  const { position } = await bench.until(task.result(), 20 * minute);
  assert.equal(position, "tea");
  await bench.close();
});

test("a function that hangs takes no turn from an agent that answered in time", async () => {
  const bench = testTeam();
  const quick = defineAgent({ name: "quick" }).debates({ open: () => ({ position: "tea" }) });
  const hangs: Debater = { name: "hangs", open: () => new Promise(() => {}), turn: () => ({}) };
  const moderator = defineAgent({ name: "moderator" }).does(Ask, (question, ctx) =>
    ctx.debate(question, { name: "topic", debaters: ["quick", hangs], deadlineMs: 10 * minute }),
  );
  const team = await bench.start({ agents: [moderator, quick] });
  const task = await team.tasks.create(Ask, "tea?", { id: "q" });
  assert.equal((await bench.until(task.result(), 20 * minute)).position, "tea");
  await bench.close();
});

test("a judge that is silent does not undo the verdicts of the others at the deadline", async () => {
  const bench = testTeam();
  const moderator = defineAgent({ name: "moderator" }).does(Ask, (question, ctx) =>
    ctx.debate(question, {
      name: "topic",
      debaters: [speaker("a", "tea"), speaker("b", "coffee")],
      judges: [{ name: "j", judge: () => ({ position: "tea" }) }, { person: "ana" }],
      rounds: 1,
      roundMs: 10 * minute,
      deadlineMs: 10 * minute,
    }),
  );
  const asking = await bench.start();
  const first = await bench.start({ agents: [moderator] });
  const task = await asking.tasks.create(Ask, "tea?", { id: "q" });
  await bench.clock.advance(minute);
  assert.equal((await asking.proposals.get("q.topic"))?.debate?.verdicts.length, 1);
  await bench.until(first.close({ deadlineMs: 100 }));
  await bench.clock.advance(20 * minute);
  const state = await asking.proposals.get("q.topic");
  assert.deepEqual([state?.status, state?.outcome?.position], ["approved", "tea"]);
  await task.cancel?.("over");
  await bench.close();
});
