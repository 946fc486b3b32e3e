/**
 * A lease in this member's hands.
 *
 *   queued ──▶ running ──▶ settled
 *     │           ├──────▶ waiting (for a retry's delay that the carrier cannot keep) ──▶ settled
 *     └───────────┴──────▶ lost (another owner has it), from every state
 */
import type { RunningDelivery } from "./delivery.ts";
import type { Lease, Settlement } from "./transport.ts";

export type HeldState = "queued" | "running" | "waiting" | "settled" | "lost";

export class HeldLease {
  readonly lease: Lease;
  /** Ids of the same batch that the inbox knows, asked for once a batch. */
  readonly handled: Promise<ReadonlySet<string>> | undefined;
  state: HeldState = "queued";
  /** Monotonic time up to which it is ours for sure. */
  ownedUntil: number;
  queuedAt: number;
  delivery: RunningDelivery | undefined;
  /** Ends the wait for the handler. */
  abandon: ((reason: unknown) => void) | undefined;
  /** Set at the deadline of a drain: whatever the handler does now, the event goes back. */
  givenUp = false;
  /** Ends the wait for a retry's delay. */
  hurry: (() => void) | undefined;
  /** Called once when the handler has succeeded, before its commit. */
  onHandled: (() => void) | undefined;
  /** Called once when a delivery that waited has been settled, or lost. */
  onSettled: (() => void) | undefined;

  constructor(
    lease: Lease,
    now: number,
    leaseMs: number,
    handled: Promise<ReadonlySet<string>> | undefined,
  ) {
    this.lease = lease;
    this.queuedAt = now;
    this.ownedUntil = now + leaseMs;
    this.handled = handled;
  }

  get lost(): boolean {
    return this.state === "lost";
  }

  async settle(settlement: Settlement): Promise<"ok" | "lost"> {
    if (this.lost) return "lost";
    const answer = await this.lease.settle(settlement);
    this.state = answer === "ok" ? "settled" : "lost";
    return answer;
  }
}
