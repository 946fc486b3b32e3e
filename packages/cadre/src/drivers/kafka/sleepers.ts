/** Pulls that wait for something to hand out. */
export class Sleepers {
  readonly #wakers = new Set<() => void>();

  /** Resolves at the next `wake`, or when `signal` is aborted. */
  next(signal: AbortSignal): Promise<void> {
    return new Promise((resolve) => {
      const wake = (): void => {
        signal.removeEventListener("abort", wake);
        this.#wakers.delete(wake);
        resolve();
      };
      this.#wakers.add(wake);
      signal.addEventListener("abort", wake, { once: true });
    });
  }

  wake(): void {
    for (const wake of [...this.#wakers]) wake();
  }
}
