/**
 * Runs a handler once: with its middleware, its time limit and its signal.
 *
 *   called ──returns a value──────────────▶ over, nothing was allocated
 *     └─────returns a promise──▶ pending ──▶ fulfilled | rejected | timed out | abandoned
 */
import { CadreError } from "../core/errors.ts";
import type { AgentEvent } from "../core/event.ts";
import type { Handler } from "./bus.ts";
import { Deadline, type Deadlines } from "./deadline-queue.ts";
import type { RunningDelivery } from "./delivery.ts";
import type { Middleware } from "./middleware.ts";

export interface HandlerRunParts {
  readonly handler: Handler;
  readonly middleware: Middleware;
  readonly deadlines: Deadlines;
  readonly timeoutMs: number;
  readonly subscription: string;
}

/**
 * Calls the handler, from inside a handler's scope. What it returns may be a promise; what it
 * throws is thrown.
 */
export function startHandler(
  parts: HandlerRunParts,
  event: AgentEvent,
  delivery: RunningDelivery,
): unknown {
  const { handler, middleware } = parts;
  if (!middleware.observesHandling) return handler(event, delivery);
  return middleware.aroundHandle(event, delivery, () => handler(event, delivery));
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

type OnEnd = (watch: HandlerWatch, failure: HandlerFailure | undefined) => void;

/**
 * Watches a handler that has been started, at most its time, and tells `onEnd` once how it ended. A
 * handler that goes on after that is ignored, whatever it does.
 *
 *   idle ──start──▶ watching ──the promise is settled──▶ idle, for the next run
 *                       └──────timed out, abandoned────▶ over for good: its promise may still come
 */
export class HandlerWatch {
  delivery: RunningDelivery | undefined;
  /** Its place among the watches of its owner. */
  place = -1;
  readonly #parts: HandlerRunParts;
  readonly #onEnd: OnEnd;
  readonly #deadline: Deadline = new Deadline(() => this.#expire());
  #isOver = false;

  constructor(parts: HandlerRunParts, onEnd: OnEnd) {
    this.#parts = parts;
    this.#onEnd = onEnd;
  }

  /** Whether it may watch another run, after the end of one. */
  get isReusable(): boolean {
    return !this.#isOver;
  }

  start(running: PromiseLike<unknown>, delivery: RunningDelivery): void {
    const { timeoutMs, deadlines } = this.#parts;
    this.delivery = delivery;
    if (timeoutMs !== 0) deadlines.start(timeoutMs, this.#deadline);
    // Not the promise's own `then`: that of a subclass might call back twice.
    const promise = Promise.resolve(running);
    void Promise.prototype.then.call(promise, this.#onFulfilled, this.#onRejected);
  }

  /** Ends the watch at once, with an error. */
  abandon(error: unknown): void {
    if (this.#isOver) return;
    this.#isOver = true;
    this.#end({ error });
  }

  // Made once a watch, and a watch serves many runs: two closures for each cost more than a
  // handler.
  readonly #onFulfilled = (): void => {
    if (!this.#isOver) this.#end(undefined);
  };

  readonly #onRejected = (error: unknown): void => {
    if (!this.#isOver) this.#end({ error });
  };

  #expire(): void {
    const { subscription, timeoutMs } = this.#parts;
    const error = new CadreError(
      "TIMEOUT",
      `The handler of "${subscription}" took longer than ${timeoutMs} ms.`,
      { what: `handler of ${subscription}`, timeoutMs },
    );
    this.delivery?.abort(error);
    this.abandon(error);
  }

  #end(failure: HandlerFailure | undefined): void {
    this.#deadline.cancel();
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
    const watch = new HandlerWatch(parts, (_watch, failure) => {
      if (failure) reject(failure.error);
      else resolve();
    });
    onAbandon((reason) => watch.abandon(reason));
    watch.start(running, delivery);
  });
}
