/** Proposals on a team in memory: outcomes, quorums, lineage, edits, deadlines, escalation. */
import assert from "node:assert/strict";
import { test } from "node:test";

import { isCadreError, type } from "cadre";
import { defineAgent, defineTask, type ProposeOptions } from "cadre/agents";
import { testTeam } from "cadre/testing";

const minute = 60_000;
const people = [
  { name: "ana", roles: ["release-manager"] },
  { name: "ben", roles: ["release-manager"] },
  { name: "eve", roles: ["security"] },
];

const Release = defineTask({ name: "release", input: type<string>(), output: type<string>() });

/** An agent that asks before it deploys. */
function releaser(options: Partial<ProposeOptions> = {}) {
  return defineAgent({ name: "releaser" }).does(Release, async (version, ctx) => {
    const decision = await ctx.propose(
      { action: "deploy", content: { version } },
      { voters: { role: "release-manager" }, deadlineMs: 10 * minute, ...options },
    );
    const { version: decided } = decision.content as { version: string };
    return `${decision.status} ${decided}: ${decision.reason}`;
  });
}

const refusal = (reason: string) => (error: unknown) =>
  isCadreError(error, "VOTE_REFUSED") && error.details.reason === reason;

async function asked(options: Partial<ProposeOptions> = {}) {
  const bench = testTeam();
  const team = await bench.start({ agents: [releaser(options)], people });
  const task = await team.tasks.create(Release, "2.0", { id: "r1" });
  await bench.clock.advance(1_000);
  const id = "r1.deploy";
  const state = (await team.proposals.get(id))!;
  assert.equal(state.status, "open");
  return { bench, team, task, id, hash: state.contentHash, state };
}

test("what a role approves happens, and what was asked gives its slot back", async () => {
  const { bench, team, task, id, hash } = await asked();
  await team.tasks.create(Release, "3.0", { id: "r2" });
  await bench.clock.advance(1_000);
  // Of capacity 1, and yet it has begun another.
  assert.equal((await team.proposals.get("r2.deploy"))?.status, "open");
  await team.proposals.vote(id, { as: "ana", verdict: "approve", hash });
  assert.equal(await bench.until(task.result()), "approved 2.0: 1 of 1 approved");
  await bench.close();
});

test("as many rejections as a quorum of a role needs reject it", async () => {
  const { bench, team, task, id, hash } = await asked({ quorum: 2 });
  await team.proposals.vote(id, { as: "ana", verdict: "reject", hash, reason: "Friday" });
  assert.equal((await team.proposals.get(id))?.status, "open");
  await team.proposals.vote(id, { as: "ben", verdict: "reject", hash });
  assert.match(await bench.until(task.result()), /^vetoed 2.0: rejected/);
  await bench.close();
});

test("named voters have rejected it when the quorum is out of their reach", async () => {
  const voters = { people: ["ana", "ben", "eve"] };
  const { bench, team, task, id, hash } = await asked({ voters, quorum: "all" });
  await team.proposals.vote(id, { as: "ana", verdict: "approve", hash });
  await team.proposals.vote(id, { as: "eve", verdict: "reject", hash });
  assert.match(
    await bench.until(task.result()),
    /^vetoed 2.0: rejected: 1 approved, 1 rejected, 3/,
  );
  assert.deepEqual(
    (await team.proposals.get(id))?.outcome?.dissent.map(({ voter }) => voter),
    ["ana"],
  );
  await bench.close();
});

test("a veto of who has the right to it ends it, and nobody else has it", async () => {
  const { bench, team, task, id, hash } = await asked({ quorum: 2, vetoBy: { role: "security" } });
  const veto = { verdict: "veto", hash, reason: "a hole" } as const;
  await assert.rejects(team.proposals.vote(id, { as: "ana", ...veto }), refusal("no_veto_right"));
  await assert.rejects(
    team.proposals.vote(id, { as: "eve", verdict: "approve", hash }),
    refusal("not_a_voter"),
  );
  await team.proposals.vote(id, { as: "eve", ...veto });
  assert.equal(await bench.until(task.result()), "vetoed 2.0: eve objected: a hole");
  await bench.close();
});

test("who is no voter, has worked on it, or names another hash is refused", async () => {
  const { bench, team, id, hash } = await asked();
  const approve = { verdict: "approve", hash } as const;
  await assert.rejects(team.proposals.vote(id, { as: "zoe", ...approve }), refusal("not_a_voter"));
  await assert.rejects(team.proposals.vote(id, { as: "releaser", ...approve }), refusal("lineage"));
  await assert.rejects(
    team.proposals.vote(id, { as: "ana", verdict: "approve", hash: "sha256:00" }),
    refusal("stale"),
  );
  await assert.rejects(team.proposals.vote("nothing", { as: "ana", ...approve }), (error) =>
    isCadreError(error, "NOT_FOUND"),
  );
  assert.equal((await team.proposals.get(id))?.votes.length, 0);
  await bench.close();
});

test("a voter has one vote: a later one takes the place of the earlier", async () => {
  const { bench, team, id, hash } = await asked({ quorum: 2 });
  await team.proposals.vote(id, { as: "ana", verdict: "approve", hash });
  await team.proposals.vote(id, { as: "ana", verdict: "approve", hash });
  let state = await team.proposals.vote(id, { as: "ana", verdict: "approve", hash, reason: "yes" });
  assert.equal(state.status, "open");
  state = await team.proposals.vote(id, { as: "ana", verdict: "reject", hash });
  assert.deepEqual(
    state.votes.map(({ voter, verdict }) => [voter, verdict]),
    [["ana", "reject"]],
  );
  const types: string[] = [];
  for await (const { event } of team.store.read({ stream: `proposal/${id}` }))
    types.push(event.type);
  assert.deepEqual(types, ["action.proposed", "action.voted", "action.voted", "action.voted"]);
  await bench.close();
});

test("a vote after the end is recorded as late, and counts for nothing", async () => {
  const { bench, team, task, id, hash } = await asked();
  await team.proposals.vote(id, { as: "ana", verdict: "approve", hash });
  const state = await team.proposals.vote(id, { as: "ben", verdict: "reject", hash });
  await team.proposals.vote(id, { as: "ben", verdict: "reject", hash });
  assert.equal(state.status, "approved");
  const { late, votes } = (await team.proposals.get(id))!;
  assert.deepEqual(
    late.map(({ voter }) => voter),
    ["ben"],
  );
  assert.deepEqual(
    votes.map(({ voter }) => voter),
    ["ana"],
  );
  assert.match(await bench.until(task.result()), /^approved/);
  await bench.close();
});

test("an edit gives it a new hash, takes all votes back, and its editor may not vote", async () => {
  const { bench, team, task, id, hash } = await asked({
    quorum: 1,
    voters: { people: ["ana", "ben", "eve"] },
  });
  await team.proposals.vote(id, { as: "eve", verdict: "reject", hash });
  const edited = await team.proposals.amend(id, { version: "2.0.1" }, { as: "ana" });
  assert.notEqual(edited.contentHash, hash);
  assert.deepEqual([edited.revision, edited.votes.length], [2, 0]);
  await assert.rejects(
    team.proposals.vote(id, { as: "ben", verdict: "approve", hash }),
    refusal("stale"),
  );
  const approve = { verdict: "approve", hash: edited.contentHash } as const;
  await assert.rejects(team.proposals.vote(id, { as: "ana", ...approve }), refusal("lineage"));
  await assert.rejects(team.proposals.amend(id, 1, { as: "zoe" }), refusal("not_a_voter"));
  await team.proposals.vote(id, { as: "ben", ...approve });
  assert.match(await bench.until(task.result()), /^approved 2.0.1/);
  await bench.close();
});

test("the voter without whom there is no quorum may not edit", async () => {
  const { bench, team, id } = await asked({ voters: { people: ["ana"] } });
  await assert.rejects(
    team.proposals.amend(id, { version: "3" }, { as: "ana" }),
    refusal("last_voter"),
  );
  assert.equal((await team.proposals.amend(id, { version: "3" }, { as: "releaser" })).revision, 2);
  await bench.close();
});

test("what nobody decides in time expires, and goes ahead only where that is said", async () => {
  const { bench, task } = await asked();
  assert.equal(
    await bench.until(task.result(), 11 * minute),
    "expired 2.0: 0 of 1 approved in time",
  );
  await bench.close();
  const other = await asked({ otherwise: "approve" });
  assert.match(
    await other.bench.until(other.task.result(), 11 * minute),
    /^approved 2.0: by default/,
  );
  await other.bench.close();
});

test("a veto window goes ahead at its end, unless somebody objects", async () => {
  const window = { mode: "veto", deadlineMs: minute } as const;
  const { bench, task } = await asked(window);
  await bench.clock.advance(50_000);
  assert.equal((await task.state()).status, "running");
  assert.equal(await bench.until(task.result()), "approved 2.0: nobody objected in time");
  await bench.close();
  const other = await asked(window);
  await other.team.proposals.vote(other.id, { as: "ben", verdict: "veto", hash: other.hash });
  assert.equal(await other.bench.until(other.task.result()), "vetoed 2.0: ben objected");
  await other.bench.close();
});

test("a veto window that too few have seen does not go ahead", async () => {
  const window = { mode: "veto", deadlineMs: minute, minSeen: 1 } as const;
  const { bench, task } = await asked(window);
  assert.equal(await bench.until(task.result()), "expired 2.0: 0 of 1 voters have seen it");
  await bench.close();
  const other = await asked(window);
  await other.team.proposals.vote(other.id, { as: "ben", verdict: "seen", hash: other.hash });
  assert.match(await other.bench.until(other.task.result()), /^approved/);
  await other.bench.close();
});

test("it escalates to other voters before its deadline, then to more time, then ends", async () => {
  const { bench, team, task, id, hash } = await asked({
    voters: { people: ["ben"] },
    deadlineMs: 10 * minute,
    escalate: [
      { voters: { role: "security" }, deadlineMs: 5 * minute, earlyMs: minute, quorum: 1 },
      { deadlineMs: 5 * minute },
    ],
    otherwise: "veto",
  });
  await assert.rejects(
    team.proposals.vote(id, { as: "eve", verdict: "approve", hash }),
    refusal("not_a_voter"),
  );
  await bench.clock.advance(9 * minute);
  assert.deepEqual(
    [(await team.proposals.get(id))?.level, (await team.proposals.get(id))?.voters],
    [1, { names: ["ben"], roles: ["security"] }],
  );
  await bench.clock.advance(5 * minute);
  assert.equal((await team.proposals.get(id))?.level, 2);
  const result = await bench.until(task.result(), 6 * minute);
  assert.equal(result, "vetoed 2.0: by default: 0 of 1 approved in time");
  await bench.close();
});

test("who it escalates to can approve it", async () => {
  const { bench, team, task, id, hash } = await asked({
    voters: { people: ["ben"] },
    escalate: [{ voters: { role: "security" }, deadlineMs: 5 * minute }],
  });
  await bench.clock.advance(10 * minute);
  await team.proposals.vote(id, { as: "eve", verdict: "approve", hash });
  assert.match(await bench.until(task.result()), /^approved/);
  await bench.close();
});

test("votes weigh what they weighed when it was opened", async () => {
  const weights: Record<string, number> = { ana: 0.9, ben: 0.3, eve: 0.3 };
  const { bench, team, task, id, hash } = await asked({
    voters: { people: ["ana", "ben", "eve"] },
    quorum: 0.6,
    weigh: (voter) => weights[voter] ?? 1,
  });
  weights["ben"] = 100;
  await team.proposals.vote(id, { as: "ben", verdict: "approve", hash });
  assert.equal((await team.proposals.get(id))?.status, "open");
  await team.proposals.vote(id, { as: "eve", verdict: "approve", hash });
  assert.equal(await bench.until(task.result()), "approved 2.0: 0.6 of 0.6 approved");
  await bench.close();
});

test("a rule that refuses ends it before anybody is asked", async () => {
  const validators = [{ name: "not-friday", check: () => "it is Friday" }];
  const bench = testTeam();
  const team = await bench.start({
    agents: [releaser({ voters: { role: "release-manager", validators } })],
    people,
  });
  const task = await team.tasks.create(Release, "2.0", { id: "r1" });
  assert.match(
    await bench.until(task.result()),
    /^vetoed 2.0: rule not-friday refused: it is Friday/,
  );
  await bench.close();
});

test("agents that vote are asked, once each, and neither the author nor its lineage is", async () => {
  const bench = testTeam();
  const shown: string[] = [];
  const voter = (name: string, verdict: "approve" | "reject") =>
    defineAgent({ name, capabilities: ["reviewer"] }).votes((ballot, ctx) => {
      shown.push(`${ctx.agent} ${ballot.action} ${ballot.contentHash.slice(0, 7)}`);
      return { verdict, reason: `${name} says so` };
    });
  const Part = defineTask({ name: "part", output: type<string>() });
  const author = defineAgent({ name: "author", capabilities: ["reviewer"] })
    .votes(() => ({ verdict: "approve" }))
    .does(Release, async (_version, ctx) => {
      await ctx.call("part", Part, undefined);
      const decision = await ctx.propose("publish", {
        voters: { role: "reviewer" },
        quorum: 2,
        deadlineMs: minute,
      });
      return `${decision.status} by ${decision.votes
        .map(({ voter: by }) => by)
        .sort()
        .join()}`;
    });
  const helper = defineAgent({ name: "helper", capabilities: ["reviewer"] })
    .does(Part, () => "done")
    .votes(() => ({ verdict: "approve" }));
  const team = await bench.start({
    agents: [author, helper, voter("r1", "approve"), voter("r2", "approve")],
  });
  const task = await team.tasks.create(Release, "2.0", { id: "t" });
  assert.equal(await bench.until(task.result()), "approved by r1,r2");
  assert.deepEqual(shown.map((line) => line.slice(0, 10)).sort(), ["r1 publish", "r2 publish"]);
  const state = await team.proposals.get("t.publish");
  assert.deepEqual(state?.lineage, ["author", "helper"]);
  await bench.close();
});

test("an author that was restarted under another incarnation may not vote either", async () => {
  const bench = testTeam();
  const agent = releaser({ voters: { agents: ["releaser", "other"], people: ["ana"] }, quorum: 1 });
  const first = await bench.start({ name: "one", agents: [agent], people });
  await first.tasks.create(Release, "2.0", { id: "r1" });
  await bench.clock.advance(1_000);
  const { contentHash: hash } = (await first.proposals.get("r1.deploy"))!;
  await bench.until(first.close({ deadlineMs: 100 }));
  const second = await bench.start({ name: "two", agents: [agent], people });
  await bench.clock.advance(1_000);
  await assert.rejects(
    second.proposals.vote("r1.deploy", { as: "releaser", verdict: "approve", hash }),
    refusal("lineage"),
  );
  await bench.close();
});

test("a proposal ends with the task that asked", async () => {
  const { bench, team, id } = await asked();
  await team.tasks.cancel("r1", "not wanted");
  await bench.clock.advance(20_000);
  const state = await team.proposals.get(id);
  assert.equal(state?.status, "withdrawn");
  await bench.close();
});

test("its author may withdraw it, and nobody else", async () => {
  const { bench, team, task, id } = await asked();
  await assert.rejects(team.proposals.withdraw(id, { as: "ana" }), refusal("not_the_author"));
  assert.equal(await team.proposals.withdraw(id, { as: "releaser", reason: "a typo" }), true);
  assert.equal(await team.proposals.withdraw(id, { as: "releaser" }), false);
  assert.equal(await bench.until(task.result()), "withdrawn 2.0: a typo");
  await bench.close();
});

test("the same id is the same proposal, from outside too", async () => {
  const bench = testTeam();
  const team = await bench.start({ people });
  const options = { id: "p1", voters: { role: "release-manager" }, deadlineMs: minute };
  const proposal = await team.proposals.open({ action: "spend", content: 5 }, options);
  await team.proposals.open({ action: "spend", content: 5 }, options);
  await assert.rejects(team.proposals.open({ action: "spend", content: 6 }, options), (error) =>
    isCadreError(error, "DUPLICATE_ID"),
  );
  const { contentHash: hash } = proposal;
  await team.proposals.vote("p1", { as: "ana", verdict: "approve", hash });
  const decision = await bench.until(proposal.decided());
  assert.deepEqual([decision.approved, decision.by, decision.content], [true, "ana", 5]);
  assert.equal((await team.proposals.list({ status: "open" })).length, 0);
  await bench.close();
});

for (const [what, options] of Object.entries({
  "no deadline": { voters: { people: ["ana"] } },
  "no voters": { voters: {}, deadlineMs: 1 },
  "a quorum that nobody can reach": { voters: { people: ["ana"] }, quorum: 2, deadlineMs: 1 },
  "a majority of a role": { voters: { role: "x" }, quorum: "majority", deadlineMs: 1 },
  "nine escalations": {
    voters: { role: "x" },
    deadlineMs: 1,
    escalate: Array.from({ length: 9 }, () => ({ deadlineMs: 1 })),
  },
  "a name that is none": { voters: { people: ["a b"] }, deadlineMs: 1 },
  "an author who is the only voter": { voters: { people: ["cadre"] }, deadlineMs: 1 },
  "an unknown option": { voters: { role: "x" }, deadlineMs: 1, deadline: 1 },
})) {
  test(`${what} is refused`, async () => {
    const bench = testTeam();
    const team = await bench.start();
    await assert.rejects(team.proposals.open({ action: "a" }, options as ProposeOptions), (error) =>
      isCadreError(error, "INVALID_OPTION"),
    );
    await bench.close();
  });
}
