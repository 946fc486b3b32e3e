import type { RunningDelivery } from "./delivery.ts";
import { HandlerWatch, type HandlerFailure, type HandlerRunParts } from "./handler-run.ts";

const maxIdle = 64; // watches kept for reuse; a burst of handlers must not hold its memory for ever

/** The handlers of one subscription that have returned a promise, each with its watch. */
export class RunningHandlers {
  readonly #parts: HandlerRunParts;
  readonly #onEnd: (delivery: RunningDelivery, failure: HandlerFailure | undefined) => void;
  readonly #running: HandlerWatch[] = [];
  readonly #idle: HandlerWatch[] = [];

  constructor(
    parts: HandlerRunParts,
    onEnd: (delivery: RunningDelivery, failure: HandlerFailure | undefined) => void,
  ) {
    this.#parts = parts;
    this.#onEnd = onEnd;
  }

  get size(): number {
    return this.#running.length;
  }

  watch(running: PromiseLike<unknown>, delivery: RunningDelivery): void {
    const watch = this.#idle.pop() ?? new HandlerWatch(this.#parts, this.#ended);
    watch.place = this.#running.length;
    this.#running.push(watch);
    watch.start(running, delivery);
  }

  /** Aborts all, and ends them at once whatever they do. */
  abandonAll(reason: unknown): void {
    for (const watch of [...this.#running]) {
      watch.delivery?.abort(reason);
      watch.abandon(reason);
    }
  }

  readonly #ended = (watch: HandlerWatch, failure: HandlerFailure | undefined): void => {
    const delivery = watch.delivery!; // it has just ended
    watch.delivery = undefined;
    const last = this.#running.pop()!;
    if (last !== watch) {
      this.#running[watch.place] = last;
      last.place = watch.place;
    }
    if (watch.isReusable && this.#idle.length < maxIdle) this.#idle.push(watch);
    this.#onEnd(delivery, failure);
  };
}
