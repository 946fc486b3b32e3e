/** A bell: many may wait for its next ring. */
export class Wakeup {
  #ring: (() => void) | undefined;
  #next: Promise<void> | undefined;

  /** Resolves at the next ring. */
  wait(): Promise<void> {
    this.#next ??= new Promise((resolve) => {
      this.#ring = resolve;
    });
    return this.#next;
  }

  ring(): void {
    const ring = this.#ring;
    this.#ring = undefined;
    this.#next = undefined;
    ring?.();
  }
}
