/**
 * Order by key: one lane a key, of which at most one delivery, the lane's holder, is ready or
 * leased at any time.
 *
 *   block, park-key   the holder keeps the lane until its ack, also while it is delayed or parked
 *   skip              a delayed or parked holder leaves the lane to the next; when it is due, it
 *                     takes its place by position again
 *
 * Deliveries without a key have no lane. A lane exists while it has a holder.
 */
import type { Delivery } from "./memory-delivery.ts";
import { Queue } from "./queue.ts";
import type { OnRetry } from "./transport.ts";

interface Lane {
  holder: Delivery;
  readonly waiting: Queue<Delivery>;
}

export class KeyLanes {
  readonly #skips: boolean;
  readonly #lanes = new Map<string, Lane>();

  constructor(onRetry: OnRetry) {
    this.#skips = onRetry === "skip";
  }

  /** Whether the new delivery may be handed out; otherwise it waits in its lane. */
  admit(delivery: Delivery): boolean {
    const key = delivery.key;
    if (key === undefined) return true;
    const lane = this.#lanes.get(key);
    if (lane === undefined) {
      this.#lanes.set(key, { holder: delivery, waiting: new Queue() });
      return true;
    }
    lane.waiting.push(delivery);
    return false;
  }

  /** A delayed or parked delivery is due. Whether it may be handed out. */
  readmit(delivery: Delivery): boolean {
    const lane = delivery.key === undefined ? undefined : this.#lanes.get(delivery.key);
    if (lane === undefined) return this.admit(delivery);
    if (lane.holder === delivery) return true;
    lane.waiting.insertBefore(
      delivery,
      (other) => other.recorded.position > delivery.recorded.position,
    );
    return false;
  }

  /** The delivery was delayed or parked. The one that may be handed out in its place, if any. */
  suspend(delivery: Delivery): Delivery | undefined {
    return this.#skips ? this.leave(delivery) : undefined;
  }

  /** The delivery is done or dropped. The one that may be handed out in its place, if any. */
  leave(delivery: Delivery): Delivery | undefined {
    const key = delivery.key;
    const lane = key === undefined ? undefined : this.#lanes.get(key);
    if (key === undefined || lane?.holder !== delivery) return undefined;
    const next = lane.waiting.shift();
    if (next === undefined) this.#lanes.delete(key);
    else lane.holder = next;
    return next;
  }

  find(predicate: (delivery: Delivery) => boolean): Delivery | undefined {
    for (const lane of this.#lanes.values()) {
      const found = lane.waiting.find(predicate);
      if (found) return found;
    }
    return undefined;
  }
}
