/**
 * What waits in this member's hands: oldest first; or, where the carrier knows no priorities, the
 * most urgent first, with aging: every `agingMs` of waiting is worth one step of priority, so that
 * `low` is never starved.
 */
import { priorities, priorityRank } from "../core/event.ts";
import type { HeldLease } from "./held-lease.ts";
import { Queue } from "./queue.ts";

const agingMs = 10_000; // one step of priority for so much waiting

export class HeldQueue {
  readonly #lanes: readonly Queue<HeldLease>[];

  constructor(byPriority: boolean) {
    const count = byPriority ? priorities.length : 1;
    this.#lanes = Array.from({ length: count }, () => new Queue<HeldLease>());
  }

  get size(): number {
    let size = 0;
    for (const lane of this.#lanes) size += lane.size;
    return size;
  }

  push(held: HeldLease): void {
    const { event } = held.lease.recorded;
    const lane = this.#lanes.length === 1 || !event ? 0 : priorityRank(event);
    this.#lanes[lane]!.push(held);
  }

  shift(now: number): HeldLease | undefined {
    let best: Queue<HeldLease> | undefined;
    let bestScore = -Infinity;
    for (const [rank, lane] of this.#lanes.entries()) {
      const first = lane.peek();
      if (!first) continue;
      const score = rank + (now - first.queuedAt) / agingMs;
      if (score < bestScore) continue;
      best = lane;
      bestScore = score;
    }
    return best?.shift();
  }

  clear(): HeldLease[] {
    return this.#lanes.flatMap((lane) => lane.clear());
  }
}
