import type { CommitNews } from "./commit-news.ts";
import type { Log } from "./postgres-log.ts";

interface Waiting {
  readonly onCommit: (news: CommitNews) => void;
  readonly settled: Settled | undefined;
}

/** Whom to wake for what was settled in a group. */
interface Settled {
  readonly group: number;
  readonly wake: () => void;
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
        wake.listen((news) => {
          for (const { onCommit } of this.#waiting) onCommit(news);
        }),
        wake.notice((notice) => this.#onNotice(notice)),
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

  /** Calls soon after a commit, and after settlings in a group. Returns the end of it. */
  listen(onCommit: (news: CommitNews) => void, settled?: Settled): () => void {
    const waiting = { onCommit, settled };
    this.#waiting.add(waiting);
    return () => void this.#waiting.delete(waiting);
  }

  #onNotice(notice: string): void {
    for (const { settled } of this.#waiting) {
      if (settled && notice === `group ${settled.group}`) settled.wake();
    }
  }
}
