import { CadreError } from "../core/errors.ts";
import type { AgentEvent } from "../core/event.ts";
import { compilePattern } from "../core/pattern.ts";
import type { Position, ReadQuery, Recorded, StartFrom } from "./transport.ts";

const lowDigits = 3; // a position is a prefix that changes every 1,000 events, and a ready ending
const lowCount = 10 ** lowDigits;
const positionDigits = 16; // as many as the largest safe integer has
const endings: readonly string[] = Array.from({ length: lowCount }, (_, low) =>
  String(low).padStart(lowDigits, "0"),
);

/**
 * The last events that a carrier took, by their numbers, and the maker of positions. In columns:
 * the events are kept for long, and each further object beside one costs the garbage collector as
 * much as a small publish.
 */
export class MemoryRing {
  readonly #events: AgentEvent[] = [];
  readonly #times: number[] = [];
  readonly #numbers: number[] = [];
  readonly #capacity: number;
  /**
   * Numbers run from 1; this is the last one given. Not all of them are in the ring: directed
   * events only take a number.
   */
  #last = 0;
  #prefix = "0".repeat(positionDigits - lowDigits);
  /** Of the numbers that have `#prefix`, divided by `lowCount`. */
  #high = 0;
  /** Events ever kept: the index in the ring is this, modulo its capacity. */
  #kept = 0;

  constructor(capacity: number) {
    this.#capacity = capacity;
  }

  /** The next number, for an event that is not kept. */
  nextNumber(): number {
    this.#last += 1;
    return this.#last;
  }

  /** Keeps an event and returns its number. */
  keep(event: AgentEvent, now: number): number {
    this.#last += 1;
    if (this.#capacity > 0) {
      const index = this.#kept % this.#capacity;
      this.#events[index] = event;
      this.#times[index] = now;
      this.#numbers[index] = this.#last;
    }
    this.#kept += 1;
    return this.#last;
  }

  /** The position of a number; positions compare as strings. */
  position(number: number): Position {
    const low = number % lowCount;
    const high = (number - low) / lowCount;
    if (high !== this.#high) {
      this.#high = high;
      this.#prefix = String(high).padStart(positionDigits - lowDigits, "0");
    }
    return this.#prefix + endings[low]!;
  }

  /** What a subscription that starts at `from` has missed, oldest first. */
  *since(from: StartFrom): Generator<Recorded> {
    if (from === "new") return;
    const after = typeof from === "object" && "after" in from ? checked(from.after) : undefined;
    const time = typeof from === "object" && "time" in from ? from.time : undefined;
    for (let index = this.#oldest(); index < this.#kept; index += 1) {
      const recorded = this.#at(index);
      if (after !== undefined && recorded.position <= after) continue;
      if (time !== undefined && recorded.recordedAt < time) continue;
      yield recorded;
    }
  }

  /** What is kept when the read begins, as far as it is still there when the reader gets to it. */
  async *read(query: ReadQuery): AsyncGenerator<Recorded, void, undefined> {
    const matches = compileQuery(query);
    const end = this.#kept;
    const limit = query.limit ?? Infinity;
    let given = 0;
    const step = query.backward ? -1 : 1;
    let index = query.backward ? end - 1 : this.#oldest();
    while (given < limit) {
      // Events that were pushed out while the reader was busy are gone.
      if (index < this.#oldest()) {
        if (query.backward) return;
        index = this.#oldest();
      }
      if (index >= end) return;
      const recorded = this.#at(index);
      index += step;
      if (!matches(recorded)) continue;
      given += 1;
      yield recorded;
    }
  }

  #oldest(): number {
    return Math.max(0, this.#kept - this.#capacity);
  }

  #at(index: number): Recorded {
    const at = index % this.#capacity;
    const position = this.position(this.#numbers[at]!);
    return { position, recordedAt: this.#times[at]!, event: this.#events[at]! };
  }
}

function checked(position: Position): Position {
  if (/^\d{16}$/.test(position)) return position;
  throw new CadreError(
    "INVALID_OPTION",
    `"${position}" is no position of the memory transport. Give one that it reported.`,
    { option: "position", value: position },
  );
}

function compileQuery(query: ReadQuery): (recorded: Recorded) => boolean {
  const isType = query.type === undefined ? undefined : compilePattern(query.type);
  const after = query.after === undefined ? undefined : checked(query.after);
  const before = query.before === undefined ? undefined : checked(query.before);
  const { source, correlationId, id, since, until } = query;
  const fits = (event: AgentEvent): boolean =>
    (id === undefined || event.id === id) &&
    (source === undefined || event.source === source) &&
    (correlationId === undefined || event.metadata.correlationId === correlationId) &&
    (since === undefined || event.timestamp >= since) &&
    (until === undefined || event.timestamp < until) &&
    (isType === undefined || isType(event.type));
  return (recorded) =>
    (after === undefined || recorded.position > after) &&
    (before === undefined || recorded.position < before) &&
    recorded.event !== undefined &&
    fits(recorded.event);
}
