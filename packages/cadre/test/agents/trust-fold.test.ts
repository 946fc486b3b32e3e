import assert from "node:assert/strict";
import { test } from "node:test";
import {
  createEvent,
  foldProjection,
  memoryStore,
  SeededRandom,
  systemClock,
  type EventStore,
} from "cadre";
import { trustProjection, type TrustState } from "cadre/agents";

const dayMs = 86_400_000;

/** The log of a story, told without a team: the fold is a pure function of it. */
class Story {
  readonly store: EventStore = memoryStore();
  readonly #random = new SeededRandom(1);
  now = 1_000_000;

  async say(stream: string, of: string, payload: object): Promise<void> {
    const clock = { ...systemClock, now: () => this.now };
    const event = createEvent({ clock, random: this.#random, source: "x" }, of, payload);
    await this.store.commit({ appends: [{ stream, expectedVersion: "any", events: [event] }] });
  }

  async task(id: string, agent: string, end: string, more: object = {}): Promise<void> {
    const stream = `task/${id}`;
    const created = { taskId: id, name: "t", capability: "read", ...more };
    await this.say(stream, "task.created", created);
    await this.say(stream, "task.claimed", { taskId: id, agent });
    await this.say(stream, `task.${end}`, { taskId: id, agent, reason: "x" });
  }

  /** A task whose result others have voted on. */
  async judged(
    id: string,
    agent: string,
    votes: Readonly<Record<string, "valid" | "invalid">>,
    lineage: readonly string[] = [agent],
  ): Promise<void> {
    const task = `task/${id}`;
    const proposal = `proposal/v-${id}`;
    await this.say(task, "task.created", { taskId: id, name: "t", capability: "read" });
    await this.say(task, "task.claimed", { taskId: id, agent });
    const asked = { validationId: `v-${id}`, author: agent, taskId: id, lineage };
    await this.say(proposal, "validation.requested", asked);
    for (const [validator, verdict] of Object.entries(votes)) {
      const vote = { validationId: `v-${id}`, validator, verdict, kind: "agent" };
      await this.say(proposal, "validation.responded", vote);
    }
    const isGood = Object.values(votes).every((verdict) => verdict === "valid");
    const ended = isGood ? "action.approved" : "action.vetoed";
    await this.say(proposal, ended, { proposalId: `v-${id}`, kind: "validation" });
  }

  async state(upTo?: number): Promise<TrustState> {
    const point = upTo === undefined ? {} : { upTo };
    const { state } = await foldProjection(this.store, trustProjection(), point);
    return state;
  }

  async weights(agent: string): Promise<{ good: number; bad: number }> {
    const record = (await this.state()).scores[`${agent} read`];
    return { good: record?.good ?? 0, bad: record?.bad ?? 0 };
  }
}

test("verdicts weigh: others' words more than the work's own end", async () => {
  const story = new Story();
  await story.task("t1", "a", "completed");
  assert.deepEqual(await story.weights("a"), { good: 0.2, bad: 0 });
  await story.task("t2", "a", "failed");
  assert.deepEqual(await story.weights("a"), { good: 0.2, bad: 1 });
  await story.judged("t3", "b", { c: "valid", d: "valid" });
  assert.deepEqual(await story.weights("b"), { good: 2, bad: 0 });
  await story.judged("t4", "b", { c: "invalid" });
  assert.deepEqual(await story.weights("b"), { good: 2, bad: 1 });
  await story.task("t5", "c", "completed", { deadlineAt: 1 });
  assert.deepEqual(await story.weights("c"), { good: 0, bad: 0.5 });
  await story.task("t6", "d", "lease_expired", {});
  await story.task("t7", "e", "cancelled");
  assert.deepEqual(await story.weights("d"), { good: 0, bad: 0.5 });
  assert.deepEqual(await story.weights("e"), { good: 0, bad: 0 });
});

test("nobody judges his own work, nor that of his lineage, nor work that he gave himself", async () => {
  const story = new Story();
  await story.judged("t1", "a", { a: "valid", friend: "valid" }, ["a", "friend"]);
  assert.deepEqual(await story.weights("a"), { good: 0, bad: 0 });
  // A task of its own task, however deep, and done by itself.
  await story.say("task/p", "task.created", { taskId: "p", name: "t", capability: "plan" });
  await story.say("task/p", "task.claimed", { taskId: "p", agent: "a" });
  for (let index = 0; index < 50; index += 1) {
    await story.task(`c${index}`, "a", "completed", { parent: "p" });
  }
  assert.deepEqual(await story.weights("a"), { good: 0, bad: 0 });
  await story.task("other", "b", "completed", { parent: "p" });
  assert.deepEqual(await story.weights("b"), { good: 0.2, bad: 0 });
});

test("one judge moves a score only so far, and others further", async () => {
  const story = new Story();
  for (let index = 0; index < 50; index += 1) await story.judged(`t${index}`, "a", { c: "valid" });
  assert.equal((await story.weights("a")).good, 5);
  await story.judged("more", "a", { d: "valid" });
  assert.equal((await story.weights("a")).good, 6);
  story.now += 60 * dayMs; // two half-lives: the judge may speak again
  await story.judged("later", "a", { c: "invalid" });
  assert.deepEqual(await story.weights("a"), { good: 1.5, bad: 1 });
});

test("what is only said on the bus, or outside of the runtime's streams, counts for nothing", async () => {
  const story = new Story();
  const clock = { ...systemClock, now: () => story.now };
  const making = { clock, random: new SeededRandom(3), source: "liar" };
  const said = [
    createEvent(making, "task.created", { taskId: "t", name: "t", capability: "read" }),
    createEvent(making, "task.claimed", { taskId: "t", agent: "liar" }),
    createEvent(making, "task.completed", { taskId: "t", agent: "liar" }),
    createEvent(making, "violation.detected", { agent: "rival", rule: "forged" }),
    createEvent(making, "score.updated", { agent: "liar", capability: "read", score: 1 }),
  ];
  await story.store.commit({ outbox: said });
  for (const event of said) {
    await story.store.commit({
      appends: [
        {
          stream: "agent/liar",
          expectedVersion: "any",
          events: [{ ...event, id: `x${event.id}` }],
        },
      ],
    });
  }
  assert.deepEqual(await story.state(), {
    scores: {},
    tasks: {},
    proposals: {},
    features: {},
    violations: {},
    untold: {},
  });
});

test("violations are counted apart, also of names that mean something to an object", async () => {
  const story = new Story();
  for (const agent of ["a", "__proto__", "constructor"]) {
    const evidence = { more: 9 };
    await story.say("violations", "violation.detected", { agent, rule: "__proto__", evidence });
  }
  const { violations, scores } = await story.state();
  assert.deepEqual(scores, {});
  assert.deepEqual(Object.entries(violations), [
    [":a", { ":__proto__": 10 }],
    [":__proto__", { ":__proto__": 10 }],
    [":constructor", { ":__proto__": 10 }],
  ]);
  assert.equal(({} as Record<string, unknown>)[":__proto__"], undefined);
});

test("the fold as of any position is the fold of what was there", async () => {
  const story = new Story();
  await story.task("t1", "a", "completed");
  const then = await story.store.head();
  const before = await story.state();
  await story.judged("t2", "a", { c: "invalid" });
  assert.deepEqual(await story.state(then), before);
});
