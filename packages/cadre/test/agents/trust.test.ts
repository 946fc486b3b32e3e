import assert from "node:assert/strict";
import { test, type TestContext } from "node:test";
import {
  foldProjection,
  memory,
  memoryStore,
  SeededRandom,
  TerminalError,
  type,
  type AgentEvent,
  type EventStore,
} from "cadre";
import {
  defineAgent,
  defineTask,
  startCadre,
  thompsonSampling,
  trustProjection,
  type AnyAgent,
  type Cadre,
  type CadreOptions,
} from "cadre/agents";
import { drawBeta } from "#src/agents/trust/beta.ts";
import { until } from "../until.ts";
import { changed } from "../changed.ts";

test("draws of a Beta have its mean and its spread", () => {
  const random = new SeededRandom(5);
  for (const [alpha, beta] of [
    [1, 1],
    [0.5, 0.5],
    [8, 2],
    [40, 10],
  ] as const) {
    const drawn = Array.from({ length: 4_000 }, () => drawBeta({ alpha, beta }, random));
    const mean = drawn.reduce((sum, value) => sum + value, 0) / drawn.length;
    const variance = drawn.reduce((sum, value) => sum + (value - mean) ** 2, 0) / drawn.length;
    const total = alpha + beta;
    const expected = (alpha * beta) / (total ** 2 * (total + 1));
    assert.ok(Math.abs(mean - alpha / total) < 0.02, `mean of ${alpha}, ${beta}: ${mean}`);
    assert.ok(Math.abs(variance / expected - 1) < 0.15, `spread of ${alpha}, ${beta}`);
    assert.ok(drawn.every((value) => value >= 0 && value <= 1));
  }
});

test("Thompson sampling asks who is good, tries who is unknown, and repeats from its seed", () => {
  const known = { good: { alpha: 40, beta: 4 }, bad: { alpha: 4, beta: 40 } };
  const run = (seed: number): readonly (string | undefined)[] => {
    const policy = thompsonSampling(
      (agent) => known[agent as "good"] ?? { alpha: 1, beta: 1 },
      new SeededRandom(seed),
    );
    const candidates = ["bad", "good", "new", "shut"].map((agent) => ({
      agent,
      capacity: 1,
      free: 1,
      score: agent === "shut" ? 0 : 0.5,
    }));
    const task = { capability: "read", task: "t", feature: "f" };
    return Array.from({ length: 1_000 }, () => policy(task, candidates));
  };
  const asked = run(1);
  const count = (agent: string): number => asked.filter((each) => each === agent).length;
  assert.ok(count("good") > 700, String(count("good")));
  assert.ok(count("new") > 20, String(count("new")));
  assert.ok(count("bad") < 20, String(count("bad")));
  assert.equal(count("shut"), 0);
  assert.deepEqual(run(1), asked);
  assert.notDeepEqual(run(2), asked);
});

const Sum = defineTask({
  name: "sum",
  capability: "add.numbers",
  input: type<{ numbers: readonly number[] }>(),
  output: type<number>(),
  maxAttempts: 1,
});

function adder(name: string, wrong = false): AnyAgent {
  return defineAgent({ name }).does(Sum, ({ numbers }) => {
    if (numbers.length === 0) throw new TerminalError("nothing to add");
    return numbers.reduce((sum, each) => sum + each, wrong ? 1 : 0);
  });
}

const checker = defineAgent({ name: "checker", capabilities: ["check.sums"] }).votes(
  ({ content }) => ({ verdict: Number(content) % 2 === 0 ? "approve" : "reject" }),
);

async function start(context: TestContext, options: CadreOptions): Promise<Cadre> {
  const cadre = await startCadre(options);
  context.after(() => cadre.close({ deadlineMs: 100 }));
  return cadre;
}

async function told(store: EventStore): Promise<readonly AgentEvent[]> {
  return Array.fromAsync(store.read({ type: "score.updated" }), ({ event }) => event);
}

for (const bus of ["one log", "two systems"] as const) {
  test(`a team keeps scores and tells of each change once, whatever the processes (${bus})`, async (context) => {
    const store = memoryStore();
    const transport = memory();
    const home = bus === "one log" ? { store } : { store, bus: transport };
    const options: CadreOptions = { ...home, agents: [adder("adder")], trust: true };
    const team = await start(context, options);
    const others = await Promise.all(
      ["second", "third"].map((name) => start(context, { ...home, name, trust: true })),
    );
    for (let index = 0; index < 5; index += 1) {
      const task = await team.tasks.create(Sum, { numbers: [index] });
      await task.result({ timeoutMs: 5_000 });
    }
    const bad = await team.tasks.create(Sum, { numbers: [] });
    await assert.rejects(bad.result({ timeoutMs: 5_000 }));
    await until(async () => (await told(store)).length === 6);
    for (const each of [team, ...others]) await each.trust?.caughtUp();
    const [last] = (await told(store)).slice(-1);
    const { agent, capability, score, previous, alpha, beta, reason } = last!.payload as Record<
      string,
      unknown
    >;
    assert.deepEqual(
      { agent, capability, reason },
      { agent: "adder", capability: "add.numbers", reason: "failed" },
    );
    assert.ok((score as number) < (previous as number));
    assert.ok(Math.abs((alpha as number) - 2) < 1e-6 && Math.abs((beta as number) - 2) < 1e-6);
    for (const each of others) {
      const mine = team.trust!.score("adder", "add.numbers");
      const theirs = each.trust!.score("adder", "add.numbers");
      assert.ok(Math.abs(mine - theirs) < 1e-9);
    }
    const ids = (await told(store)).map(({ id }) => id);
    assert.equal(new Set(ids).size, ids.length);
    assert.equal(team.trust!.score("nobody", "add.numbers"), 0.5);
  });
}

test("what was not told when the process died is told by the next, and nothing twice", async (context) => {
  const store = memoryStore();
  // The telling never gets through in this life.
  const mute = changed(store, {
    commit: async (commit) => {
      if (commit.appends?.some(({ stream }) => stream === "trust"))
        throw new Error("the disk is gone");
      return store.commit(commit);
    },
  });
  const first = await startCadre({ store: mute, agents: [adder("adder")], trust: true });
  for (let index = 0; index < 3; index += 1) {
    await (await first.tasks.create(Sum, { numbers: [1] })).result({ timeoutMs: 5_000 });
  }
  await first.trust?.caughtUp();
  await first.close();
  assert.equal((await told(store)).length, 0);
  const second = await start(context, { store, trust: true });
  await until(async () => (await told(store)).length === 3);
  await second.trust?.caughtUp();
  const { state } = await foldProjection(store, trustProjection(), { fromStart: true });
  assert.deepEqual(state.untold, {});
  const kept = await foldProjection(store, trustProjection());
  assert.deepEqual(kept.state, state);
});

test("a gate has the work of who is not trusted yet validated, and then no more", async (context) => {
  const store = memoryStore();
  const team = await start(context, {
    store,
    agents: [adder("adder"), checker],
    trust: {
      gates: [
        {
          capability: "add.*",
          below: 0.6,
          validate: { voters: { role: "check.sums" }, deadlineMs: 5_000, rounds: 1 },
        },
      ],
    },
  });
  const asked = async (): Promise<number> =>
    (await Array.fromAsync(store.read({ type: "validation.requested" }))).length;
  const even = await team.tasks.create(Sum, { numbers: [1, 1] });
  assert.equal(await even.result({ timeoutMs: 5_000 }), 2);
  assert.equal(await asked(), 1);
  await until(() => team.trust!.score("adder", "add.numbers") >= 0.6);
  const odd = await team.tasks.create(Sum, { numbers: [1] });
  assert.equal(await odd.result({ timeoutMs: 5_000 }), 1);
  assert.equal(await asked(), 1); // trusted by now: nobody is asked
});

test("votes weigh what their voters are trusted with, where that is asked for", async (context) => {
  const store = memoryStore();
  const team = await start(context, {
    store,
    agents: [checker],
    people: [{ name: "ada", roles: ["owner"] }],
    trust: { weighsVotes: true, prior: { good: 1, bad: 3 } },
  });
  const opened = await team.proposals.open(
    { action: "pay", content: 2 },
    { voters: { agents: ["checker"], people: ["ada"] }, quorum: 1, deadlineMs: 5_000 },
  );
  await until(async () => (await opened.state()).votes.length === 1);
  const state = await opened.state();
  assert.equal(state.votes[0]?.voter, "checker");
  assert.equal(state.votes[0]?.weight, 0.25);
  assert.equal(state.status, "open");
  const after = await team.proposals.vote(opened.id, {
    as: "ada",
    verdict: "approve",
    hash: opened.contentHash,
  });
  assert.equal(after.status, "approved");
});

test("impossible trust is refused", async () => {
  const validate = { voters: { agents: ["x"] }, deadlineMs: 1 };
  const bad: unknown[] = [
    { halfLifeMs: 0 },
    { prior: { good: 0, bad: 1 } },
    { prior: {} },
    { maxPerJudge: -1 },
    { gates: [{ capability: "a", below: 2, validate }] },
    { gates: [{ capability: "a", below: 0.5, validate: { voters: {} } }] },
    { unknown: 1 },
  ];
  for (const trust of bad) {
    await assert.rejects(startCadre({ trust } as CadreOptions), { code: "INVALID_OPTION" });
  }
  const thompson = { orchestration: { assignment: "thompson" } } as const;
  await assert.rejects(startCadre(thompson), /start the team with `trust/);
});
