import type { Clock } from "../../core/clock.ts";
import type { SqsLease } from "./sqs-lease.ts";
import { attributeOf, numberAttribute } from "./wire.ts";

const remembered = 10_000;

/**
 * When this member was handed which event last. A copy that was directed to the group while the
 * event itself still waited there is superfluous.
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

  isSuperfluous({ message, recorded, attempt }: SqsLease): boolean {
    const directedAt = numberAttribute(message, attributeOf.directedAt);
    const id = recorded.event?.id;
    if (directedAt === undefined || id === undefined) return false;
    // One that has come back was handed out before, and that is what is remembered.
    if (attempt !== (numberAttribute(message, attributeOf.attempt) ?? 1)) return false;
    const at = this.#at.get(id);
    return at !== undefined && directedAt < at;
  }
}
