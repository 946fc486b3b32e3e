/**
 * One delivery of one event to one group, and the lease by which a member owns it.
 *
 *   ready ──take──▶ leased ──ack─────▶ gone
 *     ▲               ├──────retry───▶ delayed ──due──▶ ready, attempt + 1
 *     │               ├──────park────▶ parked ──directed publish──▶ ready, with the attempt it says
 *     ├──release──────┤
 *     └──────runs out─┘ attempt + 1
 *
 * Each hand-out has an epoch. A lease acts only while the delivery is leased in its epoch: whoever
 * is late is told "lost".
 */
import { priorityRank } from "../core/event.ts";
import type { Timed } from "./memory-timers.ts";
import type { Lease, Recorded, Settlement } from "./transport.ts";

/** The part of a group that a lease acts on. */
export interface DeliveryOwner {
  due(delivery: Delivery): void;
  expire(delivery: Delivery): void;
  settle(delivery: Delivery, settlement: Settlement): void;
  extend(delivery: Delivery, ms: number): void;
}

export class Delivery implements Timed {
  recorded: Recorded;
  readonly group: DeliveryOwner;
  /** Of the next or the running attempt. */
  attempt: number;
  /** 0 (low) to 3 (critical). */
  readonly rank: number;
  /** Stays when a redrive brings another payload: the delivery keeps its place in the order. */
  readonly key: string | undefined;
  /** Its place among waiting deliveries, see memory-ready.ts. */
  readonly waitingSince: number;
  state: "ready" | "leased" | "delayed" | "parked" | "gone" = "ready";
  epoch = 0;
  /** The connection that was handed the delivery last. */
  holder: object | undefined = undefined;
  dueAt = 0;
  heapIndex = -1;

  constructor(group: DeliveryOwner, recorded: Recorded, attempt: number, waitingSince: number) {
    this.group = group;
    this.recorded = recorded;
    this.attempt = attempt;
    this.waitingSince = waitingSince;
    this.key = recorded.event?.metadata.key;
    this.rank = recorded.event ? priorityRank(recorded.event) : 1;
  }

  get eventId(): string | undefined {
    return this.recorded.event?.id;
  }
}

type Answer = "ok" | "lost";
const ok: Promise<Answer> = Promise.resolve("ok");
const lost: Promise<Answer> = Promise.resolve("lost");

export class MemoryLease implements Lease {
  readonly recorded: Recorded;
  readonly attempt: number;
  readonly #delivery: Delivery;
  readonly #epoch: number;
  #settled: Settlement["kind"] | undefined;

  constructor(delivery: Delivery) {
    this.recorded = delivery.recorded;
    this.attempt = delivery.attempt;
    this.#delivery = delivery;
    this.#epoch = delivery.epoch;
  }

  settle(settlement: Settlement): Promise<Answer> {
    if (this.#settled !== undefined) return this.#settled === settlement.kind ? ok : lost;
    if (!this.#owns()) return lost;
    this.#settled = settlement.kind;
    this.#delivery.group.settle(this.#delivery, settlement);
    return ok;
  }

  extend(ms: number): Promise<Answer> {
    if (!this.#owns()) return lost;
    this.#delivery.group.extend(this.#delivery, ms);
    return ok;
  }

  #owns(): boolean {
    return this.#delivery.state === "leased" && this.#delivery.epoch === this.#epoch;
  }
}
