/**
 * A broadcast: the tail of the log from a fixed position.
 *
 * The log is the queue. Only positions are remembered, at most `maxQueued` of them; what lies
 * further back when the next pull comes is missed, the oldest first.
 */
import { BroadcastLease } from "../../bus/broadcast-lease.ts";
import type { ConsumeSpec, Intake, Lease } from "../../bus/transport.ts";
import { Queue } from "../../bus/queue.ts";
import { Lookahead } from "./lookahead.ts";
import { recordedAt } from "./recorded.ts";
import type { LogFile } from "./sqlite-log.ts";

interface Delayed {
  readonly position: number;
  readonly deliverAt: number;
}

const scanRows = 8_192; // rows looked at in one go before the loop gets its turn

export class BroadcastIntake implements Intake {
  readonly #file: LogFile;
  readonly #ahead: Lookahead;
  readonly #maxQueued: number;
  readonly #onClose: () => void;
  readonly #queue = new Queue<number>();
  /** By the instant at which they fall due. */
  #delayed: Delayed[] = [];
  #missed = 0;
  #closed = false;
  #wake: (() => void) | undefined;

  constructor(file: LogFile, spec: ConsumeSpec, start: number, onClose: () => void) {
    this.#file = file;
    this.#ahead = new Lookahead(spec.patterns, start);
    this.#maxQueued = spec.maxQueued;
    this.#onClose = onClose;
  }

  async pull(max: number, signal: AbortSignal): Promise<readonly Lease[]> {
    while (!this.#closed && !signal.aborted && max >= 1) {
      const change = new Change();
      this.#wake = change.ring;
      try {
        // Listening begins before looking, so that nothing falls between.
        signal.addEventListener("abort", change.ring, { once: true });
        change.endWith(() => signal.removeEventListener("abort", change.ring));
        change.endWith(this.#file.wake.listen(change.ring, { keepsAlive: true }));
        await this.#look();
        if (this.#closed || signal.aborted) break;
        if (this.#queue.size > 0) return this.#take(max);
        const next = this.#delayed[0];
        if (next) {
          const delayMs = next.deliverAt - this.#file.time;
          change.endWith(this.#file.settings.clock.after(delayMs, change.ring));
        }
        await change.promise;
      } finally {
        change.end();
      }
    }
    return [];
  }

  missed(): number {
    const missed = this.#missed;
    this.#missed = 0;
    return missed;
  }

  close(): Promise<void> {
    if (!this.#closed) {
      this.#closed = true;
      this.#wake?.();
      this.#onClose();
    }
    return Promise.resolve();
  }

  #take(max: number): readonly Lease[] {
    const leases: Lease[] = [];
    while (leases.length < max) {
      const position = this.#queue.shift();
      if (position === undefined) break;
      const recorded = recordedAt(this.#file, position);
      leases.push(new BroadcastLease(recorded));
    }
    return leases;
  }

  async #look(): Promise<void> {
    const { connection, recent, settings } = this.#file;
    for (let more = true; more && !this.#closed && !this.#file.closed;) {
      const isThere = this.#ahead.fillFrom(recent);
      more = !isThere && !this.#ahead.fill(connection, Infinity, scanRows);
      this.#enqueue();
      if (more) await settings.clock.yield();
    }
    const time = this.#file.time;
    while (this.#delayed[0] && this.#delayed[0].deliverAt <= time) {
      this.#push(this.#delayed.shift()!.position);
    }
  }

  #enqueue(): void {
    const time = this.#file.time;
    for (let next = this.#ahead.shift(); next; next = this.#ahead.shift()) {
      const { position, deliverAt } = next;
      if (deliverAt === null || deliverAt <= time) this.#push(position);
      else this.#delay({ position, deliverAt });
    }
  }

  #push(position: number): void {
    if (this.#queue.size >= this.#maxQueued) {
      this.#queue.shift();
      this.#missed += 1;
    }
    this.#queue.push(position);
  }

  #delay(delayed: Delayed): void {
    const after = this.#delayed.findIndex(({ deliverAt }) => deliverAt > delayed.deliverAt);
    this.#delayed.splice(after === -1 ? this.#delayed.length : after, 0, delayed);
    if (this.#delayed.length <= this.#maxQueued) return;
    this.#delayed.pop();
    this.#missed += 1;
  }
}

/** What a pull waits for: the next commit, due time, abort or close. */
class Change {
  readonly promise: Promise<void>;
  readonly ring: () => void;
  readonly #ends: (() => void)[] = [];

  constructor() {
    const { promise, resolve } = Promise.withResolvers<void>();
    this.promise = promise;
    this.ring = () => resolve();
  }

  endWith(action: () => void): void {
    this.#ends.push(action);
  }

  end(): void {
    for (const action of this.#ends) action();
  }
}
