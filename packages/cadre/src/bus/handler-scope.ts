/**
 * Knows whether code runs inside a handler, over every `await` in it. A publish from there must
 * never wait for another handler's queue, or two handlers could wait for each other for ever.
 */
import { AsyncLocalStorage } from "node:async_hooks";

const scope = new AsyncLocalStorage<true>();

/** Calls `run` as the inside of a handler. */
export function insideHandler<Result>(run: () => Result): Result {
  return scope.run(true, run);
}

/** `insideHandler` for a handler's two arguments, without a closure for each event. */
export function callHandler<First, Second>(
  handler: (first: First, second: Second) => unknown,
  first: First,
  second: Second,
): unknown {
  return scope.run(true, handler, first, second);
}

export function isInsideHandler(): boolean {
  return scope.getStore() === true;
}

/** Calls `run` as if from outside: for work that a handler sets off and that isn't part of it. */
export function outsideHandler<Result>(run: () => Result): Result {
  return scope.exit(run);
}
