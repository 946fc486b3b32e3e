/**
 * Two processes run one row projection and are killed at random instants. In the end the rows are
 * those of a fold from the start: none twice, none missing.
 *
 * CADRE_KILL_ROUNDS sets the number of kills (5 unless set), CADRE_SEED repeats their order.
 */
import assert from "node:assert/strict";
import { fork, type ChildProcess } from "node:child_process";
import { once } from "node:events";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { test, type TestContext } from "node:test";
import { fileURLToPath } from "node:url";
import {
  SeededRandom,
  createEvent,
  defineProjection,
  foldProjection,
  secureRandom,
  sqliteClient,
  startRowProjection,
  systemClock,
  type EventStore,
  type Random,
} from "cadre";
import { openSqlite } from "cadre/sqlite";
import { withTempFolder } from "../servers/temporary.ts";
import { counted } from "./counted-rows.ts";

const member = fileURLToPath(new URL("row-projection-member.ts", import.meta.url));
const rounds = Number(process.env["CADRE_KILL_ROUNDS"] ?? 5);

const expected = defineProjection({
  name: "expected",
  patterns: ["work.done"],
  inPlace: true,
  initial: () => ({ positions: [] as number[], totals: {} as Record<string, number> }),
  apply: (state, event, { position }) => {
    const { worker, amount } = event.payload as { worker: string; amount: number };
    state.positions.push(position);
    state.totals[worker] = (state.totals[worker] ?? 0) + amount;
    return state;
  },
});

async function start(...args: string[]): Promise<ChildProcess> {
  const child = fork(member, args);
  const [message] = await Promise.race([
    once(child, "message"),
    once(child, "exit").then(([code]) => [`it ended with ${code}`]),
  ]);
  assert.equal(message, "ready");
  return child;
}

async function kill(child: ChildProcess): Promise<void> {
  const ended = once(child, "exit");
  child.kill("SIGKILL");
  await ended;
}

function chance(t: TestContext): Random {
  const seed = Number(process.env["CADRE_SEED"] ?? secureRandom.integer(2 ** 32));
  t.diagnostic(`${rounds} kills, CADRE_SEED=${seed}`);
  return new SeededRandom(seed);
}

/** Writes without end; resolves when it was told to stop. */
async function write(store: EventStore, random: Random, stop: AbortSignal): Promise<void> {
  const context = { clock: systemClock, random: secureRandom, source: "writer" };
  while (!stop.aborted) {
    const outbox = Array.from({ length: 1 + random.integer(8) }, () => {
      const payload = { worker: `w${random.integer(5)}`, amount: random.integer(100) };
      return createEvent(context, random.integer(4) === 0 ? "work.begun" : "work.done", payload);
    });
    await store.commit({ outbox });
    await systemClock.sleep(5 + random.integer(20));
  }
}

test("killed at any instant, two runners write no row twice and miss none", async (t) => {
  const random = chance(t);
  await withTempFolder(async (folder) => {
    const [logPath, rowsPath] = [join(folder, "log.db"), join(folder, "rows.db")];
    const log = await openSqlite(logPath);
    const stopping = new AbortController();
    const writing = write(log.store, random, stopping.signal);
    const running = [await start(logPath, rowsPath), await start(logPath, rowsPath)];
    for (let round = 0; round < rounds; round += 1) {
      await systemClock.sleep(random.next() * 40);
      const victims = random.integer(4) === 0 ? [0, 1] : [random.integer(2)];
      await Promise.all(victims.map((index) => kill(running[index]!)));
      for (const index of victims) running[index] = await start(logPath, rowsPath);
    }
    stopping.abort();
    await writing;
    await Promise.all(running.map(kill));
    const raw = new DatabaseSync(rowsPath, { timeout: 10_000 });
    const last = await startRowProjection(log.store, sqliteClient(raw), counted);
    await last.caughtUp();
    await last.close();
    const { state } = await foldProjection(log.store, expected, { fromStart: true });
    const applied = raw.prepare("SELECT position FROM applied ORDER BY position").all();
    assert.deepEqual(
      applied.map(({ position }) => position),
      state.positions,
    );
    const totals = raw.prepare("SELECT worker, amount FROM totals").all();
    assert.deepEqual(
      Object.fromEntries(totals.map(({ worker, amount }) => [worker, amount])),
      state.totals,
    );
    t.diagnostic(`${state.positions.length} events`);
    raw.close();
    await log.close();
  });
});
