/**
 * Runs a handler once: with its middleware, its time limit and its signal.
 *
 *   called ──returns a value──────────────▶ over, nothing was allocated
 *     └─────returns a promise──▶ pending ──▶ fulfilled | rejected | timed out | abandoned
 */
import { CadreError } from "../core/errors.ts";
import type { AgentEvent } from "../core/event.ts";
import type { Handler } from "./bus.ts";
import type { Deadlines } from "./deadline-queue.ts";
import type { RunningDelivery } from "./delivery.ts";
import { callHandler, insideHandler } from "./handler-scope.ts";
import type { Middleware } from "./middleware.ts";

export interface HandlerRunParts {
  readonly handler: Handler;
  readonly middleware: Middleware;
  readonly deadlines: Deadlines;
  readonly timeoutMs: number;
  readonly subscription: string;
}

/** Calls the handler. What it returns may be a promise; what it throws is thrown. */
export function startHandler(
  parts: HandlerRunParts,
  event: AgentEvent,
  delivery: RunningDelivery,
): unknown {
  const { handler, middleware } = parts;
  if (!middleware.observesHandling) return callHandler(handler, event, delivery);
  return insideHandler(() =>
    middleware.aroundHandle(event, delivery, () => handler(event, delivery)),
  );
}

export function isPromise(value: unknown): value is PromiseLike<unknown> {
  return (
    typeof value === "object" &&
    value !== null &&
    "then" in value &&
    typeof value.then === "function"
  );
}

/**
 * Waits for a handler that has been started, at most its time. `abandon` ends the wait at once,
 * with an error. A handler that goes on after that is ignored, whatever it does.
 */
export function finishHandler(
  parts: HandlerRunParts,
  running: PromiseLike<unknown>,
  delivery: RunningDelivery,
  onAbandon: (abandon: (reason: unknown) => void) => void,
): Promise<void> {
  return new Promise((resolve, reject) => {
    const { timeoutMs, deadlines, subscription } = parts;
    const deadline =
      timeoutMs === 0
        ? undefined
        : deadlines.add(timeoutMs, () => {
            const error = new CadreError(
              "TIMEOUT",
              `The handler of "${subscription}" took longer than ${timeoutMs} ms.`,
              { what: `handler of ${subscription}`, timeoutMs },
            );
            delivery.abort(error);
            reject(error);
          });
    onAbandon((reason) => {
      deadline?.cancel();
      reject(reason);
    });
    running.then(
      () => {
        deadline?.cancel();
        resolve();
      },
      (error: unknown) => {
        deadline?.cancel();
        reject(error);
      },
    );
  });
}
