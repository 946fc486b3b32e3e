/**
 * How many events a member holds beyond those that run: about 50 ms of work. Quick handlers get
 * long batches, and slow ones leave the rest to other members.
 */
export class Prefetch {
  readonly #most: number;
  #averageMs = workMs;
  #known = false;

  constructor(maxQueued: number) {
    this.#most = Math.min(maxQueued, maxAhead);
  }

  /** Told after each delivery how long it took. */
  took(ms: number): void {
    this.#averageMs = this.#known ? this.#averageMs + (ms - this.#averageMs) * weight : ms;
    this.#known = true;
  }

  depth(concurrency: number): number {
    if (!this.#known) return 0;
    const ahead = Math.floor((workMs * concurrency) / Math.max(this.#averageMs, 0.01));
    return Math.min(this.#most, ahead);
  }
}

// longer than a pull takes on any carrier, short enough not to be missed elsewhere
const workMs = 50;
const maxAhead = 256; // events; a pull of so many has amortised its cost
const weight = 0.1; // of the newest duration in the average
