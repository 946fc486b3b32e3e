import assert from "node:assert/strict";
import { test } from "node:test";

import {
  createEvent,
  decodeEvent,
  encodeEvent,
  isCadreError,
  SeededRandom,
  VirtualClock,
} from "cadre";
import fc from "fast-check";

import { anyEvent, runs } from "./arbitrary-event.ts";

const context = { clock: new VirtualClock(), random: new SeededRandom(7), source: "reader" };
const event = createEvent(context, "task.created", { taskId: "t" });
const text = (value: unknown): Uint8Array => new TextEncoder().encode(JSON.stringify(value));
const raw = (json: string): Uint8Array => new TextEncoder().encode(json);

function withPayload(json: string): Uint8Array {
  return raw(JSON.stringify({ ...event, payload: "PAYLOAD" }).replace('"PAYLOAD"', json));
}

function reasonOf(bytes: Uint8Array): string {
  try {
    decodeEvent(bytes);
  } catch (error) {
    assert.ok(isCadreError(error, "UNDECODABLE"), String(error));
    return error.details.reason;
  }
  assert.fail("nothing was refused");
}

test("every event comes back unchanged and frozen all the way down", () => {
  fc.assert(
    fc.property(anyEvent, (one) => {
      const back = decodeEvent(encodeEvent(one));
      assert.deepStrictEqual(back, one);
      assert.deepEqual(Object.keys(back.metadata), Object.keys(one.metadata));
      assertFrozen(back);
    }),
    runs,
  );
});

function assertFrozen(value: unknown): void {
  if (typeof value !== "object" || value === null) return;
  assert.ok(Object.isFrozen(value));
  for (const member of Object.values(value)) assertFrozen(member);
}

test("a lone surrogate travels escaped and comes back", () => {
  const lone = createEvent(context, "a.b", { half: "x\ud800y" });
  const bytes = encodeEvent(lone);
  assert.match(new TextDecoder("utf-8", { fatal: true }).decode(bytes), /x\\ud800y/);
  assert.deepEqual(decodeEvent(bytes).payload, { half: "x\ud800y" });
});

test("a __proto__ member arrives as a member and changes no prototype", () => {
  const { payload } = decodeEvent(withPayload('{"__proto__":{"admin":true},"a":1}'));
  assert.ok(Object.hasOwn(payload as object, "__proto__"));
  assert.equal((payload as { admin?: boolean }).admin, undefined);
  assert.equal(Object.getPrototypeOf(payload), Object.prototype);
});

test("-0 arrives as 0, wherever it stands", () => {
  const { payload } = decodeEvent(withPayload('{"a":-0,"b":[-0,{"__proto__":-0}]}'));
  const { a, b } = payload as { a: number; b: [number, Record<string, number>] };
  assert.ok(Object.is(a, 0) && Object.is(b[0], 0) && Object.is(b[1]["__proto__"], 0));
  assert.ok(Object.is(decodeEvent(withPayload("-0")).payload, 0));
});

test("an event over the size limit is refused in both directions", () => {
  const big = createEvent(context, "a.b", "x".repeat(2_000));
  for (const run of [
    () => encodeEvent(big, { maxBytes: 1_000 }),
    () => decodeEvent(encodeEvent(big), { maxBytes: 1_000 }),
  ]) {
    assert.throws(run, (error) => {
      assert.ok(isCadreError(error, "TOO_LARGE"));
      assert.equal(error.details.maxBytes, 1_000);
      return error.details.bytes > 2_000;
    });
  }
  const exact = encodeEvent(big).length;
  assert.equal(encodeEvent(big, { maxBytes: exact }).length, exact);
  assert.throws(() => encodeEvent(big, { maxBytes: exact - 1 }));
});

test("the size counts bytes, not characters", () => {
  const wide = createEvent(context, "a.b", "💡".repeat(100));
  const { length } = encodeEvent(wide);
  assert.ok(length > JSON.stringify(wide).length);
  assert.throws(() => encodeEvent(wide, { maxBytes: length - 1 }), /bytes/);
});

test("members that this version does not know are kept as extensions", () => {
  const newer = {
    ...event,
    hint: 1,
    metadata: { ...event.metadata, weight: [2], extensions: { hint: "mine" } },
  };
  assert.deepEqual(decodeEvent(text(newer)).metadata.extensions, { hint: "mine", weight: [2] });
});

test("what is no event is refused with its reason", () => {
  assert.match(reasonOf(raw("")), /no JSON/);
  assert.match(reasonOf(raw("{")), /no JSON/);
  assert.match(reasonOf(raw("\ufeff{}")), /no JSON/);
  assert.match(reasonOf(new Uint8Array([0x22, 0xff, 0x22])), /no UTF-8/);
  assert.match(reasonOf(raw("[]")), /no JSON object/);
  assert.match(reasonOf(raw("null")), /no JSON object/);
  assert.match(reasonOf(raw("{}")), /metadata/);
  assert.match(reasonOf(withPayload("1e999")), /out of range/);
  assert.match(reasonOf(withPayload("[".repeat(50_000) + "]".repeat(50_000))), /levels/);
  const { payload: _payload, ...noPayload } = event;
  assert.match(reasonOf(text(noPayload)), /payload/);
  assert.match(reasonOf(text({ ...event, id: 7 })), /id/);
  assert.match(reasonOf(text({ ...event, type: "a b" })), /type/);
  assert.match(reasonOf(text({ ...event, source: null })), /source/);
  assert.match(reasonOf(text({ ...event, timestamp: "now" })), /timestamp/);
  assert.match(reasonOf(text({ ...event, metadata: { version: "1.0.0" } })), /correlationId/);
  assert.match(reasonOf(text({ ...event, metadata: { correlationId: "1" } })), /version/);
  const bad = { priority: "urgent", expiresAt: "soon", target: 3, extensions: [1], key: "" };
  for (const [field, value] of Object.entries(bad)) {
    const reason = reasonOf(text({ ...event, metadata: { ...event.metadata, [field]: value } }));
    assert.match(reason, new RegExp(`metadata.${field}`));
  }
});
