import assert from "node:assert/strict";
import { test } from "node:test";
import { createBus, KeyRing, memory, signEvent, type AgentEvent, type BusOptions } from "cadre";
import { forger, keyOf, reader, trusted, world, writer } from "./signed-world.ts";

for (const way of ["direct", "fed", "group"] as const) {
  test(`what is signed by its source is handled (${way})`, async (context) => {
    const { bus, clock, seen, violations } = await world(context, way);
    const writing = bus({ identity: writer, source: "writer" });
    await writing.publish("news.today", { text: "fine" });
    await clock.advance(1);
    assert.deepEqual(
      seen.map(({ payload }) => payload),
      [{ text: "fine" }],
    );
    assert.equal(violations.length, 0);
  });

  test(`forged, altered, unsigned and foreign events are never handled (${way})`, async (context) => {
    const { raw, make, seen, violations, clock } = await world(context, way);
    const good = signEvent(make("news.today", { amount: 1 }), writer);
    const stranger = make("news.today", {}, { source: "stranger" });
    await raw(make("news.today", { amount: 1 })); // unsigned
    await raw(signEvent(make("news.today", { amount: 1 }), forger)); // by another key
    await raw({ ...good, id: "altered-1", payload: { amount: 1_000 } });
    await raw({ ...good, id: "altered-2", type: "news.tomorrow" });
    await raw({ ...good, id: "altered-3", metadata: { ...good.metadata, userId: "root" } });
    await raw(signEvent(stranger, forger)); // of nobody that is known
    await raw({ ...good, id: "garbled", metadata: { ...good.metadata, signature: "yes" } });
    await clock.advance(1);
    assert.deepEqual(seen, []);
    assert.deepEqual(
      violations.map(({ payload }) => (payload as { rule: string }).rule),
      ["unsigned", "forged", "altered", "unknown_signer", "malformed_signature"],
    );
  });

  test(`a replay under the same id is handled once (${way})`, async (context) => {
    const { raw, make, seen, clock } = await world(context, way);
    const event = signEvent(make("news.today", { n: 1 }), writer);
    for (let times = 0; times < 5; times += 1) await raw(structuredClone(event));
    await clock.advance(1);
    assert.equal(seen.length, 1);
    // Under another id, or on another topic, it is not what was signed.
    await raw({ ...event, id: "another" });
    await raw({ ...event, type: "news.yesterday" });
    await clock.advance(1);
    assert.equal(seen.length, 1);
  });
}

test("what a process without a key says is not handled within it either", async () => {
  await using bus = createBus({
    transport: memory(),
    source: "nobody",
    signatures: { trusted, mode: "require" },
  });
  const seen: AgentEvent[] = [];
  await bus.subscribe("news.*", (event) => void seen.push(event));
  await bus.subscribe("news.*", { group: "readers" }, (event) => void seen.push(event));
  await bus.publish("news.today", {});
  await bus.idle();
  assert.deepEqual(seen, []);
});

test("a forged event in a group becomes a dead letter of reason rejected, at once", async (context) => {
  const { raw, make, listener, clock } = await world(context, "group");
  await raw(signEvent(make("news.today", {}), forger));
  await clock.advance(10);
  const letters = await Array.fromAsync(listener.deadLetters.list());
  assert.equal(letters.length, 1);
  assert.equal(letters[0]?.reason, "rejected");
  assert.equal(letters[0]?.attempts, 1);
  assert.equal(letters[0]?.error.code, "SIGNATURE_REJECTED");
});

test("mode warn hands everything over and records what is wrong", async (context) => {
  const { raw, make, seen, violations } = await world(context, "direct", { mode: "warn" });
  await raw(make("news.today", {}));
  await raw(signEvent(make("news.today", {}), forger));
  assert.equal(seen.length, 2);
  assert.deepEqual(
    violations.map(({ payload }) => payload),
    [
      violationOf("unsigned", seen[0]!, { rejected: false }),
      violationOf("forged", seen[1]!, { rejected: false, signer: forger.did }),
    ],
  );
});

function violationOf(rule: string, { id, type, source }: AgentEvent, more: object): object {
  return {
    agent: "writer",
    rule,
    severity: "warning",
    evidence: { eventId: id, type, source, ...more },
    detectedBy: "reader",
  };
}

test("mode off looks at nothing", async (context) => {
  const { raw, make, seen, violations } = await world(context, "direct", { mode: "off" });
  await raw(signEvent(make("news.today", {}), forger));
  assert.equal(seen.length, 1);
  assert.equal(violations.length, 0);
});

test("a flood of forgeries is one violation a minute, with the number of the rest", async (context) => {
  const { raw, make, seen, violations, clock } = await world(context);
  for (let times = 0; times < 500; times += 1) await raw(make("news.today", { times }));
  assert.equal(violations.length, 1);
  await clock.advance(60_000);
  await raw(make("news.today", {}));
  assert.equal(violations.length, 2);
  const { evidence } = violations[1]!.payload as { evidence: { more: number } };
  assert.equal(evidence.more, 499);
  assert.deepEqual(seen, []);
});

test("invented sources are bounded: a flood of names is no flood of violations", async (context) => {
  const { raw, make, violations } = await world(context);
  for (let index = 0; index < 3_000; index += 1) {
    await raw(make("news.today", {}, { source: `nobody-${index}` }));
  }
  assert.ok(violations.length <= 1_001, String(violations.length));
});

test("what came too long after it was made is stale, where that is asked for", async (context) => {
  const { raw, make, seen, clock, violations } = await world(context, "group", { freshMs: 1_000 });
  const late = signEvent(make("news.today", { n: 1 }), writer);
  const delayed = signEvent(
    make("news.today", { n: 2 }, { deliverAt: clock.now() + 5_000 }),
    writer,
  );
  const ahead = signEvent({ ...make("news.today", {}), timestamp: clock.now() + 60_000 }, writer);
  await raw(ahead);
  await clock.advance(5_000);
  await raw(late);
  await raw(delayed);
  await clock.advance(10);
  assert.deepEqual(
    seen.map(({ payload }) => payload),
    [{ n: 2 }],
  );
  assert.equal((violations[0]!.payload as { rule: string }).rule, "stale");
});

test("a source may be the DID itself, and is then nobody else's", async (context) => {
  const { raw, make, seen } = await world(context);
  const { did } = writer;
  await raw(signEvent(make("news.today", { n: 1 }, { source: did }), writer));
  await raw(signEvent(make("news.today", { n: 2 }, { source: did }), forger));
  await raw(signEvent(make("news.today", { n: 3 }, { source: forger.did }), forger));
  assert.deepEqual(
    seen.map(({ payload }) => payload),
    [{ n: 1 }],
  );
});

test("a key under * may sign for every name", async (context) => {
  const { raw, make, seen } = await world(context, "direct", {
    trusted: { "*": forger.did, writer: writer.did },
  });
  await raw(signEvent(make("news.today", {}), forger));
  await raw(signEvent(make("news.today", {}, { source: "anybody" }), forger));
  assert.equal(seen.length, 2);
});

test("an object that shows one face to the check and another to the handler shows one", async (context) => {
  const { make, seen, transport, clock } = await world(context);
  const good = signEvent(make("news.today", { amount: 1 }), writer);
  const payload = { amount: 1_000, toJSON: () => ({ amount: 1 }) };
  const trick = { ...good, payload, metadata: { ...good.metadata } };
  await transport.publish([{ event: trick }]);
  await clock.advance(1);
  assert.ok(seen.every((event) => (event.payload as { amount: number }).amount === 1));
});

test("keys count within their time, by the event's instant and by the carrier's", async (context) => {
  const keys = new KeyRing({
    writer: [
      { did: writer.did, notAfter: 1_010_000 },
      { did: forger.did, notBefore: 1_005_000 },
    ],
  });
  const { raw, make, seen, clock } = await world(context, "group", { trusted: keys });
  const early = make("news.today", { n: "early" });
  await raw(signEvent(early, forger)); // its key counts later
  const backdated = signEvent(make("news.today", { n: "backdated" }), writer);
  await clock.advance(6_000);
  await raw(signEvent(make("news.today", { n: "both, old key" }), writer));
  await raw(signEvent(make("news.today", { n: "both, new key" }), forger));
  await clock.advance(10_000);
  await raw(backdated); // who has stolen the old key writes what instant he likes
  await raw(signEvent(make("news.today", { n: "old key" }), writer));
  await raw(signEvent(make("news.today", { n: "new key" }), forger));
  await clock.advance(10);
  assert.deepEqual(
    seen.map(({ payload }) => (payload as { n: string }).n),
    ["both, old key", "both, new key", "new key"],
  );
});

test("a rotation signed by the old key brings in the new one; anybody else's does not", async (context) => {
  const { raw, make, seen, clock, bus } = await world(context, "direct");
  const listener = bus({ identity: reader, source: "reader", signatures: { trusted } });
  const heard: AgentEvent[] = [];
  await listener.subscribe("#", (event) => void heard.push(event));
  const next = keyOf(9);
  const rotation = (at: number): object => ({
    agent: "writer",
    from: writer.did,
    to: next.did,
    at,
    until: at + 1_000,
  });
  await raw(signEvent(make("identity.rotated", rotation(0), { source: "forger" }), forger));
  await raw(signEvent(make("identity.rotated", rotation(0), { source: "reader" }), reader));
  await raw(signEvent(make("news.today", { n: 0 }), next));
  await raw(signEvent(make("identity.rotated", rotation(clock.now())), writer));
  await raw(signEvent(make("news.today", { n: 1 }), next));
  await raw(signEvent(make("news.today", { n: 2 }), writer));
  await clock.advance(2_000);
  await raw(signEvent(make("news.today", { n: 3 }), writer));
  await raw(signEvent(make("news.today", { n: 4 }), next));
  const revocation = { agent: "writer", did: next.did, at: clock.now() };
  await raw(signEvent(make("identity.revoked", revocation), next));
  await raw(signEvent(make("news.today", { n: 5 }), next));
  assert.deepEqual(
    heard.filter(({ type }) => type === "news.today").map(({ payload }) => payload),
    [{ n: 1 }, { n: 2 }, { n: 4 }],
  );
  // Who does not hear of the rotation knows only the old key.
  assert.deepEqual(
    seen.map(({ payload }) => payload),
    [{ n: 2 }, { n: 3 }],
  );
});

test("impossible options are refused", () => {
  const transport = memory();
  const bad = [
    { identity: {} },
    { signatures: { mode: "maybe" } },
    { signatures: { trusted: { reader: "did:web:x" } } },
    { signatures: { freshMs: 0 } },
    { signatures: { unknown: 1 } },
    { permissions: {} },
    { permissions: { rules: [{ who: "a", may: "fly", on: "#" }] } },
    { permissions: { rules: [{ who: "a", may: "publish" }] } },
  ];
  for (const options of bad) {
    assert.throws(() => createBus({ transport, ...options } as unknown as BusOptions), {
      code: "INVALID_OPTION",
    });
  }
});
