/**
 * Errors as events of type "error": said to other runtimes, and heard from them. Best effort both
 * ways.
 */
import { describeError } from "../core/errors.ts";
import type { AgentEvent } from "../core/event.ts";
import type { BusError, Handler } from "./bus.ts";
import { errorType, type ErrorChannel } from "./error-channel.ts";
import type { Publisher } from "./publisher.ts";

export interface ErrorEventsParts {
  readonly instance: string;
  readonly publisher: Publisher;
  readonly errors: ErrorChannel;
  readonly open: (type: string, handler: Handler) => Promise<void>;
}

/** The extension that says which bus an error event comes from. */
const originMark = "busid";

export class ErrorEvents {
  readonly #parts: ErrorEventsParts;
  #hearing: Promise<void> | undefined;

  constructor(parts: ErrorEventsParts) {
    this.#parts = parts;
  }

  async say(error: BusError): Promise<void> {
    const { publisher, instance } = this.#parts;
    const { name, stack } = describeError(error.cause ?? error.message);
    const event = publisher.createUnchecked(
      errorType,
      {
        severity: error.severity,
        message: error.message,
        code: error.code,
        name,
        stack,
        subscription: error.subscription,
        eventId: error.event?.id,
        eventType: error.event?.type,
        attempt: error.attempt,
        at: error.at,
      },
      {
        ...(error.event === undefined ? {} : { cause: error.event }),
        extensions: { [originMark]: instance },
      },
    );
    await publisher.sendRaw({ event, excess: Number.MAX_SAFE_INTEGER });
  }

  /** From now on errors of other runtimes are on this bus's channel too. */
  hear(): Promise<void> {
    this.#hearing ??= this.#parts.open(errorType, (event) => this.#receive(event));
    return this.#hearing;
  }

  #receive(event: AgentEvent): void {
    if (event.metadata.extensions?.[originMark] === this.#parts.instance) return;
    const payload = event.payload as Partial<Record<"severity" | "message" | "code", unknown>>;
    const { severity, message, code } = payload;
    this.#parts.errors.receive({
      severity: severity === "critical" || severity === "warning" ? severity : "error",
      code: typeof code === "string" ? code : undefined,
      message: typeof message === "string" ? message : `An error event of ${event.source}.`,
      event,
    });
  }
}
