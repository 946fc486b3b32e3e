/**
 * How many tasks of a capability may wait to be claimed: a plan of thousands is released bit by
 * bit, and more slowly while an agent says that it is full.
 */
import type { Clock } from "../../core/clock.ts";
import type { Directory } from "../directory.ts";

export interface ReleaseGatePort {
  readonly clock: Clock;
  readonly directory: Pick<Directory, "find">;
  /** Planned tasks that wait to be claimed: others are no reason to hold a plan up. */
  waiting(capability: string): number;
  readonly maxWaiting: number;
  /** For how long a word of backpressure counts. */
  readonly pressureMs: number;
}

export class ReleaseGate {
  readonly #port: ReleaseGatePort;
  /** Monotonic instants until which a capability is under pressure. */
  readonly #pressedUntil = new Map<string, number>();
  readonly #released = new Map<string, number>();

  constructor(port: ReleaseGatePort) {
    this.#port = port;
  }

  /** An agent is full while work waits for it. */
  press(agent: string): void {
    const { clock, directory, pressureMs } = this.#port;
    const until = clock.monotonic() + pressureMs;
    for (const { card } of directory.find({ agent })) {
      for (const capability of card.capabilities) this.#pressedUntil.set(capability, until);
    }
  }

  /** A new decision begins: what was released before is on the board by now. */
  begin(): void {
    this.#released.clear();
  }

  /** How many tasks may be released now. */
  room(capability: string): number {
    const limit = this.#limit(capability);
    const waiting = this.#port.waiting(capability) + (this.#released.get(capability) ?? 0);
    // A plan of thousands is not looked through at every claim.
    return waiting > limit * 0.75 && waiting > 0 ? 0 : limit - waiting;
  }

  release(capability: string): void {
    this.#released.set(capability, (this.#released.get(capability) ?? 0) + 1);
  }

  #limit(capability: string): number {
    const { clock, directory, maxWaiting } = this.#port;
    if (clock.monotonic() >= (this.#pressedUntil.get(capability) ?? -Infinity)) return maxWaiting;
    const alive = directory.find({ capability }).filter(({ presence }) => presence !== "dead");
    const capacity = alive.reduce((sum, { card }) => sum + card.capacity, 0);
    return Math.min(maxWaiting, Math.max(1, capacity));
  }
}
