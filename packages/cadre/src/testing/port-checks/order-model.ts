import type { OnRetry } from "../../bus/transport.ts";
import type { AgentEvent } from "../../core/event.ts";

interface Known {
  readonly id: string;
  readonly key: string;
  /** The attempt that comes next, or runs. */
  attempt: number;
  state: "fresh" | "running" | "retrying" | "released" | "acked";
}

/**
 * What a group with per-key order may hand out, in the simplest form: a list of events and their
 * states.
 *
 *   block, park-key   only the first event of the key that is not acked
 *   skip              no event of a key while another runs, no fresh one before an older fresh one
 */
export class OrderModel {
  readonly #onRetry: OnRetry;
  readonly #events: readonly Known[];
  #breach: unknown;

  constructor(onRetry: OnRetry, events: readonly AgentEvent[]) {
    this.#onRetry = onRetry;
    this.#events = events.map(({ id, metadata }) => ({
      id,
      key: metadata.key ?? "",
      attempt: 1,
      state: "fresh",
    }));
  }

  get isDone(): boolean {
    return this.#breach !== undefined || this.#events.every(({ state }) => state === "acked");
  }

  handOut(id: string, attempt: number): void {
    const known = this.#find(id);
    if (known.state === "running") throw new Error(`${id} is handed out twice at once`);
    if (known.state === "acked") throw new Error(`${id} is handed out after its ack`);
    if (attempt !== known.attempt) {
      throw new Error(`${id} comes as attempt ${attempt}, and it should be ${known.attempt}`);
    }
    for (const other of this.#events) {
      if (other.key !== known.key || other === known) continue;
      this.#check(known, other);
    }
    known.state = "running";
  }

  #check(known: Known, other: Known): void {
    const isEarlier = this.#events.indexOf(other) < this.#events.indexOf(known);
    if (other.state === "running") {
      throw new Error(`${known.id} runs beside ${other.id} of its key`);
    }
    if (!isEarlier || other.state === "acked") return;
    if (this.#onRetry === "skip") {
      if (other.state === "retrying") return;
      // A retried event has lost its turn; a fresh one must not pass an earlier one that never
      // failed.
      if (known.state !== "fresh") return;
    }
    throw new Error(`${known.id} passes ${other.id} of its key, which is ${other.state}`);
  }

  settle(id: string, kind: "ack" | "retry" | "release"): void {
    const known = this.#find(id);
    if (kind === "retry") known.attempt += 1;
    known.state = kind === "ack" ? "acked" : kind === "retry" ? "retrying" : "released";
  }

  broke(error: unknown): void {
    this.#breach ??= error;
  }

  /** Throws the first breach. */
  assertHeld(): void {
    if (this.#breach !== undefined) throw this.#breach;
  }

  #find(id: string): Known {
    const known = this.#events.find((event) => event.id === id);
    if (!known) throw new Error(`${id} was never published`);
    return known;
  }
}
