import type { Fetched, Partition, Wanted } from "./log-access.ts";
import { compareRecords, type Read } from "./wire.ts";

/** One partition of a broadcast: where it is read next, and what waits to be pulled. */
export class Tail {
  readonly #partition: Partition;
  #next: number;
  /** Behind what was there when it began. */
  #backlogEnd: number | undefined;
  readonly waiting: Read[] = [];

  constructor(partition: Partition, start: number) {
    this.#partition = partition;
    this.#next = start;
  }

  get wanted(): Wanted {
    const isFirst = this.#backlogEnd === undefined;
    return { ...this.#partition, offset: this.#next, isFirst };
  }

  /** Whether some of what was there at the beginning may have to come before anything else. */
  get isBehind(): boolean {
    if (this.#backlogEnd === undefined) return true;
    return this.#next < this.#backlogEnd && this.waiting.length === 0;
  }

  take({ wanted, next, end }: Fetched, reads: readonly Read[]): void {
    if (wanted.offset !== this.#next) return;
    this.#backlogEnd ??= end;
    this.#next = next;
    this.waiting.push(...reads);
  }

  moved(offset: number): void {
    this.#next = offset;
    this.#backlogEnd ??= offset;
  }
}

/**
 * Takes the first of all that wait, by time, up to `max`. A backlog waits until it is known; not
 * for that of a partition that nobody leads.
 */
export function takeFirst(
  tails: ReadonlyMap<string, Tail>,
  max: number,
  isLed: (partition: Partition) => boolean,
): Read[] {
  const taken: Read[] = [];
  while (taken.length < max) {
    let first: Tail | undefined;
    for (const tail of tails.values()) {
      if (tail.isBehind && isLed(tail.wanted)) return taken;
      const [head] = tail.waiting;
      if (!head) continue;
      if (!first || compareRecords(head, first.waiting[0]!) < 0) first = tail;
    }
    if (!first) return taken;
    taken.push(first.waiting.shift()!);
  }
  return taken;
}
