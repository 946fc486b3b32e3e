/** Trust at its edges: names that mean something, clocks that are wrong, floods, ways around. */
import assert from "node:assert/strict";
import { test } from "node:test";
import {
  createEvent,
  foldProjection,
  memoryStore,
  SeededRandom,
  systemClock,
  type,
  type EventStore,
} from "cadre";
import {
  defineAgent,
  defineTask,
  trustProjection,
  type TaskContext,
  type TrustState,
} from "cadre/agents";
import { testTeam } from "cadre/testing";

const dayMs = 86_400_000;
const yearMs = 365 * dayMs;

/** The log of a story, told without a team. */
class Story {
  readonly store: EventStore = memoryStore();
  readonly #random = new SeededRandom(1);
  now = 1_000_000_000;

  async say(stream: string, of: string, payload: object): Promise<void> {
    const clock = { ...systemClock, now: () => this.now };
    const event = createEvent({ clock, random: this.#random, source: "x" }, of, payload);
    await this.store.commit({ appends: [{ stream, expectedVersion: "any", events: [event] }] });
  }

  async task(id: string, agent: string, end = "completed", more: object = {}): Promise<void> {
    const stream = `task/${id}`;
    const created = { taskId: id, name: "t", capability: "read", ...more };
    await this.say(stream, "task.created", created);
    await this.say(stream, "task.claimed", { taskId: id, agent });
    await this.say(stream, `task.${end}`, { taskId: id, agent, reason: "x" });
  }

  async judged(id: string, agent: string, validator: string, verdict = "valid"): Promise<void> {
    const of = `task/${id}`;
    const proposal = `proposal/v-${id}`;
    await this.say(of, "task.created", { taskId: id, name: "t", capability: "read" });
    await this.say(of, "task.claimed", { taskId: id, agent });
    const asked = { validationId: `v-${id}`, author: agent, taskId: id, lineage: [agent] };
    await this.say(proposal, "validation.requested", asked);
    const vote = { validationId: `v-${id}`, validator, verdict, kind: "agent" };
    await this.say(proposal, "validation.responded", vote);
    const ended = verdict === "valid" ? "action.approved" : "action.vetoed";
    await this.say(proposal, ended, { proposalId: `v-${id}`, kind: "validation" });
  }

  async state(): Promise<TrustState> {
    return (await foldProjection(this.store, trustProjection(), {})).state;
  }

  async weights(agent: string): Promise<{ good: number; bad: number }> {
    const record = (await this.state()).scores[`${agent} read`];
    return { good: record?.good ?? 0, bad: record?.bad ?? 0 };
  }
}

test("a judge named like the work itself has no more to say than others", async () => {
  const story = new Story();
  for (let index = 0; index < 9; index += 1) await story.judged(`t${index}`, "a", "work");
  assert.equal((await story.weights("a")).good, 5);
});

test("work that an agent gave itself through a feature proves nothing", async () => {
  const story = new Story();
  await story.say("task/p", "task.created", { taskId: "p", name: "t", capability: "plan" });
  await story.say("task/p", "task.claimed", { taskId: "p", agent: "a" });
  await story.say("feature/f", "feature.created", { featureId: "f", parent: "p", tasks: [] });
  for (let index = 0; index < 9; index += 1) {
    await story.task(`f.${index}`, "a", "completed", { feature: "f" });
  }
  assert.deepEqual(await story.weights("a"), { good: 0, bad: 0 });
  await story.task("f.other", "b", "completed", { feature: "f" });
  assert.deepEqual(await story.weights("b"), { good: 0.2, bad: 0 });
  await story.say("feature/f", "feature.completed", { featureId: "f" });
  // One that nobody's task has opened is as it was.
  await story.say("feature/g", "feature.created", { featureId: "g", tasks: [] });
  await story.task("g.1", "a", "completed", { feature: "g" });
  assert.deepEqual(await story.weights("a"), { good: 0.2, bad: 0 });
  const { tasks } = await story.state();
  assert.deepEqual(Object.keys(tasks), [":p"], "what has ended is forgotten");
});

test("a feature of an agent's own gives its agent no trust in a running team", async () => {
  const bench = testTeam();
  const Lead = defineTask({ name: "lead", output: type<string>() });
  const Part = defineTask({ name: "part", output: type<string>() });
  const vain = defineAgent({ name: "vain", capacity: 4 })
    .does(Lead, async (_input, ctx) => {
      const part = { definition: Part, input: {} };
      const names = ["one", "two", "three"];
      const tasks = names.map((name) => ({ name, ...part }));
      await ctx.feature("mine", { title: "mine", tasks });
      return "led";
    })
    .does(Part, () => "done");
  const team = await bench.start({ agents: [vain], trust: true });
  const task = await team.tasks.create(Lead, {});
  assert.equal(await bench.until(task.result()), "led");
  await team.trust?.caughtUp();
  assert.equal(team.trust?.score("vain", "part"), 0.5);
  assert.ok(team.trust.score("vain", "lead") > 0.5);
  await bench.close();
});

test("an event of a clock that is years ahead stops no score from fading for years", async () => {
  const story = new Story();
  for (let index = 0; index < 9; index += 1) await story.judged(`t${index}`, "a", "c");
  story.now += 50 * yearMs;
  await story.task("wrong", "a");
  story.now -= 50 * yearMs;
  for (let index = 0; index < 9; index += 1) await story.judged(`u${index}`, "a", "c");
  const then = (await story.weights("a")).good;
  story.now += 60 * dayMs; // two half-lives
  await story.task("later", "a", "cancelled");
  await story.judged("later2", "a", "c", "invalid");
  const { good, bad } = await story.weights("a");
  assert.ok(Math.abs(good - then / 4) < 0.01, `${then} has become ${good}`);
  assert.equal(bad, 1, "its judge may speak again");
});

test("clocks that are a little apart make no score fade faster", async () => {
  const story = new Story();
  for (let index = 0; index < 200; index += 1) {
    story.now += index % 2 === 0 ? 60_000 : -60_000;
    await story.task(`t${index}`, "a");
  }
  const { good } = await story.weights("a");
  assert.ok(Math.abs(good - 40) < 0.01, String(good));
});

test("as of an instant scores have faded until that instant", async () => {
  const bench = testTeam();
  const Read = defineTask({ name: "read", output: type<string>() });
  const reader = defineAgent({ name: "reader" }).does(Read, () => "read");
  const halfLifeMs = 60_000;
  const team = await bench.start({ agents: [reader], trust: { halfLifeMs } });
  await bench.until((await team.tasks.create(Read, {})).result());
  await team.trust?.caughtUp();
  const fresh = team.trust!.score("reader", "read");
  await bench.clock.advance(halfLifeMs);
  const later = team.trust!.score("reader", "read");
  assert.ok(later < fresh);
  const then = await team.trust!.asOf(new Date(bench.clock.now()));
  assert.ok(Math.abs(then.score("reader", "read") - later) < 1e-9);
  const early = await team.trust!.asOf(new Date(bench.clock.now() - halfLifeMs));
  assert.ok(Math.abs(early.score("reader", "read") - fresh) < 1e-3);
  await bench.close();
});

test("what nobody has told does not grow without bound", async () => {
  const story = new Story();
  const projection = trustProjection();
  const { apply } = projection;
  let state = (await foldProjection(story.store, projection, {})).state;
  const making = { clock: systemClock, random: new SeededRandom(2), source: "x" };
  const fold = (stream: string, of: string, payload: object): void => {
    const event = createEvent(making, of, payload);
    const stored = { event, position: 1, recordedAt: 0, stream };
    state = apply(state, event, stored);
  };
  for (let index = 0; index < 25_000; index += 1) {
    const taskId = `t${index}`;
    const stream = `task/${taskId}`;
    fold(stream, "task.created", { taskId, capability: `c${index}` });
    fold(stream, "task.claimed", { taskId, agent: "a" });
    fold(stream, "task.completed", { taskId });
  }
  const untold = Object.keys(state.untold);
  assert.ok(untold.length <= 20_000, `${untold.length} are untold`);
  assert.ok(untold.length >= 10_000);
  assert.match(untold.at(-1) ?? "", /c24999/, "the newest are kept");
});

test("who has not been seen for long, and names of forgeries, are forgotten in time", async () => {
  const projection = trustProjection({ halfLifeMs: 1_000 });
  let state = (await foldProjection(memoryStore(), projection, {})).state;
  let now = 1_000_000;
  const clock = { ...systemClock, now: () => now };
  const making = { clock, random: new SeededRandom(2), source: "x" };
  const fold = (stream: string, of: string, payload: object): void => {
    const event = createEvent(making, of, payload);
    state = projection.apply(state, event, { event, position: 1, recordedAt: 0, stream });
  };
  for (let index = 0; index < 12_000; index += 1) {
    now += 10;
    const taskId = `t${index}`;
    fold(`task/${taskId}`, "task.created", { taskId, capability: "read" });
    fold(`task/${taskId}`, "task.claimed", { taskId, agent: `agent-${index}` });
    fold(`task/${taskId}`, "task.completed", { taskId });
    fold("violations", "violation.detected", { agent: `forger-${index}`, rule: "forged" });
  }
  const scores = Object.keys(state.scores);
  assert.ok(scores.length < 6_000, `${scores.length} scores`);
  assert.ok(scores.includes("agent-11999 read"));
  const violations = Object.keys(state.violations);
  assert.ok(violations.length <= 10_001, `${violations.length} names`);
  const all = Object.values(state.violations).flatMap((counts) => Object.values(counts));
  assert.equal(
    all.reduce((sum, count) => sum + count, 0),
    12_000,
    "none is uncounted",
  );
});

test("a gate at a score lets through who has exactly that, and nobody below", async () => {
  for (const [below, isAsked] of [
    [0.5, false],
    [0.5 + 1e-9, true],
    [0, false],
    [1, true],
  ] as const) {
    const bench = testTeam();
    const Read = defineTask({ name: "read", output: type<string>() });
    const reader = defineAgent({ name: "reader" }).does(Read, () => "read");
    const validate = { voters: { agents: ["judge"] }, deadlineMs: 1_000, rounds: 1 };
    const judge = defineAgent({ name: "judge" }).votes(() => ({ verdict: "approve" }));
    const gates = [{ capability: "read", below, validate }];
    const team = await bench.start({ agents: [reader, judge], trust: { gates } });
    const task = await team.tasks.create(Read, {});
    assert.equal(await bench.until(task.result()), "read");
    const asked = await Array.fromAsync(team.store.read({ type: "validation.requested" }));
    assert.equal(asked.length > 0, isAsked, `below ${below}`);
    await bench.close();
  }
});

test("a planner gains nothing by the tasks that it plans for itself", async () => {
  const story = new Story();
  await story.say("feature/f", "feature.created", { featureId: "f" });
  const plan = { taskId: "f.~plan", name: "p", capability: "plan", feature: "f" };
  await story.say("task/f.~plan", "task.created", plan);
  await story.say("task/f.~plan", "task.claimed", { taskId: "f.~plan", agent: "a" });
  await story.say("task/f.~plan", "task.completed", { taskId: "f.~plan", agent: "a" });
  await story.task("f.one", "a", "completed", { feature: "f" });
  await story.task("f.two", "b", "completed", { feature: "f" });
  assert.deepEqual(await story.weights("a"), { good: 0, bad: 0 });
  assert.deepEqual(await story.weights("b"), { good: 0.2, bad: 0 });
});

test("a gate that is gone when an attempt is made again does not fail the task", async () => {
  for (const how of ["no trust", "no gate", "a gate of the task's own without a bound"] as const) {
    const bench = testTeam();
    let isDead = false;
    const store = new Proxy(bench.store, {
      get(target, name) {
        const value: unknown = Reflect.get(target, name);
        if (typeof value !== "function") return value;
        return (...rest: unknown[]) =>
          isDead ? new Promise(() => {}) : (Reflect.apply(value, target, rest) as unknown);
      },
    });
    const Read = defineTask({ name: "read", output: type<string>() });
    const validate = { voters: { agents: ["judge"] }, deadlineMs: 60_000, rounds: 1 };
    const before = defineAgent({ name: "reader" }).does(Read, async (_input, ctx) => {
      await ctx.step("look", () => undefined);
      isDead = true;
      return new Promise<string>(() => {});
    });
    const run = async (_input: unknown, ctx: TaskContext): Promise<string> => {
      await ctx.step("look", () => undefined);
      return "read";
    };
    const reader = defineAgent({ name: "reader" });
    const after = how.startsWith("a gate")
      ? reader.does(Read, { validate }, run)
      : reader.does(Read, run);
    const judge = defineAgent({ name: "judge" }).votes(() => ({ verdict: "approve" }));
    const gates = [{ capability: "read", below: 0.6, validate }];
    const client = await bench.start({ name: "client", agents: [judge] });
    await bench.start({ name: "mortal", agents: [before], store, trust: { gates } });
    const task = await client.tasks.create(Read, {}, { id: "t" });
    await bench.clock.advance(2_000);
    assert.ok(isDead);
    const trust = how === "no trust" ? {} : { trust: true };
    await bench.start({ name: "next", agents: [after], ...trust });
    assert.equal(await bench.until(task.result()), "read", how);
    await bench.close();
  }
});
