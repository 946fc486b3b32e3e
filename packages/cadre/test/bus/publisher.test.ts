import assert from "node:assert/strict";
import { test } from "node:test";
import { defineEvents } from "#src/core/define-events.ts";
import { CadreError, isCadreError, type ErrorCode } from "#src/core/errors.ts";
import type { AgentEvent } from "#src/core/event.ts";
import { withMetadata } from "#src/core/event.ts";
import type { Transport } from "#src/bus/transport.ts";
import { limited, setUp } from "./set-up.ts";

const ofCode =
  (code: ErrorCode) =>
  (error: unknown): boolean =>
    isCadreError(error, code);

const cycle: Record<string, unknown> = {};
cycle["self"] = cycle;

for (const [what, payload, code] of [
  ["a function", { f: () => 1 }, "NOT_JSON"],
  ["a cycle", cycle, "NOT_JSON"],
  ["NaN", { n: Number.NaN }, "NOT_JSON"],
  ["a bigint", { n: 1n }, "NOT_JSON"],
  ["a Map", { m: new Map() }, "NOT_JSON"],
  ["null instead of an object", null, "INVALID_PAYLOAD"],
  ["an array instead of an object", [], "INVALID_PAYLOAD"],
  ["a string instead of an object", "text", "INVALID_PAYLOAD"],
] as const) {
  test(`a payload with ${what} is refused before anything is sent`, async (context) => {
    const { bus } = setUp(context);
    let seen = 0;
    await bus.subscribe("#", () => void (seen += 1));
    await assert.rejects(bus.publish("job", payload), ofCode(code));
    await bus.idle();
    assert.equal(seen, 0);
    assert.equal(bus.stats().refused, 1);
    assert.equal(bus.stats().published, 0);
  });
}

for (const topic of ["", "a..b", "a.*", "a b", "#", ".a", "a\n", "x".repeat(300)]) {
  test(`the type ${JSON.stringify(topic.slice(0, 10))} is refused`, async (context) => {
    const { bus } = setUp(context);
    await assert.rejects(bus.publish(topic, {}), ofCode("INVALID_TOPIC"));
  });
}

test("a member named __proto__ is carried as data", async (context) => {
  const { bus } = setUp(context);
  const seen: unknown[] = [];
  await bus.subscribe("job", (event) => void seen.push(JSON.stringify(event.payload)));
  await bus.publish("job", JSON.parse('{"__proto__": {"admin": true}}'));
  await bus.idle();
  assert.deepEqual(seen, ['{"__proto__":{"admin":true}}']);
});

test("an unknown option is refused with the nearest right name", async (context) => {
  const { bus } = setUp(context);
  const options: object = { priorty: "high" };
  await assert.rejects(bus.publish("job", {}, options), (error) => {
    assert.ok(isCadreError(error, "INVALID_OPTION"));
    return /"priority"/.test(error.message);
  });
});

test("a closed registry refuses unknown types and wrong payloads", async (context) => {
  const schema = { type: "object", properties: { n: { type: "number" } }, required: ["n"] };
  const events = defineEvents({ "count.made": { schema } });
  const { bus } = setUp(context, { events });
  await assert.rejects(bus.publish("count.mad", { n: 1 }), ofCode("UNKNOWN_TYPE"));
  await assert.rejects(bus.publish("count.made", { n: "1" }), ofCode("INVALID_PAYLOAD"));
  await bus.publish("count.made", { n: 1 });
});

test("published events carry cause, correlation, source and version", async (context) => {
  const { bus } = setUp(context, { source: "desk" });
  const first = await bus.publish("job", {}, { tenant: "t" });
  const second = await bus.publish("job", {}, { cause: first, source: "reader" });
  assert.equal(first.source, "desk");
  assert.equal(first.metadata.correlationId, first.id);
  assert.equal(second.source, "reader");
  assert.equal(second.metadata.causationId, first.id);
  assert.equal(second.metadata.correlationId, first.id);
  assert.equal(second.metadata.tenant, "t");
});

test("a finished event keeps its id, and is copied and frozen", async (context) => {
  const { bus } = setUp(context);
  const seen: AgentEvent[] = [];
  await bus.subscribe("job", (event) => void seen.push(event));
  const payload = { list: [1] };
  const metadata = { version: "1.0.0", correlationId: "c" };
  const event = { id: "own", type: "job", source: "s", timestamp: 1, payload, metadata };
  await bus.publishEvent(event);
  payload.list.push(2);
  await bus.idle();
  assert.equal(seen[0]?.id, "own");
  assert.deepEqual(seen[0].payload, { list: [1] });
  assert.ok(Object.isFrozen(seen[0].payload));
});

for (const [what, change] of [
  ["no id", { id: "" }],
  ["no source", { source: undefined }],
  ["a timestamp that is no number", { timestamp: "now" }],
  ["no metadata", { metadata: null }],
  ["no correlation", { metadata: { version: "1.0.0" } }],
  [
    "an impossible priority",
    { metadata: { version: "1", correlationId: "c", priority: "urgent" } },
  ],
] as const) {
  test(`a finished event with ${what} is refused`, async (context) => {
    const { bus } = setUp(context);
    const metadata = { version: "1.0.0", correlationId: "c" };
    const whole = { id: "i", type: "job", source: "s", timestamp: 1, payload: {}, metadata };
    const event = { ...whole, ...change } as unknown as AgentEvent; // wrong on purpose
    await assert.rejects(bus.publishEvent(event), ofCode("INVALID_EVENT"));
  });
}

test("in a batch a bad item fails alone, and the order is kept", async (context) => {
  const { bus } = setUp(context);
  const seen: unknown[] = [];
  await bus.subscribe("#", (event) => void seen.push(event.payload));
  const results = await bus.publishBatch([
    { type: "a", payload: { n: 1 } },
    { type: "a.*", payload: { n: 2 } },
    { type: "a", payload: { n: 3 } },
  ]);
  assert.deepEqual(
    results.map((result) => ("event" in result ? "ok" : (result.error as CadreError).code)),
    ["ok", "INVALID_TOPIC", "ok"],
  );
  await bus.idle();
  assert.deepEqual(seen, [{ n: 1 }, { n: 3 }]);
});

test("publishTaskEvent publishes task.<name>", async (context) => {
  const { bus } = setUp(context);
  const event = await bus.publishTaskEvent("created", { taskId: "1" });
  assert.equal(event.type, "task.created");
});

test("middleware changes and holds events, the first one outermost", async (context) => {
  const { bus } = setUp(context);
  const seen: AgentEvent[] = [];
  const order: string[] = [];
  await bus.subscribe("#", (event) => void seen.push(event));
  bus.usePublish(async (event, next) => {
    order.push("outer");
    if (event.type !== "held") await next(event);
  });
  const end = bus.usePublish(async (event, next) => {
    order.push("inner");
    await next(withMetadata(event, { tenant: "t" }));
  });
  await bus.publish("job", {});
  await bus.publish("held", {});
  end();
  await bus.publish("job", {});
  await bus.idle();
  assert.deepEqual(order, ["outer", "inner", "outer", "outer"]);
  assert.deepEqual(
    seen.map(({ type, metadata }) => [type, metadata.tenant]),
    [
      ["job", "t"],
      ["job", undefined],
    ],
  );
  assert.equal(bus.stats().refused, 1);
});

test("handling middleware wraps the handler and sees its failure", async (context) => {
  const { bus, clock } = setUp(context);
  const log: string[] = [];
  bus.useHandle(async (event, delivery, next) => {
    log.push(`before ${event.type} ${delivery.attempt}`);
    try {
      await next();
      log.push("after");
    } catch (error) {
      log.push(`failed ${(error as Error).message}`);
      throw error;
    }
  });
  const retry = { minDelayMs: 1, jitter: 0 };
  await bus.subscribe("job", { group: "g", retry }, (_event, { attempt }) => {
    if (attempt === 1) throw new Error("once");
  });
  await bus.publish("job", {});
  await clock.advance(100);
  assert.deepEqual(log, ["before job 1", "failed once", "before job 2", "after"]);
});

test("deliverAt is refused where the carrier cannot hold events back", async (context) => {
  const wrap = (transport: Transport): Transport => limited(transport, { delayedPublish: false });
  const { bus, clock } = setUp(context, { wrap });
  const later = clock.now() + 1_000;
  await assert.rejects(bus.publish("job", {}, { deliverAt: later }), ofCode("UNSUPPORTED"));
  await bus.publish("job", {}, { deliverAt: clock.now() });
});

test("what the transport refuses rejects the publish and is counted", async (context) => {
  const wrap = (transport: Transport): Transport =>
    limited(transport, {}, { publish: () => Promise.reject(new Error("cut")) });
  const { bus } = setUp(context, { wrap });
  await assert.rejects(bus.publish("job", {}), /cut/);
  assert.equal(bus.stats().refused, 1);
});
