import { plainArray } from "./array-literal.ts";
import type { Connection } from "./connection.ts";

/**
 * Looks every `pollMs` for all groups of one connection whose pulls wait, in one statement: what no
 * notification told, this finds.
 */
export class GroupPoll {
  readonly #connection: Connection;
  readonly #idle = new Map<number, () => void>();
  #cancelTimer: (() => void) | undefined;

  constructor(connection: Connection) {
    this.#connection = connection;
  }

  /** Calls `wake` when there may be something for the group. Returns the end of it. */
  add(group: number, wake: () => void): () => void {
    this.#idle.set(group, wake);
    this.#schedule();
    return () => {
      if (this.#idle.get(group) === wake) this.#idle.delete(group);
      if (this.#idle.size > 0) return;
      this.#cancelTimer?.();
      this.#cancelTimer = undefined;
    };
  }

  #schedule(): void {
    const { clock, pollMs } = this.#connection.settings;
    this.#cancelTimer ??= clock.after(pollMs, () => {
      this.#cancelTimer = undefined;
      void this.#look();
    });
  }

  async #look(): Promise<void> {
    const asked = [...this.#idle];
    const groups = asked.map(([group]) => group);
    const found = await this.#find(groups);
    for (const [group, wake] of asked) {
      // Those that were woken meanwhile have asked themselves.
      if (found.has(group) && this.#idle.get(group) === wake) wake();
    }
    if (this.#idle.size > 0) this.#schedule();
  }

  async #find(groups: readonly number[]): Promise<ReadonlySet<number>> {
    const { schema } = this.#connection.settings;
    const text = `SELECT * FROM ${schema}.waiting($1)`;
    try {
      const rows = await this.#connection.once((session) =>
        session.query(text, [plainArray(groups)], `cadre_waiting_${schema}`),
      );
      return new Set(rows.map(([group]) => Number(group)));
    } catch {
      return new Set(groups); // their claims wait for the server, and say what is wrong with it
    }
  }
}
