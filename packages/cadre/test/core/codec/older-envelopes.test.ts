/** What other programs write in the older envelopes, and what is refused. */
import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { test } from "node:test";

import { createEvent, isCadreError, wireFormat } from "cadre";

import { sha256 } from "#src/core/codec/digest.ts";
import { bodyOf, context, read, receivedAt } from "./older-envelope.ts";

function reasonOf(message: unknown): string {
  try {
    read(message);
  } catch (error) {
    assert.ok(isCadreError(error, "UNDECODABLE"), String(error));
    return error.details.reason;
  }
  assert.fail("nothing was refused");
}

const shapes: readonly (readonly [what: string, message: object, event: object])[] = [
  [
    "MAF",
    {
      event_id: "1",
      event_type: "TASK_STARTED",
      timestamp: "2024-05-01T10:00:00",
      source: "a",
      target: "b",
      payload: { x: 1 },
    },
    {
      id: "1",
      type: "task.started",
      timestamp: Date.UTC(2024, 4, 1, 10),
      source: "a",
      target: "b",
      payload: { x: 1 },
    },
  ],
  [
    "platform",
    {
      event_id: "1",
      event_type: "memory.created",
      timestamp: "2024-05-01T12:00:00.5+02:00",
      source_service: "svc",
      payload: {},
      metadata: { version: "1.0" },
    },
    {
      id: "1",
      type: "memory.created",
      timestamp: Date.UTC(2024, 4, 1, 10, 0, 0, 500),
      source: "svc",
      payload: {},
    },
  ],
  [
    "type, data and epoch seconds",
    {
      id: "1",
      type: "agent.heartbeat",
      timestamp: 1_714_557_600.25,
      source: "a",
      data: { agent: "a" },
    },
    {
      id: "1",
      type: "agent.heartbeat",
      timestamp: 1_714_557_600_250,
      source: "a",
      payload: { agent: "a" },
    },
  ],
  [
    "parameters and epoch milliseconds",
    {
      event_id: "1",
      event_type: "AGENT_QUERY",
      timestamp: 1_714_557_600_250,
      source: "a",
      target: "b",
      parameters: { q: 1 },
    },
    {
      id: "1",
      type: "agent.query",
      timestamp: 1_714_557_600_250,
      source: "a",
      target: "b",
      payload: { q: 1 },
    },
  ],
  [
    "lower case, a time as text, and Python's way to write a date",
    {
      id: 1,
      type: "task_failed",
      time: "2024-05-01 10:00:00.123456",
      source: "a",
      payload: { error: null },
    },
    {
      id: "1",
      type: "task.failed",
      timestamp: Date.UTC(2024, 4, 1, 10, 0, 0, 123),
      source: "a",
      payload: { error: null },
    },
  ],
];

for (const [what, message, { target, ...expected }] of shapes as readonly (readonly [
  string,
  object,
  Record<string, unknown>,
])[]) {
  test(`an older envelope is read: ${what}`, () => {
    const { metadata, ...event } = read(message);
    assert.deepEqual(event, expected);
    assert.equal(metadata.target, target);
    assert.equal(metadata.version, "1.0.0");
    assert.equal(metadata.correlationId, event.id);
  });
}

test("a time may be ISO with or without a zone, or epoch in seconds or milliseconds", () => {
  const at = (timestamp: unknown): number => read({ event_type: "ERROR", timestamp }).timestamp;
  const instant = Date.UTC(2024, 4, 1, 10, 0, 0, 120);
  for (const [said, meant] of [
    ["2024-05-01T10:00:00.12", instant],
    ["2024-05-01T10:00:00.120999Z", instant],
    ["2024-05-01t10:00:00.12z", instant],
    ["2024-05-01 12:00:00.12+0200", instant],
    ["2024-05-01T08:00:00.12-02", instant],
    ["2024-05-01", Date.UTC(2024, 4, 1)],
    ["2024-05-01T10:00", Date.UTC(2024, 4, 1, 10)],
    [instant, instant],
    [String(instant), instant],
    [instant / 1_000, instant],
    [`${instant / 1_000}`, instant],
    [instant * 1_000, instant],
    [0, 0],
    [null, receivedAt],
    ["", receivedAt],
  ] as const) {
    assert.equal(at(said), meant, JSON.stringify(said));
  }
  for (const bad of ["soon", "2024-13-01", "2024-02-30T10:00:00", "10:00", {}, [1], true, 1e300]) {
    assert.equal(reasonOf({ event_type: "ERROR", timestamp: bad }), "its timestamp is no instant");
  }
});

test("unknown members are extensions, each under its place", () => {
  const { metadata } = read({
    event_type: "ERROR",
    payload: {},
    trace_id: "t",
    "a/b": [1],
    metadata: { session: { id: 5 }, user_id: "u" },
  });
  assert.equal(metadata.userId, "u");
  assert.deepEqual(metadata.extensions, {
    "/trace_id": "t",
    "/a~1b": [1],
    "/metadata/session": { id: 5 },
    "/metadata/user_id": "u",
  });
});

test("an extension that a publisher has made up does not take a member's place", () => {
  const extensions = { "/event_id": "forged", "/source": "forged", "/payload": { forged: true } };
  const event = createEvent(context, "task.created", { taskId: "t" }, { id: "e", extensions });
  const body = bodyOf(event, "maf");
  assert.equal(body["event_id"], "e");
  assert.equal(body["source"], "planner");
  assert.deepEqual(body["payload"], { taskId: "t" });
});

test("a message without an id has one that follows from its bytes", () => {
  const message = '{"event_type":"AGENT_HEARTBEAT","source":"coder"}';
  const { id } = read(message);
  assert.match(id, /^sha256-[0-9a-f]{32}$/);
  assert.equal(read(message).id, id);
  assert.notEqual(read(`${message} `).id, id);
  assert.equal(read(message).metadata.correlationId, id);
});

test("the digest is SHA-256", () => {
  for (const length of [0, 1, 55, 56, 63, 64, 65, 119, 1_000]) {
    const bytes = Uint8Array.from({ length }, (_, index) => (index * 31) % 251);
    assert.equal(sha256(bytes), createHash("sha256").update(bytes).digest("hex"), `${length}`);
  }
});

test("what is missing is filled in", () => {
  const { id: _id, ...event } = read({ event_type: "ERROR" });
  assert.deepEqual(
    { ...event, metadata: event.metadata.version },
    { type: "error", source: "unknown", timestamp: receivedAt, payload: {}, metadata: "1.0.0" },
  );
});

test("a version of one or two numbers is one of three", () => {
  const version = (said: unknown): string =>
    read({ event_type: "ERROR", metadata: { version: said } }).metadata.version;
  assert.deepEqual(["1.0", "1", 1, 1.2, "2.1.3", "1.0.0-beta.1", "latest", null, {}].map(version), [
    "1.0.0",
    "1.0.0",
    "1.0.0",
    "1.2.0",
    "2.1.3",
    "1.0.0-beta.1",
    "1.0.0",
    "1.0.0",
    "1.0.0",
  ]);
});

test("what Python writes and JSON does not have is refused in words", () => {
  assert.equal(
    reasonOf('{"event_type":"A","payload":{"x":NaN}}'),
    "it has NaN, which JSON does not have",
  );
  assert.equal(
    reasonOf('{"event_type":"A","payload":[-Infinity]}'),
    "it has -Infinity, which JSON does not have",
  );
  assert.match(reasonOf('{"event_type":"NaN",'), /^it is no JSON/);
  const { payload } = read('{"event_type":"A","payload":"NaN, Infinity"}');
  assert.equal(payload, "NaN, Infinity");
});

test("an integer that a double would change is refused, and one that it holds is not", () => {
  assert.equal(
    reasonOf('{"event_type":"A","payload":{"row":9007199254740993}}'),
    'its number 9007199254740993 at "row" is beyond what a double holds; send it as text',
  );
  const { payload } = read(
    '{"event_type":"A","payload":[9007199254740991,100000000000000000000,1e300]}',
  );
  assert.deepEqual(payload, [9_007_199_254_740_991, 1e20, 1e300]);
  assert.deepEqual(
    read('{"event_type":"A","payload":"9007199254740993"}').payload,
    "9007199254740993",
  );
  assert.deepEqual(
    read('{"event_type":"A","payload":0.12345678901234567890}').payload,
    0.12345678901234568,
  );
});

test("hostile messages change no prototype and break nothing", () => {
  const event = read(
    '{"event_type":"A","__proto__":{"polluted":1},"payload":{"__proto__":{"polluted":1}},' +
      '"metadata":{"__proto__":{"polluted":1},"constructor":{"prototype":1}}}',
  );
  assert.equal(({} as Record<string, unknown>)["polluted"], undefined);
  assert.equal((event.metadata as unknown as Record<string, unknown>)["polluted"], undefined);
  assert.equal(Object.getPrototypeOf(event.payload), Object.prototype);
  assert.deepEqual(Object.keys(event.metadata.extensions ?? {}), [
    "/metadata/__proto__",
    "/metadata/constructor",
    "/__proto__",
  ]);
  const again = wireFormat("maf").decode(wireFormat("maf").encode(event));
  assert.deepEqual(again, event);
});

test("of members of one name the last counts, as in Python", () => {
  const event = read(
    '{"event_type":"TASK_CREATED","event_type":"TASK_FAILED","event_id":"1","event_id":"2"}',
  );
  assert.deepEqual([event.type, event.id], ["task.failed", "2"]);
});

test("a message of wrong types is refused, naming the member", () => {
  const deep = `${"[".repeat(100_000)}${"]".repeat(100_000)}`;
  for (const [message, reason] of [
    ["[]", /no JSON object/],
    ["null", /no JSON object/],
    ["{}", /no specversion, no event_type and no type/],
    [{ event_type: null }, /its type is no topic/],
    [{ event_type: "" }, /its type is no topic/],
    [{ event_type: {} }, /its event_type is no text/],
    [{ event_type: "two words" }, /its type is no topic/],
    [{ event_type: "a.*" }, /its type is no topic/],
    [{ event_type: `A${"_B".repeat(200)}` }, /its type is no topic/],
    [{ event_type: "A", event_id: {} }, /its event_id is no text/],
    [{ event_type: "A", source: ["x"] }, /its source is no text/],
    [{ event_type: "A", source_service: true }, /its source_service is no text/],
    [{ event_type: "A", metadata: { cadre: { priority: "urgent" } } }, /metadata.priority/],
    [{ event_type: "A", metadata: { cadre: { id: 5 } } }, /its id is no text/],
    [{ event_type: "A", metadata: { cadre: { type: "a b" } } }, /its type is no topic/],
    [{ event_type: "A", metadata: { cadre: { expiresAt: "soon" } } }, /metadata.expiresAt/],
    [{ event_type: "A", metadata: { cadre: { extensions: [] } } }, /extensions are no object/],
    [`{"event_type":"A","payload":${deep}}`, /deeper than 256 levels|no JSON/],
    ["\u0000", /no JSON/],
  ] as const) {
    assert.match(reasonOf(message), reason, JSON.stringify(message).slice(0, 80));
  }
});

test("a member cadre of another system's is a member like any other", () => {
  const event = read({ event_type: "A", metadata: { cadre: "infantry" } });
  assert.deepEqual(event.metadata.extensions, { "/metadata/cadre": "infantry" });
  assert.deepEqual(wireFormat("maf").decode(wireFormat("maf").encode(event)), event);
});
