import type { LogPosition, StoredEvent } from "../store/event-store.ts";

const maxEvents = 512; // more make no carrier faster, and all of them are in memory
const maxBytes = 1_048_576; // of payloads; a larger event goes alone
const otherBytes = 512; // what an event has beside its payload, roughly

/** A stretch of the log, with the events that are to be published together, in their order. */
export class RelayBatch {
  readonly #most: number;
  readonly #events: StoredEvent[] = [];
  #bytes = 0;
  #covered = 0;
  #upTo: LogPosition = 0;

  /** @param most events until a checkpoint is due, at least 1 */
  constructor(most: number) {
    this.#most = Math.min(most, maxEvents);
  }

  get events(): readonly StoredEvent[] {
    return this.#events;
  }

  /** Entries of the log that it covers, private ones with them. */
  get covered(): number {
    return this.#covered;
  }

  /** The last position that it covers. */
  get upTo(): LogPosition {
    return this.#upTo;
  }

  get isFull(): boolean {
    const count = this.#events.length === 0 ? this.#covered : this.#events.length;
    return count >= this.#most || this.#bytes >= maxBytes;
  }

  /** False, and nothing is added, when `stored` has to begin another batch. */
  add(stored: StoredEvent): boolean {
    if (!stored.private) {
      const bytes = bytesOf(stored);
      if (this.#events.length > 0 && this.#bytes + bytes > maxBytes) return false;
      this.#events.push(stored);
      this.#bytes += bytes;
    }
    this.#covered += 1;
    this.#upTo = stored.position;
    return true;
  }
}

function bytesOf({ event }: StoredEvent): number {
  try {
    return otherBytes + JSON.stringify(event.payload).length;
  } catch {
    return maxBytes; // it cannot be read just now: whoever publishes it says why
  }
}
