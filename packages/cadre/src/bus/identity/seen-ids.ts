/** The last so many ids, to know one that comes again. */
export class SeenIds {
  readonly #size: number;
  readonly #ids = new Set<string>();
  readonly #order: string[] = [];
  #oldest = 0;

  constructor(size: number) {
    this.#size = size;
  }

  /** False when it is among them. */
  add(id: string): boolean {
    if (this.#ids.has(id)) return false;
    this.#ids.add(id);
    if (this.#order.length < this.#size) {
      this.#order.push(id);
      return true;
    }
    this.#ids.delete(this.#order[this.#oldest]!);
    this.#order[this.#oldest] = id;
    this.#oldest = (this.#oldest + 1) % this.#size;
    return true;
  }
}
