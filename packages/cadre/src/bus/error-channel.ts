/**
 * The bus's own channel for what goes wrong. Every error has a severity:
 *
 *   warning    recorded: the work is tried again, or was only observed
 *   error      recorded, and published as an event of type "error": a run or delivery ended with it
 *   critical   the same, then the bus shuts down in order, unless it was received from elsewhere
 *
 * An error about an "error" event is never published again, so that the channel cannot feed itself.
 */
import type { Clock } from "../core/clock.ts";
import { describeError, type Severity } from "../core/errors.ts";
import type { AgentEvent } from "../core/event.ts";
import type { Logger } from "../core/logger.ts";
import type { BusError } from "./bus.ts";
import { outsideHandler } from "./handler-scope.ts";

/** An error as it is raised; what is missing is filled in. */
export interface RaisedError {
  readonly severity: Severity;
  readonly code?: string | undefined;
  readonly message: string;
  readonly cause?: unknown;
  readonly event?: AgentEvent | undefined;
  readonly subscription?: string | undefined;
  readonly attempt?: number | undefined;
}

// error events at once; the rest of a storm is in the statistics and on the listeners
const maxBurst = 50;
const refillMs = 50; // one more error event each so often

export class ErrorChannel {
  readonly #clock: Clock;
  readonly #logger: Logger;
  readonly #listeners = new Set<(error: BusError) => void>();
  #tokens = maxBurst;
  #refilledAt: number;
  /** Set by the bus: publishes an error event, best effort. */
  announce: (error: BusError) => void = () => {};
  /** Set by the bus: what a local critical error does. */
  onCritical: (error: BusError) => void = () => {};

  constructor(clock: Clock, logger: Logger) {
    this.#clock = clock;
    this.#logger = logger;
    this.#refilledAt = clock.monotonic();
  }

  listen(listener: (error: BusError) => void): () => void {
    const own = (error: BusError): void => listener(error); // the same function may be given twice
    this.#listeners.add(own);
    return () => void this.#listeners.delete(own);
  }

  /** Records an error that happened here. Never throws. */
  raise(raised: RaisedError): void {
    const error = this.#complete(raised, "local");
    this.#tell(error);
    if (error.severity === "warning") return;
    if (error.event?.type !== errorType && this.#mayPublish()) this.announce(error);
    if (error.severity === "critical") this.onCritical(error);
  }

  /** Records an error that another runtime published. It shuts nothing down here. */
  receive(raised: RaisedError): void {
    this.#tell(this.#complete(raised, "remote"));
  }

  #complete(raised: RaisedError, origin: BusError["origin"]): BusError {
    const code = raised.code ?? codeOf(raised.cause);
    return {
      severity: raised.severity,
      code,
      message: raised.message,
      ...(raised.subscription === undefined ? {} : { subscription: raised.subscription }),
      ...(raised.event === undefined ? {} : { event: raised.event }),
      ...(raised.attempt === undefined ? {} : { attempt: raised.attempt }),
      ...(raised.cause === undefined ? {} : { cause: raised.cause }),
      at: this.#clock.now(),
      origin,
    };
  }

  #tell(error: BusError): void {
    const level = error.severity === "warning" ? "warn" : "error";
    this.#logger[level](error.message, {
      code: error.code,
      severity: error.severity,
      origin: error.origin,
      subscription: error.subscription,
      eventId: error.event?.id,
      eventType: error.event?.type,
      attempt: error.attempt,
    });
    // A handler does not wait for whoever listens, so a listener's publishes may wait.
    if (this.#listeners.size > 0) outsideHandler(this.#tellListeners, error);
  }

  readonly #tellListeners = (error: BusError): void => {
    for (const listener of this.#listeners) {
      try {
        listener(error);
      } catch (thrown) {
        this.#logger.error("A listener of the error channel threw.", {
          error: describeError(thrown),
        });
      }
    }
  };

  #mayPublish(): boolean {
    const now = this.#clock.monotonic();
    const earned = Math.floor((now - this.#refilledAt) / refillMs);
    if (earned > 0) {
      this.#tokens = Math.min(maxBurst, this.#tokens + earned);
      this.#refilledAt += earned * refillMs;
    }
    if (this.#tokens === 0) return false;
    this.#tokens -= 1;
    return true;
  }
}

/** The type of error events. */
export const errorType = "error";

function codeOf(cause: unknown): string {
  return cause === undefined ? "HANDLER_FAILED" : (describeError(cause).code ?? "HANDLER_FAILED");
}
