/** What becomes of a delivery whose handler fails. */
export interface RetryOptions {
  /** Attempts in all, the first included. @default 5 */
  readonly maxAttempts?: number;
  /** Wait before the second attempt in milliseconds; doubles each time. @default 200 */
  readonly minDelayMs?: number;
  /** @default 60_000 */
  readonly maxDelayMs?: number;
  /** Part of the delay that is drawn by chance, 0 to 1. @default 0.5 */
  readonly jitter?: number;
  /**
   * False makes it a dead letter at once. Not asked for a TerminalError. @default every error is
   * retried
   */
  readonly retryIf?: (error: unknown, attempt: number) => boolean;
}

export interface BreakerOptions {
  /** Failures within the window that open the breaker. @default 5 */
  readonly failures?: number;
  /** Length of the rolling window in milliseconds. @default 60_000 */
  readonly windowMs?: number;
  /** Time from opening to the one probe, in milliseconds. @default 30_000 */
  readonly openMs?: number;
}
