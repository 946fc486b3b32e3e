/**
 * The slots of one agent: how many handlers of tasks may run at once. A handler that waits for
 * another task or sleeps gives its slot back meanwhile, so that an agent of capacity 1 can wait for
 * its own child; it takes one again, before new work, to go on.
 */
export class TaskSlots {
  readonly capacity: number;
  #used = 0;
  readonly #returning: (() => void)[] = [];
  readonly #onFree: () => void;

  constructor(capacity: number, onFree: () => void) {
    this.capacity = capacity;
    this.#onFree = onFree;
  }

  get used(): number {
    return this.#used;
  }

  get free(): number {
    return Math.max(0, this.capacity - this.#used - this.#returning.length);
  }

  /** For new work. */
  tryTake(): boolean {
    if (this.free === 0) return false;
    this.#used += 1;
    return true;
  }

  giveBack(): void {
    this.#used -= 1;
    const next = this.#returning.shift();
    if (next) {
      this.#used += 1;
      next();
    } else {
      this.#onFree();
    }
  }

  /** For work that gave its slot back. */
  takeAgain(): Promise<void> {
    if (this.#used < this.capacity) {
      this.#used += 1;
      return Promise.resolve();
    }
    return new Promise((resolve) => this.#returning.push(resolve));
  }

  /** Runs `wait` without holding a slot. */
  async without<Result>(wait: () => Promise<Result>): Promise<Result> {
    this.giveBack();
    try {
      return await wait();
    } finally {
      await this.takeAgain();
    }
  }
}
