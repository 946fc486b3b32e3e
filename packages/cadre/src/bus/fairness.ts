/**
 * The budget of work between two turns of the event loop.
 *
 * A bus that lives in microtasks never lets a timer fire, so that under load every heartbeat looks
 * dead. Whoever drains a queue spends from one budget, and yields when it is used up.
 */
import type { Clock } from "../core/clock.ts";

const maxDeliveries = 512; // between two turns of the loop
const maxMs = 2; // the same in time, for handlers that take some
const checkEvery = 32; // reading the clock costs as much as a small handler

export class Fairness {
  readonly #clock: Clock;
  #spent = 0;
  #since = -1;
  #turn: Promise<void> | undefined;

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /** Counts one delivery. True when the caller should `turn()` before it goes on. */
  spend(): boolean {
    this.#spent += 1;
    if (this.#spent >= maxDeliveries) return true;
    if (this.#spent % checkEvery !== 0) return false;
    const now = this.#clock.monotonic();
    if (this.#since < 0) this.#since = now;
    return now - this.#since > maxMs;
  }

  /** Whether the budget is used up and its turn of the loop has not come yet. */
  get exhausted(): boolean {
    return this.#spent >= maxDeliveries;
  }

  /** One turn of the event loop, shared by all who wait for it; afterwards the budget is new. */
  turn(): Promise<void> {
    this.#turn ??= this.#clock.yield().then(() => {
      this.#turn = undefined;
      this.#spent = 0;
      this.#since = -1;
    });
    return this.#turn;
  }
}
