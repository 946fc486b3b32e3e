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
  readonly #rows: StoredEvent[] = [];
  readonly #ids = new Map<string, LogPosition>();
  readonly #streams = new Map<string, LogPosition[]>();
  readonly #correlations = new Map<string, LogPosition[]>();

  get head(): LogPosition {
    return this.#rows.length;
  }

  version(stream: string): number {
    return this.#streams.get(stream)?.length ?? 0;
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
    const recordedAt = Math.max(now, this.#rows.at(-1)?.recordedAt ?? now);
    this.#rows.push(Object.freeze({ position, ...row, recordedAt }));
    this.#ids.set(row.event.id, position);
    if (row.stream !== undefined) addTo(this.#streams, row.stream, position);
    addTo(this.#correlations, row.event.metadata.correlationId, position);
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
        const least = Math.max(seek(at, size, query.after ?? 0), skippedVersions(query));
        const most = seek(at, size, query.upTo ?? this.head);
        const from = query.backward
          ? (place === undefined ? most : seek(at, size, place - 1)) - 1
          : Math.max(least, seek(at, size, place ?? 0));
        const events: StoredEvent[] = [];
        let index = from;
        for (let looked = 0; index >= least && index < most; index += step) {
          if (events.length === max || looked === scanBudget) return { events, last: false };
          const stored = this.#rows[at(index) - 1]!;
          if (matches(stored)) events.push(stored);
          place = stored.position;
          looked += 1;
        }
        return { events, last: true };
      },
    };
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

/** Versions have no gaps: version v of a stream is its index v - 1. */
function skippedVersions({ id, stream, fromVersion = 1 }: StoreQuery): number {
  return id === undefined && stream !== undefined ? Math.max(0, fromVersion - 1) : 0;
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
