import { statSync } from "node:fs";
import { join } from "node:path";
import { createBus, type AgentEvent } from "cadre";
import { openSqlite } from "cadre/sqlite";
import { report, scratchFolder, type Report } from "../load.ts";
import { RawLog } from "../raw-log.ts";
import { check, perSecond, type Figures, type Row, type Running } from "../row.ts";

const events = 200_000;
const fillBatch = 1_000;
const scenarios = ["store, types", "store, payloads", "bus, types", "bus, payloads"];

/** Reads the whole log once. Adds up what it sees, so that nothing is read in vain. */
async function replay(scenario: string, all: () => AsyncIterable<AgentEvent>): Promise<Figures> {
  let seen = 0;
  let created = 0;
  let attempts = 0;
  const before = process.memoryUsage.rss();
  let most = before;
  const rate = await perSecond(events, async () => {
    for await (const event of all()) {
      if (event.type === "task.created") created += 1;
      if (scenario.endsWith("payloads")) attempts += (event.payload as Report).attempt;
      seen += 1;
      if (seen % 10_000 === 0) most = Math.max(most, process.memoryUsage.rss());
    }
  });
  check("events", seen, events);
  check("types", created, events);
  if (scenario.endsWith("payloads")) check("attempts", attempts, expectedAttempts);
  return { perSecond: rate, rssGrowthMb: (most - before) / 2 ** 20 };
}

const expectedAttempts = Array.from({ length: events }, (_, index) => 1 + (index % 3)).reduce(
  (sum, attempt) => sum + attempt,
  0,
);

async function startCadre(scenario: string): Promise<Running> {
  const path = join(scratchFolder(), "cadre.db");
  await fill(path);
  const bytesEach = statSync(path).size / events;
  const log = await openSqlite(path);
  const bus = createBus({ transport: log.transport });
  async function* store(): AsyncGenerator<AgentEvent> {
    for await (const { event } of log.store.read()) yield event;
  }
  const all = scenario.startsWith("bus") ? () => bus.history() : store;
  return {
    round: async () => ({ ...(await replay(scenario, all)), bytesEach }),
    close: () => log.close(),
  };
}

/** Closing the log puts all of it into the one file. */
async function fill(path: string): Promise<void> {
  const log = await openSqlite(path);
  const bus = createBus({ transport: log.transport, source: "bench" });
  for (let from = 0; from < events; from += fillBatch) {
    const items = Array.from({ length: fillBatch }, (_, index) => ({
      type: "task.created",
      payload: report(from + index),
    }));
    for (const result of await bus.publishBatch(items)) {
      if ("error" in result) throw result.error;
    }
  }
  await log.close();
}

function startRaw(scenario: string): Running {
  const log = new RawLog();
  log.db.exec("PRAGMA synchronous = OFF");
  for (let from = 0; from < events; from += fillBatch) log.appendAll(from, from + fillBatch);
  log.db.exec("PRAGMA wal_checkpoint(TRUNCATE)");
  const bytesEach = statSync(log.path).size / events;
  const page = log.db.prepare(
    "SELECT position, body FROM events WHERE position > ? ORDER BY position LIMIT 500",
  );
  async function* all(): AsyncGenerator<AgentEvent> {
    for (let after = 0; ;) {
      const rows = page.all(after);
      if (rows.length === 0) return;
      for (const row of rows) yield JSON.parse(String(row["body"])) as AgentEvent;
      after = Number(rows.at(-1)!["position"]);
      await new Promise<void>((resolve) => setImmediate(resolve));
    }
  }
  return { round: async () => ({ ...(await replay(scenario, all)), bytesEach }) };
}

export const row: Row = {
  title: `replay of ${events.toLocaleString("en")} events from SQLite, and what they take on disk`,
  contenders: {
    cadre: { scenarios, start: startCadre },
    "node:sqlite": { scenarios: ["rows, payloads"], start: startRaw },
  },
  goals: [
    ...scenarios.map((scenario) => ({
      what: `${scenario}: against raw rows and JSON.parse`,
      of: ["cadre", scenario, "perSecond"] as const,
      over: ["node:sqlite", "rows, payloads", "perSecond"] as const,
      atLeast: 2,
    })),
    { what: "growth of RSS, MB", of: ["cadre", "store, types", "rssGrowthMb"], atMost: 50 },
    { what: "disk, bytes an event", of: ["cadre", "store, types", "bytesEach"], atMost: 300 },
  ],
};
