/** Debates: sealed openings, turns that bring evidence or concede, judges, ties, dissent. */
import assert from "node:assert/strict";
import { test } from "node:test";

import { isCadreError, type, type AgentEvent } from "cadre";
import {
  defineAgent,
  defineTask,
  type Debater,
  type DebateResult,
  type DebateView,
  type TaskDebateOptions,
} from "cadre/agents";
import { testTeam } from "cadre/testing";

const minute = 60_000;
const Ask = defineTask({ name: "ask", input: type<string>(), output: type<DebateResult>() });
const id = "q.topic";

/** A debater that holds its position and brings a new piece of evidence in every round. */
function steady(name: string, position: string, seen: DebateView[] = []): Debater {
  return {
    name,
    open: (view) => {
      seen.push(view);
      return { position, argument: `${name} opens`, evidence: [`${name} 0`] };
    },
    turn: (view) => {
      seen.push(view);
      return { argument: `${name} goes on`, evidence: [`${name} ${view.round}`] };
    },
  };
}

/** A debater that takes over another's position in the first round. */
function yielding(name: string, position: string, to: string): Debater {
  return { name, open: () => ({ position, evidence: [name] }), turn: () => ({ concedes: to }) };
}

async function moderated(
  options: Partial<TaskDebateOptions>,
  more: Parameters<typeof debaterAgent>[] = [],
) {
  const bench = testTeam();
  const moderator = defineAgent({ name: "moderator" }).does(Ask, (question, ctx) =>
    ctx.debate(question, { name: "topic", debaters: [], deadlineMs: 10 * minute, ...options }),
  );
  const team = await bench.start({
    agents: [moderator, ...more.map((each) => debaterAgent(...each))],
  });
  const task = await team.tasks.create(Ask, "tea or coffee?", { id: "q" });
  return { bench, team, task };
}

function debaterAgent(name: string, position: string, secrets: string[] = []) {
  return defineAgent({ name }).debates({
    open: async ({ transcript }, ctx) => {
      assert.deepEqual(transcript, []);
      const argument = await ctx.step("think", () => `secret of ${name}`);
      secrets.push(argument);
      return { position, argument, evidence: [argument] };
    },
    turn: ({ round }) => ({ evidence: [`${name} in round ${round}`] }),
    judge: ({ held }) => ({ position: held.includes(position) ? position : held[0]! }),
  });
}

test("the position of most debaters is decided on, with the dissent of the others", async () => {
  const seen: DebateView[] = [];
  const { bench, team, task } = await moderated({
    debaters: [steady("a", "tea", seen), steady("b", "tea"), steady("c", "coffee")],
    rounds: 1,
  });
  const result = await bench.until(task.result());
  assert.deepEqual([result.decided, result.position], [true, "tea"]);
  assert.deepEqual(
    result.dissent.map(({ debater, position, argument }) => [debater, position, argument]),
    [["c", "coffee", "c goes on"]],
  );
  assert.deepEqual(
    seen.map(({ round, transcript }) => [round, transcript.length]),
    [
      [0, 0],
      [1, 3],
    ],
  );
  assert.equal((await team.proposals.get(id))?.status, "approved");
  await bench.close();
});

test("all of one mind end it before its rounds are used up", async () => {
  const { bench, task } = await moderated({
    debaters: [steady("a", "tea"), yielding("b", "coffee", "tea"), yielding("c", "milk", "tea")],
    rounds: 5,
  });
  const { position, dissent, transcript } = await bench.until(task.result());
  assert.equal(position, "tea");
  assert.deepEqual(dissent, []);
  assert.equal(Math.max(...transcript.map(({ round }) => round)), 1);
  await bench.close();
});

test("an opening is on no bus before all are in, and its commitment is salted", async () => {
  const secrets: string[] = [];
  const { bench, team, task } = await moderated(
    { debaters: ["a", "b", { person: "ana" }], rounds: 1 },
    [
      ["a", "tea", secrets],
      ["b", "coffee", secrets],
    ],
  );
  const heard: AgentEvent[] = [];
  await team.bus.subscribe("#", (event) => void heard.push(event));
  await bench.clock.advance(20_000);
  const before = await team.proposals.get(id);
  assert.deepEqual(secrets.sort(), ["secret of a", "secret of b"]);
  assert.ok(before?.debate?.debaters.every(({ position }) => position === undefined));
  assert.deepEqual(before?.debate?.turns, []);
  assert.ok(!JSON.stringify(before).includes("secret"), "the state says nothing");
  assert.ok(!JSON.stringify(heard).includes("secret"), "the bus says nothing");
  assert.ok(heard.some((event) => event.type === "debate.sealed"));
  await team.proposals.speak(id, { as: "ana", position: "tea", evidence: ["a habit"] });
  await bench.clock.advance(5_000);
  assert.ok(
    JSON.stringify(heard.filter((event) => event.type === "debate.revealed")).includes(
      "secret of b",
    ),
  );
  const hashes = before.debate.debaters.map(({ commitment }) => commitment);
  assert.equal(new Set(hashes).size, 3);
  await team.proposals.reply(id, { as: "ana", evidence: ["another habit"] });
  assert.equal((await bench.until(task.result())).position, "tea");
  await bench.close();
});

test("a turn with neither new evidence nor a concession is refused to people, and forfeited", async () => {
  const parrot: Debater = {
    name: "parrot",
    open: () => ({ position: "coffee", evidence: ["a 0"] }),
    turn: () => ({ argument: "as I said", evidence: ["a 0"] }),
  };
  const { bench, team, task } = await moderated({
    debaters: [steady("a", "tea"), parrot, { person: "ana" }],
    rounds: 1,
  });
  await bench.clock.advance(1_000);
  await team.proposals.speak(id, { as: "ana", position: "tea" });
  await bench.clock.advance(1_000);
  const refused = (reason: string) => (error: unknown) =>
    isCadreError(error, "VOTE_REFUSED") && error.details.reason === reason;
  await assert.rejects(
    team.proposals.reply(id, { as: "ana", argument: "no" }),
    refused("no_evidence"),
  );
  await assert.rejects(
    team.proposals.reply(id, { as: "ana", concedes: "milk" }),
    refused("position"),
  );
  await assert.rejects(
    team.proposals.reply(id, { as: "zoe", concedes: "tea" }),
    refused("not_a_voter"),
  );
  await assert.rejects(
    team.proposals.reply(id, { as: "moderator", concedes: "tea" }),
    refused("lineage"),
  );
  await assert.rejects(
    team.proposals.vote(id, { as: "ana", verdict: "approve", hash: "sha256:0" }),
    refused("debated"),
  );
  await team.proposals.reply(id, { as: "ana", evidence: ["it is warm"] });
  const { position } = await bench.until(task.result());
  assert.equal(position, "tea");
  const debate = (await team.proposals.get(id))!.debate!;
  assert.deepEqual(debate.forfeited, [{ debater: "parrot", round: 1 }]);
  assert.equal(debate.debaters.find(({ name }) => name === "parrot")?.position, "coffee");
  await assert.rejects(team.proposals.reply(id, { as: "ana", evidence: [1] }), refused("not_now"));
  await bench.close();
});

test("who is silent forfeits, and the debate goes on without", async () => {
  const { bench, team, task } = await moderated({
    debaters: [steady("a", "tea"), steady("b", "tea"), { person: "ana" }],
    rounds: 2,
    roundMs: minute,
  });
  const { position } = await bench.until(task.result(), 11 * minute);
  assert.equal(position, "tea");
  const state = await team.proposals.get(id);
  assert.deepEqual(state?.debate?.forfeited, [{ debater: "ana", round: 0 }]);
  await bench.close();
});

test("a function that throws or hangs forfeits its turn", async () => {
  const broken: Debater = {
    name: "x",
    open: () => ({ position: "milk" }),
    turn: () => {
      throw new Error("no");
    },
  };
  const hanging: Debater = { name: "y", open: () => new Promise(() => {}), turn: () => ({}) };
  const { bench, team, task } = await moderated({
    debaters: [steady("a", "tea"), steady("b", "tea"), broken, hanging],
    rounds: 1,
    roundMs: minute,
  });
  assert.equal((await bench.until(task.result(), 11 * minute)).position, "tea");
  assert.deepEqual((await team.proposals.get(id))?.debate?.forfeited, [
    { debater: "y", round: 0 },
    { debater: "x", round: 1 },
  ]);
  await bench.close();
});

test("judges decide by weight, whatever most debaters hold", async () => {
  const judge = (name: string, position: string) => ({
    name,
    judge: () => ({ position, reason: `${name} is convinced` }),
  });
  const weights: Record<string, number> = { wise: 0.9, rash: 0.2, young: 0.3 };
  const { bench, task } = await moderated({
    debaters: [steady("a", "tea"), steady("b", "tea"), steady("c", "coffee")],
    judges: [judge("wise", "coffee"), judge("rash", "tea"), judge("young", "tea")],
    rounds: 1,
    weigh: (voter) => weights[voter] ?? 1,
  });
  const { position, reason, verdicts, dissent } = await bench.until(task.result());
  assert.equal(position, "coffee");
  assert.match(reason, /coffee 0.9, tea 0.5|tea 0.5, coffee 0.9/);
  assert.equal(verdicts.length, 3);
  assert.deepEqual(
    dissent.map(({ debater }) => debater),
    ["a", "b"],
  );
  await bench.close();
});

test("agents debate and judge by tasks", async () => {
  const { bench, task } = await moderated({ debaters: ["a", "b"], judges: ["c"], rounds: 2 }, [
    ["a", "tea"],
    ["b", "coffee"],
    ["c", "coffee"],
  ]);
  const { position, transcript } = await bench.until(task.result());
  assert.equal(position, "coffee");
  assert.deepEqual(
    transcript.map(({ round }) => round),
    [0, 0, 1, 1, 2, 2],
  );
  await bench.close();
});

test("a person judges from outside", async () => {
  const { bench, team, task } = await moderated({
    debaters: [steady("a", "tea"), steady("b", "coffee")],
    judges: [{ person: "ana" }],
    rounds: 1,
  });
  await bench.clock.advance(2_000);
  await assert.rejects(
    team.proposals.judge(id, { as: "ana", position: "milk" }),
    /takes no position/,
  );
  await assert.rejects(
    team.proposals.judge(id, { as: "a", position: "tea" }),
    /none of its voters/,
  );
  await team.proposals.judge(id, { as: "ana", position: "coffee", reason: "it wakes" });
  assert.equal((await bench.until(task.result())).position, "coffee");
  await bench.close();
});

test("a tie is undecided, or broken by the rule that was given", async () => {
  const debaters = [steady("a", "tea"), steady("b", "coffee")];
  const plain = await moderated({ debaters, rounds: 1 });
  const result = await plain.bench.until(plain.task.result());
  assert.deepEqual([result.decided, result.position], [false, undefined]);
  assert.match(result.reason, /^a tie: tea 1, coffee 1/);
  await plain.bench.close();
  const ruled = await moderated({ debaters, rounds: 1, tie: { position: "coffee" } });
  assert.equal((await ruled.bench.until(ruled.task.result())).position, "coffee");
  await ruled.bench.close();
  const rich: Debater = {
    name: "b",
    open: () => ({ position: "coffee", evidence: [1, 2, 3] }),
    turn: () => ({ evidence: [4] }),
  };
  const counted = await moderated({
    debaters: [debaters[0]!, rich],
    rounds: 1,
    tie: "most-evidence",
  });
  assert.equal((await counted.bench.until(counted.task.result())).position, "coffee");
  await counted.bench.close();
});

test("a budget ends the rounds: of turns, or by the hook", async () => {
  const debaters = [steady("a", "tea"), steady("b", "tea"), steady("c", "coffee")];
  const turns = await moderated({ debaters, rounds: 9, maxTurns: 6 });
  assert.equal((await turns.bench.until(turns.task.result())).transcript.length, 6);
  await turns.bench.close();
  const hook = await moderated({ debaters, rounds: 9, affords: ({ round }) => round < 2 });
  assert.equal((await hook.bench.until(hook.task.result())).transcript.length, 9);
  await hook.bench.close();
});

test("voters may debate before they decide", async () => {
  const bench = testTeam();
  const voter = (name: string, position: string) =>
    defineAgent({ name, capabilities: ["reviewer"] }).debates({
      open: () => ({ position, evidence: [name] }),
      turn: ({ round, transcript }) =>
        name === "v3" && transcript.length > 0
          ? { concedes: "approve", argument: "convinced" }
          : { evidence: [`${name} ${round}`] },
    });
  const Merge = defineTask({ name: "merge", output: type<string>() });
  const author = defineAgent({ name: "author" }).does(Merge, async (_input, ctx) => {
    const options = { voters: { role: "reviewer" }, rounds: 2, deadlineMs: minute, quorum: 2 };
    const decision = await ctx.propose({ action: "merge", content: { branch: "x" } }, options);
    return `${decision.status} ${decision.reason}`;
  });
  const agents = [author, voter("v1", "approve"), voter("v2", "reject"), voter("v3", "reject")];
  const team = await bench.start({ agents });
  const task = await team.tasks.create(Merge, undefined, { id: "m" });
  assert.match(await bench.until(task.result()), /^approved after \d rounds: .*approve 2/);
  const state = await team.proposals.get("m.merge");
  assert.equal(state?.debate?.debaters.find(({ name }) => name === "v3")?.hasConceded, true);
  await bench.close();
});

test("who has worked on the question has no part in its debate", async () => {
  const { bench, task } = await moderated({
    debaters: [steady("a", "tea"), steady("moderator", "tea")],
  });
  await assert.rejects(bench.until(task.result()), /"moderator" has worked on what is debated/);
  await bench.close();
});
