/**
 * A consumer group in memory: what waits for it, who owns what, and who waits for it.
 *
 * Its bound counts what waits (ready, behind its key, delayed, parked), not what is owned by a
 * member. Room appears when a member pulls; publishers that wait for it are let in in their order.
 */
import { CadreError } from "../core/errors.ts";
import { Delivery, MemoryLease, type DeliveryOwner } from "./memory-delivery.ts";
import { KeyLanes } from "./memory-lanes.ts";
import { PullLine, type Puller } from "./memory-pulls.ts";
import { Queue } from "./queue.ts";
import { ReadyDeliveries } from "./memory-ready.ts";
import type { TimerHeap } from "./memory-timers.ts";
import type { ConsumeSpec, GroupState, Lease, Recorded, Settlement } from "./transport.ts";
import type { Clock } from "../core/clock.ts";

/** A publish that waits for room. */
export interface WaitingPublish {
  /** Goes on with the publish; `group` has room for it now. */
  resume(group: MemoryGroup): void;
  /** False once its connection was closed. */
  readonly waits: boolean;
}

/** What a group needs of its carrier. */
export interface GroupSurroundings {
  readonly clock: Clock;
  readonly leases: TimerHeap<Delivery>;
  readonly delays: TimerHeap<Delivery>;
  readonly agingMs: number;
  readonly maxBacklog: number;
  readonly maxWaiting: number;
}

export class MemoryGroup implements DeliveryOwner {
  readonly name: string;
  readonly patterns: readonly string[];
  readonly #definition: string;
  readonly #ordered: ConsumeSpec["ordered"];
  readonly #around: GroupSurroundings;
  readonly #ready: ReadyDeliveries;
  readonly #lanes: KeyLanes | undefined;
  readonly #parked = new Map<string, Delivery>();
  readonly #pulls: PullLine;
  readonly #waitingPublishes = new Queue<WaitingPublish>();
  #overflow: ConsumeSpec["overflow"];
  #bound: number;
  #backlog = 0;
  #missed = 0;
  #deleted = false;

  constructor(spec: ConsumeSpec, around: GroupSurroundings) {
    this.name = spec.subscription;
    this.patterns = spec.patterns;
    this.#definition = spec.definition;
    this.#ordered = spec.ordered;
    this.#around = around;
    this.#ready = new ReadyDeliveries(around.agingMs);
    this.#lanes = spec.ordered === undefined ? undefined : new KeyLanes(spec.ordered);
    this.#pulls = new PullLine(
      () => this.#ready.size > 0,
      (puller, max) => this.#take(puller, max),
    );
    this.#bound = around.maxBacklog;
    this.#adoptBound(spec);
  }

  /** Events that wait; those that a member owns are not among them. */
  get backlog(): number {
    return this.#backlog;
  }

  get deleted(): boolean {
    return this.#deleted;
  }

  state(): GroupState {
    const owned = this.#around.leases.items().filter(({ group }) => group === this).length;
    const definition = describe(this.#definition, this.#ordered);
    return { name: this.name, definition, open: this.#backlog + owned };
  }

  /** Takes a member in. @throws {CadreError} GROUP_MISMATCH */
  join(spec: ConsumeSpec): void {
    const expected = describe(this.#definition, this.#ordered);
    const actual = describe(spec.definition, spec.ordered);
    if (actual !== expected) {
      throw new CadreError(
        "GROUP_MISMATCH",
        `Group "${this.name}" is defined as ${expected}, and this member says ${actual}. ` +
          "Give all members one definition, use another group name, or delete this group.",
        { group: this.name, expected, actual },
      );
    }
    this.#adoptBound(spec);
  }

  #adoptBound(spec: ConsumeSpec): void {
    if (spec.overflow === undefined) return;
    this.#overflow = spec.overflow;
    this.#bound = spec.maxQueued;
  }

  /**
   * What a publish must do before the group takes its event.
   * @param excess how far beyond the bound it may go instead of waiting; nothing where it may wait
   */
  admission(excess: number | undefined, hasTurn: boolean): "take" | "wait" | "refuse" {
    const isFull = this.#backlog >= this.#bound;
    if (!isFull && (hasTurn || this.#waitingPublishes.size === 0)) return "take";
    switch (this.#overflow) {
      case "drop-oldest":
      case "drop-newest":
        return "take";
      case "wait":
        if (excess === undefined) {
          return this.#waitingPublishes.size < this.#around.maxWaiting ? "wait" : "refuse";
        }
        return this.#backlog < this.#bound + excess ? "take" : "refuse";
      default:
        return "refuse";
    }
  }

  overloaded(): CadreError<"OVERLOADED"> {
    return new CadreError(
      "OVERLOADED",
      `Group "${this.name}" has ${this.#backlog} events waiting and takes no more. ` +
        "Publish slower, add members, or give the group another overflow policy.",
      { queue: this.name, size: this.#backlog },
    );
  }

  waitForRoom(publish: WaitingPublish, isFirst: boolean): void {
    if (isFirst) this.#waitingPublishes.unshift(publish);
    else this.#waitingPublishes.push(publish);
  }

  /**
   * Takes an event that `admission` let in, or one that was promised before (history, a delayed
   * event).
   */
  offer(recorded: Recorded, waitingSince: number): void {
    if (this.#backlog >= this.#bound) {
      const drops = this.#overflow === "drop-oldest" || this.#overflow === "drop-newest";
      if (drops) this.#missed += 1;
      if (drops && !(this.#overflow === "drop-oldest" && this.#dropOldest())) return;
    }
    this.#enter(new Delivery(this, recorded, 1, waitingSince));
  }

  /**
   * Takes an event that is for this group alone. What waits here is not doubled: it takes the
   * event's content, and if it was parked it is handed out again.
   */
  direct(recorded: Recorded, attempt: number, waitingSince: number, delayMs: number): void {
    const id = recorded.event?.id;
    const known = id === undefined ? undefined : this.#findWaiting(id);
    if (known === undefined) {
      const delivery = new Delivery(this, recorded, attempt, waitingSince);
      if (delayMs > 0) this.#delay(delivery, delayMs);
      else this.#enter(delivery);
      return;
    }
    known.recorded = { ...known.recorded, ...pick(recorded) };
    if (known.state !== "parked") return;
    this.#parked.delete(known.eventId!);
    this.#backlog -= 1;
    known.attempt = attempt;
    this.#readmit(known);
  }

  pull(puller: Puller, max: number, signal: AbortSignal): Promise<readonly Lease[]> {
    return this.#pulls.pull(puller, max, signal);
  }

  /** Ends the pulls of one intake. */
  endPulls(puller: Puller): void {
    this.#pulls.end(puller);
  }

  /** Events lost to the bound since the last call. */
  takeMissed(): number {
    const missed = this.#missed;
    this.#missed = 0;
    return missed;
  }

  settle(delivery: Delivery, settlement: Settlement): void {
    this.#around.leases.remove(delivery);
    switch (settlement.kind) {
      case "ack":
        delivery.state = "gone";
        this.#hand(this.#lanes?.leave(delivery));
        return;
      case "release":
        this.#giveBack(delivery);
        return;
      case "retry":
        delivery.attempt += 1;
        if (settlement.delayMs <= 0) {
          this.#giveBack(delivery);
          return;
        }
        this.#delay(delivery, settlement.delayMs);
        this.#hand(this.#lanes?.suspend(delivery));
        return;
      case "park":
        delivery.state = "parked";
        this.#backlog += 1;
        this.#parked.set(delivery.eventId ?? delivery.recorded.position, delivery);
        this.#hand(this.#lanes?.suspend(delivery));
    }
  }

  extend(delivery: Delivery, ms: number): void {
    this.#around.leases.move(delivery, this.#around.clock.monotonic() + ms);
  }

  /** The delivery's owner is gone, or its time has run out: the attempt counts. */
  expire(delivery: Delivery): void {
    this.#around.leases.remove(delivery);
    delivery.attempt += 1;
    this.#giveBack(delivery);
  }

  /** A delayed delivery is due. */
  due(delivery: Delivery): void {
    this.#backlog -= 1;
    this.#readmit(delivery);
  }

  /**
   * Forgets everything. Leases that are out are lost, waiting pulls end, waiting publishes go on.
   */
  delete(): void {
    this.#deleted = true;
    this.#ready.clear();
    this.#parked.clear();
    this.#backlog = 0;
    this.#bound = Infinity;
    this.#pulls.endAll();
    for (const heap of [this.#around.leases, this.#around.delays]) {
      for (const delivery of heap.items()) {
        if (delivery.group !== this) continue;
        heap.remove(delivery);
        delivery.state = "gone";
      }
    }
    this.#letIn();
  }

  #take(puller: Puller, max: number): Lease[] {
    const leases: Lease[] = [];
    const dueAt = this.#around.clock.monotonic() + puller.leaseMs;
    while (leases.length < max) {
      const delivery = this.#ready.shift();
      if (delivery === undefined) break;
      delivery.state = "leased";
      delivery.epoch += 1;
      delivery.holder = puller.connection;
      this.#backlog -= 1;
      this.#around.leases.add(delivery, dueAt);
      leases.push(new MemoryLease(delivery));
    }
    this.#letIn();
    return leases;
  }

  #letIn(): void {
    while (this.#waitingPublishes.size > 0 && this.#backlog < this.#bound) {
      const publish = this.#waitingPublishes.shift()!;
      if (publish.waits) publish.resume(this);
    }
  }

  #enter(delivery: Delivery): void {
    this.#backlog += 1;
    delivery.state = "ready";
    if (this.#lanes !== undefined && !this.#lanes.admit(delivery)) return;
    this.#ready.push(delivery);
    this.#pulls.wake();
  }

  /** Back among the waiting, first of its priority. Its lane, if it has one, is still its own. */
  #giveBack(delivery: Delivery): void {
    this.#backlog += 1;
    delivery.state = "ready";
    this.#ready.unshift(delivery);
    this.#pulls.wake();
  }

  #readmit(delivery: Delivery): void {
    if (this.#lanes === undefined || this.#lanes.readmit(delivery)) {
      this.#giveBack(delivery);
      return;
    }
    this.#backlog += 1;
    delivery.state = "ready";
  }

  #delay(delivery: Delivery, delayMs: number): void {
    this.#backlog += 1;
    delivery.state = "delayed";
    this.#around.delays.add(delivery, this.#around.clock.monotonic() + delayMs);
  }

  /** The next of a lane may be handed out; it was counted when it came. */
  #hand(next: Delivery | undefined): void {
    if (next === undefined) return;
    this.#ready.push(next);
    this.#pulls.wake();
  }

  /**
   * False when all that waits is delayed, parked or behind its key: nothing of that may be lost.
   */
  #dropOldest(): boolean {
    const oldest = this.#ready.shiftOldest();
    if (oldest === undefined) return false;
    oldest.state = "gone";
    this.#backlog -= 1;
    this.#hand(this.#lanes?.leave(oldest));
    return true;
  }

  #findWaiting(id: string): Delivery | undefined {
    const isIt = (delivery: Delivery): boolean => delivery.eventId === id;
    return (
      this.#parked.get(id) ??
      this.#around.delays.items().find((delivery) => delivery.group === this && isIt(delivery)) ??
      this.#ready.find(isIt) ??
      this.#lanes?.find(isIt)
    );
  }
}

function describe(definition: string, ordered: ConsumeSpec["ordered"]): string {
  return ordered === undefined ? definition : `${definition}, ordered: ${ordered}`;
}

function pick(recorded: Recorded): Partial<Recorded> {
  return recorded.event === undefined ? {} : { event: recorded.event };
}
