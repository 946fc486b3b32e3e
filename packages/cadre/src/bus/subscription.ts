/** A subscription as its owner holds it. */

export interface SubscriptionStats {
  readonly name: string;
  readonly queued: number;
  readonly running: number;
  readonly handled: number;
  readonly failed: number;
  readonly retried: number;
  readonly deadLettered: number;
  readonly duplicates: number;
  readonly expired: number;
  /** Dropped by the overflow policy, or missed by a slow broadcast. */
  readonly dropped: number;
  readonly filtered: number;
  readonly lostLeases: number;
  readonly rejectedByBreaker: number;
  readonly breaker: "closed" | "open" | "half-open" | "none";
  readonly paused: boolean;
}

export interface Subscription {
  readonly name: string;
  /** Stops new deliveries; what runs goes on. The group keeps this member. */
  pause(): void;
  resume(): void;
  readonly concurrency: number;
  setConcurrency(concurrency: number): void;
  stats(): SubscriptionStats;
  /** Resolves when nothing is queued or running here. */
  idle(): Promise<void>;
  /**
   * Stops taking events, waits for what runs, gives back what had not started. Closing twice is
   * allowed.
   */
  close(options?: { readonly deadlineMs?: number }): Promise<void>;
}
