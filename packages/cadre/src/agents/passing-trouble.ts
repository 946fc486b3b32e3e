/** Trouble that may pass: a store that is restarting, cut off, or full for a while. */
import type { Clock } from "../core/clock.ts";
import { isCadreError, type ErrorCode } from "../core/errors.ts";

const passing: readonly ErrorCode[] = [
  "STORE_UNAVAILABLE",
  "STORE_FULL",
  "UNREACHABLE",
  "TIMEOUT",
  "OVERLOADED",
  "CIRCUIT_OPEN",
];

const pauseMs = { first: 50, most: 1_000 } as const;

/** Whether the same call may succeed a moment later. */
export function isPassing(error: unknown): boolean {
  return isCadreError(error) && passing.includes(error.code);
}

/**
 * Calls `attempt` again and again while its trouble may pass, for at most `forMs` milliseconds and
 * as long as `goesOn` says; then it throws the last refusal.
 *
 * A commit may be tried so, because it is idempotent by event id: if only the answer was lost, the
 * same events are not written twice.
 */
export async function throughTrouble<Value>(
  clock: Clock,
  forMs: number,
  attempt: () => Promise<Value>,
  goesOn: () => boolean = () => true,
): Promise<Value> {
  const giveUpAt = clock.monotonic() + forMs;
  for (let waitMs: number = pauseMs.first; ; waitMs = Math.min(2 * waitMs, pauseMs.most)) {
    try {
      return await attempt();
    } catch (error) {
      if (!isPassing(error) || !goesOn() || clock.monotonic() + waitMs > giveUpAt) throw error;
      await clock.sleep(waitMs);
    }
  }
}
