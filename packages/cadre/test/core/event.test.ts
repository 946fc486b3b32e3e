import assert from "node:assert/strict";
import { test } from "node:test";

import { createEvent, isCadreError, SeededRandom, VirtualClock, type AgentEvent } from "cadre";
import { priorityRank, withMetadata } from "#src/core/event.ts";

const clock = new VirtualClock(1_700_000_000_000);
const context = { clock, random: new SeededRandom(3), source: "reader" };
const made = (payload: unknown): AgentEvent => createEvent(context, "a.b", payload);

function pathOf(payload: unknown): string {
  try {
    made(payload);
  } catch (error) {
    assert.ok(isCadreError(error, "NOT_JSON"), String(error));
    return error.details.path;
  }
  assert.fail("nothing was refused");
}

function fieldOf(options: object): string {
  try {
    createEvent(context, "a.b", {}, options);
  } catch (error) {
    assert.ok(isCadreError(error, "INVALID_EVENT"), String(error));
    return error.details.field;
  }
  assert.fail("nothing was refused");
}

test("an event that begins a flow carries its own id as correlation and has no cause", () => {
  const event = createEvent(context, "task.created", { taskId: "t" });
  assert.match(event.id, /^[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/);
  assert.deepEqual(event, {
    id: event.id,
    type: "task.created",
    source: "reader",
    timestamp: 1_700_000_000_000,
    payload: { taskId: "t" },
    metadata: { version: "1.0.0", correlationId: event.id },
  });
});

test("a caused event keeps the flow's correlation, over any number of causes", () => {
  const first = createEvent(context, "a.b", {}, { tenant: "acme", userId: "u", traceparent: "tp" });
  const second = createEvent(context, "c.d", {}, { cause: first });
  const third = createEvent(context, "e.f", {}, { cause: second, tenant: "other" });
  assert.equal(second.metadata.causationId, first.id);
  assert.equal(third.metadata.causationId, second.id);
  assert.equal(third.metadata.correlationId, first.id);
  assert.equal(second.metadata.tenant, "acme");
  assert.equal(third.metadata.tenant, "other");
  assert.equal(third.metadata.traceparent, "tp");
});

test("a caused event inherits neither key, target, priority nor expiry", () => {
  const cause = createEvent(
    context,
    "a.b",
    {},
    { key: "k", target: "t", priority: "high", expiresAt: 1, extensions: { a: 1 } },
  );
  const { metadata } = createEvent(context, "c.d", {}, { cause });
  assert.deepEqual(Object.keys(metadata), ["version", "correlationId", "causationId"]);
});

test("a publisher's own id, version and correlation are kept", () => {
  const event = createEvent(
    { ...context, version: "2.0.0" },
    "a.b",
    {},
    { id: "mine", correlationId: "flow" },
  );
  assert.equal(event.id, "mine");
  assert.deepEqual(event.metadata, { version: "2.0.0", correlationId: "flow" });
  assert.equal(createEvent(context, "a.b", {}, { version: "1.5.0" }).metadata.version, "1.5.0");
});

test("nobody can change an event, or change it through what it was made of", () => {
  const payload = { list: [{ n: 1 }] };
  const extensions = { deep: { n: 1 } };
  const event = createEvent(context, "a.b", payload, { extensions });
  payload.list[0]!.n = 2;
  payload.list.push({ n: 3 });
  extensions.deep.n = 2;
  assert.deepEqual(event.payload, { list: [{ n: 1 }] });
  assert.deepEqual(event.metadata.extensions, { deep: { n: 1 } });
  const open = event as unknown as {
    type: string;
    payload: { list: { n: number }[] };
    metadata: { version: string };
  };
  assert.throws(() => (open.type = "x"), TypeError);
  assert.throws(() => open.payload.list.push({ n: 4 }), TypeError);
  assert.throws(() => (open.payload.list[0]!.n = 4), TypeError);
  assert.throws(() => (open.metadata.version = "x"), TypeError);
});

test("a payload becomes what it would be after a trip through JSON", () => {
  class Money {
    toJSON(): unknown {
      return { cents: 5 };
    }
  }
  const bare: unknown = Object.assign(Object.create(null), { a: 1 });
  const payload = { zero: -0, gone: undefined, at: new Date(0), money: new Money(), bare };
  const event = made(payload);
  assert.deepEqual(event.payload, JSON.parse(JSON.stringify(payload)));
  assert.ok(Object.is((event.payload as { zero: number }).zero, 0));
});

test("what JSON cannot carry is refused, naming its place", () => {
  const cycle: Record<string, unknown> = {};
  cycle["self"] = { again: cycle };
  assert.equal(pathOf({ a: [{ run: () => 1 }] }), "a[0].run");
  assert.equal(pathOf({ big: 1n }), "big");
  assert.equal(pathOf({ a: { nan: NaN } }), "a.nan");
  assert.equal(pathOf([1, Infinity]), "[1]");
  assert.equal(pathOf({ when: Symbol("now") }), "when");
  assert.equal(pathOf({ map: new Map() }), "map");
  assert.equal(pathOf({ set: new Set() }), "set");
  assert.equal(pathOf({ bytes: new Uint8Array(2) }), "bytes");
  assert.equal(pathOf({ list: [1, undefined] }), "list[1]");
  assert.equal(pathOf({ list: Array.from({ length: 2 }) }), "list[0]");
  assert.equal(pathOf({ error: new Error("x") }), "error");
  assert.match(pathOf(cycle), /^self\.again\.self/);
  assert.equal(pathOf(undefined), "");
  assert.equal(
    pathOf(() => 1),
    "",
  );
  assert.match(pathOf({ bad: { toJSON: () => 1n } }), /^bad/);
});

test("a __proto__ member is carried as a member and changes no prototype", () => {
  const event = made(JSON.parse('{"__proto__":{"admin":true}}'));
  const payload = event.payload as { admin?: boolean };
  assert.ok(Object.hasOwn(payload, "__proto__"));
  assert.equal(payload.admin, undefined);
  assert.equal(({} as { admin?: boolean }).admin, undefined);
});

test("a payload as deep as JSON gets is carried, and one beyond the limit refused", () => {
  const deep = (levels: number): unknown => {
    let value: unknown = 1;
    for (let level = 0; level < levels; level += 1) value = [value];
    return value;
  };
  made(deep(200));
  pathOf(deep(250));
});

test("a type that no carrier takes is refused", () => {
  for (const type of ["", "a..b", ".a", "a b", "a.*", "#", "a\n", "x.".repeat(40) + "x"]) {
    assert.throws(
      () => createEvent(context, type, {}),
      (error) => isCadreError(error, "INVALID_TOPIC"),
      type,
    );
  }
});

test("metadata of the wrong type is refused, naming the field", () => {
  assert.equal(fieldOf({ priority: "urgent" }), "metadata.priority");
  assert.equal(fieldOf({ expiresAt: "soon" }), "metadata.expiresAt");
  assert.equal(fieldOf({ deliverAt: NaN }), "metadata.deliverAt");
  assert.equal(fieldOf({ expiresAt: -1 }), "metadata.expiresAt");
  assert.equal(fieldOf({ target: "" }), "metadata.target");
  assert.equal(fieldOf({ key: 7 }), "metadata.key");
  assert.equal(fieldOf({ correlationId: "" }), "metadata.correlationId");
  assert.equal(fieldOf({ extensions: [1] }), "metadata.extensions");
});

test("other metadata makes another event and leaves the first alone", () => {
  const event = createEvent(context, "a.b", { n: 1 }, { priority: "low", key: "k" });
  const other = withMetadata(event, { priority: "critical", replayOf: event.id });
  assert.equal(other.payload, event.payload);
  assert.equal(other.metadata.priority, "critical");
  assert.equal(other.metadata.key, "k");
  assert.equal(event.metadata.priority, "low");
  assert.ok(Object.isFrozen(other) && Object.isFrozen(other.metadata));
  assert.throws(() => withMetadata(event, { key: "" }), /metadata\.key/);
});

test("priorities rank from low to critical, and none is normal", () => {
  const rank = (priority?: "low" | "normal" | "high" | "critical"): number =>
    priorityRank(createEvent(context, "a.b", {}, priority ? { priority } : {}));
  assert.deepEqual(
    [rank("low"), rank(), rank("normal"), rank("high"), rank("critical")],
    [0, 1, 1, 2, 3],
  );
});
