import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";

import { Ajv } from "ajv";
import { createEvent, isCadreError, SeededRandom, VirtualClock, type AgentEvent } from "cadre";
import {
  decodeBinaryCloudEvent,
  decodeCloudEvent,
  encodeBinaryCloudEvent,
  encodeCloudEvent,
  fromCloudEvent,
  toCloudEvent,
} from "cadre";
import { CloudEvent as OracleEvent, HTTP } from "cloudevents";
import fc from "fast-check";

import { anyEvent, runs } from "./arbitrary-event.ts";

const schema = JSON.parse(
  readFileSync(new URL("../../fixtures/cloudevents.schema.json", import.meta.url), "utf8"),
) as object;
// The SDK checks the formats (URI reference, date and time) beside it.
const ajv = new Ajv({ strict: false, validateFormats: false, logger: false });
const fitsSchema = ajv.compile(schema);

const context = {
  clock: new VirtualClock(1_700_000_000_123),
  random: new SeededRandom(7),
  source: "reader",
};
const cause = createEvent(context, "task.created", { taskId: "t" });
const full: AgentEvent = createEvent(
  context,
  "task.completed",
  { taskId: "t", result: "ünï 💡" },
  {
    cause,
    version: "1.2.0",
    target: "editor",
    key: "t",
    priority: "high",
    expiresAt: 1_700_000_060_000,
    deliverAt: 1_700_000_001_000,
    traceparent: "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
    extensions: {
      comexampleextension1: "value",
      sampledrate: 5,
      flag: true,
      Nested: { a: [1, null] },
    },
  },
);

function decode(attributes: object): AgentEvent {
  return decodeCloudEvent(new TextEncoder().encode(JSON.stringify(attributes)));
}

function reasonOf(run: () => unknown): string {
  try {
    run();
  } catch (error) {
    assert.ok(isCadreError(error, "UNDECODABLE"), String(error));
    return error.details.reason;
  }
  assert.fail("nothing was refused");
}

test("an event becomes a CloudEvent with the documented extension names", () => {
  assert.deepEqual(toCloudEvent(full), {
    specversion: "1.0",
    id: full.id,
    type: "task.completed",
    source: "reader",
    time: "2023-11-14T22:13:20.123Z",
    datacontenttype: "application/json",
    correlationid: cause.id,
    causationid: cause.id,
    partitionkey: "t",
    traceparent: "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
    cadreversion: "1.2.0",
    cadretarget: "editor",
    cadrepriority: "high",
    expirytime: "2023-11-14T22:14:20.000Z",
    cadredeliverat: "2023-11-14T22:13:21.000Z",
    comexampleextension1: "value",
    sampledrate: 5,
    flag: true,
    cadrejson: '{"extensions":{"Nested":{"a":[1,null]}}}',
    data: { taskId: "t", result: "ünï 💡" },
  });
});

test("an error event carries its severity, and only an error event", () => {
  const error = createEvent(context, "error", { severity: "critical", message: "disk" });
  assert.equal(toCloudEvent(error)["severitytext"], "FATAL");
  assert.equal(toCloudEvent(error)["severitynumber"], 21);
  assert.deepEqual(fromCloudEvent(toCloudEvent(error)), error);
  const other = createEvent(context, "violation.detected", { severity: "critical" });
  assert.equal(toCloudEvent(other)["severitytext"], undefined);
});

test("the oracles refuse what is no CloudEvent", () => {
  const good = { ...toCloudEvent(full) };
  new OracleEvent(good as never, true).validate();
  for (const bad of [{ source: "a b" }, { time: "yesterday" }, { dataschema: "a b" }]) {
    assert.throws(() => new OracleEvent({ ...good, ...bad } as never, true).validate());
  }
  assert.ok(!fitsSchema({ ...good, id: "" }) && !fitsSchema({ ...good, specversion: 1 }));
});

test("every event fits the CloudEvents JSON schema and the official SDK", () => {
  fc.assert(
    fc.property(anyEvent, (event) => {
      const sent = JSON.parse(new TextDecoder().decode(encodeCloudEvent(event))) as Record<
        string,
        unknown
      >;
      assert.ok(fitsSchema(sent), ajv.errorsText(fitsSchema.errors));
      for (const name of Object.keys(sent)) assert.match(name, /^[a-z0-9]{1,20}$/);
      new OracleEvent(sent, true).validate();
    }),
    runs,
  );
});

test("every event comes back from structured mode unchanged and frozen", () => {
  fc.assert(
    fc.property(anyEvent, (event) => {
      const back = decodeCloudEvent(encodeCloudEvent(event));
      assert.deepStrictEqual(back, event);
      assert.ok(Object.isFrozen(back) && Object.isFrozen(back.metadata));
      assert.ok(!back.metadata.extensions || Object.isFrozen(back.metadata.extensions));
      assert.deepStrictEqual(fromCloudEvent(toCloudEvent(event)), event);
    }),
    runs,
  );
});

test("every event comes back from binary mode unchanged, in every binding", () => {
  const bindings = ["http", "nats", "kafka", "amqp"] as const;
  fc.assert(
    fc.property(anyEvent, fc.constantFrom(...bindings), (event, binding) => {
      const message = encodeBinaryCloudEvent(event, binding);
      for (const [name, value] of Object.entries(message.headers)) {
        assert.match(name, /^(?:ce-|ce_|cloudEvents_)[a-z0-9]{1,20}$/);
        // oxlint-disable-next-line no-control-regex -- control characters are what it looks for
        assert.doesNotMatch(value, /[\u0000-\u001f\u007f]/);
        if (binding === "http") assert.match(value, /^[\u0021\u0023-\u007e]+$/);
      }
      assert.deepStrictEqual(decodeBinaryCloudEvent(message, binding), event);
    }),
    runs,
  );
});

test("header values are percent-encoded as the HTTP binding says", () => {
  const event = createEvent({ ...context, source: "r" }, "a.b", {}, { target: 'Euro € 😀 "50%"' });
  const { headers } = encodeBinaryCloudEvent(event, "http");
  assert.equal(headers["ce-cadretarget"], "Euro%20%E2%82%AC%20%F0%9F%98%80%20%2250%25%22");
  assert.equal(encodeBinaryCloudEvent(event, "kafka").headers["ce_cadretarget"], 'Euro € 😀 "50%"');
});

test("what the official SDK sends in both modes is read", () => {
  const sent = new OracleEvent({
    id: "1",
    source: "/shop",
    type: "order.placed",
    subject: "order 7",
    time: "2024-05-01T12:00:00.5+02:00",
    data: { amount: 3 },
    myextension: "x",
  });
  for (const message of [HTTP.structured(sent), HTTP.binary(sent)]) {
    const bytes = new TextEncoder().encode(
      typeof message.body === "string" ? message.body : JSON.stringify(message.body),
    );
    const headers = message.headers as Record<string, string>;
    const event = headers["ce-id"]
      ? decodeBinaryCloudEvent(
          { headers, contentType: headers["content-type"]!, data: bytes },
          "http",
        )
      : decodeCloudEvent(bytes);
    assert.equal(event.id, "1");
    assert.equal(event.source, "/shop");
    assert.equal(event.timestamp, Date.parse("2024-05-01T10:00:00.500Z"));
    assert.deepEqual(event.payload, { amount: 3 });
    assert.deepEqual(event.metadata, {
      version: "1.0.0",
      correlationId: "1",
      extensions: { subject: "order 7", myextension: "x" },
    });
    assert.equal(toCloudEvent(event)["subject"], "order 7");
  }
});

test("what Cadre sends in both modes is read by the official SDK", () => {
  const { headers, contentType, data } = encodeBinaryCloudEvent(full, "http");
  const lower = { ...headers, "content-type": contentType };
  const body = new TextDecoder().decode(data);
  const read = HTTP.toEvent({ headers: lower, body }) as OracleEvent<unknown>;
  assert.equal(read.id, full.id);
  assert.equal(read.type, full.type);
  assert.deepEqual(read.data, full.payload);
  assert.equal(read["correlationid"], full.metadata.correlationId);
  const structured = HTTP.toEvent({
    headers: { "content-type": "application/cloudevents+json" },
    body: new TextDecoder().decode(encodeCloudEvent(full)),
  }) as OracleEvent<unknown>;
  assert.equal(structured.id, full.id);
  assert.deepEqual(structured.data, full.payload);
});

test("a CloudEvent that leaves out what is optional is completed", () => {
  const bytes = new TextEncoder().encode(
    JSON.stringify({ specversion: "1.0", id: "7", type: "a.b", source: "/x", subject: null }),
  );
  const event = decodeCloudEvent(bytes, { receivedAt: 42 });
  assert.deepEqual(event, {
    id: "7",
    type: "a.b",
    source: "/x",
    timestamp: 42,
    payload: null,
    metadata: { version: "1.0.0", correlationId: "7" },
  });
});

test("what is no CloudEvent is refused with its reason", () => {
  const good = { specversion: "1.0", id: "7", type: "a.b", source: "/x", data: {} };
  assert.match(
    reasonOf(() => decode({ ...good, specversion: "0.3" })),
    /specversion/,
  );
  assert.match(
    reasonOf(() => decode({ ...good, id: "" })),
    /id/,
  );
  assert.match(
    reasonOf(() => decode({ ...good, id: 7 })),
    /id/,
  );
  assert.match(
    reasonOf(() => decode({ ...good, type: "a..b" })),
    /type/,
  );
  assert.match(
    reasonOf(() => decode({ ...good, source: "" })),
    /source/,
  );
  assert.match(
    reasonOf(() => decode({ ...good, time: "yesterday" })),
    /time/,
  );
  assert.match(
    reasonOf(() => decode({ ...good, expirytime: 3 })),
    /expirytime/,
  );
  assert.match(
    reasonOf(() => decode({ ...good, cadrepriority: "urgent" })),
    /priority/,
  );
  assert.match(
    reasonOf(() => decode({ ...good, data_base64: "AAAA" })),
    /binary/,
  );
  assert.match(
    reasonOf(() => decode({ ...good, cadrejson: "{" })),
    /JSON/,
  );
  assert.match(
    reasonOf(() => decode({ ...good, cadrejson: '{"id":1e999}' })),
    /range/,
  );
  assert.match(
    reasonOf(() => decode({ ...good, cadrejson: '{"id":3}' })),
    /id/,
  );
  assert.match(
    reasonOf(() => decode([good])),
    /object/,
  );
  const message = { headers: { "ce-id": "1" }, contentType: "text/plain", data: new Uint8Array() };
  assert.match(
    reasonOf(() => decodeBinaryCloudEvent(message, "http")),
    /text\/plain/,
  );
});
