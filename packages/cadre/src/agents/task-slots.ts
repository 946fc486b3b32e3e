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

  /** A slot for new work, if one is free. */
  tryTake(): SlotHold | undefined {
    if (this.free === 0) return undefined;
    this.#used += 1;
    return new SlotHold({
      giveBack: () => this.#giveBack(),
      takeAgain: () => this.#takeAgain(),
    });
  }

  #giveBack(): void {
    this.#used -= 1;
    const next = this.#returning.shift();
    if (next) {
      this.#used += 1;
      next();
    } else {
      this.#onFree();
    }
  }

  #takeAgain(): Promise<void> {
    if (this.#used < this.capacity) {
      this.#used += 1;
      return Promise.resolve();
    }
    return new Promise((resolve) => this.#returning.push(resolve));
  }
}

/**
 * The slot of one run. Its handler may wait for several things at once: the first wait gives the
 * slot back, and the last that ends takes one again. A handler that took it sooner would hold up
 * the children that it still waits for.
 */
export class SlotHold {
  /** Called when its handler begins to wait. */
  onWait: () => void = () => {};
  readonly #slots: { giveBack(): void; takeAgain(): Promise<void> };
  #held = true;
  #over = false;
  #waits = 0;
  #returning: Promise<void> | undefined;

  constructor(slots: { giveBack(): void; takeAgain(): Promise<void> }) {
    this.#slots = slots;
  }

  /** Whether its handler waits for something, or for the slot to go on with. */
  get isWaiting(): boolean {
    return this.#waits > 0 || this.#returning !== undefined;
  }

  /** Runs `wait` without holding the slot. */
  async without<Result>(wait: () => Promise<Result>): Promise<Result> {
    this.#waits += 1;
    this.#let();
    this.onWait();
    try {
      return await wait();
    } finally {
      this.#waits -= 1;
      if (this.#waits === 0) await this.#return();
    }
  }

  /** The run is over. A handler that was left behind in a wait gets no slot any more. */
  release(): void {
    this.#over = true;
    this.#let();
  }

  #let(): void {
    if (!this.#held) return;
    this.#held = false;
    this.#slots.giveBack();
  }

  #return(): Promise<void> {
    if (this.#held || this.#over) return Promise.resolve();
    this.#returning ??= this.#slots.takeAgain().then(() => {
      this.#returning = undefined;
      this.#held = true;
      if (this.#over || this.#waits > 0) this.#let();
    });
    return this.#returning;
  }
}
