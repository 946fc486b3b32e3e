/**
 * The desk with its readers in four processes and a broker beside the log: the graph is the same,
 * and so is the one that a stranger makes from what the broker tells.
 *
 * CADRE_DESK_DOCUMENTS sets the documents that are read: 20 unless set.
 */
import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { before, test } from "node:test";
import { promisify } from "node:util";
import { createBus, systemClock, type Transport } from "cadre";
import { kafka } from "cadre/kafka";
import { nats } from "cadre/nats";
import { postgres } from "cadre/postgres";
import { rabbitmq } from "cadre/rabbitmq";
import { redis } from "cadre/redis";
import { deskEvents } from "#src/desk-events.ts";
import { createGraph, foldChunk, graphHash } from "#src/graph.ts";
import { startKafkaServer } from "../../../cadre/test/servers/kafka-server.ts";
import { startNatsServer } from "../../../cadre/test/servers/nats-server.ts";
import { startPostgresServer } from "../../../cadre/test/servers/postgres-server.ts";
import { startRabbitmqServer } from "../../../cadre/test/servers/rabbitmq-server.ts";
import { startRedisServer } from "../../../cadre/test/servers/redis-server.ts";

const program = join(import.meta.dirname, "..", "demo-process.ts");
const limit = Number(process.env["CADRE_DESK_DOCUMENTS"] ?? 20);
const readers = 3; // with compromise, and the fourth with wink
const arriveMs = 60_000; // the relay tells the broker what the log has, at once or after a pause

interface Server extends AsyncDisposable {
  readonly url: string;
}

interface Carrier {
  readonly name: string;
  readonly start: () => Promise<Server>;
  readonly connect: (url: string) => Transport;
}

const carriers: readonly Carrier[] = [
  { name: "NATS", start: startNatsServer, connect: (url) => nats(url) },
  { name: "Kafka", start: startKafkaServer, connect: (url) => kafka(url) },
  { name: "RabbitMQ", start: startRabbitmqServer, connect: (url) => rabbitmq(url) },
  { name: "Redis", start: startRedisServer, connect: (url) => redis(url) },
  { name: "Postgres", start: startPostgresServer, connect: (url) => postgres(url) },
];

interface Summary {
  readonly graphHash: string;
  readonly tasksLost: number;
  readonly tasksCompleted?: number;
}

/** What the desk prints at its end, whose workers are processes of their own. */
async function demo(options: Readonly<Record<string, unknown>>): Promise<Summary> {
  const data = await mkdtemp(join(tmpdir(), "desk-brokers-"));
  try {
    const flags = process.execArgv.filter((option) => !option.startsWith("--test"));
    const order = JSON.stringify({ limit, readers, json: true, data, ...options });
    const { stdout } = await promisify(execFile)(process.execPath, [
      ...flags,
      program,
      "demo",
      order,
    ]);
    return JSON.parse(stdout) as Summary;
  } finally {
    await rm(data, { recursive: true, force: true });
  }
}

let wanted = "";
before(async () => {
  const { graphHash: hash, tasksLost } = await demo({});
  assert.equal(tasksLost, 0);
  wanted = hash;
});

for (const { name, start, connect } of carriers) {
  test(`a desk over ${name} makes the graph that one on SQLite makes`, async (context) => {
    await using server = await start();
    const graph = createGraph();
    await using bus = createBus({ transport: connect(server.url), events: deskEvents });
    let told = 0;
    let twice = 0;
    await bus.subscribe("desk.chunk.checked", { group: "stranger" }, ({ id, payload }) => {
      told += 1;
      if (!foldChunk(graph, payload, id)) twice += 1;
    });
    const startedAt = systemClock.monotonic();
    const { graphHash: hash, tasksLost } = await demo({ bus: server.url });
    const seconds = ((systemClock.monotonic() - startedAt) / 1_000).toFixed(1);
    assert.equal(hash, wanted);
    assert.equal(tasksLost, 0);
    const giveUpAt = systemClock.monotonic() + arriveMs;
    while (graphHash(graph) !== wanted && systemClock.monotonic() < giveUpAt) {
      await systemClock.sleep(200);
    }
    assert.equal(graphHash(graph), wanted, `${told} chunks were told, ${twice} of them again`);
    context.diagnostic(`${name}: ${seconds} s, ${told} chunks told, ${twice} again; ${hash}`);
  });
}

test("a desk whose log is Postgres makes the graph that one on SQLite makes", async () => {
  await using server = await startPostgresServer();
  const { graphHash: hash, tasksLost } = await demo({ store: server.url });
  assert.deepEqual([hash, tasksLost], [wanted, 0]);
});
