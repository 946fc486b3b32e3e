/**
 * Runs a handler once: with its middleware, its time limit and its signal.
 *
 *   called ──returns a value──────────────▶ over, nothing was allocated
 *     └─────returns a promise──▶ pending ──▶ fulfilled | rejected | timed out | abandoned
 */
import { CadreError } from "../core/errors.ts";
import type { AgentEvent } from "../core/event.ts";
import type { Handler } from "./bus.ts";
import type { Deadline, Deadlines } from "./deadline-queue.ts";
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

/** How a handler ended, if not well. */
export interface HandlerFailure {
  readonly error: unknown;
}

/**
 * Watches a handler that has been started, at most its time, and tells `onEnd` once how it ended. A
 * handler that goes on after that is ignored, whatever it does.
 */
export class HandlerWatch {
  readonly delivery: RunningDelivery;
  readonly #onEnd: (watch: HandlerWatch, failure: HandlerFailure | undefined) => void;
  #deadline: Deadline | undefined;
  #isOver = false;

  constructor(
    parts: HandlerRunParts,
    delivery: RunningDelivery,
    onEnd: (watch: HandlerWatch, failure: HandlerFailure | undefined) => void,
  ) {
    const { timeoutMs, deadlines } = parts;
    this.delivery = delivery;
    this.#onEnd = onEnd;
    if (timeoutMs !== 0) this.#deadline = deadlines.add(timeoutMs, () => this.#expire(parts));
  }

  follow(running: PromiseLike<unknown>): void {
    try {
      running.then(
        () => this.#end(undefined),
        (error: unknown) => this.#end({ error }),
      );
    } catch (error) {
      this.#end({ error });
    }
  }

  /** Ends the watch at once, with an error. */
  abandon(error: unknown): void {
    this.#end({ error });
  }

  #expire({ subscription, timeoutMs }: HandlerRunParts): void {
    const error = new CadreError(
      "TIMEOUT",
      `The handler of "${subscription}" took longer than ${timeoutMs} ms.`,
      { what: `handler of ${subscription}`, timeoutMs },
    );
    this.delivery.abort(error);
    this.#end({ error });
  }

  #end(failure: HandlerFailure | undefined): void {
    if (this.#isOver) return;
    this.#isOver = true;
    this.#deadline?.cancel();
    this.#onEnd(this, failure);
  }
}

/** Waits for a handler that has been started, at most its time. */
export function finishHandler(
  parts: HandlerRunParts,
  running: PromiseLike<unknown>,
  delivery: RunningDelivery,
  onAbandon: (abandon: (reason: unknown) => void) => void,
): Promise<void> {
  return new Promise((resolve, reject) => {
    const watch = new HandlerWatch(parts, delivery, (_watch, failure) => {
      if (failure) reject(failure.error);
      else resolve();
    });
    onAbandon((reason) => watch.abandon(reason));
    watch.follow(running);
  });
}
