/**
 * The deliveries that may be handed out, by priority, so that none waits for ever.
 *
 * The next one is that with the smallest `waitingSince - rank × agingMs`, rank 0 (low) to 3
 * (critical): each step of priority is worth a head start of `agingMs`. A low event is overtaken
 * only by critical ones that came less than 3 × agingMs after it. Within one priority the order is
 * first in, first out, so that looking at four heads is enough.
 */
import type { Delivery } from "./memory-delivery.ts";
import { Queue } from "./queue.ts";

export class ReadyDeliveries {
  readonly #ranks: readonly Queue<Delivery>[] = [
    new Queue(),
    new Queue(),
    new Queue(),
    new Queue(),
  ];
  readonly #agingMs: number;
  #size = 0;

  constructor(agingMs: number) {
    this.#agingMs = agingMs;
  }

  get size(): number {
    return this.#size;
  }

  push(delivery: Delivery): void {
    this.#ranks[delivery.rank]!.push(delivery);
    this.#size += 1;
  }

  /** Puts back what was taken before: it goes first among its priority. */
  unshift(delivery: Delivery): void {
    this.#ranks[delivery.rank]!.unshift(delivery);
    this.#size += 1;
  }

  shift(): Delivery | undefined {
    if (this.#size === 0) return undefined;
    let best: Queue<Delivery> | undefined;
    let bestScore = Infinity;
    for (let rank = 3; rank >= 0; rank -= 1) {
      const queue = this.#ranks[rank]!;
      if (queue.size === 0) continue;
      if (queue.size === this.#size) return this.#take(queue);
      const score = queue.peek()!.waitingSince - rank * this.#agingMs;
      if (score >= bestScore) continue;
      best = queue;
      bestScore = score;
    }
    return best && this.#take(best);
  }

  /** Takes the one that came first, whatever its priority. */
  shiftOldest(): Delivery | undefined {
    let oldest: Queue<Delivery> | undefined;
    for (const queue of this.#ranks) {
      const head = queue.peek();
      if (head === undefined) continue;
      const first = oldest?.peek();
      if (!first || head.recorded.position < first.recorded.position) oldest = queue;
    }
    return oldest && this.#take(oldest);
  }

  find(predicate: (delivery: Delivery) => boolean): Delivery | undefined {
    for (const queue of this.#ranks) {
      const found = queue.find(predicate);
      if (found) return found;
    }
    return undefined;
  }

  clear(): void {
    for (const queue of this.#ranks) queue.clear();
    this.#size = 0;
  }

  #take(queue: Queue<Delivery>): Delivery | undefined {
    this.#size -= 1;
    return queue.shift();
  }
}
