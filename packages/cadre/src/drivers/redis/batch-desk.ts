/**
 * Collects what is asked in one turn, and asks the server for all of it at once.
 *
 *   asked ─▶ waiting ──end of the microtask──▶ sent
 *               └─while held─▶ sent with the next `flush`, or after the turn that ended the hold
 */
import type { Clock } from "../../core/clock.ts";

export interface BatchDeskParts<Item, Answer> {
  readonly clock: Clock;
  /** One answer for each item, in their order. */
  readonly send: (items: readonly Item[]) => Promise<readonly Answer[]>;
  /** Most items in one call: the server does nothing else meanwhile. */
  readonly most: number;
}

interface Waiting<Item, Answer> {
  readonly item: Item;
  readonly resolve: (answer: Answer) => void;
  readonly reject: (error: unknown) => void;
}

export class BatchDesk<Item, Answer> {
  readonly #parts: BatchDeskParts<Item, Answer>;
  #waiting: Waiting<Item, Answer>[] = [];
  #holds = 0;

  constructor(parts: BatchDeskParts<Item, Answer>) {
    this.#parts = parts;
  }

  ask(item: Item): Promise<Answer> {
    return new Promise((resolve, reject) => {
      this.#waiting.push({ item, resolve, reject });
      if (this.#waiting.length === 1) queueMicrotask(() => this.#sendUnlessHeld());
    });
  }

  /** Collects on while `answer` is awaited: what is sent meanwhile has its answer after that. */
  async holdDuring<Other>(answer: Promise<Other>): Promise<Other> {
    this.#holds += 1;
    try {
      return await answer;
    } finally {
      this.#holds -= 1;
      // Whoever has got this answer mostly asks again at once, and takes all with it.
      if (this.#waiting.length > 0) {
        void this.#parts.clock.yield().then(() => this.#sendUnlessHeld());
      }
    }
  }

  #sendUnlessHeld(): void {
    if (this.#holds === 0) this.flush();
  }

  /** Sends what waits. */
  flush(): void {
    const all = this.#waiting;
    this.#waiting = [];
    for (let at = 0; at < all.length; at += this.#parts.most) {
      void this.#sendSome(all.slice(at, at + this.#parts.most));
    }
  }

  async #sendSome(some: readonly Waiting<Item, Answer>[]): Promise<void> {
    try {
      const answers = await this.#parts.send(some.map(({ item }) => item));
      for (const [at, { resolve }] of some.entries()) resolve(answers[at]!);
    } catch (error) {
      for (const { reject } of some) reject(error);
    }
  }
}
