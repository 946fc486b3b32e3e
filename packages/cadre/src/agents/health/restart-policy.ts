/** When an agent that ended badly is started again: with backoff, and not for ever. */
import { checkOptions, wholeNumber } from "../../core/options.ts";

export interface RestartOptions {
  /** Restarts within the window; the next one stops the agent for good. @default 5 */
  readonly maxRestarts?: number;
  /** @default 60_000 */
  readonly windowMs?: number;
  /** Before the first restart in a window; doubles with each. @default 200 */
  readonly minDelayMs?: number;
  /** @default 30_000 */
  readonly maxDelayMs?: number;
}

const defaults = { maxRestarts: 5, windowMs: 60_000, minDelayMs: 200, maxDelayMs: 30_000 } as const;

/** @throws {CadreError} INVALID_OPTION */
export function checkRestartOptions(options: RestartOptions): void {
  checkOptions("health.restarts", options, {
    maxRestarts: wholeNumber(0, 10_000),
    windowMs: wholeNumber(1),
    minDelayMs: wholeNumber(0),
    maxDelayMs: wholeNumber(0),
  });
}

export class RestartPolicy {
  readonly #options: Required<RestartOptions>;
  /** Monotonic instants, the oldest first. */
  readonly #restarts: number[] = [];

  constructor(options: RestartOptions = {}) {
    this.#options = { ...defaults, ...options };
  }

  /** How long to wait before the next restart; nothing, when there were too many. */
  next(now: number): number | undefined {
    const { maxRestarts, windowMs, minDelayMs, maxDelayMs } = this.#options;
    while (this.#restarts.length > 0 && this.#restarts[0]! <= now - windowMs) {
      this.#restarts.shift();
    }
    const recent = this.#restarts.length;
    if (recent >= maxRestarts) return undefined;
    const delayMs = Math.min(maxDelayMs, minDelayMs * 2 ** recent);
    // Counted from when it runs again: waiting for it makes nothing better.
    this.#restarts.push(now + delayMs);
    return delayMs;
  }

  /** A person has decided: what was before counts no more. */
  reset(): void {
    this.#restarts.length = 0;
  }

  /** In words. */
  get limit(): string {
    const { maxRestarts, windowMs } = this.#options;
    return `${maxRestarts} restarts within ${windowMs} ms`;
  }
}
