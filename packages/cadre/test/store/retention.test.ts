import assert from "node:assert/strict";
import { test } from "node:test";
import {
  memoryStore,
  runRetention,
  startRetention,
  startSealer,
  verifyLog,
  VirtualClock,
} from "cadre";
import { isCadreError, type, type EventStore, type RetentionRule } from "cadre";
import { defineAgent, defineTask, startCadre, teamStreams } from "cadre/agents";
import { createEvent, type AgentEvent } from "#src/core/event.ts";
import { SeededRandom } from "#src/core/random.ts";
import { removalStream } from "#src/store/removal-record.ts";

const random = new SeededRandom(11);
const dayMs = 86_400_000;

function bench() {
  const clock = new VirtualClock();
  const store = memoryStore({ clock });
  const event = (name: string, payload: unknown = {}): AgentEvent =>
    createEvent({ clock, random, source: "test" }, name, payload);
  const run = (rules: readonly RetentionRule[], more: object = {}) =>
    runRetention({ store, rules, clock, random, ...more });
  return { clock, store, event, run };
}

async function typesIn(store: EventStore, query = {}): Promise<readonly string[]> {
  const found: string[] = [];
  for await (const { event } of store.read(query)) found.push(event.type);
  return found.filter((each) => each !== "log.removed");
}

test("a rule by age removes what is older, of its type and streams alone", async () => {
  const { clock, store, event, run } = bench();
  const add = async (): Promise<void> => {
    await store.commit({
      appends: [
        { stream: "note/1", expectedVersion: "any", events: [event("a.noted"), event("b.noted")] },
        { stream: "other", expectedVersion: "any", events: [event("a.noted")] },
      ],
      outbox: [event("a.noted")],
    });
  };
  await add();
  await clock.advance(2 * dayMs);
  await add();
  const rules = [{ type: "a.*", streamPrefix: "note/", maxAgeMs: dayMs }];
  const plan = await run(rules, { dryRun: true });
  assert.equal(plan.removed, 1);
  assert.equal(await store.head(), 8);
  const report = await run(rules);
  assert.deepEqual(
    report.rules.map(({ matched, removed, held }) => [matched, removed, held]),
    [[2, 1, 0]],
  );
  assert.deepEqual(await typesIn(store, { stream: "note/1" }), ["b.noted", "a.noted", "b.noted"]);
  assert.equal((await typesIn(store)).length, 7);
  assert.equal(await store.version("note/1"), 4);
  assert.equal((await run(rules)).removed, 0);
});

test("a rule by number or bytes removes the oldest; a second rule does not count them again", async () => {
  const { store, event, run } = bench();
  await store.commit({ outbox: Array.from({ length: 10 }, () => event("a.noted", "12345678")) });
  const report = await run([{ type: "a.*", maxEvents: 7 }, { maxBytes: 45 }]);
  assert.deepEqual(
    report.rules.map(({ removed }) => removed),
    [3, 3],
  );
  const left: number[] = [];
  for await (const { position } of store.read({ type: "a.*" })) left.push(position);
  assert.deepEqual(left, [7, 8, 9, 10]);
});

test("what is held stays: by groups, relays, projections, the audit and the user", async () => {
  const { store, event, run } = bench();
  await store.commit({ outbox: Array.from({ length: 10 }, () => event("a.noted")) });
  const rules = [{ maxEvents: 0 }];
  const slot = (name: string, value: string) => ({ name, expectedVersion: "any" as const, value });
  await store.commit({
    slots: [
      slot("projection/sum", JSON.stringify({ version: 1, position: 8, state: 0 })),
      slot("relay/main/position", "7"),
      slot("relay/main/aside/0000000000000002", "{}"),
    ],
  });
  const holds = () => [{ by: "my table", after: 6, positions: [4] }];
  const report = await run(rules, { holds });
  assert.equal(report.removed, 4);
  assert.deepEqual(
    report.holds.map(({ by, after }) => [by, after]),
    [
      ["relay main", 7],
      ["projection sum", 8],
      ["my table", 6],
    ],
  );
  const left: number[] = [];
  for await (const { position } of store.read({ type: "a.*" })) left.push(position);
  assert.deepEqual(left, [2, 4, 7, 8, 9, 10]);
});

test("a sealed log loses only what is sealed, and stays good; a forged removal is found", async () => {
  const { clock, store, event, run } = bench();
  await store.commit({ outbox: Array.from({ length: 10 }, () => event("a.noted")) });
  await startSealer({ store, clock, random, blockRows: 4 }).close();
  await store.commit({ outbox: Array.from({ length: 5 }, () => event("a.noted")) });
  const report = await run([{ type: "a.*", maxEvents: 0 }]);
  assert.equal(report.removed, 10);
  const before = await verifyLog(store);
  assert.deepEqual([before.ok, before.removed, before.rows, before.unsealed], [true, 10, 0, 6]);
  await startSealer({ store, clock, random, blockRows: 4 }).close();
  const sealed = await verifyLog(store);
  assert.deepEqual([sealed.ok, sealed.removed, sealed.rows, sealed.unsealed], [true, 10, 6, 0]);
  await store.commit({ removals: [12], outbox: [event("a.noted")] });
  const { problem } = await verifyLog(store);
  assert.deepEqual([problem?.kind, problem?.position], ["removed", 12]);
});

test("a run removes a bounded number of rows and says that there is more", async () => {
  const { clock, store, event, run } = bench();
  await store.commit({ outbox: Array.from({ length: 600 }, () => event("a.noted")) });
  const first = await run([{ type: "a.*", maxEvents: 0 }], { maxRows: 400 });
  assert.deepEqual([first.removed, first.isCutShort], [400, true]);
  const running = startRetention({
    store,
    clock,
    random,
    rules: [{ type: "a.*", maxEvents: 0 }],
    maxRows: 150,
    everyMs: dayMs,
  });
  await clock.advance(3_000);
  assert.deepEqual(await typesIn(store), []);
  await running.close();
  const positions: number[] = [];
  for await (const { event: record } of store.read({ stream: removalStream })) {
    positions.push((record.payload as { rows: number }).rows);
  }
  assert.equal(
    positions.reduce((sum, rows) => sum + rows, 0),
    600,
  );
});

test("two runs at once: the second is refused", async () => {
  const { store, event, run } = bench();
  await store.commit({ outbox: Array.from({ length: 300 }, () => event("a.noted")) });
  const first = run([{ maxEvents: 0 }]);
  await assert.rejects(run([{ maxEvents: 0 }]), (error) => isCadreError(error, "WRONG_STATE"));
  assert.equal((await first).removed, 300);
});

test("a rule without a limit, or with an impossible one, is refused", async () => {
  const { run } = bench();
  for (const rule of [{}, { type: "a.*" }, { maxAgeMs: -1 }, { maxAge: 1 } as RetentionRule]) {
    await assert.rejects(run([rule]), (error) => isCadreError(error, "INVALID_OPTION"));
  }
  await assert.rejects(run([{ type: "a.**b", maxEvents: 1 }]), (error) =>
    isCadreError(error, "INVALID_PATTERN"),
  );
});

test("streams of tasks go whole, and only when they have ended; agents' own streams never go", async () => {
  const Work = defineTask({ name: "work", input: type<number>(), output: type<number>() });
  const { clock, store, event, run } = bench();
  const agent = defineAgent({ name: "agent" }).does(Work, async (input, { signal }) => {
    if (input === 0) await clock.sleep(30 * dayMs, signal);
    return input;
  });
  const team = await startCadre({ agents: [agent], store, clock, random });
  const done = await team.tasks.create(Work, 1);
  await clock.advance(1_000);
  assert.equal(await done.result(), 1);
  const open = await team.tasks.create(Work, 0);
  await clock.advance(1_000);
  await store.commit({
    appends: [{ stream: "agent/agent", expectedVersion: "any", events: [event("a.noted")] }],
  });
  await clock.advance(1_000);
  const guards = teamStreams;
  const partly = await run([{ type: "task.completed", maxAgeMs: 0 }], { guards });
  assert.equal(partly.removed, 0);
  await run([{ maxAgeMs: 0 }], { guards });
  assert.deepEqual(await typesIn(store, { stream: `task/${done.id}` }), []);
  const left = await typesIn(store, { stream: `task/${open.id}` });
  assert.equal(left[0], "task.created");
  assert.deepEqual(await typesIn(store, { stream: "agent/agent" }), ["a.noted"]);
  const closing = team.close({ deadlineMs: 0 });
  await clock.advance(10_000);
  await closing;
});
