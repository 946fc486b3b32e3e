/** The members that wait for something to be ready, first come first served. */
import { Queue } from "./queue.ts";
import type { Lease } from "./transport.ts";

/** An intake, as far as handing out concerns it. */
export interface Puller {
  readonly leaseMs: number;
  /** The connection that owns what is handed out. */
  readonly connection: object;
}

interface WaitingPull {
  readonly puller: Puller;
  readonly max: number;
  /** False once it was answered. */
  open: boolean;
  answer(leases: readonly Lease[]): void;
}

const sweepAfter = 1_000; // pulls ended before the line is cleaned of them, which bounds it

const none: readonly Lease[] = Object.freeze([]);

export class PullLine {
  readonly #waiting = new Queue<WaitingPull>();
  readonly #hasReady: () => boolean;
  readonly #take: (puller: Puller, max: number) => readonly Lease[];
  #isWoken = false;
  #answered = 0;

  constructor(hasReady: () => boolean, take: (puller: Puller, max: number) => readonly Lease[]) {
    this.#hasReady = hasReady;
    this.#take = take;
  }

  pull(puller: Puller, max: number, signal: AbortSignal): Promise<readonly Lease[]> {
    if (signal.aborted || max < 1) return Promise.resolve(none);
    if (this.#hasReady()) return Promise.resolve(this.#take(puller, max));
    return new Promise((resolve) => {
      const onAbort = (): void => {
        pull.answer(none);
        this.#sweep();
      };
      const pull: WaitingPull = {
        puller,
        max,
        open: true,
        answer: (leases) => {
          pull.open = false;
          signal.removeEventListener("abort", onAbort);
          resolve(leases);
        },
      };
      signal.addEventListener("abort", onAbort, { once: true });
      this.#waiting.push(pull);
    });
  }

  /**
   * Serves those who wait at the end of this turn, so that what is published together is handed out
   * together.
   */
  wake(): void {
    if (this.#isWoken || this.#waiting.size === 0) return;
    this.#isWoken = true;
    queueMicrotask(() => {
      this.#isWoken = false;
      while (this.#waiting.size > 0 && this.#hasReady()) {
        const pull = this.#waiting.shift()!;
        if (pull.open) pull.answer(this.#take(pull.puller, pull.max));
      }
    });
  }

  /** Ends the pulls of one intake, with nothing. */
  end(puller: Puller): void {
    for (let index = 0; index < this.#waiting.size; index += 1) {
      const pull = this.#waiting.at(index)!;
      if (pull.open && pull.puller === puller) pull.answer(none);
    }
    this.#sweep();
  }

  endAll(): void {
    for (let pull = this.#waiting.shift(); pull; pull = this.#waiting.shift()) {
      if (pull.open) pull.answer(none);
    }
  }

  /** Takes answered pulls out of the line: those in front, and all when most are. */
  #sweep(): void {
    while (this.#waiting.peek()?.open === false) this.#waiting.shift();
    this.#answered += 1;
    if (this.#answered < sweepAfter) return;
    this.#answered = 0;
    for (let left = this.#waiting.size; left > 0; left -= 1) {
      const pull = this.#waiting.shift()!;
      if (pull.open) this.#waiting.push(pull);
    }
  }
}
