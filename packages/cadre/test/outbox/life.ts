/** Whether the last write takes effect. */
export type When = "before" | "after";

/**
 * A process that dies before or after its n-th write; from then on nothing that it calls answers.
 */
export class Life {
  writes = 0;
  dead = false;
  readonly #dieAt: number;
  readonly #when: When;

  constructor(dieAt: number, when: When) {
    this.#dieAt = dieAt;
    this.#when = when;
  }

  async write<Result>(action: () => Promise<Result>): Promise<Result> {
    if (this.dead) return never();
    this.writes += 1;
    const last = this.writes === this.#dieAt;
    if (last && this.#when === "before") return this.#die();
    try {
      const result = await action();
      return last ? this.#die() : this.alive(result);
    } catch (error) {
      if (last || this.dead) return this.#die();
      throw error;
    }
  }

  /** What a dead process is told, it does not hear. */
  alive<Result>(result: Result): Result | Promise<Result> {
    return this.dead ? never() : result;
  }

  #die(): Promise<never> {
    this.dead = true;
    return never();
  }
}

/** The answer that nobody is left to hear. */
export function never(): Promise<never> {
  return new Promise(() => {});
}
