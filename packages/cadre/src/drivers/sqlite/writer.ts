/**
 * The one writer of a connection: group commit.
 *
 *   request ─▶ queue ─▶ (end of the turn) BEGIN ─▶ each checks, then writes ─▶ COMMIT ─▶ answers
 *                                                     └─ refused: it alone fails
 *
 * All requests of one turn of the loop share one transaction and one wait for the disk. A lone
 * writer isn't made to wait for a turn: its request is written when the microtasks before it have
 * run, and every few milliseconds the loop gets its turn. What a transaction holds is bounded, so
 * that timers and handlers are not held up by a long queue.
 */
import type { Clock } from "../../core/clock.ts";
import { CadreError } from "../../core/errors.ts";
import type { Connection } from "./connection.ts";
import { EventInserter } from "./event-inserter.ts";
import type { EncodedEvent } from "./event-rows.ts";
import { LogTransaction, type LogTail } from "./log-transaction.ts";
import { isConstraint } from "./sqlite-error.ts";

/** One thing to write. */
export interface WriteRequest<Result> {
  /** Whether its answer waits until the disk has it. */
  readonly toDisk: boolean;
  /** The events that it may append: their ids are looked up before. */
  readonly events: readonly EncodedEvent[];
  /** It only appends to the log and asks what is known: then nothing needs to be read before. */
  readonly appendsOnly?: boolean;
  /** Checks, then writes. Throws only before it has written anything. */
  run(transaction: LogTransaction): Result;
}

interface Queued {
  readonly request: WriteRequest<unknown>;
  readonly resolve: (result: unknown) => void;
  readonly reject: (error: unknown) => void;
}

export interface WriterOptions {
  readonly clock: Clock;
  readonly busyTimeoutMs: number;
  /** False: nothing waits for the disk. */
  readonly toDisk: boolean;
  /**
   * Called after each transaction, before its answers are given, with the file's change counter
   * from when nobody else could write.
   */
  readonly onCommit: (transaction: LogTransaction, dataVersion: number) => void;
}

// events in one transaction: about 5 ms of work with its answers, so that timers are not late
const maxRows = 256;
const maxRequests = 256; // the same for requests that append nothing
const maxTurnMs = 2; // microtasks may write for so long before the loop gets its turn
const maxFlushes = 64; // the same in transactions, for clocks that stand still
// microtasks that a lone request waits, for those that the same turn is about to make
const quietHops = 3;

export class Writer {
  readonly #connection: Connection;
  readonly #inserter: EventInserter;
  readonly #options: WriterOptions;
  #queue: Queued[] = [];
  #scheduled: Promise<void> | undefined;
  #closed = false;
  /**
   * Requests of the last transaction: many means that waiting for the turn's end gathers many
   * again.
   */
  #lastCount = 0;
  #flushes = 0;
  #turnAt = 0;
  /** Where the log ended after the last transaction, as far as this connection knows. */
  #tail: LogTail | undefined;

  constructor(connection: Connection, options: WriterOptions) {
    this.#connection = connection;
    this.#inserter = new EventInserter(connection);
    this.#options = options;
  }

  write<Result>(request: WriteRequest<Result>): Promise<Result> {
    if (this.#closed) return Promise.reject(closedError(this.#connection.path));
    return new Promise<Result>((resolve, reject) => {
      this.#queue.push({ request, resolve: resolve as (result: unknown) => void, reject });
      this.#scheduled ??= this.#loop();
    });
  }

  /** Refuses new requests and resolves when those that were taken are answered. */
  async close(): Promise<void> {
    this.#closed = true;
    await this.#scheduled;
  }

  async #loop(): Promise<void> {
    await this.#endOfTurn();
    while (this.#queue.length > 0) {
      const batch = this.#takeBatch();
      this.#lastCount = batch.length;
      await this.#writePatiently(batch);
      if (this.#queue.length > 0) await this.#turn();
    }
    this.#scheduled = undefined;
  }

  async #endOfTurn(): Promise<void> {
    const { clock } = this.#options;
    const mayStay =
      this.#lastCount <= 1 &&
      this.#flushes < maxFlushes &&
      clock.monotonic() - this.#turnAt < maxTurnMs;
    if (!mayStay) return this.#turn();
    this.#flushes += 1;
    for (let hop = 0; hop < quietHops; hop += 1) await Promise.resolve();
  }

  async #turn(): Promise<void> {
    await this.#options.clock.yield();
    this.#flushes = 0;
    this.#turnAt = this.#options.clock.monotonic();
  }

  #takeBatch(): readonly Queued[] {
    let rows = 0;
    let count = 0;
    for (const { request } of this.#queue) {
      rows += request.events.length;
      if (count > 0 && (rows > maxRows || count === maxRequests)) break;
      count += 1;
    }
    if (count === this.#queue.length) {
      const all = this.#queue;
      this.#queue = [];
      return all;
    }
    return this.#queue.splice(0, count);
  }

  async #writePatiently(batch: readonly Queued[]): Promise<void> {
    const { clock, busyTimeoutMs } = this.#options;
    try {
      await this.#connection.patiently(clock, busyTimeoutMs, () => this.#writeBatch(batch));
    } catch (error) {
      if (batch.length === 1 || isDiskError(error)) {
        for (const { reject } of batch) reject(error);
        return;
      }
      // Something that no check foresaw. It fails alone, and the others get their own transactions.
      for (const queued of batch) await this.#writePatiently([queued]);
    }
  }

  #writeBatch(batch: readonly Queued[]): void {
    const toDisk = this.#options.toDisk && batch.some(({ request }) => request.toDisk);
    const tail = this.#tail;
    this.#tail = undefined;
    try {
      if (tail && batch.every(({ request }) => request.appendsOnly)) {
        try {
          this.#appendBatch(batch, tail, toDisk);
          return;
        } catch (error) {
          // Another process has appended, or an id is there already: then look first.
          if (!isConstraint(error)) throw error;
          this.#inserter.clear();
        }
      }
      this.#lookAndWrite(batch, toDisk);
    } catch (error) {
      this.#inserter.clear();
      throw error;
    }
  }

  #lookAndWrite(batch: readonly Queued[], toDisk: boolean): void {
    const connection = this.#connection;
    const now = this.#options.clock.now();
    const events = batch.flatMap(({ request }) => request.events);
    const answers: (() => void)[] = [];
    let dataVersion = 0;
    const transaction = connection.transaction(toDisk, () => {
      dataVersion = connection.dataVersion();
      const begun = LogTransaction.begin(connection, this.#inserter, now, events);
      for (const queued of batch) answers.push(this.#runOne(queued, begun));
      begun.flush();
      return begun;
    });
    this.#committed(transaction, dataVersion, answers);
  }

  /** The shortest way for events alone: no statement but the insert. */
  #appendBatch(batch: readonly Queued[], tail: LogTail, toDisk: boolean): void {
    const connection = this.#connection;
    const now = this.#options.clock.now();
    const dataVersion = connection.dataVersion();
    const transaction = LogTransaction.guess(connection, this.#inserter, now, tail);
    const answers = batch.map((queued) => this.#runOne(queued, transaction));
    // One row is one statement, which is a transaction of its own.
    if (this.#inserter.size === 1) connection.alone(toDisk, () => this.#inserter.flush());
    else connection.transaction(toDisk, () => this.#inserter.flush());
    this.#committed(transaction, dataVersion, answers);
  }

  #committed(
    transaction: LogTransaction,
    dataVersion: number,
    answers: readonly (() => void)[],
  ): void {
    this.#tail = transaction.tail;
    this.#options.onCommit(transaction, dataVersion);
    for (const answer of answers) answer();
  }

  #runOne({ request, resolve, reject }: Queued, transaction: LogTransaction): () => void {
    try {
      const result = request.run(transaction);
      return () => resolve(result);
    } catch (error) {
      if (!(error instanceof CadreError) || isDiskError(error)) throw error;
      return () => reject(error);
    }
  }
}

function isDiskError(error: unknown): boolean {
  return error instanceof CadreError && error.code.startsWith("STORE_");
}

export function closedError(path: string): CadreError<"CLOSED"> {
  return new CadreError("CLOSED", `The log "${path}" is closed.`, { what: path });
}
