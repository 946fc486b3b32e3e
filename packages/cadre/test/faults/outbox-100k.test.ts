/**
 * Four processes write to an outbox, three relay it to a NATS server; relays and the server are
 * killed at random and started again. Every committed event is published, no rolled-back one is,
 * and behind the inbox each key's events come once and in their order.
 *
 * CADRE_OUTBOX_ROWS is the number of rows on each database (3,000 unless set), CADRE_OUTBOX_ON the
 * databases by name (all unless set), CADRE_SEED repeats the order of the kills.
 */
import assert from "node:assert/strict";
import { fork, type ChildProcess } from "node:child_process";
import { once } from "node:events";
import { test, type TestContext } from "node:test";
import { fileURLToPath } from "node:url";
import { secureRandom, SeededRandom, systemClock, type AgentEvent, type SqlClient } from "cadre";
import { nats } from "cadre/nats";
import { createInbox, createOutbox } from "cadre/outbox";
import { databases, openDatabase } from "../outbox/databases.ts";
import { natsServerPath, startNatsServer, type NatsServer } from "../servers/nats-server.ts";
import type { WriterReport } from "./outbox-process.ts";

const program = fileURLToPath(new URL("outbox-process.ts", import.meta.url));
const rows = Number(process.env["CADRE_OUTBOX_ROWS"] ?? 3_000);
const chosen = process.env["CADRE_OUTBOX_ON"]?.split(",");
const writers = 4;
const relays = 3;
const killEveryMs = 1_000; // on average; a claim's lease is two of them
const brokerKillOneIn = 6;
const drainBoundMs = Math.max(120_000, rows * 20);
const batchSize = 500;

interface Figures {
  relayKills: number;
  brokerKills: number;
  /** Relays that ended by themselves. */
  crashes: number;
}

interface Counted {
  readonly key: string;
  readonly n: number;
  readonly doomed: boolean;
}

/** Relays, each started again when it ends, until they are told to stop. */
class Relays {
  readonly #start: () => ChildProcess;
  readonly #figures: Figures;
  #running: ChildProcess[] = [];
  #stopping = false;

  constructor(start: () => ChildProcess, figures: Figures) {
    this.#start = start;
    this.#figures = figures;
    for (let index = 0; index < relays; index += 1) this.#launch(index);
  }

  kill(index: number): void {
    if (this.#running[index]!.kill("SIGKILL")) this.#figures.relayKills += 1;
  }

  async stop(): Promise<number> {
    this.#stopping = true;
    let lost = 0;
    await Promise.all(
      this.#running.map(async (child) => {
        const ended = once(child, "exit");
        child.on("message", (message) => {
          if (typeof message === "object") lost += (message as { lost: number }).lost;
        });
        if (child.connected) child.send("stop", () => {});
        const tooLong = setTimeout(() => child.kill("SIGKILL"), 10_000);
        await ended;
        clearTimeout(tooLong);
      }),
    );
    return lost;
  }

  #launch(index: number): void {
    const child = this.#start();
    this.#running[index] = child;
    child.once("exit", (_code, signal) => {
      if (signal !== "SIGKILL") this.#figures.crashes += this.#stopping ? 0 : 1;
      if (!this.#stopping) this.#launch(index);
    });
  }
}

async function killAtRandom(
  random: SeededRandom,
  running: Relays,
  broker: NatsServer,
  figures: Figures,
  until: AbortSignal,
): Promise<void> {
  while (!until.aborted) {
    await systemClock.sleep(random.next() * 2 * killEveryMs, until).catch(() => undefined);
    if (until.aborted) return;
    if (random.integer(brokerKillOneIn) > 0) running.kill(random.integer(relays));
    else {
      await broker.kill();
      figures.brokerKills += 1;
      await systemClock.sleep(random.next() * 500);
      await broker.restart();
    }
  }
}

/** Reads the broker's log through the inbox, as a consumer would, and checks what comes out. */
async function consume(
  broker: NatsServer,
  client: SqlClient & { transaction: ReturnType<typeof openDatabase>["client"]["transaction"] },
): Promise<{ handled: number; duplicates: number; keys: Map<string, number> }> {
  const inbox = createInbox();
  await inbox.setup(client);
  const transport = nats(broker.url, { dedupeMs: 100 });
  const keys = new Map<string, number>();
  const figures = { handled: 0, duplicates: 0, keys };
  const check = ({ event }: { readonly event: AgentEvent }): void => {
    const { key, n, doomed } = event.payload as Counted;
    assert.equal(doomed, false, `${event.id} was rolled back and published`);
    assert.equal(n, (keys.get(key) ?? 0) + 1, `the order of ${key}`);
    keys.set(key, n);
  };
  let batch: { subscription: string; eventId: string; event: AgentEvent }[] = [];
  const flush = async (): Promise<void> => {
    const { handled, duplicates } = await client.transaction((tx) =>
      inbox.onceEach(tx, batch, check),
    );
    figures.handled += handled.length;
    figures.duplicates += duplicates.length;
    batch = [];
  };
  for await (const { event } of transport.read!({})) {
    assert.ok(event, "an event that cannot be read");
    batch.push({ subscription: "counter", eventId: event.id, event });
    if (batch.length === batchSize) await flush();
  }
  if (batch.length > 0) await flush();
  await transport.close();
  return figures;
}

async function makeCounters(client: SqlClient): Promise<void> {
  const text = client.dialect === "mysql" ? "VARCHAR(20)" : "TEXT";
  await client.query(`CREATE TABLE counters (id ${text} PRIMARY KEY, n BIGINT NOT NULL)`);
  const values = Array.from({ length: 100 }, (_, index) => `('k${index}', 0)`);
  await client.query(`INSERT INTO counters VALUES ${values.join(", ")}`);
}

async function written(url: string, random: SeededRandom): Promise<readonly WriterReport[]> {
  const each = Math.ceil(rows / writers);
  return Promise.all(
    Array.from({ length: writers }, async (_, index) => {
      const seed = random.integer(2 ** 32);
      const child = fork(program, ["write", url, `w${index}`, String(each), String(seed)]);
      const ended = once(child, "exit").then(([code]) => assert.fail(`a writer ended: ${code}`));
      const [report] = (await Promise.race([once(child, "message"), ended])) as [WriterReport];
      ended.catch(() => undefined);
      return report;
    }),
  );
}

async function run(t: TestContext, url: string, broker: NatsServer): Promise<void> {
  const seed = Number(process.env["CADRE_SEED"] ?? secureRandom.integer(2 ** 32));
  const random = new SeededRandom(seed);
  t.diagnostic(`${rows} rows, CADRE_SEED=${seed}`);
  const { client, close } = openDatabase(url);
  const outbox = createOutbox();
  await outbox.setup(client);
  await makeCounters(client);
  const figures: Figures = { relayKills: 0, brokerKills: 0, crashes: 0 };
  const startedAt = systemClock.monotonic();
  const running = new Relays(() => fork(program, ["relay", url, broker.url]), figures);
  const calm = new AbortController();
  const killing = killAtRandom(random, running, broker, figures, calm.signal);
  const reports = await written(url, random);
  const committed = reports.reduce((sum, report) => sum + report.rows, 0);
  const rolledBack = reports.reduce((sum, report) => sum + report.rolledBack, 0);
  const writtenMs = systemClock.monotonic() - startedAt;
  const deadline = systemClock.monotonic() + drainBoundMs;
  for (;;) {
    const { waiting } = await outbox.backlog(client);
    if (waiting === 0) break;
    // The kills go on until nearly all is published: the last rows need an end of them.
    if (waiting < rows / 50) calm.abort();
    assert.ok(systemClock.monotonic() < deadline, `${waiting} rows are still waiting`);
    await systemClock.sleep(100);
  }
  calm.abort();
  await killing;
  const drainedMs = systemClock.monotonic() - startedAt;
  await running.stop();
  const { handled, duplicates, keys } = await consume(broker, client);
  const { rows: counters } = await client.query("SELECT id, n FROM counters WHERE n > 0");
  for (const { id, n } of counters) assert.equal(keys.get(String(id)), Number(n), String(id));
  await close();
  t.diagnostic(
    `${committed} committed (${rolledBack} rolled back) in ${(writtenMs / 1000).toFixed(1)} s, ` +
      `published by ${(drainedMs / 1000).toFixed(1)} s; kills: ${figures.relayKills} of relays, ` +
      `${figures.brokerKills} of the broker; duplicates removed: ${duplicates}; lost: ` +
      `${committed - handled}`,
  );
  assert.equal(figures.crashes, 0, "relays ended by themselves");
  assert.equal(handled, committed);
  assert.ok(figures.relayKills > 0, "nothing was killed");
}

for (const { dialect, skip, start } of databases) {
  const noServer = natsServerPath() === undefined ? "there is no nats-server here" : false;
  const unwanted = chosen && !chosen.includes(dialect) ? "not chosen" : false;
  test(
    `nothing is lost and each key keeps its order over kills, with an outbox on ${dialect}`,
    { skip: skip || noServer || unwanted },
    async (t) => {
      const database = await start();
      await using broker = await startNatsServer();
      try {
        await run(t, database.url, broker);
      } finally {
        await database.stop();
      }
    },
  );
}
