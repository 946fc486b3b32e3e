/** The pulls of one intake that wait for something to hand out. */
export class WaitingPulls {
  readonly #waiting = new Set<{ readonly max: number; readonly wake: () => void }>();

  get size(): number {
    return this.#waiting.size;
  }

  /** How much they take together. */
  get wanted(): number {
    let wanted = 0;
    for (const { max } of this.#waiting) wanted += max;
    return wanted;
  }

  /** Waits until all are woken, or `signal` is aborted. */
  next(max: number, signal: AbortSignal): Promise<void> {
    return new Promise((resolve) => {
      const wake = (): void => {
        signal.removeEventListener("abort", wake);
        this.#waiting.delete(waiting);
        resolve();
      };
      const waiting = { max, wake };
      this.#waiting.add(waiting);
      signal.addEventListener("abort", wake, { once: true });
    });
  }

  wakeAll(): void {
    for (const { wake } of [...this.#waiting]) wake();
  }
}
