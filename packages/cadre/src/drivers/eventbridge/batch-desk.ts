/** Collects what is asked in one turn, or for a while, and asks AWS for ten of it at a time. */
import type { Clock } from "../../core/clock.ts";

export interface BatchDeskParts<Item, Answer> {
  /** One answer for each item, in their order. */
  readonly send: (items: readonly Item[]) => Promise<readonly Answer[]>;
  /** How long the first waits for others. @default until the end of its turn */
  readonly patience?: { readonly clock: Clock; readonly ms: number };
}

interface Waiting<Item, Answer> {
  readonly item: Item;
  readonly resolve: (answer: Answer) => void;
  readonly reject: (error: unknown) => void;
}

const most = 10; // what AWS takes in one call

export class BatchDesk<Item, Answer> {
  readonly #parts: BatchDeskParts<Item, Answer>;
  #waiting: Waiting<Item, Answer>[] = [];

  constructor(parts: BatchDeskParts<Item, Answer>) {
    this.#parts = parts;
  }

  ask(item: Item): Promise<Answer> {
    return new Promise((resolve, reject) => {
      this.#waiting.push({ item, resolve, reject });
      if (this.#waiting.length === 1) this.#sendSoon();
      else if (this.#waiting.length === most && this.#parts.patience) this.#sendAll();
    });
  }

  #sendSoon(): void {
    const { patience } = this.#parts;
    if (!patience) queueMicrotask(() => this.#sendAll());
    else patience.clock.after(patience.ms, () => this.#sendAll(), { background: true });
  }

  #sendAll(): void {
    const all = this.#waiting;
    this.#waiting = [];
    for (let at = 0; at < all.length; at += most) void this.#sendSome(all.slice(at, at + most));
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
