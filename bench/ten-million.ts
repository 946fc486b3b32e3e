/**
 * Appends many events in batches through the public store, and reads them all back:
 *
 *   node bench/ten-million.ts --store sqlite|postgres [--events 10000000]
 *
 * Says for each million how fast it went, what an event takes on disk, and how much memory the
 * process has. The database is in a folder of its own (see CADRE_BENCH_DIR) that is removed at the
 * end; 10 million events take about 3.5 GB.
 */
import { createEvent, secureRandom, systemClock, type Commit, type EventStore } from "cadre";
import { openPostgres } from "cadre/postgres";
import { openSqlite } from "cadre/sqlite";
import { readdirSync, statSync } from "node:fs";
import { loadavg } from "node:os";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { report, scratchFolder, type Report } from "./load.ts";
import { makeDatabase, numberOf, servePostgres } from "./postgres-cluster.ts";
import { check } from "./row.ts";
import { short } from "./table.ts";

const batchSize = 1_000;
const streams = 1_000;
const inFlight = 2; // the next batch is made while one is being written
const types = ["task.created", "task.assigned", "task.progressed", "task.completed"];
const context = { clock: systemClock, random: secureRandom, source: "bench" };

interface Opened {
  readonly store: EventStore;
  bytes(): Promise<number> | number;
  close(): Promise<void>;
}

const { values } = parseArgs({
  options: { store: { type: "string" }, events: { type: "string", default: "10000000" } },
});
const events = Number(values.events);
const open = { sqlite: openInFolder, postgres: openOnServer }[values.store ?? ""];
if (!open || !Number.isSafeInteger(events) || events < 1 || events % batchSize > 0) {
  process.stderr.write("ten-million --store sqlite|postgres [--events N000]\n");
  process.exit(2);
}

// Whoever gives up leaves nothing behind: folders and servers go when the process exits.
for (const signal of ["SIGINT", "SIGTERM"]) process.once(signal, () => process.exit(130));
const log = await open();
if (typeof log === "string") {
  process.stderr.write(`${log}\n`);
  process.exit(1);
}
try {
  await appendAll(log);
  await replayAll(log);
} finally {
  await log.close();
}

async function openInFolder(): Promise<Opened> {
  const folder = scratchFolder();
  const { store, close } = await openSqlite(join(folder, "cadre.db"));
  const bytes = (): number =>
    readdirSync(folder).reduce((sum, name) => sum + statSync(join(folder, name)).size, 0);
  return { store, bytes, close };
}

async function openOnServer(): Promise<Opened | string> {
  const served = await servePostgres();
  if (typeof served === "string") return served;
  Object.assign(process.env, served.env);
  const url = await makeDatabase();
  const { store, close } = await openPostgres(url);
  return {
    store,
    bytes: () => numberOf(url, "SELECT pg_database_size(current_database())"),
    async close() {
      await close();
      await served.stop();
    },
  };
}

/** A batch is ten streams of a hundred events each. */
function commitFrom(from: number): Commit {
  const appends = Array.from({ length: 10 }, (_, part) => ({
    stream: `task/${(from / 100 + part) % streams}`,
    expectedVersion: Math.floor((from / 100 + part) / streams) * 100,
    events: Array.from({ length: 100 }, (_, offset) => {
      const index = from + part * 100 + offset;
      return createEvent(context, types[index % types.length]!, report(index));
    }),
  }));
  return { appends };
}

async function appendAll({ store, bytes }: Opened): Promise<void> {
  const million = Math.min(1_000_000, events);
  const empty = await bytes();
  const start = performance.now();
  for (let done = 0; done < events;) {
    const end = Math.min(events, done + million);
    const count = end - done;
    const since = performance.now();
    let next = done;
    const lane = async (): Promise<void> => {
      while (next < end) {
        const from = next;
        next += batchSize;
        await store.commit(commitFrom(from));
      }
    };
    await Promise.all(Array.from({ length: inFlight }, lane));
    done = end;
    const each = ((await bytes()) - empty) / done;
    say(`appended ${short(done).padStart(8)}`, count, since, `, ${each.toFixed(0)} B each on disk`);
  }
  say("appended in all", events, start);
}

async function replayAll({ store }: Opened): Promise<void> {
  let seen = 0;
  let attempts = 0;
  let expected = 0;
  let last = 0;
  const perType = new Map<string, number>();
  const start = performance.now();
  for await (const { position, event } of store.read()) {
    if (position <= last) throw new Error(`position ${position} comes after ${last}`);
    last = position;
    perType.set(event.type, (perType.get(event.type) ?? 0) + 1);
    attempts += (event.payload as Report).attempt;
    expected += 1 + (seen % 3);
    seen += 1;
  }
  check("events", seen, events);
  check("attempts", attempts, expected);
  for (const type of types) check(type, perType.get(type) ?? 0, events / types.length);
  say("replayed, payloads looked at", events, start);
}

function say(what: string, count: number, since: number, more = ""): void {
  const rate = (count * 1_000) / (performance.now() - since);
  const rss = process.memoryUsage.rss() / 2 ** 20;
  const load = loadavg()[0]!.toFixed(1);
  process.stdout.write(
    `${what}: ${short(rate)} a second${more}, RSS ${rss.toFixed(0)} MB, load ${load}\n`,
  );
}
