import type { Logger } from "../core/logger.ts";
import type { DeadLetter, DeadLetterBox, DeadLetterQuery } from "./transport.ts";
import { compilePattern } from "../core/pattern.ts";

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
    const isType = query.type === undefined ? undefined : compilePattern(query.type);
    let left = query.limit ?? Infinity;
    for (const letter of this.#letters.values()) {
      if (left === 0) return;
      if (query.group !== undefined && letter.group !== query.group) continue;
      if (query.reason !== undefined && letter.reason !== query.reason) continue;
      if (isType && (letter.event === undefined || !isType(letter.event.type))) continue;
      left -= 1;
      yield letter;
    }
  }

  remove(id: string): Promise<boolean> {
    return Promise.resolve(this.#letters.delete(id));
  }
}
