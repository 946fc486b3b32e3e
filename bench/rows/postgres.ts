import { createBus, createEvent, secureRandom, systemClock, type EventStore } from "cadre";
import { openPostgres } from "cadre/postgres";
import { randomUUID } from "node:crypto";
import { report, type Report } from "../load.ts";
import { makeDatabase, numberOf, servePostgres } from "../postgres-cluster.ts";
import { RawPostgres } from "../raw-postgres.ts";
import { check, perSecond, type Row, type Running } from "../row.ts";

const publishers = 1_000;
const batchSize = 100;
const replayed = 50_000;
const [one, batches, many, replay] = [
  "one at a time",
  "batches",
  "1,000 publishers",
  "replay",
] as const;
const counts: Readonly<Record<string, number>> = {
  [one]: 500,
  [batches]: 20_000,
  [many]: 10_000,
};

/** A log, as the row uses it. Every append is another stream, which must not exist, or none. */
interface Contestant {
  append(from: number, to: number): Promise<unknown>;
  /** Every event of the log, its payload looked at. */
  read(): AsyncIterable<{ readonly type: string; readonly payload: Report }>;
  /** SQL. */
  readonly count: string;
  close(): Promise<void>;
}

async function running(
  scenario: string,
  url: string,
  log: Contestant,
  share = 1,
): Promise<Running> {
  if (scenario === replay) return replaying(log, replayed * share);
  const count = counts[scenario]! * share;
  let total = await numberOf(url, log.count);
  return {
    async round() {
      const rate = await perSecond(count, () => appendAll(log, scenario, count));
      total += count;
      check("events in the log", await numberOf(url, log.count), total);
      return { perSecond: rate };
    },
    close: () => log.close(),
  };
}

async function appendAll(log: Contestant, scenario: string, count: number): Promise<void> {
  const size = scenario === batches ? batchSize : 1;
  let next = 0;
  const lane = async (): Promise<void> => {
    while (next < count) {
      const from = next;
      next += size;
      await log.append(from, from + size);
    }
  };
  await Promise.all(Array.from({ length: scenario === many ? publishers : 1 }, lane));
}

async function replaying(log: Contestant, events: number): Promise<Running> {
  let attempts = 0;
  for (let from = 0; from < events; from += batchSize) await log.append(from, from + batchSize);
  for (let index = 0; index < events; index += 1) attempts += report(index).attempt;
  return {
    async round() {
      let seen = 0;
      let found = 0;
      const rate = await perSecond(events, async () => {
        for await (const { type, payload } of log.read()) {
          if (type === "task.created") seen += 1;
          found += payload.attempt;
        }
      });
      check("events", seen, events);
      check("attempts", found, attempts);
      return { perSecond: rate };
    },
    close: () => log.close(),
  };
}

async function* payloadsOf(
  store: EventStore,
): AsyncGenerator<{ readonly type: string; readonly payload: Report }> {
  for await (const { event } of store.read()) {
    yield { type: event.type, payload: event.payload as Report };
  }
}

/** The store: an append is a commit to a stream. */
async function startStore(scenario: string): Promise<Running> {
  const url = await makeDatabase();
  const { store, close } = await openPostgres(url);
  const context = { clock: systemClock, random: secureRandom, source: "bench" };
  return running(scenario, url, {
    append(from, to) {
      const events = Array.from({ length: to - from }, (_, index) =>
        createEvent(context, "task.created", report(from + index)),
      );
      const stream = `task-${randomUUID()}`;
      return store.commit({ appends: [{ stream, expectedVersion: 0, events }] });
    },
    read: () => payloadsOf(store),
    count: "SELECT count(*) FROM cadre.events",
    close,
  });
}

/** The transport: an append is a publish. */
async function startBus(scenario: string): Promise<Running> {
  const url = await makeDatabase();
  const { store, transport, close } = await openPostgres(url);
  const bus = createBus({ transport, source: "bench" });
  return running(scenario, url, {
    async append(from, to) {
      if (to === from + 1) {
        await bus.publish("task.created", report(from));
        return;
      }
      const items = Array.from({ length: to - from }, (_, index) => ({
        type: "task.created",
        payload: report(from + index),
      }));
      for (const result of await bus.publishBatch(items)) if ("error" in result) throw result.error;
    },
    read: () => payloadsOf(store),
    count: "SELECT count(*) FROM cadre.events",
    async close() {
      await bus.close();
      await close();
    },
  });
}

async function startRaw(scenario: string, inStreams: boolean): Promise<Running> {
  const url = await makeDatabase();
  const log = new RawPostgres(url);
  await log.prepare();
  const contestant: Contestant = {
    append: (from, to) => log.append(from, to, inStreams ? `task-${randomUUID()}` : undefined),
    read: () => log.read(),
    count: "SELECT count(*) FROM events",
    close: () => log.close(),
  };
  // Each of its publishers waits for a turn of his own.
  return running(scenario, url, contestant, scenario === many ? 0.2 : 1);
}

interface TaskCreated {
  readonly type: "task.created";
  readonly data: Report & Record<string, unknown>;
  readonly kind?: "Event";
}

async function startEmmett(scenario: string): Promise<Running> {
  const { getPostgreSQLEventStore, readMessagesBatch } =
    await import("@event-driven-io/emmett-postgresql");
  const { dumbo } = await import("@event-driven-io/dumbo");
  const url = await makeDatabase();
  const store = getPostgreSQLEventStore(url);
  await store.schema.migrate();
  const pool = dumbo({ connectionString: url });
  const contestant: Contestant = {
    append(from, to) {
      const events = Array.from({ length: to - from }, (_, index) => ({
        type: "task.created",
        data: { ...report(from + index) },
      }));
      const options = { expectedStreamVersion: "STREAM_DOES_NOT_EXIST" } as const;
      return store.appendToStream(`task-${randomUUID()}`, events, options);
    },
    async *read() {
      for (let after = 0n, more = true; more;) {
        const batch = await readMessagesBatch<TaskCreated>(pool.execute, {
          after,
          batchSize: 1_000,
        });
        for (const { type, data } of batch.messages) yield { type, payload: data };
        after = batch.currentGlobalPosition;
        more = batch.areMessagesLeft;
      }
    },
    count: "SELECT count(*) FROM emt_messages",
    async close() {
      await pool.close();
      await store.close();
    },
  };
  return running(scenario, url, contestant, scenario === one ? 1 : 0.2);
}

const scenarios = [one, batches, many, replay];
const against = (what: string, of: string, over: string, scenario: string, atLeast: number) => ({
  what: `${what}: ${scenario}, against ${over}`,
  of: [of, scenario, "perSecond"] as const,
  over: [over, scenario, "perSecond"] as const,
  atLeast,
});
const appends = [one, batches, many];

export const row: Row = {
  title: "PostgreSQL, synchronous_commit = on: events acknowledged on disk, and read back",
  serve: servePostgres,
  contenders: {
    store: { scenarios, start: startStore },
    bus: { scenarios: appends, start: startBus },
    pg: { needs: "pg", scenarios, start: (scenario) => startRaw(scenario, true) },
    "pg, no stream": {
      needs: "pg",
      scenarios: appends,
      start: (scenario) => startRaw(scenario, false),
    },
    emmett: { needs: "@event-driven-io/emmett-postgresql", scenarios, start: startEmmett },
  },
  goals: [
    ...scenarios.map((scenario) => against("store", "store", "emmett", scenario, 3)),
    ...scenarios.map((scenario) => against("store", "store", "pg", scenario, 0.8)),
    ...appends.map((scenario) => against("bus", "bus", "emmett", scenario, 3)),
    ...appends.map((scenario) => against("bus", "bus", "pg, no stream", scenario, 0.8)),
  ],
};
