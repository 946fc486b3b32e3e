import { BroadcastLease } from "./broadcast-lease.ts";
import { PullLine, type Puller } from "./memory-pulls.ts";
import { Queue } from "./queue.ts";
import type { ConsumeSpec, Intake, Lease, Recorded } from "./transport.ts";

/**
 * A broadcast subscription that pulls. What it starts with from history is bounded by the ring; of
 * what comes later at most `maxQueued` events wait, the oldest go first and are counted.
 */
export class MemoryBroadcast implements Intake, Puller {
  readonly patterns: readonly string[];
  readonly leaseMs: number;
  readonly connection: object = this;
  readonly #history = new Queue<Recorded>();
  readonly #live = new Queue<Recorded>();
  readonly #maxQueued: number;
  readonly #pulls: PullLine;
  readonly #onClose: (broadcast: MemoryBroadcast) => void;
  #missed = 0;
  #closed = false;

  constructor(spec: ConsumeSpec, onClose: (broadcast: MemoryBroadcast) => void) {
    this.patterns = spec.patterns;
    this.leaseMs = spec.leaseMs;
    this.#maxQueued = spec.maxQueued;
    this.#onClose = onClose;
    this.#pulls = new PullLine(
      () => this.#history.size + this.#live.size > 0,
      (_puller, max) => this.#take(max),
    );
  }

  /** Takes an event of the time before the subscription. */
  recall(recorded: Recorded): void {
    this.#history.push(recorded);
  }

  offer(recorded: Recorded): void {
    if (this.#live.size >= this.#maxQueued) {
      this.#live.shift();
      this.#missed += 1;
    }
    this.#live.push(recorded);
    this.#pulls.wake();
  }

  pull(max: number, signal: AbortSignal): Promise<readonly Lease[]> {
    if (this.#closed) return Promise.resolve([]);
    return this.#pulls.pull(this, max, signal);
  }

  missed(): number {
    const missed = this.#missed;
    this.#missed = 0;
    return missed;
  }

  close(): Promise<void> {
    if (!this.#closed) {
      this.#closed = true;
      this.#history.clear();
      this.#live.clear();
      this.#pulls.endAll();
      this.#onClose(this);
    }
    return Promise.resolve();
  }

  #take(max: number): Lease[] {
    const leases: Lease[] = [];
    while (leases.length < max) {
      const recorded = this.#history.shift() ?? this.#live.shift();
      if (recorded === undefined) break;
      leases.push(new BroadcastLease(recorded));
    }
    return leases;
  }
}
