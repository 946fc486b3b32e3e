/**
 * The items of pages, one by one. An async generator that yields each item takes three times as
 * long.
 */
export class Paged<Row, Item> implements AsyncIterableIterator<Item> {
  readonly #pages: AsyncIterator<readonly Row[]>;
  readonly #toItem: (row: Row) => Item;
  #page: readonly Row[] = [];
  #index = 0;

  constructor(pages: AsyncIterable<readonly Row[]>, toItem: (row: Row) => Item) {
    this.#pages = pages[Symbol.asyncIterator]();
    this.#toItem = toItem;
  }

  [Symbol.asyncIterator](): this {
    return this;
  }

  next(): Promise<IteratorResult<Item, undefined>> {
    if (this.#index === this.#page.length) return this.#turn();
    const value = this.#toItem(this.#page[this.#index++]!);
    return Promise.resolve({ value, done: false });
  }

  async return(): Promise<IteratorResult<Item, undefined>> {
    this.#page = [];
    this.#index = 0;
    await this.#pages.return?.();
    return { value: undefined, done: true };
  }

  async #turn(): Promise<IteratorResult<Item, undefined>> {
    const next = await this.#pages.next();
    if (next.done) return { value: undefined, done: true };
    this.#page = next.value;
    this.#index = 0;
    return this.next();
  }
}
