/**
 * Knows whether code runs inside a handler, over every `await` in it. A publish from there must
 * never wait for another handler's queue, or two handlers could wait for each other for ever.
 */
import { AsyncLocalStorage, AsyncResource } from "node:async_hooks";

const scope = new AsyncLocalStorage<true>();

// Running in a resource that was made there takes 15 ns; `scope.run` and what
// `AsyncLocalStorage.snapshot` makes take 130 to 280 ns, as much as making an event. It also keeps
// a handler out of its publisher's context: that publisher may be anybody.
const inside = scope.run(true, () => new AsyncResource("CadreHandler"));
const outside = scope.exit(() => new AsyncResource("CadreBus"));

/** Calls `run` as the inside of a handler. */
export function insideHandler<Given extends readonly unknown[], Result>(
  run: (...given: Given) => Result,
  ...given: Given
): Result {
  return inside.runInAsyncScope(run, undefined, ...given);
}

/** Calls `run` as the outside, wherever it is called: what it publishes may wait. */
export function outsideHandler<Given extends readonly unknown[]>(
  run: (...given: Given) => void,
  ...given: Given
): void {
  if (isInsideHandler()) outside.runInAsyncScope(run, undefined, ...given);
  else run(...given);
}

export function isInsideHandler(): boolean {
  return scope.getStore() === true;
}
