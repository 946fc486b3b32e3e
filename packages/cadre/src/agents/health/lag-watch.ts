/** Tells once that something blocks the event loop of a process, until it is free again. */

const freeShare = 0.5; // of the limit: a lag around it is told once, not at every beat

export class LagWatch {
  readonly #limitMs: number;
  #isBlocked = false;

  /** @param limitMs 0 is never */
  constructor(limitMs: number) {
    this.#limitMs = limitMs;
  }

  /** What is news with this lag, if anything. */
  look(lagMs: number): "blocked" | "free" | undefined {
    if (this.#limitMs === 0) return undefined;
    const isBlocked = lagMs >= this.#limitMs * (this.#isBlocked ? freeShare : 1);
    if (isBlocked === this.#isBlocked) return undefined;
    this.#isBlocked = isBlocked;
    return isBlocked ? "blocked" : "free";
  }
}
