import type { Logger } from "../core/logger.ts";
import { letterMatcher } from "./letter-matcher.ts";
import type { DeadLetter, DeadLetterBox, DeadLetterQuery } from "./transport.ts";

/** Dead letters in memory. Beyond its bound the oldest letter goes, with a warning. */
export class MemoryDeadLetters implements DeadLetterBox {
  readonly #letters = new Map<string, DeadLetter>();
  readonly #capacity: number;
  readonly #logger: Logger;

  constructor(capacity: number, logger: Logger) {
    this.#capacity = capacity;
    this.#logger = logger;
  }

  put(letter: DeadLetter): Promise<void> {
    this.#letters.delete(letter.id); // a letter that is written again is the newest
    this.#letters.set(letter.id, Object.freeze({ ...letter }));
    if (this.#letters.size > this.#capacity) {
      for (const oldest of this.#letters.keys()) {
        this.#letters.delete(oldest);
        this.#logger.warn("The dead letter box is full: its oldest letter was dropped.", {
          letter: oldest,
          capacity: this.#capacity,
        });
        break;
      }
    }
    return Promise.resolve();
  }

  get(id: string): Promise<DeadLetter | undefined> {
    return Promise.resolve(this.#letters.get(id));
  }

  async *list(query: DeadLetterQuery = {}): AsyncGenerator<DeadLetter, void, undefined> {
    const isAsked = letterMatcher(query);
    let left = query.limit ?? Infinity;
    for (const letter of this.#letters.values()) {
      if (left === 0) return;
      if (!isAsked(letter)) continue;
      left -= 1;
      yield letter;
    }
  }

  remove(id: string): Promise<boolean> {
    return Promise.resolve(this.#letters.delete(id));
  }
}
