import assert from "node:assert/strict";
import { mkdtempSync, rmSync, statSync, chmodSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { generateKeyPairSync } from "node:crypto";
import { test } from "node:test";
import {
  checkSignature,
  createEvent,
  createIdentity,
  exportIdentity,
  identityFrom,
  loadIdentity,
  SeededRandom,
  signEvent,
  VirtualClock,
  wireFormat,
  wireFormatNames,
  type AgentEvent,
} from "cadre";
import fc from "fast-check";
import { fromBase58, toBase58 } from "#src/bus/identity/base58.ts";
import { didOfKey, keyOfDid } from "#src/bus/identity/did-key.ts";
import { anyEvent } from "../core/codec/arbitrary-event.ts";
import { allMutations, mutations } from "./mutations.ts";

const seed = process.env["CADRE_SEED"] ? { seed: Number(process.env["CADRE_SEED"]) } : {};
const reader = createIdentity({ seed: new Uint8Array(32).fill(1) });
const other = createIdentity({ seed: new Uint8Array(32).fill(2) });

// The test vectors of the did:key specification (Ed25519), and the one of RFC 8032, 7.1.
const vectors = [
  {
    seed: "0000000000000000000000000000000000000000000000000000000000000000",
    did: "did:key:z6MkiTBz1ymuepAQ4HEHYSF1H8quG5GLVVQR3djdX3mDooWp",
  },
  {
    seed: "0000000000000000000000000000000000000000000000000000000000000001",
    did: "did:key:z6MkjchhfUsD6mmvni8mCdXHw216Xrm9bQe2mBH1P5RDjVJG",
  },
  {
    seed: "0000000000000000000000000000000000000000000000000000000000000002",
    did: "did:key:z6MknGc3ocHs3zdPiJbnaaqDi58NGb4pk1Sp9WxWufuXSdxf",
  },
];

test("a key has the DID that the specification says", () => {
  for (const vector of vectors) {
    const identity = createIdentity({ seed: Buffer.from(vector.seed, "hex") });
    assert.equal(identity.did, vector.did);
    const raw = keyOfDid(vector.did);
    assert.ok(raw);
    assert.equal(didOfKey(raw), vector.did);
  }
});

test("base58 has its known values, and takes back what it gave", () => {
  assert.equal(toBase58(Buffer.from("Hello World!")), "2NEpo7TZRRrLZSi2U");
  assert.equal(toBase58(Buffer.from("0000287fb4cd", "hex")), "11233QC4");
  assert.equal(toBase58(new Uint8Array()), "");
  for (const text of ["0", "O", "I", "l", "é", "1".repeat(300)]) {
    assert.equal(fromBase58(text), undefined);
  }
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 40 }), (bytes) => {
      assert.deepEqual(fromBase58(toBase58(bytes)), bytes);
    }),
    { ...seed, numRuns: 300 },
  );
});

test("what is no did:key of an Ed25519 key is none", () => {
  const secp = "did:key:zQ3shokFTS3brHcDQrn82RUDfCZESWL1ZdCEJwekUDPQiYBme";
  const x25519 = "did:key:z6LSbysY2xFMRpGMhb7tFTLMpeuPRaqaWM1yECx2AtzE3KCc";
  const bad = [secp, x25519, "did:web:example.org", "did:key:z", "did:key:", "", "z6Mk"];
  for (const did of [...bad, `${reader.did}1`, reader.did.slice(0, -1), `${reader.did}#x`]) {
    assert.equal(keyOfDid(did), undefined, did);
  }
});

test("an identity is had from PEM, from a JWK and from its seed, and shows no key", () => {
  const { privateKey } = generateKeyPairSync("ed25519");
  const pem = privateKey.export({ format: "pem", type: "pkcs8" }) as string;
  const { did } = identityFrom(pem);
  assert.equal(identityFrom(privateKey.export({ format: "jwk" })).did, did);
  assert.equal(identityFrom(privateKey).did, did);
  assert.equal(identityFrom(exportIdentity(reader)).did, reader.did);
  assert.deepEqual(Object.keys(reader), ["did", "sign"]);
  const rsa = generateKeyPairSync("rsa", { modulusLength: 1024 }).privateKey;
  const isPublic = { kty: "OKP", crv: "Ed25519", x: "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo" };
  for (const key of ["", "no key", rsa, isPublic, {}]) {
    assert.throws(() => identityFrom(key), { code: "INVALID_OPTION" });
  }
  assert.throws(() => createIdentity({ seed: new Uint8Array(31) }), { code: "INVALID_OPTION" });
});

test("a key file is made once, for its owner alone, and refused when others may read it", () => {
  const folder = mkdtempSync(join(tmpdir(), "cadre-identity-"));
  try {
    const path = join(folder, "reader.pem");
    const { did } = loadIdentity(path);
    assert.equal(statSync(path).mode & 0o777, 0o600);
    assert.equal(loadIdentity(path).did, did);
    chmodSync(path, 0o644);
    assert.throws(() => loadIdentity(path), /others than its owner may read it/);
    const jwk = join(folder, "reader.jwk");
    const key = generateKeyPairSync("ed25519").privateKey.export({ format: "jwk" });
    writeFileSync(jwk, JSON.stringify(key), { mode: 0o600 });
    assert.equal(loadIdentity(jwk).did, identityFrom(key).did);
    writeFileSync(join(folder, "bad"), "{", { mode: 0o600 });
    assert.throws(() => loadIdentity(join(folder, "bad")), { code: "INVALID_OPTION" });
    assert.throws(() => loadIdentity(join(folder, "no", "folder")), { code: "INVALID_OPTION" });
  } finally {
    rmSync(folder, { recursive: true });
  }
});

test("a signature is that of the format's description, byte for byte", () => {
  const context = { clock: new VirtualClock(1_700_000_000_000), random: new SeededRandom(1) };
  const event = createEvent(
    { ...context, source: "reader" },
    "custom.read",
    { b: 1, a: ["é", 0.1, null] },
    { id: "e1" },
  );
  const signed = signEvent(event, createIdentity({ seed: new Uint8Array(32) }));
  assert.equal(
    signed.metadata.signature,
    "cadre1.did:key:z6MkiTBz1ymuepAQ4HEHYSF1H8quG5GLVVQR3djdX3mDooWp." +
      "eRTBlILT2dwdZckTp60BRaOZ7YLhta-spHURkoQ4yPvtLurapqSaeNXKzBkmmDVfrbti-tlL081iMRnzOrPTAA",
  );
  assert.deepEqual(checkSignature(signed), { valid: true, signer: vectors[0]!.did });
});

/** Events that have a canonical form: no half of a surrogate pair. */
const signable = anyEvent.filter((event) => !/\\ud[89a-f]/i.test(JSON.stringify(event)));

test("an event is not the same with any one of its fields changed", () => {
  const context = { clock: new VirtualClock(1), random: new SeededRandom(1), source: "reader" };
  const options = {
    target: "b",
    key: "k",
    priority: "high",
    expiresAt: 9,
    deliverAt: 8,
    agentId: "a",
    userId: "u",
    tenant: "t",
    traceparent: "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
    tracestate: "x=1",
    replyTo: "reply.x",
    replayOf: "r",
    extensions: { failed: "1" },
  } as const;
  const event = signEvent(createEvent(context, "a.b", { n: 1, list: [1, "2"] }, options), reader);
  const all = allMutations(event, other);
  assert.ok(all.length > 40, String(all.length));
  for (const { what, event: changed } of all) {
    assert.equal(checkSignature(changed).valid, false, what);
  }
});

test("text with half a surrogate pair cannot be signed", () => {
  const context = { clock: new VirtualClock(1), random: new SeededRandom(1), source: "a" };
  const event = createEvent(context, "a", { text: "\ud800" });
  assert.throws(() => signEvent(event, reader), { code: "NOT_JSON" });
});

test("10,000 signed events are good, and none of 10,000 mutated ones is", () => {
  let good = 0;
  let bad = 0;
  fc.assert(
    fc.property(signable, fc.infiniteStream(fc.nat()), (event, chances) => {
      const signed = signEvent(event, reader);
      assert.equal(checkSignature(signed).valid, true);
      good += 1;
      for (const mutated of mutations(signed, chances, other)) {
        assert.equal(checkSignature(mutated.event).valid, false, mutated.what);
        bad += 1;
      }
    }),
    { ...seed, numRuns: 10_000 },
  );
  assert.ok(good >= 10_000 && bad >= 10_000, `${good} good, ${bad} bad`);
});

for (const format of wireFormatNames) {
  test(`a signature survives the wire format ${format}`, () => {
    const wire = wireFormat(format);
    fc.assert(
      fc.property(signable, (event) => {
        const signed = signEvent(event, reader);
        assert.deepEqual(checkSignature(overTheWire(wire, signed)), {
          valid: true,
          signer: reader.did,
        });
      }),
      { ...seed, numRuns: 300 },
    );
  });
}

test("no byte of an event on the wire can be another", () => {
  const wire = wireFormat("cloudevents");
  fc.assert(
    fc.property(signable, fc.nat(), fc.integer({ min: 1, max: 255 }), (event, at, mask) => {
      const signed = signEvent(event, reader);
      const body = Buffer.from(wire.encode(signed).body);
      body[at % body.length]! ^= mask;
      let read: AgentEvent;
      try {
        read = wire.decode({ body, contentType: "application/cloudevents+json" });
      } catch {
        return; // no event any more
      }
      // What is spelled otherwise and means the same is the same event.
      if (checkSignature(read).valid) assert.deepEqual(read, signed);
    }),
    { ...seed, numRuns: 2_000 },
  );
});

function overTheWire(wire: ReturnType<typeof wireFormat>, event: AgentEvent): AgentEvent {
  return wire.decode(wire.encode(event));
}
