/** What is outside of every process in a scenario: it counts effects and never forgets. */
export class CountingWorld {
  readonly #effects = new Map<string, number>();

  /** An effect happens, under its key. */
  effect(key: string): void {
    this.#effects.set(key, this.times(key) + 1);
  }

  times(key: string): number {
    return this.#effects.get(key) ?? 0;
  }

  /** The keys whose effects did not happen as often as `allowed` says, in words. */
  wrong(allowed: (key: string, times: number) => boolean): readonly string[] {
    return [...this.#effects]
      .filter(([key, times]) => !allowed(key, times))
      .map(([key, times]) => `the effect of ${key} happened ${times} times`);
  }
}
