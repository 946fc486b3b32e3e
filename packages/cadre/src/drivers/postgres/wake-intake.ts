import type { Log } from "./postgres-log.ts";

interface Waiting {
  readonly wake: () => void;
  /** Of a group: it also wakes for what others settle in it. */
  readonly notice: string | undefined;
}

/**
 * Wakes the pulls of one transport. The log is listened to while a subscription is open, not only
 * while a pull waits: a connection that listens is too dear to be opened for each.
 */
export class WakeIntake {
  readonly #log: Log;
  readonly #waiting = new Set<Waiting>();
  #open = 0;
  #ends: readonly (() => void)[] = [];

  constructor(log: Log) {
    this.#log = log;
  }

  /** A subscription is open, until the returned function is called. */
  open(): () => void {
    this.#open += 1;
    if (this.#open === 1) {
      const { wake } = this.#log;
      this.#ends = [
        wake.listen(() => this.#ring(undefined)),
        wake.notice((notice) => this.#ring(notice)),
      ];
    }
    let ended = false;
    return () => {
      if (ended) return;
      ended = true;
      this.#open -= 1;
      if (this.#open > 0) return;
      for (const end of this.#ends) end();
      this.#ends = [];
    };
  }

  /** Calls `wake` soon after a commit, and after settlings in `group`. Returns the end of it. */
  listen(wake: () => void, group?: number): () => void {
    const waiting = { wake, notice: group === undefined ? undefined : `group ${group}` };
    this.#waiting.add(waiting);
    return () => void this.#waiting.delete(waiting);
  }

  #ring(notice: string | undefined): void {
    for (const waiting of this.#waiting) {
      if (notice === undefined || waiting.notice === notice) waiting.wake();
    }
  }
}
