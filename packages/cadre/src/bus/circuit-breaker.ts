/**
 * A circuit breaker over a rolling window.
 *
 *   closed ──failures within the window──▶ open ──openMs──▶ half-open ──probe succeeds──▶ closed
 *                                            ▲                  │
 *                                            └────probe fails───┘
 *
 * While it is open no call is made; half open, one call at a time.
 */
import type { Clock } from "../core/clock.ts";
import { CadreError } from "../core/errors.ts";
import { checkOptions, wholeNumber, type OptionRules } from "../core/options.ts";
import type { BreakerOptions } from "./bus.ts";

export type BreakerState = "closed" | "open" | "half-open";

const defaults = {
  failures: 5,
  windowMs: 60_000,
  openMs: 30_000,
} as const;

export const breakerRules: OptionRules<BreakerOptions> = {
  failures: wholeNumber(1, 10_000),
  windowMs: wholeNumber(1),
  openMs: wholeNumber(1),
};

export interface BreakerChange {
  readonly breaker: string;
  readonly from: BreakerState;
  readonly to: BreakerState;
  readonly failures: number;
  /** Calls rejected since the breaker last opened. */
  readonly rejected: number;
}

export class CircuitBreaker {
  readonly name: string;
  readonly #clock: Clock;
  readonly #failures: number;
  readonly #windowMs: number;
  readonly #openMs: number;
  readonly #onChange: (change: BreakerChange) => void;
  readonly #failedAt: number[] = [];
  #state: BreakerState = "closed";
  #openedAt = 0;
  #probing = false;
  #rejected = 0;
  #cancel: (() => void) | undefined;

  constructor(
    name: string,
    options: BreakerOptions,
    clock: Clock,
    onChange: (change: BreakerChange) => void,
  ) {
    checkOptions("breaker", options, breakerRules);
    this.name = name;
    this.#clock = clock;
    this.#failures = options.failures ?? defaults.failures;
    this.#windowMs = options.windowMs ?? defaults.windowMs;
    this.#openMs = options.openMs ?? defaults.openMs;
    this.#onChange = onChange;
  }

  get state(): BreakerState {
    return this.#state;
  }

  /** Whether a call may be made now, without making one. */
  get allows(): boolean {
    return this.#state === "closed" || (this.#state === "half-open" && !this.#probing);
  }

  /**
   * Takes the right to one call, whose end is told by `succeed`, `fail` or `giveUp`. False counts a
   * rejection.
   */
  enter(): boolean {
    if (!this.allows) {
      this.#rejected += 1;
      return false;
    }
    if (this.#state === "half-open") this.#probing = true;
    return true;
  }

  succeed(): void {
    if (this.#state !== "half-open") return;
    this.#probing = false;
    this.#failedAt.length = 0;
    this.#become("closed");
  }

  fail(): void {
    const now = this.#clock.monotonic();
    this.#failedAt.push(now);
    while (this.#failedAt.length > 0 && this.#failedAt[0]! <= now - this.#windowMs) {
      this.#failedAt.shift();
    }
    if (this.#failedAt.length > this.#failures) this.#failedAt.shift();
    const tripped = this.#state === "closed" && this.#failedAt.length >= this.#failures;
    if (this.#state === "half-open" || tripped) this.#open(now);
  }

  /** The call ended without saying anything about the thing behind the breaker. */
  giveUp(): void {
    this.#probing = false;
  }

  /**
   * Runs `call` behind the breaker.
   * @throws {CadreError} CIRCUIT_OPEN, without making the call
   */
  async run<Result>(call: () => Promise<Result>): Promise<Result> {
    if (!this.enter()) {
      const retryAfterMs = Math.max(0, this.#openedAt + this.#openMs - this.#clock.monotonic());
      throw new CadreError(
        "CIRCUIT_OPEN",
        `The circuit breaker "${this.name}" is open after ${this.#failures} failures. ` +
          `Try again in ${Math.ceil(retryAfterMs)} ms.`,
        { breaker: this.name, retryAfterMs },
      );
    }
    try {
      const result = await call();
      this.succeed();
      return result;
    } catch (error) {
      this.fail();
      throw error;
    }
  }

  /** Stops the timer of an open breaker. */
  close(): void {
    this.#cancel?.();
    this.#cancel = undefined;
  }

  #open(now: number): void {
    this.#probing = false;
    this.#openedAt = now;
    this.close();
    this.#cancel = this.#clock.after(this.#openMs, () => {
      this.#cancel = undefined;
      this.#become("half-open");
    });
    this.#become("open");
  }

  #become(state: BreakerState): void {
    const from = this.#state;
    this.#state = state;
    const rejected = this.#rejected;
    if (state === "closed") this.#rejected = 0;
    this.#onChange({
      breaker: this.name,
      from,
      to: state,
      failures: this.#failedAt.length,
      rejected,
    });
  }
}
