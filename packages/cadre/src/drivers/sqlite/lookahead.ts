import { priorityRank } from "../../core/event.ts";
import { compilePattern } from "../../core/pattern.ts";
import { Queue } from "../../bus/queue.ts";
import type { Connection } from "./connection.ts";
import { normalRank } from "./delivery-row.ts";
import { directedFlag, privateFlag } from "./event-rows.ts";
import type { RecentEvents } from "./recent-events.ts";

/** An event that a group's cursor has not passed yet and that its patterns match. */
export interface Candidate {
  readonly position: number;
  readonly recordedAt: number;
  readonly key: string | null;
  readonly rank: number;
  readonly deliverAt: number | null;
}

const pageRows = 512;
// types whose match is remembered; beyond it they are forgotten and matched again
const maxTypes = 4_096;

/**
 * What lies ahead of a subscription in the log, as far as this process has looked. The log only
 * grows, and a subscription's patterns never change: what was found once stays true, so that each
 * row is looked at once.
 */
export class Lookahead {
  readonly #matchers: readonly ((type: string) => boolean)[];
  readonly #types = new Map<string, boolean>();
  readonly #candidates = new Queue<Candidate>();
  /**
   * How many events the group keeps behind their keys at most, and the claims since they were
   * counted.
   */
  readonly blocked: { count: number; claims: number } = { count: Infinity, claims: Infinity };
  #scannedTo: number;
  #ranked = 0;

  constructor(patterns: readonly string[], cursor: number) {
    this.#matchers = patterns.map((pattern) => compilePattern(pattern));
    this.#scannedTo = cursor;
  }

  get size(): number {
    return this.#candidates.size;
  }

  /** No event up to here matches, but for the candidates. */
  get scannedTo(): number {
    return this.#scannedTo;
  }

  /** Whether some candidate is not of normal priority. */
  get hasRanks(): boolean {
    return this.#ranked > 0;
  }

  peek(): Candidate | undefined {
    return this.#candidates.peek();
  }

  shift(): Candidate | undefined {
    const candidate = this.#candidates.shift();
    if (candidate && candidate.rank !== normalRank) this.#ranked -= 1;
    return candidate;
  }

  matches(type: string): boolean {
    let matches = this.#types.get(type);
    if (matches === undefined) {
      matches = this.#matchers.some((matcher) => matcher(type));
      if (this.#types.size >= maxTypes) this.#types.clear();
      this.#types.set(type, matches);
    }
    return matches;
  }

  #add(candidate: Candidate): void {
    if (candidate.rank !== normalRank) this.#ranked += 1;
    this.#candidates.push(candidate);
  }

  /** Forgets what another member has passed. */
  passTo(cursor: number): void {
    while ((this.peek()?.position ?? Infinity) <= cursor) this.shift();
    this.#scannedTo = Math.max(this.#scannedTo, cursor);
  }

  /**
   * Looks as far as the log goes, if what lies ahead is in memory.
   * @returns false when it is not
   */
  fillFrom(recent: RecentEvents): boolean {
    const events = recent.after(this.#scannedTo, Infinity);
    if (!events) return false;
    for (const { stored, flags } of events) {
      const { position, event, recordedAt } = stored;
      this.#scannedTo = position;
      if ((flags & (privateFlag | directedFlag)) !== 0 || !this.matches(event.type)) continue;
      const { key = null, deliverAt = null } = event.metadata;
      this.#add({ position, recordedAt, key, rank: priorityRank(event), deliverAt });
    }
    return true;
  }

  /**
   * Looks further until there are `enough` candidates, at most `maxRows` rows far.
   * @returns false when there is more to look at
   */
  fill(connection: Connection, enough: number, maxRows: number): boolean {
    const statement = connection.sql(
      `SELECT position, type, recorded_at, key, rank, deliver_at, flags
       FROM events WHERE position > ? ORDER BY position LIMIT ${pageRows}`,
    );
    for (let looked = 0; this.size < enough; looked += pageRows) {
      if (looked >= maxRows) return false;
      const rows = statement.all(this.#scannedTo);
      for (const [position, type, recordedAt, key, rank, deliverAt, flags] of rows) {
        this.#scannedTo = Number(position);
        if ((Number(flags ?? 0) & (privateFlag | directedFlag)) !== 0) continue;
        if (!this.matches(String(type))) continue;
        this.#add({
          position: Number(position),
          recordedAt: Number(recordedAt),
          key: key === null ? null : String(key),
          rank: Number(rank ?? normalRank),
          deliverAt: deliverAt === null ? null : Number(deliverAt),
        });
      }
      if (rows.length < pageRows) return true;
    }
    return true;
  }
}
