/**
 * A request that waits for its replies.
 *
 *   waiting ──reply───────────────────▶ over: resolved, or rejected with the responder's error
 *      ├──────the time has passed─────▶ over: TIMEOUT; a gathering resolves with what came
 *      ├──────its signal is aborted───▶ over: CANCELLED, and the responders are told
 *      └──────the bus closes, …───────▶ over: rejected
 */
import { CadreError } from "../core/errors.ts";
import type { AgentEvent } from "../core/event.ts";
import { Deadline } from "./deadline-queue.ts";
import { isFailure, type ReplyFailure } from "./reply.ts";

/** Whoever asked: for one reply, or for all that come. */
export interface Asker {
  /** True when no more replies are wanted. */
  take(reply: AgentEvent): boolean;
  timeOut(type: string, timeoutMs: number): void;
  fail(error: unknown): void;
}

export class OneReply implements Asker {
  readonly #resolve: (reply: AgentEvent) => void;
  readonly #reject: (error: unknown) => void;
  readonly #type: string;

  constructor(
    type: string,
    resolve: (reply: AgentEvent) => void,
    reject: (error: unknown) => void,
  ) {
    this.#type = type;
    this.#resolve = resolve;
    this.#reject = reject;
  }

  take(reply: AgentEvent): boolean {
    if (isFailure(reply)) this.#reject(failureOf(this.#type, reply));
    else this.#resolve(reply);
    return true;
  }

  timeOut(type: string, timeoutMs: number): void {
    const message = `Nobody answered "${type}" within ${timeoutMs} ms.`;
    this.#reject(new CadreError("TIMEOUT", message, { what: type, timeoutMs }));
  }

  fail(error: unknown): void {
    this.#reject(error);
  }
}

export class ManyReplies implements Asker {
  readonly #replies: AgentEvent[] = [];
  readonly #max: number | undefined;
  readonly #resolve: (replies: readonly AgentEvent[]) => void;
  readonly #reject: (error: unknown) => void;
  readonly #onFailure: (reply: AgentEvent) => void;

  constructor(
    max: number | undefined,
    onFailure: (reply: AgentEvent) => void,
    resolve: (replies: readonly AgentEvent[]) => void,
    reject: (error: unknown) => void,
  ) {
    this.#max = max;
    this.#onFailure = onFailure;
    this.#resolve = resolve;
    this.#reject = reject;
  }

  take(reply: AgentEvent): boolean {
    if (isFailure(reply)) this.#onFailure(reply);
    else this.#replies.push(reply);
    if (this.#replies.length !== this.#max) return false;
    this.#resolve(this.#replies);
    return true;
  }

  /** The time being over is how a gathering ends. */
  timeOut(): void {
    this.#resolve(this.#replies);
  }

  fail(error: unknown): void {
    this.#reject(error);
  }
}

export class PendingRequest {
  readonly event: AgentEvent;
  readonly timeoutMs: number;
  readonly deadline: Deadline = new Deadline(() => this.#expire());
  readonly #asker: Asker;
  readonly #onEnd: (pending: PendingRequest) => void;
  #unwatch: (() => void) | undefined;

  constructor(
    event: AgentEvent,
    timeoutMs: number,
    asker: Asker,
    onEnd: (pending: PendingRequest) => void,
  ) {
    this.event = event;
    this.timeoutMs = timeoutMs;
    this.#asker = asker;
    this.#onEnd = onEnd;
  }

  /** Gives the request up when `signal` is aborted, and calls `onCancel` then. */
  watch(signal: AbortSignal, onCancel: () => void): void {
    const onAbort = (): void => {
      this.fail(cancelledError(this.event.type, signal.reason));
      onCancel();
    };
    signal.addEventListener("abort", onAbort, { once: true });
    this.#unwatch = () => signal.removeEventListener("abort", onAbort);
  }

  take(reply: AgentEvent): void {
    if (this.#asker.take(reply)) this.#end();
  }

  fail(error: unknown): void {
    this.#end();
    this.#asker.fail(error);
  }

  #expire(): void {
    this.#end();
    this.#asker.timeOut(this.event.type, this.timeoutMs);
  }

  #end(): void {
    this.deadline.cancel();
    this.#unwatch?.();
    this.#onEnd(this);
  }
}

/** The error that a reply carries. */
export function failureOf(type: string, reply: AgentEvent): CadreError<"REQUEST_FAILED"> {
  const { code, message } = reply.payload as ReplyFailure;
  return new CadreError("REQUEST_FAILED", `"${type}" was answered with ${code}: ${message}`, {
    type,
    code,
    remote: reply.source,
  });
}

function cancelledError(type: string, reason: unknown): CadreError<"CANCELLED"> {
  return new CadreError(
    "CANCELLED",
    `The request "${type}" was cancelled.`,
    { what: type },
    reason,
  );
}
