/**
 * A broadcast: the tail of the log from a fixed position.
 *
 * The log is the queue. Only positions are remembered, at most `maxQueued` of them; what lies
 * further back when the next pull comes is missed, the oldest first.
 */
import { BroadcastLease } from "../../bus/broadcast-lease.ts";
import type { ConsumeSpec, Intake, Lease } from "../../bus/transport.ts";
import { Queue } from "../../bus/queue.ts";
import { compilePattern } from "../../core/pattern.ts";
import { plainArray } from "./array-literal.ts";
import type { Row } from "./client.ts";
import { isNewTo, type CommitNews } from "./commit-news.ts";
import type { Connection } from "./connection.ts";
import { eventSelection, eventTables } from "./event-rows.ts";
import { missing, toRecorded } from "./recorded.ts";
import { type LogTail, pageRows } from "./log-tail.ts";

interface Delayed {
  readonly position: number;
  /** By the monotonic clock of this process, which is never compared with the server's. */
  readonly dueAt: number;
}

export interface BroadcastParts {
  readonly connection: Connection;
  readonly tail: LogTail;
  /** Calls `wake` soon after a commit. Returns the end of it. */
  readonly listen: (wake: (news: CommitNews) => void) => () => void;
  readonly onClose: () => void;
}

const maxEvents = 256; // in one statement

export class BroadcastIntake implements Intake {
  readonly #parts: BroadcastParts;
  readonly #matchers: readonly ((type: string) => boolean)[];
  readonly #maxQueued: number;
  readonly #queue = new Queue<number>();
  /** By the instant at which they fall due. */
  #delayed: Delayed[] = [];
  #at: number;
  #missed = 0;
  #closed = false;
  #wake: (() => void) | undefined;

  /** @param start the position after which it begins */
  constructor(parts: BroadcastParts, spec: ConsumeSpec, start: number) {
    this.#parts = parts;
    this.#matchers = spec.patterns.map((pattern) => compilePattern(pattern));
    this.#maxQueued = spec.maxQueued;
    this.#at = start;
  }

  async pull(max: number, signal: AbortSignal): Promise<readonly Lease[]> {
    const { clock, pollMs } = this.#parts.connection.settings;
    while (!this.#closed && !signal.aborted && max >= 1) {
      const change = Promise.withResolvers<void>();
      const ring = (): void => change.resolve();
      this.#wake = ring;
      // Listening begins before looking, so that nothing falls between.
      signal.addEventListener("abort", ring, { once: true });
      const endListening = this.#parts.listen((news) => {
        if (isNewTo(news, this.#at, (type) => this.#matches(type))) ring();
      });
      let cancelTimer: (() => void) | undefined;
      try {
        await this.#look();
        if (this.#closed || signal.aborted) break;
        if (this.#queue.size > 0) return await this.#take(max);
        const dueInMs = (this.#delayed[0]?.dueAt ?? Infinity) - clock.monotonic();
        cancelTimer = clock.after(Math.min(pollMs, Math.max(1, dueInMs)), ring);
        await change.promise;
      } finally {
        cancelTimer?.();
        endListening();
        signal.removeEventListener("abort", ring);
      }
    }
    return [];
  }

  missed(): number {
    const missed = this.#missed;
    this.#missed = 0;
    return missed;
  }

  close(): Promise<void> {
    if (!this.#closed) {
      this.#closed = true;
      this.#wake?.();
      this.#parts.onClose();
    }
    return Promise.resolve();
  }

  async #take(max: number): Promise<readonly Lease[]> {
    const positions: number[] = [];
    while (positions.length < Math.min(max, maxEvents)) {
      const position = this.#queue.peek();
      if (position === undefined) break;
      positions.push(position);
      this.#queue.shift();
    }
    const rows = await this.#load(positions);
    const found = new Map(rows.map((row) => [Number(row[0]), row]));
    return positions.map((position) => {
      const row = found.get(position);
      return new BroadcastLease(row ? toRecorded(row) : missing(position));
    });
  }

  async #load(positions: readonly number[]): Promise<readonly Row[]> {
    const { connection } = this.#parts;
    const { schema } = connection.settings;
    try {
      return await connection.query(
        `SELECT ${eventSelection} FROM ${eventTables(schema)}
         WHERE e.position = ANY ($1::bigint[])`,
        [plainArray(positions)],
        `cadre_events_${schema}`,
      );
    } catch (error) {
      for (const position of positions.toReversed()) this.#queue.unshift(position);
      throw error;
    }
  }

  async #look(): Promise<void> {
    const { clock } = this.#parts.connection.settings;
    for (let more = true; more && !this.#closed;) {
      const { rows, serverNow } = await this.#parts.tail.page(this.#at);
      const now = clock.monotonic();
      for (const { position, type, deliverAt, isPublic } of rows) {
        this.#at = position;
        if (!isPublic || !this.#matches(type)) continue;
        if (deliverAt === null || deliverAt <= serverNow) this.#push(position);
        else this.#delay({ position, dueAt: now + deliverAt - serverNow });
      }
      more = rows.length === pageRows;
    }
    const now = clock.monotonic();
    while (this.#delayed[0] && this.#delayed[0].dueAt <= now) {
      this.#push(this.#delayed.shift()!.position);
    }
  }

  #matches(type: string): boolean {
    return this.#matchers.some((matches) => matches(type));
  }

  #push(position: number): void {
    if (this.#queue.size >= this.#maxQueued) {
      this.#queue.shift();
      this.#missed += 1;
    }
    this.#queue.push(position);
  }

  #delay(delayed: Delayed): void {
    const after = this.#delayed.findIndex(({ dueAt }) => dueAt > delayed.dueAt);
    this.#delayed.splice(after === -1 ? this.#delayed.length : after, 0, delayed);
    if (this.#delayed.length <= this.#maxQueued) return;
    this.#delayed.pop();
    this.#missed += 1;
  }
}
