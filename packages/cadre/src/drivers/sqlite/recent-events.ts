/**
 * The last events that this connection has committed.
 *
 * Who follows the log (boards, subscriptions, projections) is woken by a commit and reads what it
 * wrote; where the writer is in the same process, the events are in memory still and need not be
 * read back, once for each follower.
 *
 *   commit ─▶ add ─▶ ]from, head]: whole, as long as nobody else has appended in between
 *                        └─ another process appended ─▶ begins anew behind it
 *
 * Nothing here is the truth: what is asked for and not whole is read from the file.
 */
import type { StoredEvent } from "../../store/event-store.ts";
import type { Connection } from "./connection.ts";

export interface RecentEvent {
  readonly stored: StoredEvent;
  readonly flags: number;
  readonly bytes: number;
}

/** What a transaction has appended, and where the log ended before it. */
export interface Appended {
  readonly after: number;
  readonly head: number;
  /** Their positions follow one another from `after`, if it is gapless. */
  readonly events: readonly RecentEvent[];
  /** Whether it has neither taken events out of the log nor left any position out. */
  readonly isGapless: boolean;
}

const maxEvents = 2_048; // several transactions: who is further behind reads pages of the file
const maxBytes = 4_194_304; // of payloads

export class RecentEvents {
  readonly #connection: Connection;
  /** Their positions follow one another: `#events[0]` is at `#from` + 1. */
  #events: RecentEvent[] = [];
  #from = 0;
  #bytes = 0;
  /** The file's change counter at which the log ended with the last of `#events`. */
  #dataVersion: number | undefined;

  constructor(connection: Connection) {
    this.#connection = connection;
  }

  /**
   * After a commit. `dataVersion` is the file's change counter as it was read when nobody else
   * could append any more, or before that.
   */
  add({ after, head, events, isGapless }: Appended, dataVersion: number): void {
    this.#dataVersion = dataVersion;
    if (!isGapless) return this.#beginAt(head);
    if (after !== this.#from + this.#events.length) this.#beginAt(after);
    for (const event of events) {
      this.#events.push(event);
      this.#bytes += event.bytes;
    }
    if (this.#events.length > 2 * maxEvents || this.#bytes > maxBytes) this.#forget();
  }

  /**
   * The first `max` events after `position`; `undefined` when not all up to the log's end are here,
   * or others may have appended.
   */
  after(position: number, max: number): readonly RecentEvent[] | undefined {
    if (this.#dataVersion === undefined || position < this.#from) return undefined;
    if (this.#connection.dataVersion() !== this.#dataVersion) return undefined;
    const start = position - this.#from;
    return this.#events.slice(start, start + max);
  }

  at(position: number): StoredEvent | undefined {
    return this.#events[position - this.#from - 1]?.stored;
  }

  #beginAt(position: number): void {
    this.#events = [];
    this.#bytes = 0;
    this.#from = position;
  }

  #forget(): void {
    let start = Math.max(0, this.#events.length - maxEvents);
    let bytes = 0;
    for (let index = this.#events.length - 1; index >= start; index -= 1) {
      bytes += this.#events[index]!.bytes;
      if (bytes > maxBytes / 2) start = index + 1;
    }
    this.#events = this.#events.slice(start);
    this.#from += start;
    this.#bytes = this.#events.reduce((sum, event) => sum + event.bytes, 0);
  }
}
