import type { Lease, Recorded, Settlement } from "../../bus/transport.ts";
import type { Claimed } from "./claim.ts";
import type { OwnedDelivery } from "./delivery-row.ts";
import type { Group } from "./group-table.ts";
import type { SettleDesk } from "./settle-desk.ts";

type Answer = "ok" | "lost";

/** One delivery of a group, owned by a member of this connection. */
export class GroupLease implements Lease {
  readonly recorded: Recorded;
  readonly attempt: number;
  readonly delivery: OwnedDelivery;
  readonly group: Group;
  readonly #desk: SettleDesk;
  #settled: { readonly kind: Settlement["kind"]; readonly answer: Promise<Answer> } | undefined;

  constructor(group: Group, desk: SettleDesk, { delivery, attempt, recorded }: Claimed) {
    this.group = group;
    this.#desk = desk;
    this.delivery = delivery;
    this.attempt = attempt;
    this.recorded = recorded;
  }

  settle(settlement: Settlement): Promise<Answer> {
    return this.settleWith(settlement.kind, () => this.write(settlement));
  }

  /** Settles on the server, whatever was settled here. */
  write(settlement: Settlement): Promise<Answer> {
    return this.#desk.settle(this.group, this.delivery, settlement);
  }

  /**
   * Settles once; whoever settles the same way again gets the first answer, whoever settles
   * otherwise has lost it.
   */
  settleWith(kind: Settlement["kind"], write: () => Promise<Answer>): Promise<Answer> {
    const before = this.#settled;
    if (before) return before.kind === kind ? before.answer : Promise.resolve("lost");
    const answer = write();
    this.#settled = { kind, answer };
    // What could not be written has settled nothing, and may be tried again.
    answer.catch(() => (this.#settled = undefined));
    return answer;
  }

  extend(ms: number): Promise<Answer> {
    return this.#settled ? Promise.resolve("lost") : this.#desk.extend(this.delivery, ms);
  }
}
