/**
 * The folder in which a job's log lives, or the database that holds it instead. It belongs to one
 * pile of documents, and to one desk at a time.
 */
import { createHash } from "node:crypto";
import { existsSync, rmSync, statSync } from "node:fs";
import { join, resolve } from "node:path";
import { createLeases, isCadreError, systemClock } from "cadre";
import type { EventStore, HeldLease, Transport } from "cadre";
import { openPostgres } from "cadre/postgres";
import { openSqlite } from "cadre/sqlite";
import type { Corpus, CorpusOptions } from "./corpus.ts";
import { DeskError } from "./desk-error.ts";

/** What the folder was begun with. */
export interface Pile {
  readonly docsDir?: string;
  readonly limit?: number;
  readonly documents: number;
  /** SHA-256 of the documents' ids. */
  readonly fingerprint: string;
}

/** An open log. */
export interface DeskLog {
  readonly store: EventStore;
  readonly transport: Transport;
  close(): Promise<void>;
}

export interface DeskFolder {
  /** Where the log is, for a person. */
  readonly place: string;
  /** URL of the log, for the workers. */
  readonly store: string;
  readonly log: DeskLog;
  /** Megabytes on disk. */
  size(): Promise<number>;
  /** Lets others in. Doesn't close the log. */
  leave(): Promise<void>;
}

export const defaultFolder = ".cadre/archive-desk";

const logName = "desk.db";
const pileSlot = "desk/pile";
const leaseMs = 3_000; // so long the next run waits for one that was killed
const renewMs = 750;
const bytesPerMb = 1024 * 1024;

/** The pile that these documents are. */
export function pileOf(corpus: Corpus, { docsDir, limit }: CorpusOptions): Pile {
  const fingerprint = createHash("sha256").update(JSON.stringify(corpus.ids)).digest("hex");
  return {
    ...(docsDir === undefined ? {} : { docsDir: resolve(docsDir) }),
    ...(limit === undefined ? {} : { limit }),
    documents: corpus.ids.length,
    fingerprint,
  };
}

/**
 * Opens the folder for a desk that works in it.
 *
 * @throws {DeskError} FOLDER_BUSY, when another desk works in it
 * @throws {DeskError} OTHER_PILE, when it holds the work on other documents; NO_DESK_LOG, when its
 * log is none of a desk
 */
export async function openFolder(
  path: string,
  options: {
    readonly fresh: boolean;
    /** A database that holds the log instead of the folder. */
    readonly store?: string;
    readonly pile: Pile;
    readonly onWait: () => void;
  },
): Promise<DeskFolder> {
  const { place, store, log, size } = options.store
    ? await openDatabase(options.store, options.fresh)
    : await openInFolder(path, options.fresh, options.onWait);
  const named = options.store === undefined ? path : place; // as the user has named it
  try {
    const lease = await takeLease(log.store, named, options.onWait);
    const stopRenewing = keepRenewing(lease);
    const leave = async (): Promise<void> => {
      stopRenewing();
      await lease.release();
    };
    try {
      await claimFor(log.store, named, options.pile);
    } catch (error) {
      await leave();
      throw error;
    }
    return { place, store, log, size, leave };
  } catch (error) {
    await log.close();
    throw error;
  }
}

type Opened = Pick<DeskFolder, "place" | "store" | "log" | "size">;

async function openInFolder(path: string, fresh: boolean, onWait: () => void): Promise<Opened> {
  const logPath = join(resolve(path), logName);
  if (fresh && existsSync(logPath)) await clear(logPath, path, onWait);
  const log = await openSqlite(logPath, { clock: systemClock });
  return { place: logPath, store: `sqlite:${logPath}`, log, size: async () => sizeOf(logPath) };
}

async function openDatabase(store: string, fresh: boolean): Promise<Opened> {
  if (fresh) {
    throw new DeskError(
      "FRESH_NEEDS_FOLDER",
      "--fresh deletes the log of a folder, and no database's. Name another schema " +
        "(?schema=desk_2), or drop this one yourself.",
    );
  }
  const log = await openPostgres(store, { clock: systemClock });
  const size = async (): Promise<number> => ((await log.store.usage()).bytes ?? 0) / bytesPerMb;
  return { place: log.url, store, log, size };
}

/**
 * Opens the log of a folder, or of a database instead, for reading alone.
 *
 * @throws {DeskError} NO_GRAPH, when no desk has worked there
 */
export async function openForReading(path: string, store?: string): Promise<DeskLog> {
  if (store !== undefined) return openPostgres(store);
  const logPath = join(resolve(path), logName);
  if (existsSync(logPath)) return openSqlite(logPath);
  throw new DeskError(
    "NO_GRAPH",
    `There is no graph in "${path}". Make one with "cadre demo", or name its folder with --data.`,
  );
}

async function clear(logPath: string, path: string, onWait: () => void): Promise<void> {
  try {
    const log = await openSqlite(logPath);
    try {
      await (await takeLease(log.store, path, onWait)).release();
    } finally {
      await log.close();
    }
  } catch (error) {
    // Beginning anew is also the way out of a log that can't be opened any more.
    if (!isCadreError(error, "STORE_CORRUPT") && !isCadreError(error, "STORE_TOO_NEW")) throw error;
  }
  for (const suffix of ["", "-wal", "-shm"]) rmSync(`${logPath}${suffix}`, { force: true });
}

async function takeLease(store: EventStore, path: string, onWait: () => void): Promise<HeldLease> {
  const leases = createLeases({ store, clock: systemClock });
  const owner = `${process.pid}-${systemClock.now()}`;
  const request = { name: "desk/supervisor", owner, ttlMs: leaseMs };
  const free = await leases.tryAcquire(request);
  if (free !== undefined) return free;
  onWait();
  const limit = new AbortController();
  const cancel = systemClock.after(2 * leaseMs, () => limit.abort(new Error("It is still held.")));
  try {
    return await leases.acquire(request, limit.signal);
  } catch (cause) {
    if (!limit.signal.aborted) throw cause;
    throw new DeskError(
      "FOLDER_BUSY",
      `Another desk works in "${path}". Wait for its end, or name another folder with --data.`,
      { cause },
    );
  } finally {
    cancel();
  }
}

/** A lease that was lost is not fought for: the tasks' own epochs keep two desks apart. */
function keepRenewing(lease: HeldLease): () => void {
  let stopped = false;
  let cancel = (): void => {};
  const renew = (): void => {
    cancel = systemClock.after(renewMs, () => {
      lease.renew().then(
        () => (stopped ? undefined : renew()),
        () => undefined,
      );
    });
  };
  renew();
  return () => {
    stopped = true;
    cancel();
  };
}

async function claimFor(store: EventStore, path: string, pile: Pile): Promise<void> {
  const slot = await store.slot(pileSlot);
  if (slot === undefined) {
    if ((await store.head()) > 0) {
      throw new DeskError(
        "NO_DESK_LOG",
        `The log "${path}" is none of the archive desk's. Name another folder with --data.`,
      );
    }
    const value = JSON.stringify(pile);
    await store.commit({ slots: [{ name: pileSlot, expectedVersion: 0, value }] });
    return;
  }
  const there = JSON.parse(slot.value) as Pile;
  if (there.fingerprint === pile.fingerprint && there.docsDir === pile.docsDir) return;
  throw new DeskError(
    "OTHER_PILE",
    `The folder "${path}" holds the work on ${describePile(there)}; this is ` +
      `${describePile(pile)}${samePlace(there, pile)}. Give the same documents to go on, name ` +
      "another folder with --data, or begin again with --fresh, which deletes that work.",
  );
}

function samePlace(there: Pile, pile: Pile): string {
  const same = there.docsDir === pile.docsDir && there.limit === pile.limit;
  return same ? ", with other files than then" : "";
}

function describePile({ docsDir, limit, documents }: Pile): string {
  const from = docsDir === undefined ? "State of the Union addresses" : `documents of ${docsDir}`;
  return limit === undefined ? `${documents} ${from}` : `the first ${documents} ${from}`;
}

function sizeOf(logPath: string): number {
  const bytes = ["", "-wal"].reduce((sum, suffix) => {
    const found = statSync(`${logPath}${suffix}`, { throwIfNoEntry: false });
    return sum + (found?.size ?? 0);
  }, 0);
  return bytes / bytesPerMb;
}
