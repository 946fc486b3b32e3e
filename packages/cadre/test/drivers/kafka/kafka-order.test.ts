/** What the broker makes of a batch that is to keep its order. */
import assert from "node:assert/strict";
import { after, test } from "node:test";
import { Admin } from "@platformatic/kafka";
import {
  createEvent,
  memoryStore,
  secureRandom,
  startRelay,
  systemClock,
  type AgentEvent,
  type Transport,
} from "cadre";
import { kafka } from "cadre/kafka";
import { partitionOfKey } from "#src/drivers/kafka/topics.ts";
import { kafkaServerPath, kafkaServerUrl, startKafkaServer } from "../../servers/kafka-server.ts";

const given = kafkaServerUrl();
const skip = !given && kafkaServerPath() === undefined ? "there is no Kafka here" : false;
const options = { skip, timeout: 60_000 };
const server = skip || given ? undefined : await startKafkaServer();
const url = given ?? server?.url ?? "";
after(() => server?.stop());

const partitions = 2;
const run = systemClock.now().toString(36);
let buses = 0;

/** Gives `use` a transport whose topic `log` takes messages of so many bytes. */
async function withBus(
  maxBytes: number,
  use: (transport: Transport, makeEvents: MakeEvents) => Promise<void>,
): Promise<void> {
  buses += 1;
  const prefix = `order${run}${buses}`;
  const bootstrapBrokers = [url.replace(/^kafka:\/\//, "")];
  const admin = new Admin({ clientId: "test", bootstrapBrokers });
  const configs = [
    { name: "max.message.bytes", value: String(maxBytes) },
    { name: "message.timestamp.type", value: "LogAppendTime" },
  ];
  await admin.createTopics({ topics: [`${prefix}.log`], partitions, replicas: 1, configs });
  await admin.close();
  const transport = kafka(url, { prefix, partitions });
  try {
    await use(transport, makeEvents);
  } finally {
    await transport.close();
  }
}

type MakeEvents = (count: number, key?: string, bytes?: number) => AgentEvent[];

const makeEvents: MakeEvents = (count, key, bytes = 10) =>
  Array.from({ length: count }, (_, n) =>
    createEvent(
      { clock: systemClock, random: secureRandom, source: "test" },
      "log.entry",
      { n, text: "x".repeat(bytes) },
      key === undefined ? {} : { key },
    ),
  );

/** What lies in the log, of one key. */
async function idsIn(transport: Transport, key?: string): Promise<string[]> {
  const ids: string[] = [];
  for await (const { event } of transport.read!({ type: "log.entry" })) {
    if (event!.metadata.key === key) ids.push(event!.id);
  }
  return ids;
}

function idsOf(events: readonly AgentEvent[]): string[] {
  return events.map(({ id }) => id);
}

function shown(results: readonly ({ readonly ok: boolean } | undefined)[]): string {
  return results.map((result) => (result ? (result.ok ? "+" : "-") : ".")).join("");
}

/** Two keys that lie in different partitions. */
function twoKeys(): readonly [string, string] {
  const keys = Array.from({ length: 20 }, (_, n) => `key-${n}`);
  const first = partitionOfKey(keys[0]!, partitions);
  return [keys[0]!, keys.find((key) => partitionOfKey(key, partitions) !== first)!];
}

test("a batch of many keys keeps the order of each", options, () =>
  withBus(1_000_000, async (transport) => {
    const keys = ["a", "b", "c", "d", "e"];
    const lists = keys.map((key) => makeEvents(100, key));
    const events = Array.from({ length: 500 }, (_, n) => lists[n % 5]![Math.floor(n / 5)]!);
    assert.equal(shown(await transport.publishInOrder!(events)), "+".repeat(500));
    for (const [index, key] of keys.entries()) {
      assert.deepEqual(await idsIn(transport, key), idsOf(lists[index]!));
    }
  }),
);

test("what the broker refuses takes back those behind it in its partition", options, () =>
  withBus(4_000, async (transport) => {
    const [here, there] = twoKeys();
    const before = makeEvents(6, here);
    const [large] = makeEvents(1, here, 10_000);
    const behind = makeEvents(6, here);
    const others = makeEvents(6, there);
    const batch = [...before, large!, ...behind, ...others];
    const results = await transport.publishInOrder!(batch);
    assert.equal(shown(results), `${"+".repeat(6)}-${".".repeat(6)}${"+".repeat(6)}`);
    assert.deepEqual(await idsIn(transport, here), idsOf(before));
    assert.equal(shown(await transport.publishInOrder!(behind)), "+".repeat(6));
    assert.deepEqual(await idsIn(transport, here), idsOf([...before, ...behind]));
    assert.deepEqual(await idsIn(transport, there), idsOf(others));
  }),
);

test("without a key they stay together, and what is refused takes back the others", options, () =>
  withBus(4_000, async (transport) => {
    const before = makeEvents(6);
    const [large] = makeEvents(1, undefined, 10_000);
    const behind = makeEvents(6);
    const results = await transport.publishInOrder!([...before, large!, ...behind]);
    assert.equal(shown(results), "++++++-......");
    assert.equal(shown(await transport.publishInOrder!(behind)), "++++++");
    assert.deepEqual((await idsIn(transport)).toSorted(), idsOf([...before, ...behind]).toSorted());
  }),
);

test("one that no broker would take stops all behind it", options, () =>
  withBus(1_000_000, async (transport) => {
    const [here, there] = twoKeys();
    const [first] = makeEvents(1, here);
    const [large] = makeEvents(1, here, 3_000_000);
    const [last] = makeEvents(1, there);
    assert.equal(shown(await transport.publishInOrder!([first!, large!, last!])), "+-.");
    assert.deepEqual(await idsIn(transport, there), []);
  }),
);

test("a relay sets aside what a topic refuses, alone, and tells the rest once", options, () =>
  withBus(4_000, async (transport) => {
    const keys = twoKeys();
    const events = Array.from({ length: 60 }, (_, n) => {
      const isLarge = n % 20 === 7;
      return makeEvents(1, keys[n % 2], isLarge ? 10_000 : 10)[0]!;
    });
    const store = memoryStore();
    await store.commit({ outbox: events });
    const relay = await startRelay({ store, transport });
    await relay.idle();
    const aside = await relay.setAside();
    assert.deepEqual(
      aside.map(({ id }) => id),
      idsOf(events.filter((_, n) => n % 20 === 7)),
    );
    for (const [at, key] of keys.entries()) {
      const told = events.filter((_, n) => n % 20 !== 7 && n % 2 === at);
      assert.deepEqual(await idsIn(transport, key), idsOf(told));
    }
    await relay.close();
    await store.close();
  }),
);
