/** Every event through every format, and older messages through Cadre. */
import assert from "node:assert/strict";
import { test } from "node:test";

import {
  createEvent,
  isCadreError,
  wireFormat,
  wireFormatNames,
  type CloudBinding,
  type JsonValue,
} from "cadre";
import fc from "fast-check";

import { withMetadata } from "#src/core/event.ts";
import { toFrozenJson } from "#src/core/json.ts";
import { bodyOf, context, read, receivedAt } from "./older-envelope.ts";
import { anyEvent, runs } from "./arbitrary-event.ts";

// Names that stand for members of the envelopes, and names that only look so.
const pointers = [
  ..."event_id id event_type type timestamp time source source_service target".split(" "),
  ..."payload data parameters metadata priority version correlation_id causation_id".split(" "),
  ..."metadata/version metadata/priority metadata/user_id metadata/correlation_id".split(" "),
  ..."metadata/cadre metadata/trace metadata/__proto__ __proto__ a~1b metadata/a~1b".split(" "),
  ..."~2 a/b metadata/a/b trace_id".split(" "),
  "",
  "/",
].map((name) => `/${name}`);
const pointed = fc.dictionary(
  fc.constantFrom(...pointers),
  fc.oneof(
    fc.jsonValue({ maxDepth: 2 }),
    fc.constantFrom("1.0", "1.0.0", "HIGH", "high", "TASK_CREATED", "x", 17, 1_700_000_000.5, null),
  ),
  { maxKeys: 6 },
);
const types = [
  "task.created",
  "task.assigned.reader",
  "task_created",
  "agent.search.query",
  "custom",
  "custom.a.b",
  "custom.invoice_paid",
  "custom.task_created",
  "orders.order.placed",
  "health.check",
  "ABC",
  "Über.größe",
  "__proto__",
  "constructor",
];
const anyWireEvent = fc
  .tuple(anyEvent, fc.constantFrom(...types), fc.option(pointed, { nil: undefined }))
  .map(([event, type, extensions]) => {
    const typed = Object.freeze({ ...event, type });
    if (!extensions) return typed;
    const all = toFrozenJson({ ...event.metadata.extensions, ...extensions });
    return withMetadata(typed, { extensions: all as Readonly<Record<string, JsonValue>> });
  });

const bindings: readonly (CloudBinding | undefined)[] = [
  undefined,
  "http",
  "nats",
  "kafka",
  "amqp",
];

test("every event comes back unchanged from every format, on every kind of carrier", () => {
  const property = fc.property(
    anyWireEvent,
    fc.constantFrom(...wireFormatNames),
    fc.constantFrom(...bindings),
    (event, name, binding) => {
      const format = wireFormat(name, binding);
      const back = format.decode(format.encode(event), { receivedAt });
      assert.deepEqual(back, event);
      assert.ok(Object.isFrozen(back) && Object.isFrozen(back.metadata));
    },
  );
  fc.assert(property, { ...runs, numRuns: 800 } as fc.Parameters<unknown>);
});

test("an event that has gone through all formats one after the other is still the same", () => {
  const property = fc.property(
    anyWireEvent,
    fc.shuffledSubarray([...wireFormatNames]),
    (event, names) => {
      let now = event;
      for (const name of names)
        now = wireFormat(name, "kafka").decode(wireFormat(name, "kafka").encode(now));
      assert.deepEqual(now, event);
    },
  );
  fc.assert(property, runs);
});

test("any of the formats reads what any other has written", () => {
  const event = createEvent(
    context,
    "task.created",
    { taskId: "t" },
    { priority: "high", key: "k" },
  );
  for (const writer of wireFormatNames) {
    for (const reader of wireFormatNames) {
      const back = wireFormat(reader, "nats").decode(wireFormat(writer, "nats").encode(event));
      assert.deepEqual(back, event, `${writer} read as ${reader}`);
    }
  }
});

test("maf has an upper-case type, an ISO time, and nothing that it does not need", () => {
  const event = createEvent(
    context,
    "task.assigned",
    { task_id: "7" },
    { target: "coder", id: "e-1" },
  );
  assert.deepEqual(bodyOf(event, "maf"), {
    event_id: "e-1",
    event_type: "TASK_ASSIGNED",
    timestamp: "2023-11-14T22:13:20.123+00:00",
    source: "planner",
    target: "coder",
    payload: { task_id: "7" },
  });
  const alone = createEvent(context, "system.tick", {}, { id: "e-2" });
  assert.equal(bodyOf(alone, "maf")["target"], null);
});

test("platform has a dotted type, its service and its metadata", () => {
  const options = { id: "e-1", userId: "u", agentId: "a", correlationId: "c" };
  const event = createEvent(context, "memory.entity.extracted", { entity: "Ada" }, options);
  assert.deepEqual(bodyOf(event, "platform"), {
    event_id: "e-1",
    event_type: "memory.entity.extracted",
    timestamp: "2023-11-14T22:13:20.123+00:00",
    source_service: "planner",
    payload: { entity: "Ada" },
    metadata: { correlation_id: "c", version: "1.0", user_id: "u", agent_id: "a" },
  });
});

test("what maf has no place for is in metadata.cadre", () => {
  const cause = createEvent(context, "task.created", {}, { id: "e-0" });
  const options = { cause, key: "k", priority: "high", id: "e-1", signature: "s" } as const;
  const body = bodyOf(createEvent(context, "task.assigned.reader", {}, options), "maf");
  assert.deepEqual(body["metadata"], {
    cadre: {
      type: "task.assigned.reader",
      correlationId: "e-0",
      causationId: "e-0",
      key: "k",
      priority: "high",
      signature: "s",
    },
  });
});

const anyEnvelope = fc.record(
  {
    event_id: fc.string({ minLength: 1 }),
    event_type: fc.constantFrom("TASK_CREATED", "INVOICE_PAID", "CUSTOM", "task_created"),
    timestamp: fc.constantFrom(
      "2024-05-01T10:00:00.123456",
      "2024-05-01T10:00:00Z",
      1_714_557_600.25,
    ),
    source: fc.string({ minLength: 1 }),
    target: fc.oneof(fc.constant(null), fc.string({ minLength: 1 })),
    payload: fc.jsonValue({ maxDepth: 3 }),
    metadata: fc
      .dictionary(
        fc.oneof(
          fc.constantFrom("user_id", "correlation_id", "version", "priority", "session"),
          fc.string(),
        ),
        fc.oneof(
          fc.string(),
          fc.constantFrom("1.0", "HIGH", null, 3),
          fc.jsonValue({ maxDepth: 1 }),
        ),
        { maxKeys: 4 },
      )
      .filter((metadata) => !("cadre" in metadata) && Object.keys(metadata).length > 0),
    trace_id: fc.string(),
    retries: fc.integer(),
    priority: fc.constantFrom("high", 5),
    correlation_id: fc.string(),
    "a/b~c": fc.jsonValue({ maxDepth: 1 }),
  },
  { requiredKeys: ["event_id", "event_type", "timestamp", "source", "target", "payload"] },
);

/** As JSON knows it: no -0. */
const plain = (value: unknown): unknown => JSON.parse(JSON.stringify(value));

test("a maf message that passes through Cadre goes out with every member that it came with", () => {
  const property = fc.property(
    anyEnvelope,
    fc.constantFrom("maf", "cloudevents"),
    (message, hop) => {
      const event = read(message);
      const hopped = wireFormat(hop).decode(wireFormat(hop).encode(event));
      assert.deepEqual(hopped, event);
      assert.deepEqual(bodyOf(hopped, "maf"), plain(message));
    },
  );
  fc.assert(property, { ...runs, numRuns: 500 } as fc.Parameters<unknown>);
});

test("a platform message that passes through Cadre goes out with every member that it came with", () => {
  const property = fc.property(
    anyEnvelope,
    fc.constantFrom("task.created", "a.b.c", "X"),
    (given, type) => {
      const { source, target: _target, metadata, ...rest } = given;
      const message = {
        ...rest,
        event_type: type,
        source_service: source,
        metadata: { correlation_id: "c", version: "1.0", ...metadata },
      };
      assert.deepEqual(bodyOf(read(message), "platform"), plain(message));
    },
  );
  fc.assert(property, { ...runs, numRuns: 500 } as fc.Parameters<unknown>);
});

test("messages over the size limit are refused in both directions", () => {
  const event = createEvent(context, "task.created", { text: "x".repeat(2_000) });
  for (const name of wireFormatNames) {
    const format = wireFormat(name, "nats");
    assert.throws(
      () => format.encode(event, { maxBytes: 1_000 }),
      (error) => isCadreError(error, "TOO_LARGE"),
    );
    assert.throws(
      () => format.decode(format.encode(event), { maxBytes: 1_000 }),
      (error) => isCadreError(error, "TOO_LARGE"),
    );
  }
});

test("attributes that are too much for headers go into the body", () => {
  const extensions = { big: "x".repeat(9_000) };
  const event = createEvent(context, "task.created", {}, { extensions });
  const format = wireFormat("cloudevents-binary", "nats");
  const message = format.encode(event);
  assert.deepEqual(message.headers, {});
  assert.deepEqual(format.decode(message), event);
});
