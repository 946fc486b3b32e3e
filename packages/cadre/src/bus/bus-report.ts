/** What a bus tells about itself. */
import type { SubscriptionStats } from "./subscription.ts";

export interface DrainReport {
  readonly finished: number;
  readonly aborted: number;
  readonly released: number;
  readonly failedRequests: number;
  /** True when everything ended before the deadline. */
  readonly clean: boolean;
  readonly elapsedMs: number;
}

export interface BusStats {
  readonly published: number;
  readonly refused: number;
  readonly pendingRequests: number;
  readonly lateReplies: number;
  readonly unroutable: number;
  readonly subscriptions: readonly SubscriptionStats[];
}

export interface BusHealth {
  readonly ok: boolean;
  /** What is wrong, where the bus or its transport can say. */
  readonly detail?: string;
}
