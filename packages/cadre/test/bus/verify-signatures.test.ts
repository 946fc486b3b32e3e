import assert from "node:assert/strict";
import { test } from "node:test";
import {
  createEvent,
  keyRevoked,
  keyRotated,
  memoryStore,
  SeededRandom,
  signEvent,
  verifySignatures,
  VirtualClock,
  type AgentEvent,
  type EventOptions,
  type EventStore,
} from "cadre";
import { forger, keyOf, trusted, writer } from "./signed-world.ts";

function setUp() {
  const clock = new VirtualClock(1_000_000);
  const random = new SeededRandom(2);
  const store = memoryStore({ clock });
  const make = (n: number, source = "writer", options: EventOptions = {}): AgentEvent =>
    createEvent({ clock, random, source }, "custom.said", { n }, options);
  const keep = (...events: AgentEvent[]): Promise<unknown> => store.commit({ outbox: events });
  return { clock, store, make, keep };
}

const verify = (store: EventStore, keys: Parameters<typeof verifySignatures>[1]["trusted"]) =>
  verifySignatures(store.read(), { trusted: keys });

test("a log tells which of its events nobody has signed who may", async () => {
  const { store, make, keep } = setUp();
  const good = signEvent(make(1), writer);
  await keep(
    good,
    { ...good, id: "another", payload: { n: 2 } }, // altered
    signEvent(make(3), forger),
    signEvent(make(4, "nobody"), forger),
    make(5), // of a source that has a key
    make(6, "stranger"), // of one that has none
    { ...make(7), metadata: { ...make(7).metadata, signature: "cadre1.x.y" } },
  );
  const { problems, ...report } = await verify(store, trusted);
  assert.deepEqual(report, { ok: false, good: 1, unsigned: 1, apart: 0, bad: 5 });
  assert.deepEqual(
    problems.map(({ position, rule }) => `${position} ${rule}`),
    ["2 altered", "3 forged", "4 unknown_signer", "5 unsigned", "7 malformed_signature"],
  );
  assert.equal(problems[1]?.signer, forger.did);
});

test("keys count as they did when an event was taken", async () => {
  const { clock, store, make, keep } = setUp();
  const next = keyOf(9);
  const from = 1_000_010;
  await keep(make(0)); // before there was a key
  await clock.advance(10);
  await keep(signEvent(make(1), writer), signEvent(make(2), next));
  await keep(keyRotated({ agent: "writer", from: writer, to: next.did, overlapMs: 10 }, clock));
  await keep(signEvent(make(3), next), signEvent(make(4), writer));
  await clock.advance(100);
  await keep(signEvent(make(5), writer), signEvent(make(6), next));
  await keep(keyRevoked({ agent: "writer", did: next.did, by: next }, clock));
  await keep(signEvent(make(7), next));
  const report = await verify(store, { writer: { did: writer.did, notBefore: from } });
  assert.deepEqual(
    report.problems.map(({ position, rule }) => `${position} ${rule}`),
    ["3 forged", "7 key_expired", "10 key_revoked"],
  );
  assert.deepEqual([report.good, report.unsigned, report.bad], [6, 1, 3]);
});

test("as many problems are named as one asks for, and all are counted", async () => {
  const { store, make, keep } = setUp();
  await keep(...Array.from({ length: 20 }, (_, n) => make(n)));
  const report = await verifySignatures(store.read(), { trusted, maxProblems: 3 });
  assert.deepEqual([report.bad, report.problems.length], [20, 3]);
});

test("a payload that is kept apart is said to be, and is no forgery", async () => {
  const { store, make, keep } = setUp();
  const event = signEvent(make(1), writer);
  const dataref = "cadre-blob:sha256-abc";
  const reference = {
    ...event,
    payload: { dataref, bytes: 10 },
    metadata: { ...event.metadata, extensions: { dataref } },
  };
  await keep(reference);
  const report = await verify(store, trusted);
  assert.deepEqual([report.ok, report.apart, report.bad], [true, 1, 0]);
});
