/** Pulls that wait for something to hand out. */
export class Sleepers {
  readonly #wakers = new Set<() => void>();

  /** Resolves at the next `wake`, or when a signal is aborted. */
  next(...signals: readonly AbortSignal[]): Promise<void> {
    return new Promise((resolve) => {
      const wake = (): void => {
        for (const signal of signals) signal.removeEventListener("abort", wake);
        this.#wakers.delete(wake);
        resolve();
      };
      this.#wakers.add(wake);
      for (const signal of signals) signal.addEventListener("abort", wake, { once: true });
    });
  }

  wake(): void {
    if (this.#wakers.size === 0) return;
    for (const wake of [...this.#wakers]) wake();
  }
}
