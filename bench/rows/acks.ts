import { randomUUID } from "node:crypto";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { createBus, type Bus } from "cadre";
import { sqlite } from "cadre/sqlite";
import { report, scratchFolder } from "../load.ts";
import { countEvents, RawLog } from "../raw-log.ts";
import { check, percentile, perSecond, type Figures, type Row, type Running } from "../row.ts";

const publishers = 1_000;
const batchSize = 100;
const counts: Readonly<Record<string, number>> = {
  "one at a time": 5_000,
  "1,000 publishers": 30_000,
  batches: 30_000,
  stall: 50_000,
};

/** Appends `count` events and resolves when each has been acknowledged. */
type Append = (count: number) => Promise<void> | void;

function running(
  scenario: string,
  append: Append,
  total: () => number,
  end?: () => Promise<void>,
  share = 1,
) {
  const count = counts[scenario]! * share;
  return {
    async round(): Promise<Figures> {
      const before = total();
      const gaps = scenario === "stall" ? watchLoop() : undefined;
      const rate = await perSecond(count, () => append(count));
      check("events in the log", total() - before, count);
      return { perSecond: rate, ...gaps?.() };
    },
    ...(end ? { close: end } : {}),
  } satisfies Running;
}

/** Notes the time between one turn of the loop and the next. */
function watchLoop(): () => Figures {
  const gaps: number[] = [];
  let last = performance.now();
  let watching = true;
  const tick = (): void => {
    const now = performance.now();
    gaps.push(now - last);
    last = now;
    if (watching) setImmediate(tick);
  };
  setImmediate(tick);
  return () => {
    watching = false;
    return { p50Ms: percentile(gaps, 0.5), p99Ms: percentile(gaps, 0.99) };
  };
}

async function startCadre(scenario: string): Promise<Running> {
  const path = join(scratchFolder(), "cadre.db");
  const bus = createBus({ transport: sqlite(path), source: "bench" });
  await bus.publish("task.created", report(0));
  const reader = new DatabaseSync(path, { readOnly: true });
  const append =
    scenario === "batches" || scenario === "stall" ? batchesOn(bus) : eachOn(bus, scenario);
  return running(
    scenario,
    append,
    () => countEvents(reader),
    async () => void (await bus.close()),
  );
}

function eachOn(bus: Bus, scenario: string): Append {
  const together = scenario === "one at a time" ? 1 : publishers;
  const publisher = async (from: number, count: number): Promise<void> => {
    for (let index = from; index < from + count; index += 1) {
      await bus.publish("task.created", report(index));
    }
  };
  return async (count) => {
    const each = count / together;
    await Promise.all(Array.from({ length: together }, (_, p) => publisher(p * each, each)));
  };
}

function batchesOn(bus: Bus): Append {
  return async (count) => {
    for (let from = 0; from < count; from += batchSize) {
      const items = Array.from({ length: batchSize }, (_, index) => ({
        type: "task.created",
        payload: report(from + index),
      }));
      for (const result of await bus.publishBatch(items)) if ("error" in result) throw result.error;
    }
  };
}

function startRaw(scenario: string): Running {
  const log = new RawLog();
  return running(
    scenario,
    async (count) => {
      const size = scenario === "batches" || scenario === "stall" ? batchSize : 1;
      for (let from = 0; from < count; from += size) {
        if (size === 1) log.append(from);
        else log.appendAll(from, from + size);
        // Whoever publishes lives in a program whose loop has to turn.
        if (scenario === "stall") await new Promise<void>((resolve) => setImmediate(resolve));
      }
    },
    () => log.count,
  );
}

/** Its connections now and then report "SQL statements in progress" for its own commit. */
async function appendPatiently(append: () => Promise<unknown>): Promise<void> {
  for (let attempt = 1; ; attempt += 1) {
    try {
      await append();
      return;
    } catch (error) {
      if (attempt === 5 || !String(error).includes("SQLITE_BUSY")) throw error;
    }
  }
}

async function startEmmett(scenario: string): Promise<Running> {
  const { getSQLiteEventStore, sqliteConnection } = await import("@event-driven-io/emmett-sqlite");
  const fileName = join(scratchFolder(), "emmett.db");
  // synchronous = FULL is what its connections begin with.
  const first = sqliteConnection({ fileName });
  await first.command("PRAGMA journal_mode = WAL");
  first.close();
  const store = getSQLiteEventStore({ fileName, schema: { autoMigration: "CreateOrUpdate" } });
  let stored = 0;
  const size = scenario === "batches" ? batchSize : 1;
  const append: Append = async (count) => {
    for (let from = 0; from < count; from += size) {
      const events = Array.from({ length: size }, (_, index) => ({
        type: "task.created",
        data: { ...report(from + index) },
      }));
      await appendPatiently(() => store.appendToStream(`task-${randomUUID()}`, events));
      stored += size;
    }
  };
  // It opens the file again for each append: a tenth of the work shows that as well.
  return running(scenario, append, () => stored, undefined, 0.1);
}

const against = (
  what: string,
  scenario: string,
  rival: readonly [string, string],
  atLeast: number,
): Row["goals"][number] => ({
  what,
  of: ["cadre", scenario, "perSecond"],
  over: [rival[0], rival[1], "perSecond"],
  atLeast,
});

export const row: Row = {
  title: "SQLite, synchronous = FULL: events acknowledged on disk",
  contenders: {
    cadre: { scenarios: Object.keys(counts), start: startCadre },
    "node:sqlite": { scenarios: ["one at a time", "batches", "stall"], start: startRaw },
    "emmett-sqlite": {
      needs: "@event-driven-io/emmett-sqlite",
      scenarios: ["one at a time", "batches"],
      start: startEmmett,
    },
  },
  goals: [
    against("one at a time, against raw", "one at a time", ["node:sqlite", "one at a time"], 0.9),
    against(
      "one at a time, against emmett",
      "one at a time",
      ["emmett-sqlite", "one at a time"],
      4,
    ),
    against(
      "1,000 publishers, each awaiting its own ack, against raw",
      "1,000 publishers",
      ["node:sqlite", "one at a time"],
      12,
    ),
    against("batches of 100, against raw", "batches", ["node:sqlite", "batches"], 1),
    against("batches of 100, against emmett", "batches", ["emmett-sqlite", "batches"], 4),
    {
      what: "stall of the loop while appending hundreds, p99, against raw",
      of: ["cadre", "stall", "p99Ms"],
      over: ["node:sqlite", "stall", "p99Ms"],
      atMost: 1 / 3,
    },
  ],
};
