/**
 * Knows whether code runs inside a handler, over every `await` in it. A publish from there must
 * never wait for another handler's queue, or two handlers could wait for each other for ever.
 */
import { AsyncLocalStorage } from "node:async_hooks";

const scope = new AsyncLocalStorage<true>();

// Entering a context that was made once takes less than half of making one for each event. It also
// keeps a handler out of its publisher's context: that publisher may be anybody.
const enter = scope.run(true, () => AsyncLocalStorage.snapshot());

/** Calls `run` as the inside of a handler. */
export function insideHandler<Result>(run: () => Result): Result {
  return enter(run);
}

/** `insideHandler` for a function of two arguments, without a closure for each event. */
export function callHandler<First, Second>(
  handler: (first: First, second: Second) => unknown,
  first: First,
  second: Second,
): unknown {
  return isInsideHandler() ? handler(first, second) : enter(handler, first, second);
}

export function isInsideHandler(): boolean {
  return scope.getStore() === true;
}
