import type { Clock } from "../core/clock.ts";

const windowMs = 10_000; // long enough to be read, short enough to follow a change

/** Things a second, over the last ten seconds or so: what is longer ago counts for less. */
export class RateMeter {
  readonly #clock: Pick<Clock, "monotonic">;
  readonly #startedAt: number;
  #changedAt: number;
  #weight = 0;

  constructor(clock: Pick<Clock, "monotonic">) {
    this.#clock = clock;
    this.#startedAt = clock.monotonic();
    this.#changedAt = this.#startedAt;
  }

  add(count: number): void {
    if (count === 0) return;
    this.#fade();
    this.#weight += count;
  }

  perSecond(): number {
    this.#fade();
    const age = this.#changedAt - this.#startedAt;
    const seen = 1 - Math.exp(-age / windowMs); // the part of the window that has been there yet
    return seen === 0 ? 0 : (this.#weight * 1_000) / (windowMs * seen);
  }

  #fade(): void {
    const now = this.#clock.monotonic();
    this.#weight *= Math.exp((this.#changedAt - now) / windowMs);
    this.#changedAt = now;
  }
}
