/** What the shared suite cannot know: what lies on the cluster, and what others do to it. */
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { after, test } from "node:test";
import {
  Admin,
  Connection,
  Consumer,
  jsonDeserializer,
  Producer,
  stringDeserializers,
  stringSerializers,
} from "@platformatic/kafka";
import { isCadreError, systemClock, type Intake, type Lease, type Transport } from "cadre";
import { kafka, type KafkaOptions } from "cadre/kafka";
import { findServerByName } from "../../../../../scripts/servers.ts";
import { kafkaServerPath, kafkaServerUrl, startKafkaServer } from "../../servers/kafka-server.ts";
import { freePort } from "../../servers/temporary.ts";
import { makeEvent, specOf, takeOne } from "../plain-events.ts";

const given = kafkaServerUrl();
const skip = !given && kafkaServerPath() === undefined ? "there is no Kafka here" : false;
const options = { skip, timeout: 60_000 };
const server = skip || given ? undefined : await startKafkaServer();
const url = given ?? server?.url ?? "";
const brokers = [url.replace(/^kafka:\/\//, "")];
after(() => server?.stop());

let buses = 0;
const run = systemClock.now().toString(36);

/** Gives `use` a transport on a bus of its own, and closes it. */
async function withBus(
  use: (transport: Transport, prefix: string) => Promise<void>,
  settings: KafkaOptions = {},
): Promise<void> {
  buses += 1;
  const prefix = `bus${run}${buses}`;
  const transport = kafka(url, {
    prefix,
    partitions: 2,
    heartbeatMs: 50,
    idleMs: 150,
    refreshMs: 100,
    ...settings,
  });
  try {
    await use(transport, prefix);
  } finally {
    await transport.close();
  }
}

async function publishOne(transport: Transport, type: string, payload?: unknown): Promise<string> {
  const event = makeEvent(type, payload);
  const [result] = await transport.publish([{ event }]);
  assert.ok(result!.ok, String(!result!.ok && result!.error));
  return event.id;
}

async function take(intake: Intake): Promise<Lease> {
  const lease = await takeOne(intake, 20_000);
  assert.ok(lease, "a delivery within the bound");
  return lease;
}

function kcat(args: readonly string[], input = ""): string {
  const result = spawnSync(findServerByName("kcat")!, ["-b", brokers[0]!, ...args], {
    encoding: "utf8",
    input,
    timeout: 20_000,
  });
  assert.equal(result.status, 0, result.stderr);
  return result.stdout;
}

const kcatSkip = skip || (findServerByName("kcat") === undefined ? "there is no kcat here" : false);

test("kcat reads what is published as a CloudEvent", { ...options, skip: kcatSkip }, () =>
  withBus(async (transport, prefix) => {
    const id = await publishOne(transport, "task.created", { title: "read" });
    const text = kcat(["-C", "-t", `${prefix}.task`, "-e", "-q", "-o", "beginning", "-J"]);
    const message = JSON.parse(text.trim()) as { headers: string[]; payload: string };
    const headers = Object.fromEntries(
      message.headers.flatMap((name, at, all) => (at % 2 === 0 ? [[name, all[at + 1]]] : [])),
    );
    assert.equal(headers["ce_specversion"], "1.0");
    assert.equal(headers["ce_id"], id);
    assert.equal(headers["ce_type"], "task.created");
    assert.equal(headers["content-type"], "application/json");
    assert.deepEqual(JSON.parse(message.payload), { title: "read" });
  }),
);

test("what kcat writes comes, in both modes", { ...options, skip: kcatSkip }, () =>
  withBus(async (transport, prefix) => {
    const group = await transport.open(specOf("task"));
    await publishOne(transport, "task.first");
    await (await take(group)).settle({ kind: "ack" });
    const to = ["-P", "-t", `${prefix}.task`];
    const binary = ["ce_specversion=1.0", "ce_id=k-1", "ce_type=task.binary", "ce_source=/kcat"];
    kcat([...to, ...binary.flatMap((header) => ["-H", header])], '{"n":1}');
    const first = await take(group);
    assert.equal(first.recorded.event?.id, "k-1");
    assert.deepEqual(first.recorded.event?.payload, { n: 1 });
    const structured = { specversion: "1.0", id: "k-2", type: "task.other", source: "/kcat" };
    kcat(to, JSON.stringify({ ...structured, data: { n: 2 } }));
    const second = await take(group);
    assert.equal(second.recorded.event?.type, "task.other");
    assert.deepEqual(second.recorded.event?.payload, { n: 2 });
  }),
);

test("a plain client's producer and consumer share a topic with the bus", options, () =>
  withBus(async (transport, prefix) => {
    const group = await transport.open(specOf("note"));
    await publishOne(transport, "note.taken", { text: "ours" });
    await (await take(group)).settle({ kind: "ack" });
    const plain = { clientId: "plain", bootstrapBrokers: brokers };
    const consumer = new Consumer({
      ...plain,
      groupId: `${prefix}-plain`,
      deserializers: { ...stringDeserializers, value: jsonDeserializer },
    });
    const topic = `${prefix}.note`;
    const stream = await consumer.consume({ topics: [topic], mode: "earliest" });
    for await (const message of stream) {
      assert.deepEqual(message.value, { text: "ours" });
      assert.equal(message.headers.get("ce_type"), "note.taken");
      break;
    }
    await consumer.close(true);
    const producer = new Producer({ ...plain, serializers: stringSerializers });
    const value = JSON.stringify({ specversion: "1.0", id: "p", type: "note.theirs", source: "p" });
    await producer.send({ messages: [{ topic, value }] });
    await producer.close();
    assert.equal((await take(group)).recorded.event?.id, "p");
  }),
);

test("the group has its name and its offsets on the cluster", options, () =>
  withBus(
    async (transport) => {
      const intake = await transport.open(specOf("offsets"));
      for (let n = 0; n < 4; n += 1) await publishOne(transport, "offsets.made", { n });
      for (let n = 0; n < 4; n += 1) await (await take(intake)).settle({ kind: "ack" });
      const admin = new Admin({ clientId: "plain", bootstrapBrokers: brokers });
      const groups = await admin.listGroups();
      const groupId = `agents-${run}.offsets`;
      assert.ok(groups.has(groupId), [...groups.keys()].join(" "));
      const described = await admin.describeGroups({ groups: [groupId] });
      assert.equal(described.get(groupId)?.members.size, 1);
      await admin.close();
    },
    { group: `agents-${run}` },
  ),
);

test("what holds no event is handed over as it is, and holds nothing up", options, () =>
  withBus(async (transport, prefix) => {
    const group = await transport.open(specOf("odd"));
    await publishOne(transport, "odd.first");
    await (await take(group)).settle({ kind: "ack" });
    const producer = new Producer({
      clientId: "plain",
      bootstrapBrokers: brokers,
      serializers: stringSerializers,
    });
    await producer.send({
      messages: [{ topic: `${prefix}.odd`, partition: 0, value: "no event" }],
    });
    await producer.close();
    const { recorded, settle } = bound(await take(group));
    assert.equal(recorded.event, undefined);
    assert.equal(String(Buffer.from(recorded.undecodable!.bytes)), "no event");
    assert.equal(await settle(), "ok");
    const id = await publishOne(transport, "odd.second");
    assert.equal((await take(group)).recorded.event?.id, id);
  }),
);

function bound(lease: Lease): Pick<Lease, "recorded"> & { settle(): Promise<"ok" | "lost"> } {
  return { recorded: lease.recorded, settle: () => lease.settle({ kind: "ack" }) };
}

test("one that is too large fails alone, the others are kept", options, () =>
  withBus(async (transport) => {
    const small = makeEvent("size.small");
    await transport.publish([{ event: small }]); // the limit is the broker's, and known now
    const large = makeEvent("size.large", "x".repeat(transport.capabilities.maxBytes));
    const results = await transport.publish([{ event: small }, { event: large }, { event: small }]);
    assert.deepEqual(
      results.map(({ ok }) => ok),
      [true, false, true],
    );
    assert.ok(!results[1]!.ok && isCadreError(results[1]!.error, "TOO_LARGE"));
  }),
);

test("a wildcard hears a topic that another transport makes", options, () =>
  withBus(async (transport, prefix) => {
    const spec = specOf("all", { patterns: ["#.made"], definition: "all" });
    const group = await transport.open(spec);
    const news = await transport.open({ ...spec, subscription: "news", mode: "broadcast" });
    const other = kafka(url, { prefix, partitions: 2 });
    const id = await publishOne(other, "fresh.thing.made");
    for (const intake of [group, news]) assert.equal((await take(intake)).recorded.event?.id, id);
    await other.close();
  }),
);

test("events of one key come in order through one partition", options, () =>
  withBus(async (transport) => {
    const spec = specOf("keyed", { ordered: "block" });
    const group = await transport.open(spec);
    const context = { version: "1.0.0", correlationId: "c", key: "k" };
    const events = Array.from({ length: 20 }, (_, n) => ({
      ...makeEvent("keyed.made", { n }),
      metadata: context,
    }));
    await transport.publish(events.map((event) => ({ event })));
    for (const event of events) {
      const lease = await take(group);
      assert.equal(lease.recorded.event?.id, event.id);
      await lease.settle({ kind: "ack" });
    }
    await assert.rejects(transport.open(specOf("keyed-park", { ordered: "park-key" })), (error) =>
      isCadreError(error, "UNSUPPORTED"),
    );
  }),
);

test("structured mode, one topic for all, and names of one's own", options, () =>
  withBus(
    async (transport, prefix) => {
      const group = await transport.open(specOf("task"));
      const legacy = await transport.open(specOf("legacy"));
      const ids = [
        await publishOne(transport, "task.created"),
        await publishOne(transport, "legacy.thing"),
      ];
      assert.equal((await take(group)).recorded.event?.id, ids[0]);
      assert.equal((await take(legacy)).recorded.event?.id, ids[1]);
      const admin = new Admin({ clientId: "plain", bootstrapBrokers: brokers });
      const topics = await admin.listTopics({ includeInternals: false });
      assert.ok(topics.includes(`${prefix}.events`) && topics.includes(`old-${run}`));
      await admin.close();
    },
    { format: "cloudevents", topics: "single", topicNames: { legacy: `old-${run}` } },
  ),
);

test("a client of one's own opens the connections", options, async () => {
  const [host, port] = brokers[0]!.split(":");
  let opened = 0;
  const client = {
    brokers: [{ host: host!, port: Number(port) }],
    async connect(broker: { readonly host: string; readonly port: number }): Promise<Connection> {
      opened += 1;
      const connection = new Connection("mine");
      await connection.connect(broker.host, broker.port);
      return connection;
    },
  };
  const transport = kafka(client, { prefix: `own${run}`, partitions: 1 });
  await publishOne(transport, "note.taken");
  await transport.close();
  assert.ok(opened > 0);
});

test("brokers that nobody runs are told by host and port, after tries", async () => {
  const port = await freePort();
  const address = `kafka://127.0.0.1:${port},localhost:${port}`;
  const transport = kafka(address, { connectTimeoutMs: 300 });
  await assert.rejects(transport.publish([{ event: makeEvent("note") }]), (error: unknown) => {
    assert.ok(isCadreError(error, "UNREACHABLE"), String(error));
    assert.ok(error.details.tried >= 2, String(error.details.tried));
    assert.match(error.message, new RegExp(`127\\.0\\.0\\.1:${port}.*localhost:${port}`));
    assert.match(error.message, /ECONNREFUSED/);
    return true;
  });
  assert.equal((await transport.health!()).ok, false);
  await transport.close();
});
