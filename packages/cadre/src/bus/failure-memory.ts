/**
 * What a member remembers of events that failed here: since when, with what, and whether a dead
 * letter is still to be written.
 */
import type { DeadLetter } from "./transport.ts";

export interface KnownFailure {
  /** Unix milliseconds of the first failure that was seen here. */
  readonly since: number;
  readonly error: unknown;
  /** Set when the event is to become a dead letter, whatever attempt it comes with. */
  readonly verdict: DeadLetter["reason"] | undefined;
}

const maxKnown = 10_000; // events; beyond it the oldest loses only the time of its first failure

export class FailureMemory {
  readonly #known = new Map<string, KnownFailure>();

  get(eventId: string): KnownFailure | undefined {
    return this.#known.get(eventId);
  }

  remember(eventId: string, error: unknown, now: number, verdict?: DeadLetter["reason"]): void {
    const since = this.#known.get(eventId)?.since ?? now;
    this.#known.delete(eventId);
    this.#known.set(eventId, { since, error, verdict });
    if (this.#known.size <= maxKnown) return;
    for (const oldest of this.#known.keys()) {
      this.#known.delete(oldest);
      break;
    }
  }

  forget(eventId: string): void {
    if (this.#known.size > 0) this.#known.delete(eventId);
  }
}
