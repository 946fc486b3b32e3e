/**
 * A hundred agents in ten processes on one store, each with an orchestrator, while processes are
 * killed, frozen and restarted at random. A witness reads the beats from the store: nobody is taken
 * for dead while its beats arrive, no task is lost, and no receipt is there twice.
 *
 * CADRE_DETECTION_MS sets how long it goes on (60 s unless set), CADRE_SEED repeats the order.
 */
import assert from "node:assert/strict";
import { fork, type ChildProcess } from "node:child_process";
import { once } from "node:events";
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { test, type TestContext } from "node:test";
import { fileURLToPath } from "node:url";

import { systemClock, type, type EventStore, type Random } from "cadre";
import { defineTask, startCadre, type Cadre, type TaskHandle } from "cadre/agents";
import { openPostgres } from "cadre/postgres";
import { openSqlite } from "cadre/sqlite";
import { presencePrefix, processOf, readCards } from "#src/agents/health/beat.ts";
import { postgresServerPath, startPostgresServer } from "../servers/postgres-server.ts";
import { withTempFolder } from "../servers/temporary.ts";
import type { Verdict } from "./agents-member.ts";
import { seededRandom } from "./kill-run.ts";

const member = fileURLToPath(new URL("agents-member.ts", import.meta.url));
const durationMs = Number(process.env["CADRE_DETECTION_MS"] ?? 60_000);
const processes = 10;
const agentsEach = 10;
const leaseMs = 3_000; // as the members have it
const witnessMs = 50;
// between a beat and its being seen by the witness, on a machine that is busy
const slackMs = 400;
// An answer that took half of the time to suspicion, as the members have it, is not judged by.
const lookMs = 750 + slackMs;
const settleBoundMs = 120_000;

const Work = defineTask({
  name: "work",
  input: type<{ readonly n: number }>(),
  output: type<number>(),
  maxAttempts: 100,
});

type Fate = "killed" | "frozen";

/** A beat was written between two looks of the witness. */
interface BeatSeen {
  readonly text: string;
  readonly earliest: number;
  readonly latest: number;
}

/** What the witness and the hand of fate have seen of processes, by their incarnations. */
class Witness {
  readonly verdicts: Verdict[] = [];
  readonly detections: { readonly fate: Fate; readonly ms: number }[] = [];
  readonly #beats = new Map<string, BeatSeen[]>();
  #lookedAt = systemClock.now();
  readonly #byPid = new Map<number, string>();
  readonly #fates = new Map<string, { readonly fate: Fate; readonly at: number }>();
  readonly #killed = new Set<string>();
  readonly wrong: string[] = [];

  async look(store: EventStore): Promise<void> {
    const startedAt = systemClock.now();
    const cards = readCards(await store.slots(presencePrefix));
    const latest = systemClock.now();
    for (const { card, beat: text } of cards) {
      const id = processOf(card.incarnation);
      this.#byPid.set(card.pid!, id);
      const beats = this.#beats.get(id) ?? [];
      if (beats[0]?.text === text) continue;
      const kept = beats.filter((beat) => beat.latest > latest - 10 * leaseMs);
      this.#beats.set(id, [{ text, earliest: this.#lookedAt, latest }, ...kept]);
    }
    this.#lookedAt = startedAt;
  }

  /** For how long a process had been silent at most; what came during the verdict is no news. */
  #silentMs(id: string, at: number): number | undefined {
    const last = this.#beats.get(id)?.find((beat) => beat.latest <= at - lookMs);
    return last && at - last.earliest;
  }

  happens(pid: number, fate: Fate): void {
    const id = this.#byPid.get(pid);
    if (id) this.#fates.set(id, { fate, at: systemClock.now() });
  }

  thaws(pid: number): void {
    const id = this.#byPid.get(pid);
    if (id && this.#fates.get(id)?.fate === "frozen") this.#fates.delete(id);
  }

  hear(verdict: Verdict): void {
    this.verdicts.push(verdict);
    if (verdict.kind !== "dead") return;
    const id = processOf(verdict.process);
    const fate = this.#fates.get(id);
    if (fate) {
      this.detections.push({ fate: fate.fate, ms: verdict.at - fate.at });
      // The first to find out counts: it offers the work again.
      this.#fates.delete(id);
    }
    const silentMs = this.#silentMs(id, verdict.at);
    if (this.#killed.has(id) || silentMs === undefined) return;
    if (silentMs < leaseMs - slackMs)
      this.wrong.push(`${verdict.agent}: dead at most ${silentMs} ms after a beat`);
  }

  killed(pid: number): void {
    const id = this.#byPid.get(pid);
    if (id) this.#killed.add(id);
    this.happens(pid, "killed");
  }
}

interface Run {
  readonly url: string;
  readonly effects: string;
  readonly store: EventStore;
  readonly record: Witness;
}

async function startMember(run: Run, name: string): Promise<ChildProcess> {
  const args = [run.url, name, String(agentsEach), run.effects];
  const started = fork(member, args, { stdio: ["ignore", "ignore", "inherit", "ipc"] });
  await new Promise<void>((resolve, reject) => {
    started.once("exit", (code) => reject(new Error(`${name} ended with ${code}`)));
    started.on("message", (message) => {
      if (message === "ready") resolve();
      else run.record.hear(message as Verdict);
    });
  });
  return started;
}

async function ended(member: ChildProcess): Promise<void> {
  if (member.exitCode === null && member.signalCode === null) await once(member, "exit");
}

/** One thing that happens to one process; resolves when it runs again. */
async function strike(
  run: Run,
  members: ChildProcess[],
  index: number,
  random: Random,
): Promise<void> {
  const victim = members[index]!;
  const kind = random.integer(10);
  if (kind < 4) {
    run.record.happens(victim.pid!, "frozen");
    victim.kill("SIGSTOP");
    await systemClock.sleep(500 + random.integer(6_000));
    run.record.thaws(victim.pid!);
    victim.kill("SIGCONT");
    return;
  }
  if (kind < 8) {
    run.record.killed(victim.pid!);
    victim.kill("SIGKILL");
  } else {
    victim.send("stop");
  }
  await ended(victim);
  await systemClock.sleep(random.integer(3_000));
  members[index] = await startMember(run, `p${index}`);
}

async function haunt(run: Run, members: ChildProcess[], random: Random): Promise<number> {
  const until = systemClock.monotonic() + durationMs;
  const struck = new Map<number, Promise<void>>();
  let strikes = 0;
  while (systemClock.monotonic() < until) {
    await systemClock.sleep(200 + random.integer(1_200));
    const index = random.integer(processes);
    if (struck.has(index)) continue;
    strikes += 1;
    const blow = strike(run, members, index, random).finally(() => struck.delete(index));
    struck.set(index, blow);
  }
  await Promise.all(struck.values());
  return strikes;
}

/** Asks for work for as long as it goes on: single tasks, and features of three. */
async function ask(team: Cadre, isOver: () => boolean): Promise<readonly TaskHandle<number>[]> {
  const handles: TaskHandle<number>[] = [];
  for (let n = 0; !isOver(); n += 1) {
    handles.push(await team.tasks.create(Work, { n }));
    if (n % 20 === 19) {
      const tasks = ["one", "two", "three"].map((name, at, all) => ({
        name,
        definition: Work,
        input: { n: at },
        ...(at === 0 ? {} : { dependsOn: [all[at - 1]!] }),
      }));
      await team.features.create({ id: `feature-${n}`, title: `Feature ${n}`, tasks });
    }
    await systemClock.sleep(100);
  }
  return handles;
}

async function countReceipts(store: EventStore): Promise<{ all: number; doubled: number }> {
  const receipts = new Map<string, number>();
  for await (const { stream } of store.read({ type: "step.receipt" })) {
    receipts.set(stream ?? "", (receipts.get(stream ?? "") ?? 0) + 1);
  }
  const doubled = [...receipts.values()].filter((count) => count > 1).length;
  return { all: receipts.size, doubled };
}

function percentile(values: readonly number[], share: number): number {
  const sorted = values.toSorted((a, b) => a - b);
  return sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))] ?? NaN;
}

function figures(record: Witness, fate: Fate): Readonly<Record<string, number>> {
  const times = record.detections.filter((each) => each.fate === fate).map(({ ms }) => ms);
  return { count: times.length, p50: percentile(times, 0.5), p99: percentile(times, 0.99) };
}

async function survive(t: TestContext, run: Run, random: Random): Promise<void> {
  const { record, store } = run;
  writeFileSync(run.effects, "");
  const names = Array.from({ length: processes }, (_, index) => `p${index}`);
  const members = await Promise.all(names.map((name) => startMember(run, name)));
  const client = await startCadre({ store: run.url, orchestrator: false, name: "client" });
  let isOver = false;
  const watching = (async (): Promise<void> => {
    while (!isOver) {
      await record.look(store).catch(() => undefined); // a frozen writer holds the file
      await systemClock.sleep(witnessMs);
    }
  })();
  let isHaunted = true;
  const asking = ask(client, () => !isHaunted);
  const strikes = await haunt(run, members, random).finally(() => (isHaunted = false));
  const handles = await asking;
  const results = await Promise.all(
    handles.map((handle) => handle.result({ timeoutMs: settleBoundMs }).catch(() => undefined)),
  );
  const lost = results.filter((result) => result === undefined).length;
  let open = client.stats().tasksOpen;
  for (let waitedMs = 0; open > 0 && waitedMs < settleBoundMs; waitedMs += 500) {
    await systemClock.sleep(500);
    open = client.stats().tasksOpen;
  }
  const receipts = await countReceipts(store);
  const effects = readFileSync(run.effects, "utf8").split("\n").filter(Boolean);
  isOver = true;
  await watching;
  const { leasesExpired, rejectedLateResults } = client.stats();
  await client.close();
  for (const each of members) each.kill("SIGKILL");
  await Promise.all(members.map(ended));
  const told = {
    strikes,
    tasks: handles.length,
    receipts: receipts.all,
    lost: lost + open,
    doubled: receipts.doubled,
    effectsRepeated: effects.length - new Set(effects).size,
    leasesExpired,
    rejectedLateResults,
    killedMs: figures(record, "killed"),
    frozenMs: figures(record, "frozen"),
    deadWhileBeating: record.wrong.length,
  };
  t.diagnostic(JSON.stringify(told));
  assert.deepEqual(record.wrong, [], "dead while its beats were arriving");
  assert.equal(told.lost, 0, "tasks lost");
  assert.equal(told.doubled, 0, "receipts doubled");
  assert.ok(told.killedMs["count"]! + told.frozenMs["count"]! > 0, "nobody was found dead");
}

test("on SQLite no living process is taken for dead, and no work is lost", async (t) => {
  await withTempFolder(async (folder) => {
    const path = join(folder, "log.db");
    const { store, close } = await openSqlite(path);
    const url = `sqlite:${path}`;
    const run = { url, effects: join(folder, "effects.txt"), store, record: new Witness() };
    await survive(t, run, seededRandom(t));
    await close();
  });
});

const skip = postgresServerPath() === undefined && "no PostgreSQL server is installed";

test(
  "on Postgres no living process is taken for dead, and no work is lost",
  { skip },
  async (t) => {
    await withTempFolder(async (folder) => {
      const server = await startPostgresServer({ settings: ["max_connections = 400"] });
      try {
        const { store, close } = await openPostgres(server.url);
        const effects = join(folder, "effects.txt");
        const run = { url: server.url, effects, store, record: new Witness() };
        await survive(t, run, seededRandom(t));
        await close();
      } finally {
        await server.stop();
      }
    });
  },
);
