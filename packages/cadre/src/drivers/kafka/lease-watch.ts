import type { Clock } from "../../core/clock.ts";

/** Something that is somebody's up to an instant of the monotonic clock. */
export interface Watched {
  readonly until: number;
  runOut(): void;
}

/** One timer for all leases of a group, set for the one that ends first. */
export class LeaseWatch {
  readonly #clock: Clock;
  readonly #leases: Iterable<Watched>;
  #dueAt = Infinity;
  #cancel: (() => void) | undefined;

  constructor(clock: Clock, leases: Iterable<Watched>) {
    this.#clock = clock;
    this.#leases = leases;
  }

  now(): number {
    return this.#clock.monotonic();
  }

  /** One ends at `until`. The timer stays set for one that has been extended or settled since. */
  expect(until: number): void {
    if (until >= this.#dueAt) return;
    this.#cancel?.();
    this.#dueAt = until;
    const look = (): void => this.#look();
    this.#cancel = this.#clock.after(until - this.now(), look, { background: true });
  }

  end(): void {
    this.#cancel?.();
    this.#dueAt = -Infinity; // nothing is expected any more
  }

  #look(): void {
    if (this.#dueAt === -Infinity) return;
    this.#dueAt = Infinity;
    const now = this.now();
    let next = Infinity;
    for (const lease of [...this.#leases]) {
      if (lease.until <= now) lease.runOut();
      else next = Math.min(next, lease.until);
    }
    this.expect(next);
  }
}
