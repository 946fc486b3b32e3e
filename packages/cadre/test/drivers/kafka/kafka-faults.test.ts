/** What goes wrong between two requests, on a real server: connections of the test's own break. */
import assert from "node:assert/strict";
import { after, afterEach, test } from "node:test";
import {
  Admin,
  Connection,
  Consumer,
  Producer,
  stringDeserializers,
  stringSerializers,
} from "@platformatic/kafka";
import { systemClock, type Intake, type Lease, type Transport } from "cadre";
import { kafka, type KafkaClientLike, type KafkaOptions } from "cadre/kafka";
import { until } from "../../until.ts";
import { kafkaServerPath, kafkaServerUrl, startKafkaServer } from "../../servers/kafka-server.ts";
import { makeEvent, specOf, takeOne } from "../plain-events.ts";

const given = kafkaServerUrl();
const skip = !given && kafkaServerPath() === undefined ? "there is no Kafka here" : false;
const options = { skip, timeout: 60_000 };
const server = skip || given ? undefined : await startKafkaServer();
const url = given ?? server?.url ?? "";
const brokers = [url.replace(/^kafka:\/\//, "")];
after(() => server?.stop());

const run = systemClock.now().toString(36);
const soon: KafkaOptions = { partitions: 4, heartbeatMs: 50, idleMs: 150, refreshMs: 100 };

// The protocol's numbers of requests.
const syncGroup = 14;
const deleteGroups = 42;

/** Connections whose answers can be held back, and that can be cut all at once. */
class Wires implements KafkaClientLike {
  readonly brokers = [
    { host: brokers[0]!.split(":")[0]!, port: Number(brokers[0]!.split(":")[1]) },
  ];
  readonly #open = new Set<Connection>();
  #isCut = false;
  /** The next request of this kind is sent; its answer waits, and may be an error then. */
  held: { readonly api: number; readonly until: Promise<"lost" | "given"> } | undefined;
  /** Requests of this kind get nowhere. */
  isDeaf: number | undefined;
  /** How many answers were held back. */
  answers = 0;

  async connect({
    host,
    port,
  }: {
    readonly host: string;
    readonly port: number;
  }): Promise<Connection> {
    if (this.#isCut) throw new Error("cut");
    const connection = new Connection("wires");
    await connection.connect(host, port);
    this.#open.add(connection);
    const send = connection.send.bind(connection);
    connection.send = ((...args: Parameters<Connection["send"]>) => {
      const { held } = this;
      if (args[0] === this.isDeaf) return;
      const callback = args.at(-1) as (error: Error | null, answer?: unknown) => void;
      if (held && args[0] === held.api) {
        this.held = undefined;
        this.answers += 1;
        const late: typeof callback = (error, answer) =>
          void held.until.then((how) =>
            how === "lost" ? callback(new Error("the answer was lost")) : callback(error, answer),
          );
        args[args.length - 1] = late as never;
      }
      send(...args);
    }) as Connection["send"];
    return connection;
  }

  /** As if the process had been killed. */
  async cut(): Promise<void> {
    this.#isCut = true;
    await Promise.all([...this.#open].map((connection) => connection.close().catch(() => {})));
  }
}

async function publishTo(
  transport: Transport,
  type: string,
  keys: readonly string[],
): Promise<void> {
  const results = await transport.publish(
    keys.map((key) => {
      const event = makeEvent(type, { key });
      return { event: { ...event, metadata: { ...event.metadata, key } } };
    }),
  );
  for (const result of results) assert.ok(result.ok, String(!result.ok && result.error));
}

async function take(intake: Intake): Promise<Lease> {
  const lease = await takeOne(intake, 20_000);
  assert.ok(lease, "a delivery within the bound");
  return lease;
}

const open: Transport[] = [];
afterEach(() => Promise.all(open.splice(0).map((transport) => transport.close())));

function opened(...args: Parameters<typeof kafka>): Transport {
  const transport = kafka(...args);
  open.push(transport);
  return transport;
}

/** Acks whatever comes, until nothing has for a while. */
async function drain(intake: Intake, quietMs = 1_500): Promise<string[]> {
  const ids: string[] = [];
  for (;;) {
    const lease = await takeOne(intake, quietMs);
    if (!lease) return ids;
    ids.push(lease.recorded.event!.id);
    assert.equal(await lease.settle({ kind: "ack" }), "ok");
  }
}

test(
  "a member that missed who had its partitions meanwhile begins where they are",
  options,
  async () => {
    const wires = new Wires();
    const prefix = `missed${run}`;
    const first = opened(wires, { prefix, ...soon });
    const second = opened(url, { prefix, ...soon });
    const intake = await first.open(specOf("job", { from: "earliest" }));
    const keys = Array.from({ length: 40 }, (_, n) => `k${n}`);
    await publishTo(first, "job.made", keys);
    assert.equal((await drain(intake)).length, 40);
    const answered = Promise.withResolvers<"lost" | "given">();
    wires.held = { api: syncGroup, until: answered.promise };
    const other = await second.open(specOf("job", { from: "earliest" }));
    await systemClock.sleep(0);
    const early = takeOne(other, 20_000);
    await until(() => wires.answers === 1, "the answer that is held back");
    await publishTo(second, "job.made", keys);
    const lease = await early;
    assert.ok(lease);
    await lease.settle({ kind: "ack" });
    const had = new Set([lease.recorded.event!.id, ...(await drain(other))]);
    assert.ok(had.size > 1);
    await second.close();
    answered.resolve("lost");
    const late = await drain(intake, 3_000);
    assert.deepEqual(
      late.filter((id) => had.has(id)),
      [],
      "nothing twice",
    );
    assert.equal(had.size + late.length, 40);
    await first.close();
  },
);

test("a topic that is made while a member is joining is read", options, async () => {
  const wires = new Wires();
  const prefix = `joining${run}`;
  const transport = opened(wires, { prefix, ...soon });
  const spec = specOf("all", { patterns: ["#"], definition: "all" });
  const intake = await transport.open(spec);
  const answered = Promise.withResolvers<"lost" | "given">();
  wires.held = { api: syncGroup, until: answered.promise };
  const taking = takeOne(intake, 15_000);
  await until(() => wires.answers === 1, "the answer that is held back");
  await publishTo(transport, "fresh.made", ["k"]);
  answered.resolve("given");
  assert.equal((await taking)?.recorded.event?.type, "fresh.made");
  await transport.close();
});

test("a redriven event is found after the copies were given more partitions", options, async () => {
  const prefix = `more${run}`;
  const first = opened(url, { prefix, ...soon });
  const names = Array.from({ length: 6 }, (_, n) => `g${n}`);
  for (const name of names) await (await first.open(specOf(name))).close();
  const events = new Map(names.map((name) => [name, makeEvent(`${name}.made`)]));
  const direct = async (transport: Transport): Promise<void> => {
    const items = [...events].map(([group, event]) => ({ event, to: { group } }));
    for (const { ok } of await transport.publish(items)) assert.ok(ok);
  };
  await direct(first);
  await first.close();
  const admin = new Admin({ clientId: "plain", bootstrapBrokers: brokers });
  await admin.createPartitions({ topics: [{ name: `${prefix}._copies`, count: 7 }] });
  await admin.close();
  const second = opened(url, { prefix, ...soon });
  for (const name of names) {
    const intake = await second.open(specOf(name));
    assert.equal((await take(intake)).recorded.event?.id, events.get(name)!.id, name);
    await intake.close();
  }
  await second.close();
});

test(
  "the largest thing that holds no event can be retried, and becomes a dead letter",
  options,
  async () => {
    const prefix = `large${run}`;
    const transport = opened(url, { prefix, ...soon, partitions: 1 });
    const intake = await transport.open(specOf("odd"));
    await publishTo(transport, "odd.first", ["k"]);
    await (await take(intake)).settle({ kind: "ack" });
    const producer = new Producer({
      clientId: "plain",
      bootstrapBrokers: brokers,
      serializers: stringSerializers,
    });
    const value = "x".repeat(1_048_400);
    await producer.send({ messages: [{ topic: `${prefix}.odd`, partition: 0, value }] });
    await producer.close();
    const first = await take(intake);
    assert.equal(await first.settle({ kind: "retry", delayMs: 50 }), "ok");
    const { recorded, attempt } = await take(intake);
    assert.equal(attempt, 2);
    const bytes = Buffer.from(recorded.undecodable!.bytes).toString("base64");
    const id = `odd/${recorded.position}`;
    await transport.deadLetters!.put({
      id,
      group: "odd",
      bytes,
      reason: "undecodable",
      error: { name: "Error", message: recorded.undecodable!.reason },
      attempts: 2,
      position: recorded.position,
      firstFailedAt: 1,
      lastFailedAt: 2,
    });
    assert.equal((await transport.deadLetters!.get(id))?.bytes, bytes);
    await transport.close();
  },
);

test("an event that kills whoever is handed it is counted", options, async () => {
  const prefix = `poison${run}`;
  const short = { ...soon, partitions: 1, sessionTimeoutMs: 1_000 };
  const writer = opened(url, { prefix, ...short });
  await (await writer.open(specOf("bad"))).close();
  await publishTo(writer, "bad.made", ["k"]);
  const attempts: number[] = [];
  for (let life = 0; life < 4; life += 1) {
    const wires = new Wires();
    const transport = opened(wires, { prefix, ...short });
    const intake = await transport.open(specOf("bad"));
    attempts.push((await take(intake)).attempt);
    await wires.cut();
    await transport.close();
  }
  assert.deepEqual(attempts, [1, 2, 3, 4]);
  await writer.close();
});

test(
  "a group that was deleted by halves leaves no place to the next of its name",
  options,
  async () => {
    const prefix = `half${run}`;
    const wires = new Wires();
    const first = opened(wires, { prefix, ...soon, requestTimeoutMs: 500 });
    const before = await first.open(specOf("again", { from: "earliest" }));
    await publishTo(first, "again.made", ["a", "b", "c"]);
    assert.equal((await drain(before)).length, 3);
    await before.close();
    wires.isDeaf = deleteGroups;
    await assert.rejects(first.deleteGroup!("again"));
    await first.close();
    const second = opened(url, { prefix, ...soon });
    const after = await second.open(specOf("again", { from: "earliest" }));
    assert.equal((await drain(after)).length, 3);
    await second.close();
  },
);

test(
  "the first definition of a group is what compaction keeps, though the second one's writer died",
  options,
  async () => {
    const prefix = `first${run}`;
    const topic = `${prefix}._groups`;
    const plain = { clientId: "plain", bootstrapBrokers: brokers };
    const valuesOf = async (count: number): Promise<{ incarnation: string }[]> => {
      const groupId = `${prefix}-${count}`;
      const consumer = new Consumer({ ...plain, groupId, deserializers: stringDeserializers });
      const values: { incarnation: string }[] = [];
      for await (const message of await consumer.consume({ topics: [topic], mode: "earliest" })) {
        values.push(JSON.parse(message.value) as { incarnation: string });
        if (values.length === count) break;
      }
      await consumer.close(true);
      return values;
    };
    const first = opened(url, { prefix, ...soon });
    await first.open(specOf("both"));
    const [record] = await valuesOf(1);
    const producer = new Producer({ ...plain, serializers: stringSerializers });
    const value = JSON.stringify({ ...record, incarnation: "another" });
    await producer.send({ messages: [{ topic, key: "both", value }] });
    await producer.close();
    await opened(url, { prefix, ...soon }).open(specOf("both"));
    assert.equal((await valuesOf(3)).at(-1)?.incarnation, record?.incarnation);
  },
);
