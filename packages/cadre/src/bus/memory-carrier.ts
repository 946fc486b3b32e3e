/**
 * What lies behind the memory transport: one place in this process that any number of connections
 * share, as processes share a broker.
 *
 *   publish ─▶ room in every group? ─▶ position ─▶ ring ─▶ groups ─▶ broadcasts ─▶ taps
 *                 │ no: wait, refuse, or drop, as the group says
 *                 └ deliverAt in the future: kept apart until then, without a position
 *
 * Everything runs within one turn of the caller; publishes that a tap's listener makes come after
 * the event that it is shown.
 */
import type { Clock } from "../core/clock.ts";
import { CadreError } from "../core/errors.ts";
import type { AgentEvent } from "../core/event.ts";
import type { Logger } from "../core/logger.ts";
import { compilePattern } from "../core/pattern.ts";
import { MemoryBroadcast } from "./memory-broadcast.ts";
import { MemoryDeadLetters } from "./memory-dead-letters.ts";
import type { Delivery } from "./memory-delivery.ts";
import { MemoryGroup } from "./memory-group.ts";
import { Publishing, type Admit } from "./memory-publishing.ts";
import { Queue } from "./queue.ts";
import { MemoryRing } from "./memory-ring.ts";
import { MemoryRoutes } from "./memory-routes.ts";
import { TimerHeap, type Timed } from "./memory-timers.ts";
import type {
  ConsumeSpec,
  DeadLetterBox,
  GroupState,
  Outgoing,
  PublishResult,
  ReadQuery,
  Recorded,
} from "./transport.ts";

export interface CarrierSettings {
  readonly clock: Clock;
  readonly logger: Logger;
  readonly historySize: number;
  readonly maxBacklog: number;
  readonly maxWaiting: number;
  readonly maxDelayed: number;
  readonly maxDeadLetters: number;
  readonly agingMs: number;
}

/** An event that waits for its `deliverAt`. */
interface Scheduled extends Timed {
  readonly event: AgentEvent;
}

type Tap = (event: AgentEvent) => boolean;

export class Carrier {
  readonly #settings: CarrierSettings;
  readonly #ring: MemoryRing;
  readonly #routes = new MemoryRoutes();
  readonly #groups = new Map<string, MemoryGroup>();
  readonly #leases: TimerHeap<Delivery>;
  readonly #delays: TimerHeap<Delivery>;
  readonly #scheduled: TimerHeap<Scheduled>;
  readonly #untapped = new Queue<AgentEvent>();
  readonly deadLetters: DeadLetterBox;
  #taps: readonly Tap[] = [];
  #isTapping = false;
  #connections = 0;

  constructor(settings: CarrierSettings) {
    const { clock, logger } = settings;
    this.#settings = settings;
    this.#ring = new MemoryRing(settings.historySize);
    this.deadLetters = new MemoryDeadLetters(settings.maxDeadLetters, logger);
    // A lease alone is no reason for the process to go on; a promised delivery is.
    this.#leases = new TimerHeap<Delivery>(clock, { background: true }, (delivery) =>
      delivery.group.expire(delivery),
    );
    this.#delays = new TimerHeap<Delivery>(clock, { background: false }, (delivery) =>
      delivery.group.due(delivery),
    );
    this.#scheduled = new TimerHeap<Scheduled>(clock, { background: false }, ({ event }) =>
      this.#deliver(event, clock.now(), clock.monotonic()),
    );
  }

  connect(): void {
    this.#connections += 1;
    if (this.#connections > 1) return;
    for (const heap of [this.#leases, this.#delays, this.#scheduled]) heap.resume();
  }

  /** Gives back what `connection` holds. Time stands still for a carrier without connections. */
  disconnect(connection: object): void {
    for (const delivery of this.#leases.items()) {
      if (delivery.holder === connection) delivery.group.expire(delivery);
    }
    this.#connections -= 1;
    if (this.#connections > 0) return;
    for (const heap of [this.#leases, this.#delays, this.#scheduled]) heap.pause();
  }

  /**
   * @param waiting where the publish is found as long as it waits for room, so that its connection
   * can cancel it
   */
  publish(batch: readonly Outgoing[], waiting: Set<Publishing>): Promise<readonly PublishResult[]> {
    return new Publishing(batch, this.#settings.clock, this.#admit).start(waiting);
  }

  /** The usual publish, which nothing holds up and which needs no bookkeeping. */
  publishNow(event: AgentEvent, madeBy: Clock | undefined): "taken" | "unroutable" | undefined {
    if (event.metadata.deliverAt !== undefined) return undefined;
    const groups = this.#routes.groups(event.type);
    for (const group of groups) if (group.admission(undefined, false) !== "take") return undefined;
    const { clock } = this.#settings;
    const now = madeBy === clock ? event.timestamp : clock.now();
    const number = this.#ring.keep(event, now);
    const since = groups.length > 0 ? clock.monotonic() : 0;
    return this.#handOut(event, number, now, groups, since) ? "taken" : "unroutable";
  }

  /**
   * Finds the group, or makes it with what its start gives it. @throws {CadreError} GROUP_MISMATCH
   */
  openGroup(spec: ConsumeSpec): MemoryGroup {
    const known = this.#groups.get(spec.subscription);
    if (known) {
      known.join(spec);
      return known;
    }
    const group = new MemoryGroup(spec, {
      clock: this.#settings.clock,
      leases: this.#leases,
      delays: this.#delays,
      agingMs: this.#settings.agingMs,
      maxBacklog: this.#settings.maxBacklog,
      maxWaiting: this.#settings.maxWaiting,
    });
    this.#routes.addGroup(group);
    this.#groups.set(group.name, group);
    const since = this.#settings.clock.monotonic();
    this.#recall(spec, (recorded) => group.offer(recorded, since));
    return group;
  }

  openBroadcast(spec: ConsumeSpec, onClose: (broadcast: MemoryBroadcast) => void): MemoryBroadcast {
    const broadcast = new MemoryBroadcast(spec, (closed) => {
      this.#routes.remove(closed);
      onClose(closed);
    });
    this.#recall(spec, (recorded) => broadcast.recall(recorded));
    this.#routes.addBroadcast(broadcast);
    return broadcast;
  }

  tap(listener: Tap): () => void {
    const own: Tap = (event) => listener(event);
    this.#taps = [...this.#taps, own];
    return () => {
      this.#taps = this.#taps.filter((other) => other !== own);
    };
  }

  read(query: ReadQuery): AsyncIterable<Recorded> {
    return this.#ring.read(query);
  }

  groupStates(): GroupState[] {
    const names = [...this.#groups.keys()].sort();
    return names.map((name) => this.#groups.get(name)!.state());
  }

  deleteGroup(name: string): void {
    const group = this.#groups.get(name);
    if (!group) return;
    this.#groups.delete(name);
    this.#routes.remove(group);
    group.delete();
  }

  #recall(spec: ConsumeSpec, take: (recorded: Recorded) => void): void {
    if (spec.from === "new") return;
    const matchers = spec.patterns.map((pattern) => compilePattern(pattern));
    for (const recorded of this.#ring.since(spec.from)) {
      const type = recorded.event?.type;
      if (type !== undefined && matchers.some((matches) => matches(type))) take(recorded);
    }
  }

  readonly #admit: Admit = (outgoing, publishing) => {
    const { event, excess } = outgoing;
    const { now, since, turn } = publishing;
    if (outgoing.to !== undefined) return this.#direct(event, outgoing.to, publishing);
    const deliverAt = event.metadata.deliverAt;
    if (deliverAt !== undefined && deliverAt > now) return this.#schedule(event, deliverAt - now);
    for (const group of this.#routes.groups(event.type)) {
      const admission = group.admission(excess, group === turn);
      if (admission === "wait") return group;
      if (admission === "refuse") return { ok: false, error: group.overloaded() };
    }
    return this.#deliver(event, now, since);
  };

  #deliver(event: AgentEvent, now: number, since: number): PublishResult {
    const number = this.#ring.keep(event, now);
    const position = this.#ring.position(number);
    return this.#handOut(event, number, now, this.#routes.groups(event.type), since)
      ? { ok: true, position }
      : { ok: true, position, unroutable: true };
  }

  /**
   * Whether anybody took it.
   * @param since the monotonic time; only groups look at it
   */
  #handOut(
    event: AgentEvent,
    number: number,
    now: number,
    groups: readonly MemoryGroup[],
    since: number,
  ): boolean {
    const broadcasts = this.#routes.broadcasts(event.type);
    if (groups.length > 0 || broadcasts.length > 0) {
      const position = this.#ring.position(number);
      const recorded: Recorded = { position, recordedAt: now, event };
      for (const group of groups) group.offer(recorded, since);
      for (const broadcast of broadcasts) broadcast.offer(recorded);
    }
    const isTapped = this.#taps.length > 0 && this.#show(event);
    return isTapped || groups.length > 0 || broadcasts.length > 0;
  }

  /**
   * Whether a listener took the event. One that comes while another is being shown is, for all that
   * is known.
   */
  #show(event: AgentEvent): boolean {
    if (this.#isTapping) {
      this.#untapped.push(event);
      return true;
    }
    this.#isTapping = true;
    try {
      const isTaken = this.#showAll(event);
      for (let next = this.#untapped.shift(); next; next = this.#untapped.shift()) {
        this.#showAll(next);
      }
      return isTaken;
    } finally {
      this.#isTapping = false;
    }
  }

  #showAll(event: AgentEvent): boolean {
    let isTaken = false;
    for (const tap of this.#taps) isTaken = tap(event) || isTaken;
    return isTaken;
  }

  #direct(
    event: AgentEvent,
    to: NonNullable<Outgoing["to"]>,
    { now, since }: Publishing,
  ): PublishResult {
    const group = this.#groups.get(to.group);
    if (!group) {
      const message = `There is no group "${to.group}" to hand the event to. Subscribe it first.`;
      return {
        ok: false,
        error: new CadreError("NOT_FOUND", message, { what: "group", id: to.group }),
      };
    }
    // It is for one group and not news: it takes a position, but the history has it once.
    const position = this.#ring.position(this.#ring.nextNumber());
    const delayMs = (event.metadata.deliverAt ?? 0) - now;
    group.direct({ position, recordedAt: now, event }, to.attempt ?? 1, since, delayMs);
    return { ok: true, position };
  }

  #schedule(event: AgentEvent, delayMs: number): PublishResult {
    const size = this.#scheduled.size;
    if (size >= this.#settings.maxDelayed) {
      const message =
        `${size} events wait for their deliverAt, and no more are taken. ` +
        "Publish this one later.";
      return {
        ok: false,
        error: new CadreError("OVERLOADED", message, { queue: "delayed events", size }),
      };
    }
    const dueAt = this.#settings.clock.monotonic() + delayMs;
    this.#scheduled.add({ event, dueAt, heapIndex: -1 }, dueAt);
    return { ok: true };
  }
}
