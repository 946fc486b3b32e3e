/** Renews the leases that a member holds: one timer for all, a third of the lease apart. */
import type { Clock } from "../core/clock.ts";
import type { ErrorChannel } from "./error-channel.ts";
import type { HeldLease, HeldState } from "./held-lease.ts";
import { leaseLost } from "./pipeline.ts";
import type { SubscriptionPlan } from "./subscription-plan.ts";

export interface LeaseKeeperParts {
  readonly plan: SubscriptionPlan;
  readonly group: string;
  readonly clock: Clock;
  readonly errors: ErrorChannel;
}

export class LeaseKeeper {
  readonly #parts: LeaseKeeperParts;
  readonly #held: ReadonlySet<HeldLease>;
  readonly #onLost: (held: HeldLease, before: HeldState) => void;
  readonly #everyMs: number;
  #cancel: (() => void) | undefined;

  constructor(
    parts: LeaseKeeperParts,
    held: ReadonlySet<HeldLease>,
    onLost: (held: HeldLease, before: HeldState) => void,
  ) {
    this.#parts = parts;
    this.#held = held;
    this.#onLost = onLost;
    this.#everyMs = parts.plan.leaseMs / 3; // two renewals may fail before the lease is gone
  }

  /** Renews from now on, as long as anything is held. */
  watch(): void {
    this.#cancel ??= this.#parts.clock.after(this.#everyMs, () => void this.#renew());
  }

  rest(): void {
    this.#cancel?.();
    this.#cancel = undefined;
  }

  async #renew(): Promise<void> {
    const dueBefore = this.#parts.clock.monotonic() + this.#parts.plan.leaseMs - this.#everyMs / 2;
    const due = [...this.#held].filter((held) => held.ownedUntil < dueBefore);
    await Promise.all(due.map((held) => this.#extend(held)));
    this.#cancel = undefined;
    if (this.#held.size > 0) this.watch();
  }

  async #extend(held: HeldLease): Promise<void> {
    const { clock, plan, errors, group } = this.#parts;
    if (held.state === "settled" || held.state === "lost") return;
    try {
      const now = clock.monotonic();
      if ((await held.lease.extend(plan.leaseMs)) === "ok") {
        held.ownedUntil = now + plan.leaseMs;
        return;
      }
    } catch (error) {
      errors.raise({
        severity: "warning",
        message:
          `A lease of "${group}" could not be renewed; ` +
          `tried again in ${Math.round(this.#everyMs)} ` +
          `ms.`,
        cause: error,
        subscription: plan.name,
        event: held.lease.recorded.event,
      });
      if (clock.monotonic() < held.ownedUntil) return;
    }
    const before = stateOf(held); // it may have been settled in the meantime
    if (before === "settled" || before === "lost") return;
    held.state = "lost";
    held.delivery?.abort(leaseLost(group));
    this.#onLost(held, before);
  }
}

/** The state now: the compiler takes it for what it was before the last await. */
function stateOf(held: HeldLease): HeldState {
  return held.state;
}
