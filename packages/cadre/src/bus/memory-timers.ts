import type { Clock } from "../core/clock.ts";

/** Something that falls due. Both fields are the heap's to write. */
export interface Timed {
  /** On the clock's monotonic scale. */
  dueAt: number;
  /** Its place in the heap; -1 while it is in none. */
  heapIndex: number;
}

/**
 * Any number of deadlines on one timer: a binary heap of which only the earliest is set on the
 * clock.
 *
 * An item is in at most one heap at a time. Deadlines that are added in rising order, as leases
 * are, cost no sifting. The timer of a deadline that was removed is left to fire and finds nothing;
 * in the foreground, where it would keep the process alive, it is cancelled when the heap is empty.
 */
export class TimerHeap<Item extends Timed> {
  readonly #clock: Clock;
  readonly #fire: (item: Item) => void;
  readonly #background: boolean;
  readonly #heap: Item[] = [];
  #armedAt = Infinity;
  #cancel: (() => void) | undefined;
  #paused = false;

  constructor(clock: Clock, options: { readonly background: boolean }, fire: (item: Item) => void) {
    this.#clock = clock;
    this.#background = options.background;
    this.#fire = fire;
  }

  get size(): number {
    return this.#heap.length;
  }

  /** A list of the items, in no order. */
  items(): Item[] {
    return this.#heap.slice();
  }

  add(item: Item, dueAt: number): void {
    item.dueAt = dueAt;
    item.heapIndex = this.#heap.length;
    this.#heap.push(item);
    this.#up(item);
    if (dueAt < this.#armedAt) this.#arm();
  }

  /** Moves an item of this heap to another deadline. */
  move(item: Item, dueAt: number): void {
    item.dueAt = dueAt;
    this.#up(item);
    this.#down(item);
    if (dueAt < this.#armedAt) this.#arm();
  }

  remove(item: Item): void {
    const index = item.heapIndex;
    if (index === -1) return;
    const last = this.#heap.pop()!;
    item.heapIndex = -1;
    if (last !== item) {
      last.heapIndex = index;
      this.#heap[index] = last;
      this.#up(last);
      this.#down(last);
    }
    if (this.#heap.length === 0 && !this.#background) this.#disarm();
  }

  /** Fires nothing until `resume`; what falls due meanwhile fires then. */
  pause(): void {
    this.#paused = true;
    this.#disarm();
  }

  resume(): void {
    this.#paused = false;
    this.#arm();
  }

  #arm(): void {
    const first = this.#heap[0];
    if (first === undefined || this.#paused) return;
    this.#cancel?.();
    this.#armedAt = first.dueAt;
    const delayMs = first.dueAt - this.#clock.monotonic();
    this.#cancel = this.#clock.after(delayMs, () => this.#onTimer(), {
      background: this.#background,
    });
  }

  #disarm(): void {
    this.#cancel?.();
    this.#cancel = undefined;
    this.#armedAt = Infinity;
  }

  #onTimer(): void {
    this.#cancel = undefined;
    this.#armedAt = Infinity;
    const now = this.#clock.monotonic();
    for (let first = this.#heap[0]; first && first.dueAt <= now; first = this.#heap[0]) {
      this.remove(first);
      this.#fire(first);
    }
    this.#arm();
  }

  #up(item: Item): void {
    let index = item.heapIndex;
    while (index > 0) {
      const parent = this.#heap[(index - 1) >> 1]!;
      if (parent.dueAt <= item.dueAt) break;
      this.#place(parent, index);
      index = (index - 1) >> 1;
    }
    this.#place(item, index);
  }

  #down(item: Item): void {
    let index = item.heapIndex;
    for (;;) {
      const left = this.#heap[index * 2 + 1];
      const right = this.#heap[index * 2 + 2];
      const least = right && left && right.dueAt < left.dueAt ? right : left;
      if (!least || least.dueAt >= item.dueAt) break;
      const free = least.heapIndex;
      this.#place(least, index);
      index = free;
    }
    this.#place(item, index);
  }

  #place(item: Item, index: number): void {
    item.heapIndex = index;
    this.#heap[index] = item;
  }
}
