/** The CloudEvents SDK reads each binding that Cadre writes, and Cadre what the SDK writes. */
import assert from "node:assert/strict";
import { test } from "node:test";
import {
  createEvent,
  decodeCloudEventBatch,
  encodeCloudEventBatch,
  isCadreError,
  SeededRandom,
  VirtualClock,
  wireFormat,
} from "cadre";
import { CloudEvent, HTTP, Kafka, type KafkaMessage } from "cloudevents";

const context = {
  clock: new VirtualClock(1_700_000_000_123),
  random: new SeededRandom(7),
  source: "reader",
};
const event = createEvent(
  context,
  "task.completed",
  { taskId: "t", result: "ünï 💡" },
  { key: "t", target: "Ünï 50%", extensions: { myextension: "x" } },
);
const text = (bytes: Uint8Array): string => new TextDecoder().decode(bytes);

function assertSame(read: unknown): void {
  assert.ok(read instanceof CloudEvent);
  const { id, type, source, time, data } = read;
  const expected = [event.id, event.type, "reader", "2023-11-14T22:13:20.123Z", event.payload];
  assert.deepEqual([id, type, source, time, data], expected);
  assert.equal(read["partitionkey"], "t");
  assert.equal(read["myextension"], "x");
}

test("the SDK reads Cadre's HTTP messages, binary and structured", () => {
  for (const name of ["cloudevents", "cloudevents-binary"] as const) {
    const { headers, contentType, body } = wireFormat(name, "http").encode(event);
    assertSame(
      HTTP.toEvent({ headers: { ...headers, "content-type": contentType }, body: text(body) }),
    );
  }
});

test("the SDK reads Cadre's Kafka messages, binary and structured", () => {
  for (const name of ["cloudevents", "cloudevents-binary"] as const) {
    const { headers, contentType, body } = wireFormat(name, "kafka").encode(event);
    const isBinary = "ce_id" in headers;
    const value: unknown = isBinary ? JSON.parse(text(body)) : text(body);
    const message: KafkaMessage = {
      headers: { ...headers, "content-type": contentType },
      key: "t",
      value,
      body: value,
    };
    assertSame(Kafka.toEvent(message));
  }
});

test("what differs in the AMQP and the NATS binding from one that the SDK has is the prefix", () => {
  const of = (binding: "http" | "nats" | "kafka" | "amqp") =>
    wireFormat("cloudevents-binary", binding).encode(event).headers;
  const renamed = (headers: Readonly<Record<string, string>>, from: string, to: string) =>
    Object.fromEntries(
      Object.entries(headers).map(([name, value]) => [name.replace(from, to), value]),
    );
  assert.deepEqual(of("nats"), of("http"));
  assert.deepEqual(of("amqp"), renamed(of("kafka"), "ce_", "cloudEvents_"));
  assert.equal(of("nats")["ce-cadretarget"], "%C3%9Cn%C3%AF%2050%25");
  assert.equal(of("amqp")["cloudEvents_cadretarget"], "Ünï 50%");
});

test("both spellings of the AMQP binding are read", () => {
  const format = wireFormat("cloudevents-binary", "amqp");
  const { headers, contentType, body } = format.encode(event);
  const older = Object.fromEntries(
    Object.entries(headers).map(([name, value]) => [name.replace("_", ":"), value]),
  );
  assert.equal(older["cloudEvents:id"], event.id);
  assert.deepEqual(format.decode({ headers: older, contentType, body }), event);
});

test("Cadre reads the SDK's Kafka messages, binary and structured", () => {
  const said = new CloudEvent({
    id: "1",
    type: "order.placed",
    source: "/shop",
    data: { total: 5 },
  });
  for (const message of [Kafka.binary(said), Kafka.structured(said)] as readonly KafkaMessage[]) {
    const { value } = message;
    const body = typeof value === "string" ? value : JSON.stringify(value);
    const set = Object.entries(message.headers).filter(([, header]) => header !== undefined);
    const headers = Object.fromEntries(set) as Record<string, string>;
    const read = wireFormat("cloudevents", "kafka").decode({
      headers,
      body: new TextEncoder().encode(body),
    });
    assert.deepEqual([read.id, read.type, read.payload], ["1", "order.placed", { total: 5 }]);
  }
});

test("a batch goes both ways", () => {
  const second = createEvent(context, "task.created", { taskId: "2" });
  const bytes = encodeCloudEventBatch([event, second]);
  assert.deepEqual(decodeCloudEventBatch(bytes), [event, second]);
  const read = HTTP.toEvent({
    headers: { "content-type": "application/cloudevents-batch+json" },
    body: text(bytes),
  });
  assert.ok(Array.isArray(read));
  assert.deepEqual(
    read.map(({ id }) => id),
    [event.id, second.id],
  );
  assertSame(read[0]);
  assert.deepEqual(decodeCloudEventBatch(encodeCloudEventBatch([])), []);
});

test("a batch with what is no event is refused, with its place", () => {
  const bytes = new TextEncoder().encode(
    `[${text(encodeCloudEventBatch([event])).slice(1, -1)},{}]`,
  );
  assert.throws(
    () => decodeCloudEventBatch(bytes),
    (error) => isCadreError(error, "UNDECODABLE") && error.details.reason.includes("event 1"),
  );
  assert.throws(
    () => decodeCloudEventBatch(new TextEncoder().encode("{}")),
    (error) => isCadreError(error, "UNDECODABLE"),
  );
  const batch = { contentType: "application/cloudevents-batch+json", body: bytes };
  assert.throws(
    () => wireFormat("cloudevents").decode(batch),
    (error) => isCadreError(error, "UNDECODABLE") && error.details.reason.includes("batch"),
  );
});
