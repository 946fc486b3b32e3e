/** What somebody tries who has a key of his own, or can write to the carrier. */
import assert from "node:assert/strict";
import { test } from "node:test";
import {
  checkSignature,
  createIdentity,
  keyRevoked,
  keyRotated,
  KeyRing,
  signEvent,
  type AgentEvent,
} from "cadre";
import { didOfKey, keyOfDid, publicKeyOfDid } from "#src/bus/identity/did-key.ts";
import { forger, keyOf, reader, trusted, world, writer } from "./signed-world.ts";

test("an asker cannot choose on which topic its responder speaks", async (context) => {
  const { bus, raw, make, clock, seen, transport } = await world(context);
  const answering = bus({ identity: reader, source: "reader", signatures: { trusted } });
  const errors: string[] = [];
  answering.onError(({ message }) => void errors.push(message));
  await answering.respond("ask.#", () => ({ transfer: "all" }));
  await raw(signEvent(make("ask.me", {}, { replyTo: "news.fake" }), writer));
  await clock.advance(10);
  assert.deepEqual(seen, []);
  const past = await Array.fromAsync(transport.read!({ type: "news.#" }));
  assert.deepEqual(past, []);
  assert.match(errors.join(), /news\.fake/);
});

test("a forgery whose time has passed is not redriven under a new signature", async (context) => {
  const { bus, raw, make, clock, seen } = await world(context);
  const operator = bus({ identity: writer, source: "writer", signatures: { trusted } });
  const options = { group: "g", expired: "dead-letter" } as const;
  await operator.subscribe("news.#", options, () => undefined);
  await raw(make("news.today", { n: 1 }, { expiresAt: clock.now() - 1 })); // unsigned, too late
  await raw(make("news.today", { n: 2 }, { expiresAt: clock.now() + 50 })); // rejected at first
  await clock.advance(100);
  const letters = await Array.fromAsync(operator.deadLetters.list());
  assert.deepEqual(letters.map(({ reason }) => reason).toSorted(), ["expired", "rejected"]);
  for (const { id } of letters) {
    await assert.rejects(operator.deadLetters.redrive(id), { code: "SIGNATURE_REJECTED" });
  }
  await clock.advance(10);
  assert.deepEqual(seen, []);
  assert.equal((await Array.fromAsync(operator.deadLetters.list())).length, 2);
});

test("a forgery that is edited speaks for its editor, not for the name it bore", async (context) => {
  const { bus, raw, make, clock } = await world(context);
  const both = { identity: reader, source: "reader", identities: { writer } };
  const operator = bus({ ...both, signatures: { trusted } });
  const handled: AgentEvent[] = [];
  await operator.subscribe("news.#", { group: "g" }, (event) => void handled.push(event));
  await raw(signEvent(make("news.today", { n: 1 }), forger));
  await clock.advance(10);
  const [letter] = await Array.fromAsync(operator.deadLetters.list());
  assert.equal(await operator.deadLetters.redrive(letter!.id, { payload: { n: 2 } }), true);
  await clock.advance(10);
  assert.deepEqual(
    handled.map(({ source }) => source),
    ["reader"],
  );
});

test("an id that somebody else has taken first keeps no event away from a broadcast", async (context) => {
  const { raw, make, seen } = await world(context);
  const genuine = signEvent(make("news.today", { by: "writer" }), writer);
  const squatter = make("news.other", {}, { source: "reader", id: genuine.id });
  await raw(signEvent(squatter, reader));
  await raw(genuine);
  assert.deepEqual(
    seen.map(({ source }) => source),
    ["reader", "writer"],
  );
});

// y = 1, -1, 0, both of order 8; and 1 written as p + 1.
const weakKeys = [
  `01${"00".repeat(31)}`,
  `ec${"ff".repeat(30)}7f`,
  "00".repeat(32),
  `${"00".repeat(31)}80`,
  "26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05",
  "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a",
  "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac03fa",
  `ee${"ff".repeat(30)}7f`,
  `ed${"ff".repeat(30)}ff`,
];

test("a key with which anybody can sign anything is none", () => {
  for (const hex of weakKeys) {
    const did = didOfKey(Buffer.from(hex, "hex"));
    assert.equal(keyOfDid(did), undefined, hex);
    assert.equal(publicKeyOfDid(did), undefined, hex);
    assert.throws(() => new KeyRing({ eve: did }), { code: "INVALID_OPTION" });
  }
  assert.ok(keyOfDid(createIdentity().did));
});

// R = A = 1 and S = 0 fit whatever is said: some versions of OpenSSL take it, others do not.
test("a signature that fits every event is taken for none", async (context) => {
  const { make } = await world(context);
  const identity = Buffer.from(weakKeys[0]!, "hex");
  const bytes = Buffer.concat([identity, Buffer.alloc(32)]);
  const signature = `cadre1.${didOfKey(identity)}.${bytes.toString("base64url")}`;
  const event = make("news.today", {}, { signature });
  assert.deepEqual(checkSignature(event), { valid: false, fault: "malformed" });
});

test("a key that has expired or was revoked changes no keys, under whatever name it speaks", async (context) => {
  const { clock } = await world(context);
  const old = { did: writer.did, notAfter: clock.now() - 10 };
  const stolen = { did: writer.did, revokedAt: clock.now() - 10 };
  const next = keyOf(7);
  for (const key of [old, stolen]) {
    // The same key is another name's as well, and there it is good.
    const keys = new KeyRing({ writer: [key, next.did], helper: writer.did });
    const said = keyRotated({ agent: "writer", from: writer, to: forger.did }, clock);
    const disguised = signEvent({ ...said, source: "helper" }, writer);
    assert.equal(keys.apply(disguised, writer.did, clock.now()), false);
    const revoking = keyRevoked({ agent: "writer", did: next.did, by: writer }, clock);
    assert.equal(keys.apply(revoking, writer.did, clock.now()), false);
    const at = clock.now();
    assert.equal(keys.judge("writer", next.did, at, at), "trusted");
    assert.equal(keys.judge("writer", forger.did, at, at), "forged");
  }
});

test("a change of keys that makes no sense changes nothing, and brings nothing down", async (context) => {
  const { clock, make } = await world(context);
  const next = keyOf(7);
  const keys = new KeyRing({ writer: [writer.did, next.did] });
  const revoked = keyRevoked({ agent: "writer", did: writer.did, by: next }, clock);
  assert.equal(keys.apply(revoked, next.did), true);
  const nonsense: readonly (readonly [string, unknown])[] = [
    ...[undefined, null, "later", Infinity].map(
      (at) => ["identity.revoked", { agent: "writer", did: writer.did, at }] as const,
    ),
    ["identity.revoked", null],
    ["identity.revoked", ["writer"]],
    ["identity.revoked", { agent: {}, did: writer.did, at: 1 }],
    ["identity.rotated", { agent: "writer", from: next.did, to: forger.did, at: 1, until: "ever" }],
    ["identity.rotated", { agent: "writer", from: next.did, to: 7, at: 1, until: 2 }],
    ["identity.rotated", "writer"],
  ];
  for (const [type, payload] of nonsense) {
    const event = { ...make(type, {}), payload } as AgentEvent;
    assert.equal(keys.apply(event, next.did), false, JSON.stringify(payload));
  }
  const at = clock.now() + 1_000;
  assert.equal(keys.judge("writer", writer.did, at, at), "revoked");
  assert.equal(keys.judge("writer", next.did, at, at), "trusted");
});

test("nonsense signed by a key that is trusted is passed over like any other event", async (context) => {
  const { raw, make, seen, listener } = await world(context, "group");
  await listener.subscribe("identity.#", { group: "keys" }, (event) => void seen.push(event));
  const broken = { ...make("identity.rotated", {}), payload: null } as unknown as AgentEvent;
  await raw(signEvent(broken, writer));
  assert.deepEqual(
    seen.map(({ type }) => type),
    ["identity.rotated"],
  );
});

test("keys of a name are bounded, however often it changes them", async (context) => {
  const { clock } = await world(context);
  const keys = new KeyRing({ writer: writer.did });
  let from = writer;
  for (let turn = 0; turn < 300; turn += 1) {
    await clock.advance(10);
    const fresh = createIdentity({ seed: Buffer.from(String(turn).padStart(32, "k")) });
    const rotated = keyRotated({ agent: "writer", from, to: fresh.did, overlapMs: 5 }, clock);
    assert.equal(keys.apply(rotated, from.did, clock.now()), true, String(turn));
    from = fresh;
  }
  assert.ok(keys.didsOf("writer").length <= 100);
  assert.equal(keys.nameOf(writer.did), undefined); // forgotten altogether
  assert.equal(keys.nameOf(from.did), "writer");
  const at = clock.now();
  assert.equal(keys.judge("writer", from.did, at, at), "trusted");
  assert.notEqual(keys.judge("writer", writer.did, at, at), "trusted");
});

test("a key can be revoked for all that it has ever signed", async (context) => {
  const { clock } = await world(context);
  const keys = new KeyRing({ writer: [writer.did, keyOf(7).did] });
  const given = { agent: "writer", did: writer.did, by: keyOf(7), at: 0 };
  assert.equal(keys.apply(keyRevoked(given, clock), keyOf(7).did), true);
  // Whatever instants a thief or a carrier writes.
  assert.equal(keys.judge("writer", writer.did, 1, 1), "revoked");
});

test("names and ids of a forgery are cut before they are kept or told", async (context) => {
  const { raw, make, violations, clock } = await world(context);
  const huge = "x".repeat(100_000);
  await raw(make("news.today", {}, { source: huge, id: huge }));
  await clock.advance(10);
  assert.ok(JSON.stringify(violations[0]?.payload).length < 2_000);
  assert.equal(violations.length, 1);
});

test("a forgery under the id of a dead letter does not take its place", async (context) => {
  const { bus, raw, make, clock } = await world(context);
  const operator = bus({ identity: writer, source: "writer", signatures: { trusted } });
  const handled: AgentEvent[] = [];
  let fails = true;
  const options = { group: "g", retry: { maxAttempts: 1 }, expired: "dead-letter" } as const;
  await operator.subscribe("news.#", options, (event) => {
    if (fails) throw new Error("not yet");
    handled.push(event);
  });
  const genuine = signEvent(make("news.today", { n: 1 }), writer);
  await raw(genuine);
  await clock.advance(10);
  await raw({ ...genuine, payload: { n: 2 } });
  await raw({ ...genuine, metadata: { ...genuine.metadata, expiresAt: 1 } });
  await clock.advance(10);
  const letters = await Array.fromAsync(operator.deadLetters.list());
  const reasons = letters.map(({ reason }) => reason).toSorted();
  assert.deepEqual(reasons, ["attempts", "expired", "rejected"]);
  fails = false;
  const mine = letters.find(({ reason }) => reason === "attempts");
  assert.equal(mine?.id, `g/${genuine.id}`);
  assert.equal(await operator.deadLetters.redrive(mine.id), true);
  await clock.advance(10);
  assert.deepEqual(handled, [genuine]);
});

test("a forgery parks no key", async (context) => {
  const { bus, raw, make, clock } = await world(context);
  const handling = bus({ identity: writer, source: "writer", signatures: { trusted } });
  const handled: AgentEvent[] = [];
  const options = { group: "g", ordered: "park-key", expired: "dead-letter" } as const;
  await handling.subscribe("news.#", options, (event) => void handled.push(event));
  await raw(make("news.today", { n: 1 }, { key: "k" }));
  await raw(make("news.today", { n: 2 }, { key: "k", expiresAt: 1 }));
  await raw(signEvent(make("news.today", { n: 3 }, { key: "k" }), writer));
  await clock.advance(10);
  assert.deepEqual(
    handled.map(({ payload }) => payload),
    [{ n: 3 }],
  );
  // What is genuine and too late does, as it says it does.
  await raw(signEvent(make("news.today", { n: 4 }, { key: "k", expiresAt: 1 }), writer));
  await raw(signEvent(make("news.today", { n: 5 }, { key: "k" }), writer));
  await clock.advance(10);
  assert.equal(handled.length, 1);
});

test("no member hides from a signature, whatever its name", async (context) => {
  const { make } = await world(context);
  const plain = signEvent(make("news.today", { n: 1 }), writer);
  for (const name of ["__proto__", "constructor", "toJSON", "", "\u0000", "signature"]) {
    const member = `${JSON.stringify(name)}:{"admin":true}`;
    const added = JSON.stringify(plain).replace('"n":1', `"n":1,${member}`);
    assert.equal(checkSignature(JSON.parse(added) as AgentEvent).valid, false, name);
    const own = JSON.parse(`{"n":1,${member}}`) as object;
    const signed = signEvent(make("news.today", own), writer);
    assert.equal(checkSignature(signed).valid, true, name);
    const wire = JSON.stringify(signed);
    assert.ok(wire.includes(member), name);
    assert.equal(checkSignature(JSON.parse(wire) as AgentEvent).valid, true, name);
    const without = JSON.parse(wire.replace(`,${member}`, "")) as AgentEvent;
    assert.equal(checkSignature(without).valid, false, name);
  }
  // In the metadata too.
  const more = JSON.stringify(plain).replace('"metadata":{', '"metadata":{"__proto__":{"x":1},');
  assert.equal(checkSignature(JSON.parse(more) as AgentEvent).valid, false);
});
