/** What the bus needs of every subscription, whatever its kind. */
import { checkOptions, wholeNumber } from "../core/options.ts";
import type { Subscription } from "./subscription.ts";

/** How a subscription ended. */
export interface Closing {
  readonly finished: number;
  readonly aborted: number;
  readonly released: number;
}

export interface MemberOfBus extends Subscription {
  /** Like `close`, and tells what became of its work. */
  shutDown(deadlineMs?: number): Promise<Closing>;
}

/** @throws {CadreError} INVALID_OPTION */
export function assertConcurrency(concurrency: number): void {
  checkOptions("setConcurrency", { concurrency }, { concurrency: wholeNumber(1, 100_000) });
}
