import type { Clock } from "../../core/clock.ts";

/** One that waits, and is woken; what comes while it does not wait is not lost. */
export class Wakeup {
  readonly #clock: Clock;
  #isDue = false;
  #resolve: (() => void) | undefined;

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  wake(): void {
    this.#isDue = true;
    this.#resolve?.();
  }

  /** Resolves at a wake since the last call, or after `withinMs`. Rejects when aborted. */
  async next(signal: AbortSignal, withinMs: number): Promise<void> {
    signal.throwIfAborted();
    if (!this.#isDue) await this.#wait(signal, withinMs);
    this.#isDue = false;
  }

  #wait(signal: AbortSignal, withinMs: number): Promise<void> {
    return new Promise((resolve, reject) => {
      const onAbort = (): void => end(() => reject(signal.reason));
      const cancel = this.#clock.after(Math.max(0, withinMs), () => end(resolve));
      const end = (settle: () => void): void => {
        cancel();
        signal.removeEventListener("abort", onAbort);
        this.#resolve = undefined;
        settle();
      };
      this.#resolve = () => end(resolve);
      signal.addEventListener("abort", onAbort, { once: true });
    });
  }
}
