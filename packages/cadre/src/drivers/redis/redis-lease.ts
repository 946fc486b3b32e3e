import type { Lease, Recorded, Settlement } from "../../bus/transport.ts";
import type { SettleDesk } from "./settle-desk.ts";

type Answer = "ok" | "lost";

/** What names an owned delivery at the server. */
export interface OwnedDelivery {
  readonly group: string;
  readonly reference: string;
  /** Of the claim: who comes later has another. */
  readonly token: string;
}

/** One delivery of a group, owned by a member of this connection. */
export class RedisLease implements Lease {
  readonly recorded: Recorded;
  readonly attempt: number;
  readonly #delivery: OwnedDelivery;
  readonly #desk: SettleDesk;
  #settled: { readonly kind: Settlement["kind"]; readonly answer: Promise<Answer> } | undefined;

  constructor(
    delivery: OwnedDelivery,
    desk: SettleDesk,
    { recorded, attempt }: { readonly recorded: Recorded; readonly attempt: number },
  ) {
    this.#delivery = delivery;
    this.#desk = desk;
    this.recorded = recorded;
    this.attempt = attempt;
  }

  settle(settlement: Settlement): Promise<Answer> {
    const { kind } = settlement;
    const before = this.#settled;
    if (before) return before.kind === kind ? before.answer : Promise.resolve("lost");
    const delayMs = kind === "retry" ? Math.max(0, Math.ceil(settlement.delayMs)) : 0;
    const answer = this.#desk.ask({ ...this.#delivery, kind, spanMs: delayMs });
    this.#settled = { kind, answer };
    // What was not answered may be asked again.
    answer.catch(() => (this.#settled = undefined));
    return answer;
  }

  extend(ms: number): Promise<Answer> {
    if (this.#settled) return Promise.resolve("lost");
    return this.#desk.ask({ ...this.#delivery, kind: "extend", spanMs: Math.ceil(ms) });
  }
}
