/** Reads what {@link exportLog} wrote into another store. */
import { systemClock, type Clock } from "../core/clock.ts";
import { CadreError, isCadreError } from "../core/errors.ts";
import { secureRandom, type Random } from "../core/random.ts";
import type { EventStore, StoredEvent } from "./event-store.ts";
import { createLeases, type HeldLease } from "./lease.ts";
import { exportHead } from "./log-export.ts";
import { importConflict, toRow } from "./row-line.ts";
import { anchorLine, parseAnchor, parseSeal, readChainHead, sealSlot } from "./seal.ts";
import { noDigest, sealWrites, type Anchor } from "./seal.ts";
import { sealerLease } from "./sealer.ts";

const batchRows = 256;
const batchChars = 8_388_608; // large rows are written in smaller batches
const leaseMs = 30_000;

export interface ImportOptions {
  readonly onProgress?: (result: ImportResult) => void;
  readonly signal?: AbortSignal;
  readonly clock?: Clock;
  readonly random?: Random;
}

export interface ImportResult {
  /** Rows that were written. */
  readonly rows: number;
  /** Rows that were there already. */
  readonly known: number;
  /** Seals that were written. */
  readonly seals: number;
}

/**
 * Writes an exported log into `store`: positions, streams, versions, times and seals stay as they
 * are. Doing it again, or going on after an interruption, writes only what is missing. Nobody may
 * seal the store meanwhile.
 *
 * Checkpoints, snapshots, leases and inbox marks are no part of an export. A consumer group that
 * the store has already is given the imported events.
 *
 * @throws {CadreError} IMPORT_CONFLICT, naming the first row or seal that does not fit; what was
 *   written before it stays
 * @throws {CadreError} UNDECODABLE, when a line is none of an export, naming its number
 * @throws {CadreError} WRONG_STATE, when a sealer is active
 */
export async function importLog(
  store: EventStore,
  lines: AsyncIterable<string> | Iterable<string>,
  options: ImportOptions = {},
): Promise<ImportResult> {
  const { clock = systemClock, random = secureRandom } = options;
  const owner = `import/${random.id(clock.now())}`;
  const request = { name: sealerLease, owner, ttlMs: leaseMs };
  const lease = await createLeases({ store, clock }).tryAcquire(request);
  if (!lease) {
    throw new CadreError(
      "WRONG_STATE",
      "The store is being sealed. Close the team that does it, and import again.",
      { what: "store", state: "sealed" },
    );
  }
  try {
    return await new Import(store, lease, clock, options).run(lines);
  } finally {
    await lease.release();
  }
}

class Import {
  readonly #store: EventStore;
  readonly #lease: HeldLease;
  readonly #clock: Clock;
  readonly #options: ImportOptions;
  #batch: StoredEvent[] = [];
  #chars = 0;
  #head: Anchor | undefined;
  #headVersion = 0;
  #renewedAt: number;
  #rows = 0;
  #known = 0;
  #seals = 0;

  constructor(store: EventStore, lease: HeldLease, clock: Clock, options: ImportOptions) {
    this.#store = store;
    this.#lease = lease;
    this.#clock = clock;
    this.#options = options;
    this.#renewedAt = clock.monotonic();
  }

  async run(lines: AsyncIterable<string> | Iterable<string>): Promise<ImportResult> {
    const head = await readChainHead(this.#store);
    this.#head = head.anchor;
    this.#headVersion = head.slot?.version ?? 0;
    let number = 0;
    for await (const line of lines) {
      this.#options.signal?.throwIfAborted();
      number += 1;
      if (number === 1) checkHead(line);
      else if (line !== "") await this.#take(line, number);
    }
    if (number === 0) checkHead("");
    await this.#flush();
    return this.#result;
  }

  get #result(): ImportResult {
    return { rows: this.#rows, known: this.#known, seals: this.#seals };
  }

  async #take(line: string, number: number): Promise<void> {
    if (line.startsWith('{"seal":')) {
      await this.#flush();
      await this.#addSeal(line, number);
    } else if (line.startsWith('{"anchor":')) {
      await this.#flush();
      this.#checkAnchor(line, number);
    } else {
      this.#batch.push(parseRow(line, number));
      this.#chars += line.length;
      if (this.#batch.length >= batchRows || this.#chars >= batchChars) await this.#flush();
    }
  }

  async #flush(): Promise<void> {
    const rows = this.#batch;
    if (rows.length > 0) {
      this.#batch = [];
      this.#chars = 0;
      const written = await this.#store.restore(rows);
      this.#rows += written;
      this.#known += rows.length - written;
      this.#options.onProgress?.(this.#result);
    }
    if (this.#clock.monotonic() - this.#renewedAt < leaseMs / 3) return;
    await this.#lease.renew();
    this.#renewedAt = this.#clock.monotonic();
  }

  async #addSeal(line: string, number: number): Promise<void> {
    const seal = parseSeal(line);
    if (!seal) throw undecodable(number, "it is no whole seal");
    const there = await this.#store.slot(sealSlot(seal.seal));
    if (there?.value === line) return;
    if (there) throw importConflict(seal.to, `the log has another seal ${seal.seal}`);
    const before = this.#head;
    const follows =
      seal.seal === (before?.anchor ?? 0) + 1 &&
      seal.from === (before?.to ?? 0) + 1 &&
      seal.prev === (before?.hash ?? noDigest);
    if (!follows) {
      throw importConflict(
        seal.to,
        `seal ${seal.seal} does not follow seal ${before?.anchor ?? 0}`,
      );
    }
    const { anchor, slots } = sealWrites(line, seal, this.#headVersion);
    try {
      await this.#lease.commit({ slots });
    } catch (error) {
      if (!isCadreError(error, "VERSION_CONFLICT")) throw error;
      throw importConflict(seal.to, "the log was sealed meanwhile");
    }
    this.#head = anchor;
    this.#headVersion += 1;
    this.#seals += 1;
  }

  /** The chain of the store may go on behind that of the export, never end before it. */
  #checkAnchor(line: string, number: number): void {
    const anchor = parseAnchor(line);
    if (!anchor) throw undecodable(number, "it is no anchor");
    const head = this.#head;
    if (head && head.anchor > anchor.anchor) return;
    if (head && anchorLine(head) === anchorLine(anchor)) return;
    throw importConflict(anchor.to, `its seals do not lead to anchor ${anchor.anchor}`);
  }
}

function checkHead(line: string): void {
  if (line === exportHead) return;
  throw undecodable(1, `an export begins with ${exportHead}`);
}

function parseRow(line: string, number: number): StoredEvent {
  let value: unknown;
  try {
    value = JSON.parse(line);
  } catch {
    throw undecodable(number, "it is no JSON");
  }
  if (typeof value !== "object" || value === null || !("position" in value)) {
    throw undecodable(number, "it is no row, seal or anchor");
  }
  try {
    return toRow(value);
  } catch (error) {
    throw undecodable(number, error instanceof Error ? error.message : String(error), error);
  }
}

function undecodable(line: number, what: string, cause?: unknown): CadreError<"UNDECODABLE"> {
  const reason = `line ${line} is none of an export: ${what}`;
  return new CadreError("UNDECODABLE", `Cannot import: ${reason}.`, { reason }, cause);
}
