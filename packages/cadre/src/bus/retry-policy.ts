/** Says what becomes of a failed attempt: another one after a delay, or a dead letter and why. */
import { isCadreError, type CadreError } from "../core/errors.ts";
import {
  checkOptions,
  numberBetween,
  someFunction,
  wholeNumber,
  type OptionRules,
} from "../core/options.ts";
import type { Random } from "../core/random.ts";
import type { RetryOptions } from "./bus.ts";
import type { DeadLetter } from "./transport.ts";

const defaults = {
  maxAttempts: 5,
  minDelayMs: 200,
  maxDelayMs: 60_000,
  jitter: 0.5, // half of the delay by chance: failures of one cause don't come back at once
} as const;

const rules: OptionRules<RetryOptions> = {
  maxAttempts: wholeNumber(1),
  minDelayMs: wholeNumber(0),
  maxDelayMs: wholeNumber(0),
  jitter: numberBetween(0, 1),
  retryIf: someFunction,
};

export type Verdict =
  | { readonly kind: "retry"; readonly delayMs: number }
  | { readonly kind: "dead"; readonly reason: DeadLetter["reason"] };

/** Codes with which no second attempt can go better, because the event itself is at fault. */
const invalidCodes = ["INVALID_PAYLOAD", "UNKNOWN_TYPE", "UNKNOWN_VERSION"] as const;

export class RetryPolicy {
  readonly maxAttempts: number;
  readonly #minDelayMs: number;
  readonly #maxDelayMs: number;
  readonly #jitter: number;
  readonly #retryIf: RetryOptions["retryIf"];
  readonly #random: Random;

  constructor(options: RetryOptions, random: Random) {
    checkOptions("retry", options, rules);
    this.maxAttempts = options.maxAttempts ?? defaults.maxAttempts;
    this.#minDelayMs = options.minDelayMs ?? defaults.minDelayMs;
    this.#maxDelayMs = options.maxDelayMs ?? defaults.maxDelayMs;
    this.#jitter = options.jitter ?? defaults.jitter;
    this.#retryIf = options.retryIf;
    this.#random = random;
  }

  /** @param attempt the one that failed, from 1 */
  judge(error: unknown, attempt: number, onThrown: (thrown: unknown) => void): Verdict {
    if (isCadreError(error, "TERMINAL")) return { kind: "dead", reason: "terminal" };
    if (error instanceof InvalidEvent) return { kind: "dead", reason: error.reason };
    if (attempt >= this.maxAttempts) return { kind: "dead", reason: "attempts" };
    if (!this.#wants(error, attempt, onThrown)) return { kind: "dead", reason: "rejected" };
    const asked = isCadreError(error, "RETRYABLE") ? (error.details.retryAfterMs ?? 0) : 0;
    return { kind: "retry", delayMs: Math.max(asked, this.delayAfter(attempt)) };
  }

  /** A `retryIf` that throws has not said no. */
  #wants(error: unknown, attempt: number, onThrown: (thrown: unknown) => void): boolean {
    try {
      return this.#retryIf?.(error, attempt) ?? true;
    } catch (thrown) {
      onThrown(thrown);
      return true;
    }
  }

  /** The wait after attempt `attempt`: doubles each time, part of it by chance. */
  delayAfter(attempt: number): number {
    const full = Math.min(this.#maxDelayMs, this.#minDelayMs * 2 ** Math.min(attempt - 1, 40));
    return Math.round(full * (1 - this.#jitter * this.#random.next()));
  }
}

/**
 * Wraps what the registry or the guard refused on arrival, so that the same code thrown by a
 * handler is still retried.
 */
export class InvalidEvent extends Error {
  override readonly name: string = "InvalidEvent";
  readonly refused: CadreError;
  /** `rejected`: it is well formed, but does not come from who may send it. */
  readonly reason: "invalid" | "rejected";

  constructor(refused: CadreError, reason: "invalid" | "rejected" = "invalid") {
    super(refused.message, { cause: refused });
    this.refused = refused;
    this.reason = reason;
  }
}

/** Whether the registry refused the event for what it is. */
export function isRefusal(error: unknown): error is CadreError {
  return invalidCodes.some((code) => isCadreError(error, code));
}
