// A power of two, so that an index wraps with a mask. Most queues stay empty, and there may be
// many.
const smallest = 4;

/**
 * A first-in, first-out queue on a circular array: taking from the front costs what adding to the
 * end costs.
 */
export class Queue<Item> {
  #items: (Item | undefined)[] = emptySlots(smallest);
  #head = 0;
  #size = 0;

  get size(): number {
    return this.#size;
  }

  push(item: Item): void {
    if (this.#size === this.#items.length) this.#resize(this.#size * 2);
    this.#items[(this.#head + this.#size) & (this.#items.length - 1)] = item;
    this.#size += 1;
  }

  unshift(item: Item): void {
    if (this.#size === this.#items.length) this.#resize(this.#size * 2);
    this.#head = (this.#head - 1) & (this.#items.length - 1);
    this.#items[this.#head] = item;
    this.#size += 1;
  }

  peek(): Item | undefined {
    return this.#size === 0 ? undefined : this.#items[this.#head];
  }

  shift(): Item | undefined {
    if (this.#size === 0) return undefined;
    const item = this.#items[this.#head];
    this.#items[this.#head] = undefined;
    this.#head = (this.#head + 1) & (this.#items.length - 1);
    this.#size -= 1;
    // A burst must not hold its memory for ever.
    if (this.#items.length > 1_024 && this.#size < this.#items.length / 8) {
      this.#resize(this.#items.length / 4);
    }
    return item;
  }

  /** The item at `index` from the front. */
  at(index: number): Item | undefined {
    if (index < 0 || index >= this.#size) return undefined;
    return this.#items[(this.#head + index) & (this.#items.length - 1)];
  }

  /** Puts `item` before the first one that `isAfter` holds for, else at the end. */
  insertBefore(item: Item, isAfter: (other: Item) => boolean): void {
    let index = 0;
    while (index < this.#size && !isAfter(this.at(index)!)) index += 1;
    this.unshift(item);
    const mask = this.#items.length - 1;
    for (let moved = 0; moved < index; moved += 1) {
      const here = (this.#head + moved) & mask;
      const next = (here + 1) & mask;
      this.#items[here] = this.#items[next];
      this.#items[next] = item;
    }
  }

  find(predicate: (item: Item) => boolean): Item | undefined {
    for (let index = 0; index < this.#size; index += 1) {
      const item = this.at(index)!;
      if (predicate(item)) return item;
    }
    return undefined;
  }

  /** Takes everything out. */
  clear(): Item[] {
    const items = Array.from({ length: this.#size }, (_, index) => this.at(index)!);
    this.#items = emptySlots(smallest);
    this.#head = 0;
    this.#size = 0;
    return items;
  }

  #resize(length: number): void {
    const items = emptySlots<Item>(length);
    for (let index = 0; index < this.#size; index += 1) items[index] = this.at(index);
    this.#items = items;
    this.#head = 0;
  }
}

function emptySlots<Item>(length: number): (Item | undefined)[] {
  return Array.from({ length }, () => undefined);
}
