import { test } from "node:test";
import { memoryCarrier } from "#src/bus/memory-transport.ts";
import { systemClock, type Clock } from "#src/core/clock.ts";
import { transportConformance } from "#src/testing/transport-conformance.ts";

let jumpedMs = 0;
const clock: Clock = {
  now: () => systemClock.now() + jumpedMs,
  monotonic: () => systemClock.monotonic(),
  after: (delayMs, action, options) => systemClock.after(delayMs, action, options),
  sleep: (delayMs, signal) => systemClock.sleep(delayMs, signal),
  yield: () => systemClock.yield(),
};
const carrier = memoryCarrier({ clock });

await transportConformance({
  test,
  createTransport: () => carrier.connect(),
  clock,
  leaseMs: 60,
  jumpClock: (byMs) => {
    jumpedMs += byMs;
  },
});
