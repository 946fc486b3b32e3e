import type { Clock } from "../../core/clock.ts";
import type { RabbitMessageLike } from "./client.ts";
import { attemptOf, headerOf, numberHeader } from "./wire.ts";

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

  isSuperfluous(message: RabbitMessageLike): boolean {
    const directedAt = numberHeader(message, headerOf.directedAt);
    const id = message.properties.headers?.[directedIdHeader];
    if (directedAt === undefined || typeof id !== "string") return false;
    // One that has come back was handed out before, and that is what is remembered.
    if (attemptOf(message) !== (numberHeader(message, headerOf.attempt) ?? 1)) return false;
    const at = this.#at.get(id);
    return at !== undefined && directedAt < at;
  }
}

/** The id of the event, where it can be compared without decoding. */
export const directedIdHeader = "cadre-directed-id";
