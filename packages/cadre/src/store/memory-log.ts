import { CadreError } from "../core/errors.ts";
import type { AgentEvent } from "../core/event.ts";
import type { LogPosition, StoredEvent, StoreQuery } from "./event-store.ts";
import { sameEvent } from "./same-event.ts";
import { queryPredicate } from "./store-query.ts";

// events looked at for one page, found or not: a rare match doesn't hold up the loop
const scanBudget = 4_096;

/** Part of the answer to a query. */
export interface LogPage {
  readonly events: readonly StoredEvent[];
  /** There was nothing more when the page was made. */
  readonly last: boolean;
}

export interface LogCursor {
  next(max: number): LogPage;
}

/** The rows of a memory store and their indexes. The position of an event is its index + 1. */
export class MemoryLog {
  /** Removed ones have left a hole. */
  readonly #rows: (StoredEvent | undefined)[] = [];
  readonly #ids = new Map<string, LogPosition>();
  readonly #streams = new Map<string, LogPosition[]>();
  readonly #versions = new Map<string, number>();
  readonly #correlations = new Map<string, LogPosition[]>();

  #recordedAt = 0;

  get head(): LogPosition {
    return this.#rows.length;
  }

  version(stream: string): number {
    return this.#versions.get(stream) ?? 0;
  }

  /** Events that are there. */
  get size(): number {
    return this.#ids.size;
  }

  get streams(): number {
    return this.#versions.size;
  }

  /** When the last event was recorded; 0 when there is none. */
  get recordedAt(): number {
    return this.#recordedAt;
  }

  byId(id: string): StoredEvent | undefined {
    const position = this.#ids.get(id);
    return position === undefined ? undefined : this.#rows[position - 1];
  }

  /**
   * Whether this very event is in the log.
   * @throws {CadreError} DUPLICATE_ID, when its id is there with other content or in another stream
   */
  holds(event: AgentEvent, stream: string | undefined): boolean {
    const stored = this.byId(event.id);
    if (!stored) return false;
    if (stored.stream !== stream || !sameEvent(stored.event, event)) {
      throw this.duplicateId(event.id);
    }
    return true;
  }

  duplicateId(id: string): CadreError<"DUPLICATE_ID"> {
    const stream = this.byId(id)?.stream;
    const where = stream === undefined ? "the log" : `the stream "${stream}"`;
    return new CadreError(
      "DUPLICATE_ID",
      `The event ${id} is in ${where} already, and this commit is no repetition of that one. ` +
        "Give new events new ids.",
      { id },
    );
  }

  push(row: Omit<StoredEvent, "position" | "recordedAt">, now: number): void {
    const position = this.#rows.length + 1;
    const recordedAt = Math.max(now, this.#recordedAt);
    this.put(Object.freeze({ position, ...row, recordedAt }));
  }

  /** Writes a row at its own place, behind the end of the log. */
  put(row: StoredEvent): void {
    const { position, stream, event } = row;
    this.#rows[position - 1] = row;
    this.#recordedAt = row.recordedAt;
    this.#ids.set(event.id, position);
    if (stream !== undefined) {
      addTo(this.#streams, stream, position);
      this.#versions.set(stream, row.version ?? this.version(stream) + 1);
    }
    addTo(this.#correlations, event.metadata.correlationId, position);
  }

  /** Takes out what is there of `positions`. */
  remove(positions: readonly LogPosition[]): void {
    const streams = new Set<string>();
    const correlations = new Set<string>();
    for (const position of positions) {
      const row = this.#rows[position - 1];
      if (!row) continue;
      this.#rows[position - 1] = undefined;
      this.#ids.delete(row.event.id);
      if (row.stream !== undefined) streams.add(row.stream);
      correlations.add(row.event.metadata.correlationId);
    }
    for (const name of streams) this.#keepPresent(this.#streams, name);
    for (const id of correlations) this.#keepPresent(this.#correlations, id);
  }

  #keepPresent(index: Map<string, LogPosition[]>, key: string): void {
    const left = index.get(key)?.filter((position) => this.#rows[position - 1]) ?? [];
    if (left.length > 0) index.set(key, left);
    else index.delete(key);
  }

  cursor(query: StoreQuery): LogCursor {
    const matches = queryPredicate(query);
    const step = query.backward ? -1 : 1;
    let place: LogPosition | undefined; // the last position that was looked at
    return {
      next: (max) => {
        const positions = this.#candidates(query);
        const at = (index: number): LogPosition => (positions ? positions[index]! : index + 1);
        const size = positions?.length ?? this.#rows.length;
        const least = Math.max(seek(at, size, query.after ?? 0), this.#skippedVersions(query));
        const most = seek(at, size, query.upTo ?? this.head);
        const from = query.backward
          ? (place === undefined ? most : seek(at, size, place - 1)) - 1
          : Math.max(least, seek(at, size, place ?? 0));
        const events: StoredEvent[] = [];
        let index = from;
        for (let looked = 0; index >= least && index < most; index += step) {
          if (events.length === max || looked === scanBudget) return { events, last: false };
          const stored = this.#rows[at(index) - 1];
          if (stored && matches(stored)) events.push(stored);
          place = at(index);
          looked += 1;
        }
        return { events, last: true };
      },
    };
  }

  /** How many events of the stream come before the version that is asked for. */
  #skippedVersions({ id, stream, fromVersion = 1 }: StoreQuery): number {
    if (id !== undefined || stream === undefined || fromVersion <= 1) return 0;
    const positions = this.#streams.get(stream) ?? [];
    const versionAt = (index: number): number => this.#rows[positions[index]! - 1]?.version ?? 0;
    return seek(versionAt, positions.length, fromVersion - 1);
  }

  /**
   * The positions that can match, ascending, from the narrowest index; `undefined` for the whole
   * log.
   */
  #candidates(query: StoreQuery): readonly LogPosition[] | undefined {
    if (query.id !== undefined) {
      const position = this.#ids.get(query.id);
      return position === undefined ? [] : [position];
    }
    if (query.stream !== undefined) {
      return this.#streams.get(query.stream) ?? [];
    }
    if (query.correlationId !== undefined) {
      return this.#correlations.get(query.correlationId) ?? [];
    }
    return undefined;
  }
}

function addTo(index: Map<string, LogPosition[]>, key: string, position: LogPosition): void {
  const positions = index.get(key);
  if (positions) positions.push(position);
  else index.set(key, [position]);
}

/**
 * How many of the first `size` positions are at most `position`: the index of the first one after
 * it.
 */
function seek(at: (index: number) => LogPosition, size: number, position: LogPosition): number {
  let low = 0;
  let high = size;
  while (low < high) {
    const middle = (low + high) >>> 1;
    if (at(middle) <= position) low = middle + 1;
    else high = middle;
  }
  return low;
}
