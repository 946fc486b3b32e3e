import assert from "node:assert/strict";
import { systemClock } from "cadre";

/** Looks again and again, in real time, and fails when it does not come about. */
export async function until(
  holds: () => unknown,
  what: string = "it",
  withinMs: number = 20_000,
): Promise<void> {
  const end = systemClock.monotonic() + withinMs;
  while (!(await holds())) {
    assert.ok(systemClock.monotonic() < end, `${what} did not happen within ${withinMs} ms`);
    await systemClock.sleep(5);
  }
}
