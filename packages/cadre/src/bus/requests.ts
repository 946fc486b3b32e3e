/**
 * Request and reply over events.
 *
 *   asker ──request (replyTo, expiresAt)──▶ responder
 *     ▲                                        │
 *     └──reply.<instance>, target = instance───┘       matched by the reply's cause
 *
 * One reply topic and one subscription for each bus; a request costs an entry in a map and a place
 * in a list of deadlines. A reply that nobody waits for is counted. A request whose asker gave up
 * is told to the responders as `request.cancelled`.
 */
import type { Clock } from "../core/clock.ts";
import { CadreError, describeError, isCadreError } from "../core/errors.ts";
import type { AgentEvent } from "../core/event.ts";
import { checkOptions, someSignal, wholeNumber, type OptionRules } from "../core/options.ts";
import type { Delivery, GatherOptions, Handler, PublishOptions, Responder } from "./bus.ts";
import type { Deadline, Deadlines } from "./deadline-queue.ts";
import { RunningDelivery } from "./delivery.ts";
import type { ErrorChannel } from "./error-channel.ts";
import { cancelType, isFailure, replyPrefix, failureMark, type ReplyFailure } from "./reply.ts";
import { publishRules } from "./publish-options.ts";
import type { Publisher } from "./publisher.ts";

interface Pending {
  readonly type: string;
  readonly deadline: Deadline;
  readonly reply: (event: AgentEvent) => void;
  readonly fail: (error: unknown) => void;
}

export interface RequestsParts {
  readonly instance: string;
  readonly publisher: Publisher;
  readonly clock: Clock;
  readonly deadlines: Deadlines;
  readonly errors: ErrorChannel;
  readonly reportsUnroutable: boolean;
  /** Opens a broadcast of the bus's own. */
  readonly open: (type: string, handler: Handler) => Promise<void>;
}

const defaultTimeoutMs = 30_000;
// cancelled requests remembered for a responder that has not started yet
const maxCancelled = 1_000;

const rules: OptionRules<GatherOptions> = {
  ...publishRules,
  timeoutMs: wholeNumber(1),
  signal: someSignal,
  max: wholeNumber(1),
};

export class Requests {
  readonly #parts: RequestsParts;
  readonly #pending = new Map<string, Pending>();
  readonly #answering = new Map<string, (reason: unknown) => void>();
  readonly #cancelled = new Set<string>();
  #listening: Promise<void> | undefined;
  #hearing: Promise<void> | undefined;
  lateReplies = 0;

  constructor(parts: RequestsParts) {
    this.#parts = parts;
  }

  get size(): number {
    return this.#pending.size;
  }

  async request(type: string, payload: unknown, options: GatherOptions = {}): Promise<AgentEvent> {
    checkOptions("request", options, rules);
    const timeoutMs = options.timeoutMs ?? defaultTimeoutMs;
    const event = await this.#prepare(type, payload, options, timeoutMs);
    return new Promise((resolve, reject) => {
      const end = this.#track(event, timeoutMs, {
        reply: (reply) => {
          end();
          if (isFailure(reply)) reject(failureOf(type, reply));
          else resolve(reply);
        },
        fail: (error) => {
          end();
          reject(error);
        },
        timeout: () => timeoutError(type, timeoutMs),
        signal: options.signal,
      });
    });
  }

  async gather(
    type: string,
    payload: unknown,
    options: GatherOptions = {},
  ): Promise<readonly AgentEvent[]> {
    checkOptions("gather", options, rules);
    const timeoutMs = options.timeoutMs ?? defaultTimeoutMs;
    const event = await this.#prepare(type, payload, options, timeoutMs);
    const replies: AgentEvent[] = [];
    return new Promise((resolve, reject) => {
      const end = this.#track(event, timeoutMs, {
        reply: (reply) => {
          if (isFailure(reply)) this.#reportFailure(type, reply);
          else replies.push(reply);
          if (replies.length !== options.max) return;
          end();
          resolve(replies);
        },
        fail: (error) => {
          end();
          reject(error);
        },
        // The time being over is how a gathering ends.
        timeout: () => undefined,
        onTimeout: () => resolve(replies),
        signal: options.signal,
      });
    });
  }

  /** The handler that answers with what `responder` returns, or with its error. */
  answer(responder: Responder): Handler {
    return async (event, delivery) => {
      if (this.#cancelled.has(event.id)) return;
      this.#answering.set(event.id, (reason) => abortDelivery(delivery, reason));
      try {
        const answer: unknown = await responder(event, delivery);
        if (!this.#cancelled.has(event.id)) await this.#reply(event, answer ?? null);
      } catch (error) {
        if (this.#cancelled.has(event.id)) return;
        if (isCadreError(error, "RETRYABLE")) throw error;
        await this.#replyFailure(event, error);
      } finally {
        this.#answering.delete(event.id);
      }
    };
  }

  /** Before the first responder: hears of requests whose asker gave up. */
  hearCancellations(): Promise<void> {
    this.#hearing ??= this.#parts.open(cancelType, (event) => this.#onCancelled(event));
    return this.#hearing;
  }

  /** Fails all that wait with CLOSED. Returns their number. */
  close(): number {
    const count = this.#pending.size;
    for (const pending of this.#pending.values()) {
      pending.fail(
        new CadreError("CLOSED", `The bus closed before "${pending.type}" was answered.`, {
          what: "bus",
        }),
      );
    }
    return count;
  }

  async #prepare(
    type: string,
    payload: unknown,
    options: GatherOptions,
    timeoutMs: number,
  ): Promise<AgentEvent> {
    const { publisher, instance, clock } = this.#parts;
    publisher.assertOpen();
    options.signal?.throwIfAborted();
    const replyTo = replyPrefix + instance;
    const { timeoutMs: _time, signal: _signal, max: _max, ...rest } = options;
    const deadlineAt = clock.now() + timeoutMs;
    const event = publisher.create(type, payload, {
      ...(rest satisfies PublishOptions),
      replyTo,
      expiresAt: Math.min(deadlineAt, rest.expiresAt ?? deadlineAt),
    });
    this.#listening ??= this.#parts.open(replyTo, (reply) => this.#onReply(reply));
    await this.#listening;
    return event;
  }

  /** Files the request, sends it, and watches its signal. Returns what ends it. */
  #track(
    event: AgentEvent,
    timeoutMs: number,
    on: {
      readonly reply: (reply: AgentEvent) => void;
      readonly fail: (error: unknown) => void;
      readonly timeout: () => unknown;
      readonly onTimeout?: () => void;
      readonly signal: AbortSignal | undefined;
    },
  ): () => void {
    const { deadlines, publisher, reportsUnroutable } = this.#parts;
    const onAbort = (): void => {
      on.fail(cancelledError(event.type, on.signal?.reason));
      void this.#tellCancelled(event);
    };
    const deadline = deadlines.add(timeoutMs, () => {
      end();
      if (on.onTimeout) on.onTimeout();
      else on.fail(on.timeout());
    });
    const end = (): void => {
      deadline.cancel();
      this.#pending.delete(event.id);
      on.signal?.removeEventListener("abort", onAbort);
    };
    this.#pending.set(event.id, { type: event.type, deadline, reply: on.reply, fail: on.fail });
    on.signal?.addEventListener("abort", onAbort, { once: true });
    publisher.send(event).then(
      (sent) => {
        if (reportsUnroutable && sent.unroutable) on.fail(noResponder(event.type));
      },
      (error: unknown) => on.fail(error),
    );
    return end;
  }

  #onReply(reply: AgentEvent): void {
    if (reply.metadata.target !== this.#parts.instance) return;
    const pending = this.#pending.get(reply.metadata.causationId ?? "");
    if (pending) pending.reply(reply);
    else this.lateReplies += 1;
  }

  #onCancelled(event: AgentEvent): void {
    const { requestId } = event.payload as { readonly requestId: string };
    this.#cancelled.add(requestId);
    if (this.#cancelled.size > maxCancelled) {
      for (const oldest of this.#cancelled) {
        this.#cancelled.delete(oldest);
        break;
      }
    }
    const error = new CadreError("CANCELLED", "The asker gave the request up.", {
      what: requestId,
    });
    this.#answering.get(requestId)?.(error);
  }

  async #reply(request: AgentEvent, payload: unknown): Promise<void> {
    await this.#send(request, payload, {});
  }

  async #replyFailure(request: AgentEvent, error: unknown): Promise<void> {
    const { name, message, code } = describeError(error);
    const failure: ReplyFailure = { name, message, code: code ?? "HANDLER_FAILED" };
    this.#parts.errors.raise({
      severity: "error",
      message: `A request of type "${request.type}" was answered with an error.`,
      cause: error,
      event: request,
    });
    await this.#send(request, failure, { extensions: { [failureMark]: "1" } });
  }

  async #send(request: AgentEvent, payload: unknown, options: PublishOptions): Promise<void> {
    const { replyTo, key } = request.metadata;
    if (replyTo === undefined) return; // published, not asked: nobody waits for an answer
    const { publisher } = this.#parts;
    const event = publisher.createUnchecked(replyTo, payload, {
      cause: request,
      target: replyTo.slice(replyPrefix.length),
      ...(key === undefined ? {} : { key }),
      ...options,
    });
    await publisher.sendRaw({ event, excess: Number.MAX_SAFE_INTEGER });
  }

  async #tellCancelled(request: AgentEvent): Promise<void> {
    const { publisher, errors } = this.#parts;
    try {
      const event = publisher.createUnchecked(
        cancelType,
        { requestId: request.id },
        { cause: request },
      );
      await publisher.sendRaw({ event });
    } catch (error) {
      errors.raise({
        severity: "warning",
        message:
          `That a request of type "${request.type}" was cancelled could not be told; ` +
          `its responder goes on.`,
        cause: error,
        event: request,
      });
    }
  }

  #reportFailure(type: string, reply: AgentEvent): void {
    this.#parts.errors.raise({
      severity: "warning",
      message: `One of the responders to "${type}" answered with an error.`,
      cause: failureOf(type, reply),
      event: reply,
    });
  }
}

function abortDelivery(delivery: Delivery, reason: unknown): void {
  if (delivery instanceof RunningDelivery) delivery.abort(reason);
}

function failureOf(type: string, reply: AgentEvent): CadreError<"REQUEST_FAILED"> {
  const { code, message } = reply.payload as ReplyFailure;
  return new CadreError("REQUEST_FAILED", `"${type}" was answered with ${code}: ${message}`, {
    type,
    code,
    remote: reply.source,
  });
}

function timeoutError(type: string, timeoutMs: number): CadreError<"TIMEOUT"> {
  return new CadreError("TIMEOUT", `Nobody answered "${type}" within ${timeoutMs} ms.`, {
    what: type,
    timeoutMs,
  });
}

function noResponder(type: string): CadreError<"NO_RESPONDER"> {
  const message = `Nobody is subscribed to "${type}", so nobody can answer it.`;
  return new CadreError("NO_RESPONDER", message, { type });
}

function cancelledError(type: string, reason: unknown): CadreError<"CANCELLED"> {
  return new CadreError(
    "CANCELLED",
    `The request "${type}" was cancelled.`,
    { what: type },
    reason,
  );
}
