/**
 * Announces drops once a burst. A burst begins with the first drop and ends when the queue has
 * emptied to half its bound.
 *
 *   quiet ──drop──▶ counting ──announceAfterMs──▶ announced ──relieved──▶ quiet
 *                      └────────relieved: announced at once─────────────────▲
 */
import type { Clock } from "../core/clock.ts";

/** What is said of one burst. */
export interface DropReport {
  readonly subscription: string;
  readonly policy: string;
  /** Events waiting when it was announced, and the queue's bound. */
  readonly queued: number;
  readonly maxQueued: number;
  readonly dropped: number;
  /** Ids of the first and the last event dropped, where they are known. */
  readonly first?: string;
  readonly last?: string;
}

const announceAfterMs = 100; // long enough to count a burst, short enough to be news

export class Backpressure {
  readonly #clock: Clock;
  readonly #announce: (burst: { dropped: number; first?: string; last?: string }) => void;
  #dropped = 0;
  #first: string | undefined;
  #last: string | undefined;
  #state: "quiet" | "counting" | "announced" = "quiet";
  #cancel: (() => void) | undefined;

  constructor(
    clock: Clock,
    announce: (burst: { dropped: number; first?: string; last?: string }) => void,
  ) {
    this.#clock = clock;
    this.#announce = announce;
  }

  drop(count: number, eventId?: string): void {
    this.#dropped += count;
    this.#first ??= eventId;
    this.#last = eventId ?? this.#last;
    if (this.#state !== "quiet") return;
    this.#state = "counting";
    this.#cancel = this.#clock.after(announceAfterMs, () => this.#say(), { background: true });
  }

  /** The queue has room again. */
  relieve(): void {
    if (this.#state === "quiet") return;
    if (this.#state === "counting") this.#say();
    this.#state = "quiet";
    this.#dropped = 0;
    this.#first = undefined;
    this.#last = undefined;
  }

  close(): void {
    this.relieve();
  }

  #say(): void {
    this.#cancel?.();
    this.#cancel = undefined;
    this.#state = "announced";
    this.#announce({
      dropped: this.#dropped,
      ...(this.#first === undefined ? {} : { first: this.#first }),
      ...(this.#last === undefined ? {} : { last: this.#last }),
    });
  }
}
