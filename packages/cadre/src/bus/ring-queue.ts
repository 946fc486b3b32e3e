/** A queue whose both ends cost the same at any length. */
export class RingQueue<Item> {
  #items: (Item | undefined)[] = Array.from({ length: initialSize }, () => undefined);
  #head = 0;
  #size = 0;

  get size(): number {
    return this.#size;
  }

  push(item: Item): void {
    if (this.#size === this.#items.length) this.#grow();
    this.#items[(this.#head + this.#size) & (this.#items.length - 1)] = item;
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
    return item;
  }

  /** Takes everything out. */
  clear(): Item[] {
    const items: Item[] = [];
    for (let item = this.shift(); item !== undefined; item = this.shift()) items.push(item);
    return items;
  }

  #grow(): void {
    const { length } = this.#items;
    const items: (Item | undefined)[] = Array.from({ length: length * 2 }, () => undefined);
    for (let index = 0; index < this.#size; index += 1) {
      items[index] = this.#items[(this.#head + index) & (length - 1)];
    }
    this.#items = items;
    this.#head = 0;
  }
}

const initialSize = 4; // a power of two; most queues stay empty, and there may be many
