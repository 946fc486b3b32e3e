/**
 * Request and reply over events.
 *
 *   asker ──request (replyTo, expiresAt)──▶ responder
 *     ▲                                        │
 *     └──reply.<instance>, target = instance───┘       matched by the reply's cause
 *
 * One reply topic and one subscription for each bus; a request costs an entry in a map and a place
 * in a list of deadlines. On a carrier within the process, a responder that answers at once has
 * answered before `request` returns. A reply that nobody waits for is counted. A request whose
 * asker gave up is told to the responders as `request.cancelled`.
 */
import type { Clock } from "../core/clock.ts";
import { CadreError, describeError, isCadreError } from "../core/errors.ts";
import type { AgentEvent } from "../core/event.ts";
import { checkOptions, someSignal, wholeNumber, type OptionRules } from "../core/options.ts";
import type { Delivery, GatherOptions, Handler, Responder } from "./bus.ts";
import type { Deadlines } from "./deadline-queue.ts";
import { RunningDelivery } from "./delivery.ts";
import type { ErrorChannel } from "./error-channel.ts";
import type { Guard } from "./guard.ts";
import { isPromise } from "./handler-run.ts";
import { failureOf, ManyReplies, OneReply, PendingRequest, type Asker } from "./pending-request.ts";
import {
  cancelType,
  failureMark,
  isReplyAddress,
  replyPrefix,
  type ReplyFailure,
} from "./reply.ts";
import { publishRules } from "./publish-options.ts";
import type { Publisher, Sent } from "./publisher.ts";

export interface RequestsParts {
  readonly instance: string;
  readonly publisher: Publisher;
  readonly clock: Clock;
  readonly deadlines: Deadlines;
  readonly errors: ErrorChannel;
  readonly reportsUnroutable: boolean;
  readonly guard?: Guard | undefined;
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
  readonly #replyTo: string;
  readonly #pending = new Map<string, PendingRequest>();
  readonly #answering = new Map<string, Answering>();
  /** By the request's id, who gave it up. */
  readonly #cancelled = new Map<string, string>();
  #listening: Promise<void> | undefined;
  #isListening = false;
  #hearing: Promise<void> | undefined;
  lateReplies = 0;

  constructor(parts: RequestsParts) {
    this.#parts = parts;
    this.#replyTo = replyPrefix + parts.instance;
  }

  get size(): number {
    return this.#pending.size;
  }

  request(type: string, payload: unknown, options: GatherOptions = {}): Promise<AgentEvent> {
    return new Promise((resolve, reject) => {
      const asker = new OneReply(type, resolve, reject);
      this.#ask("request", asker, type, payload, options);
    });
  }

  gather(
    type: string,
    payload: unknown,
    options: GatherOptions = {},
  ): Promise<readonly AgentEvent[]> {
    return new Promise((resolve, reject) => {
      const onFailure = (reply: AgentEvent): void => this.#reportFailure(type, reply);
      const asker = new ManyReplies(options.max, onFailure, resolve, reject);
      this.#ask("gather", asker, type, payload, options);
    });
  }

  /** The handler that answers with what `responder` returns, or with its error. */
  answer(responder: Responder): Handler {
    return (event, delivery) => {
      if (this.#isCancelled(event)) return undefined;
      let answer: unknown;
      try {
        answer = responder(event, delivery);
        if (!isPromise(answer)) return this.#reply(event, answer ?? null);
      } catch (error) {
        return this.#replyFailure(event, error);
      }
      return this.#answerLater(event, delivery, answer);
    };
  }

  async #answerLater(
    event: AgentEvent,
    delivery: Delivery,
    answer: PromiseLike<unknown>,
  ): Promise<void> {
    const abort = (reason: unknown): void => abortDelivery(delivery, reason);
    this.#answering.set(event.id, { asker: event.source, abort });
    try {
      const payload = (await answer) ?? null;
      if (!this.#isCancelled(event)) await this.#reply(event, payload);
    } catch (error) {
      if (!this.#isCancelled(event)) await this.#replyFailure(event, error);
    } finally {
      this.#answering.delete(event.id);
    }
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
        new CadreError("CLOSED", `The bus closed before "${pending.event.type}" was answered.`, {
          what: "bus",
        }),
      );
    }
    return count;
  }

  /** Checks the request and makes it; it is sent once the reply topic is listened to. */
  #ask(where: string, asker: Asker, type: string, payload: unknown, options: GatherOptions): void {
    checkOptions(where, options, rules);
    const { publisher, clock } = this.#parts;
    const { signal } = options;
    publisher.assertOpen();
    signal?.throwIfAborted();
    const make = (): PendingRequest => this.#make(asker, type, payload, options);
    const pending = make();
    if (this.#isListening) this.#send(pending, signal, clock);
    else void this.#sendListening(pending, make, signal);
  }

  /** The time of a request begins now. */
  #make(asker: Asker, type: string, payload: unknown, options: GatherOptions): PendingRequest {
    const { publisher, clock } = this.#parts;
    const { timeoutMs = defaultTimeoutMs } = options;
    const now = clock.now();
    const deadlineAt = now + timeoutMs;
    // What only a request has among its options, the event takes no notice of.
    const replyTo = this.#replyTo;
    const expiresAt = Math.min(deadlineAt, options.expiresAt ?? deadlineAt);
    const event = publisher.create(type, payload, { ...options, replyTo, expiresAt }, now);
    return new PendingRequest(event, timeoutMs, asker, this.#onEnd);
  }

  /**
   * Where listening takes seconds, a request that was made before would have expired when it is
   * sent: it is made again then.
   */
  async #sendListening(
    early: PendingRequest,
    make: () => PendingRequest,
    signal: AbortSignal | undefined,
  ): Promise<void> {
    const { clock, open } = this.#parts;
    try {
      const startedAt = clock.now();
      this.#listening ??= open(this.#replyTo, (reply) => this.#onReply(reply));
      await this.#listening;
      this.#isListening = true;
      this.#send(clock.now() === startedAt ? early : make(), signal);
    } catch (error) {
      early.fail(error);
    }
  }

  /** Files the request, sends it, and watches its signal. */
  #send(pending: PendingRequest, signal: AbortSignal | undefined, madeBy?: Clock): void {
    const { deadlines, publisher } = this.#parts;
    const { event } = pending;
    this.#pending.set(event.id, pending);
    deadlines.start(pending.timeoutMs, pending.deadline);
    if (signal) pending.watch(signal, () => void this.#tellCancelled(event));
    const sent = publisher.sendNow(event, madeBy);
    if (sent) this.#sent(pending, sent);
    else {
      publisher.send(event).then(
        (later) => this.#sent(pending, later),
        (error: unknown) => pending.fail(error),
      );
    }
  }

  #sent(pending: PendingRequest, { unroutable }: Sent): void {
    if (unroutable && this.#parts.reportsUnroutable) pending.fail(noResponder(pending.event.type));
  }

  readonly #onEnd = (pending: PendingRequest): void => {
    this.#pending.delete(pending.event.id);
  };

  #isCancelled(event: AgentEvent): boolean {
    return this.#cancelled.size > 0 && this.#cancelled.get(event.id) === event.source;
  }

  #onReply(reply: AgentEvent): void {
    if (reply.metadata.target !== this.#parts.instance) return;
    const pending = this.#pending.get(reply.metadata.causationId ?? "");
    if (!pending) this.lateReplies += 1;
    else if (this.#mayAnswer(reply, pending.event)) pending.take(reply);
  }

  /** Who may not hear a request has no answer to it. */
  #mayAnswer({ source, metadata }: AgentEvent, request: AgentEvent): boolean {
    const permissions = this.#parts.guard?.permissions;
    if (!permissions) return true;
    const { type } = request;
    return (
      permissions.sees(request.source, metadata.tenant) &&
      permissions.may(source, "subscribe", type, request.metadata.tenant)
    );
  }

  #onCancelled(event: AgentEvent): void {
    const { requestId } = event.payload as { readonly requestId: string };
    this.#cancelled.set(requestId, event.source);
    if (this.#cancelled.size > maxCancelled) {
      this.#cancelled.delete(this.#cancelled.keys().next().value!);
    }
    const error = new CadreError("CANCELLED", "The asker gave the request up.", {
      what: requestId,
    });
    const answering = this.#answering.get(requestId);
    if (answering?.asker === event.source) answering.abort(error);
  }

  /** What it returns is to be awaited; nothing when the reply has been sent. */
  #reply(request: AgentEvent, payload: unknown, isFailed = false): Promise<unknown> | undefined {
    const { replyTo, key } = request.metadata;
    if (replyTo === undefined) return undefined; // published, not asked: nobody waits for an answer
    const { publisher, clock } = this.#parts;
    // What is answered is said in the name of this bus: the asker must not choose as what.
    if (!isReplyAddress(replyTo)) return this.#reportAddress(request, replyTo);
    const target = replyTo.slice(replyPrefix.length);
    const event = publisher.createUnchecked(replyTo, payload, {
      cause: request,
      target,
      ...(key === undefined ? undefined : { key }),
      ...(isFailed ? { extensions: { [failureMark]: "1" } } : undefined),
    });
    if (publisher.sendRawNow(event, clock)) return undefined;
    return publisher.sendRaw({ event, excess: Number.MAX_SAFE_INTEGER });
  }

  #reportAddress(request: AgentEvent, replyTo: string): undefined {
    const message =
      `A request of type "${request.type}" wants its answer as "${replyTo}", which is no address ` +
      `of replies. It is not answered.`;
    this.#parts.errors.raise({ severity: "warning", message, event: request });
  }

  /** @throws {RetryableError} as it is: the request is tried again */
  #replyFailure(request: AgentEvent, error: unknown): Promise<unknown> | undefined {
    if (isCadreError(error, "RETRYABLE")) throw error;
    const { name, message, code } = describeError(error);
    const failure: ReplyFailure = { name, message, code: code ?? "HANDLER_FAILED" };
    this.#parts.errors.raise({
      severity: "error",
      message: `A request of type "${request.type}" was answered with an error.`,
      cause: error,
      event: request,
    });
    return this.#reply(request, failure, true);
  }

  async #tellCancelled(request: AgentEvent): Promise<void> {
    const { publisher, errors } = this.#parts;
    try {
      const event = publisher.createUnchecked(
        cancelType,
        { requestId: request.id },
        { cause: request, source: request.source },
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

interface Answering {
  readonly asker: string;
  abort(reason: unknown): void;
}

function abortDelivery(delivery: Delivery, reason: unknown): void {
  if (delivery instanceof RunningDelivery) delivery.abort(reason);
}

function noResponder(type: string): CadreError<"NO_RESPONDER"> {
  const message = `Nobody is subscribed to "${type}", so nobody can answer it.`;
  return new CadreError("NO_RESPONDER", message, { type });
}
