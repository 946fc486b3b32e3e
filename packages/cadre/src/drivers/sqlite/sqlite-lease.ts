import type { Lease, Recorded, Settlement } from "../../bus/transport.ts";
import type { GroupHub } from "./group-hub.ts";
import type { OwnedDelivery } from "./settle.ts";

type Answer = "ok" | "lost";

/** One delivery of a group, owned by a member of this connection. */
export class SqliteLease implements Lease {
  readonly recorded: Recorded;
  readonly attempt: number;
  readonly delivery: OwnedDelivery;
  readonly hub: GroupHub;
  #settled: { readonly kind: Settlement["kind"]; readonly answer: Promise<Answer> } | undefined;

  constructor(hub: GroupHub, delivery: OwnedDelivery, attempt: number, recorded: Recorded) {
    this.hub = hub;
    this.delivery = delivery;
    this.attempt = attempt;
    this.recorded = recorded;
  }

  settle(settlement: Settlement): Promise<Answer> {
    return this.settleWith(settlement.kind, () => this.hub.settle(this.delivery, settlement));
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
    return this.#settled ? Promise.resolve("lost") : this.hub.extend(this.delivery, ms);
  }
}
