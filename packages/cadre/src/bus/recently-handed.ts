import type { Clock } from "../core/clock.ts";

const remembered = 10_000;

/**
 * When a member was handed which event last. A copy that was directed to its group while the event
 * itself still waited there is superfluous.
 */
export class RecentlyHanded {
  readonly #clock: Clock;
  readonly #at = new Map<string, number>();

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  handed(id: string | undefined): void {
    if (id === undefined) return;
    this.#at.delete(id);
    this.#at.set(id, this.#clock.now());
    if (this.#at.size > remembered) this.#at.delete(this.#at.keys().next().value!);
  }

  wasHandedAfter(id: string, time: number): boolean {
    const at = this.#at.get(id);
    return at !== undefined && time < at;
  }
}
