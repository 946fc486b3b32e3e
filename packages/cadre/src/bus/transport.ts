/**
 * The Transport port: events between processes.
 *
 *   publish ─▶ carrier ─▶ pull(credit) ─▶ Lease ──settle(ack)──────▶ done
 *                              ▲             ├────settle(retry)────▶ comes again, attempt + 1
 *                              │             ├────settle(park)─────▶ stays until redelivered
 *                              │             └────settle(release)──▶ comes again, same attempt
 *                              └──────────── lease runs out ───────▶ comes again, attempt + 1
 *
 * A lease is settled once by its owner; whoever settles late is told "lost" (fenced) and has
 * changed nothing. Every policy (retry, dead letters, dedup, filters, limits) stands above this
 * port, in the bus, once.
 */
import type { Clock } from "../core/clock.ts";
import type { AgentEvent } from "../core/event.ts";
import type { FilterDocument } from "../core/filter.ts";
import type { Logger } from "../core/logger.ts";
import type { UnitOfWork } from "../core/commit.ts";

/**
 * A place in the carrier's order. Opaque: made by one transport, read by the same. Comparable
 * within one partition.
 */
export type Position = string;

/**
 * What a transport can do, as data. The bus plans from it; the table of guarantees is made of it.
 */
export interface Capabilities {
  /**
   * How safe a resolved `publish` is: `no`, `process` (survives SIGKILL, not power loss) or `disk`.
   */
  readonly durable: "no" | "process" | "disk";
  /** Whether groups keep their place over a restart of all their members. */
  readonly durableGroups: boolean;
  /** The history that `read` offers: none, the last few events, or everything kept. */
  readonly history: "none" | "ring" | "log";
  /** The order that positions express. */
  readonly order: "total" | "partition" | "none";
  /**
   * Per-key order across the members of a group, in the carrier itself. Without it the bus emulates
   * or refuses.
   */
  readonly keyOrder: readonly ("block" | "park-key" | "skip")[];
  /** Longest delay in milliseconds that `settle(retry)` keeps by itself; 0 is none. */
  readonly maxRetryDelayMs: number;
  /** Whether retry delays and `deliverAt` survive a restart. */
  readonly durableDelay: boolean;
  /** Whether `deliverAt` is kept by the carrier. */
  readonly delayedPublish: boolean;
  /** Whether the attempt number survives the consumer's death. */
  readonly durableAttempts: boolean;
  /** Whether a backlog is handed out by priority. */
  readonly priorities: boolean;
  /**
   * For how long, in milliseconds, an id published again is recognised and not delivered twice; 0
   * is never.
   */
  readonly publisherDedupeMs: number;
  /** Whether `unroutable` is reported for an event that nobody's subscription takes. */
  readonly reportsUnroutable: boolean;
  /** Largest encoded event in bytes. */
  readonly maxBytes: number;
  /** Whether events cross a process: then the bus validates them again on arrival. */
  readonly crossesProcess: boolean;
  /** `once` when effects, held-back events and settling commit together. */
  readonly effects: "once" | "at-least-once";
}

/** One event on its way out. */
export interface Outgoing {
  readonly event: AgentEvent;
  /**
   * Hands the event to this group alone, as its attempt `attempt` (1 unless given), also when the
   * group has had it before or has it parked: for redrive, and for retries that the carrier cannot
   * delay. An event that waits in the group already is not doubled.
   */
  readonly to?: { readonly group: string; readonly attempt?: number };
  /**
   * Set for a publish from inside a handler: it never waits for a full group. So many events beyond
   * the group's bound are taken all the same; then the publish is refused with OVERLOADED. Only for
   * carriers whose backlog is in memory.
   */
  readonly excess?: number;
}

export type PublishResult =
  | { readonly ok: true; readonly position?: Position; readonly unroutable?: boolean }
  | { readonly ok: false; readonly error: unknown };

/** Nothing for an event that was not tried, as when one before it was refused. */
export type OrderedResult = PublishResult | undefined;

/** An event as the carrier keeps it. */
export interface Recorded {
  readonly position: Position;
  /** Unix milliseconds at which the carrier took it. */
  readonly recordedAt: number;
  /** The event, frozen; absent when the bytes hold none. */
  readonly event?: AgentEvent;
  /** What was there instead of an event; beside one, why its payload cannot be had. */
  readonly undecodable?: { readonly bytes: Uint8Array; readonly reason: string };
}

/**
 * Where a subscription begins: a new group, or a broadcast. An existing group goes on where it was.
 */
export type StartFrom =
  | "new"
  | "earliest"
  | { readonly after: Position }
  | { readonly time: number };

/** What a failing event does to later events of its key. */
export type OnRetry = "block" | "park-key" | "skip";

export interface ConsumeSpec {
  /** The group's name, or for a broadcast a name that is unique to this subscription. */
  readonly subscription: string;
  /**
   * A group competes and is kept; without it every subscription sees every event and ends with its
   * intake.
   */
  readonly mode: "group" | "broadcast";
  /**
   * Topic patterns. The transport may hand out more than they match (the bus matches again), never
   * less.
   */
  readonly patterns: readonly string[];
  /** The content filter. The transport may narrow by it where its answer is exact. */
  readonly filter?: FilterDocument;
  /** Patterns and filter in one canonical text. A group that has another refuses the member. */
  readonly definition: string;
  readonly from: StartFrom;
  /** How long a delivery is owned without `extend`, in milliseconds. */
  readonly leaseMs: number;
  /** Per-key order across all members of the group. */
  readonly ordered?: OnRetry;
  /**
   * A broadcast's bound on events that wait for its pull; the oldest go first and are reported by
   * `missed`.
   */
  readonly maxQueued: number;
  /**
   * What a carrier that keeps its backlog in memory does when `maxQueued` events wait for this
   * group: let the publisher wait, refuse the publish with OVERLOADED, or drop and report by
   * `missed`. A backlog on disk has no such bound.
   */
  readonly overflow?: "wait" | "reject" | "drop-oldest" | "drop-newest";
}

export type Settlement =
  | { readonly kind: "ack" }
  | { readonly kind: "retry"; readonly delayMs: number }
  | { readonly kind: "park" }
  | { readonly kind: "release" };

/**
 * One delivery of one event to one subscription, owned until it is settled or its time runs out.
 */
export interface Lease {
  readonly recorded: Recorded;
  /** From 1. */
  readonly attempt: number;
  /**
   * Settling the same way again changes nothing and answers as the first time. `lost`: another
   * owner has it.
   */
  settle(settlement: Settlement): Promise<"ok" | "lost">;
  /** Owns the delivery for `ms` milliseconds from now. */
  extend(ms: number): Promise<"ok" | "lost">;
}

/** The open end of one subscription. */
export interface Intake {
  /**
   * Up to `max` deliveries; waits until there is at least one, and returns none only when `signal`
   * is aborted or the intake closed. A broadcast's leases are settled by nobody and `settle`
   * answers `ok`.
   */
  pull(max: number, signal: AbortSignal): Promise<readonly Lease[]>;
  /** Events this subscription lost to its bound since the last call. */
  missed?(): number;
  /**
   * Ends the pull that waits. Deliveries that were pulled stay with their owner until they are
   * settled or run out.
   */
  close(): Promise<void>;
}

/** History, oldest first unless `backward`. All conditions must hold. */
export interface ReadQuery {
  /** Topic pattern. */
  readonly type?: string;
  readonly source?: string;
  readonly correlationId?: string;
  readonly id?: string;
  /** Unix milliseconds, inclusive, compared with the event's timestamp. */
  readonly since?: number;
  /** Unix milliseconds, exclusive. */
  readonly until?: number;
  readonly after?: Position;
  readonly before?: Position;
  readonly backward?: boolean;
  readonly limit?: number;
}

export interface DeadLetter {
  /** `<group>/<event id>`: writing it twice keeps one. */
  readonly id: string;
  readonly group: string;
  readonly event?: AgentEvent;
  /** The bytes of a delivery that held no event, base64. */
  readonly bytes?: string;
  readonly reason: "terminal" | "attempts" | "undecodable" | "invalid" | "expired" | "rejected";
  readonly error: {
    readonly name: string;
    readonly message: string;
    readonly code?: string;
    readonly stack?: string;
  };
  readonly attempts: number;
  readonly position: Position;
  /** Unix milliseconds of the first failure and of the last. */
  readonly firstFailedAt: number;
  readonly lastFailedAt: number;
  /** Later events of this key wait until the letter is redriven or purged. */
  readonly parksKey?: string;
}

export interface DeadLetterQuery {
  readonly group?: string;
  readonly type?: string;
  readonly reason?: DeadLetter["reason"];
  readonly limit?: number;
}

/** Where dead letters are kept; as durable as the transport is. */
export interface DeadLetterBox {
  /** Keeps `letter`; an earlier one of the same id is replaced. */
  put(letter: DeadLetter): Promise<void>;
  get(id: string): Promise<DeadLetter | undefined>;
  /** Oldest first. */
  list(query?: DeadLetterQuery): AsyncIterable<DeadLetter>;
  /** False when there was none. */
  remove(id: string): Promise<boolean>;
}

/** A group as the carrier has it. Numbers that a carrier does not know are absent. */
export interface GroupState {
  readonly name: string;
  /** Patterns and filter, and the order by key: what a member must say to be let in. */
  readonly definition: string;
  /** What is kept up to here has come to the group. */
  readonly position?: Position;
  /**
   * How many events have yet to come to it: at most so many, where the carrier looks at what its
   * patterns take only then.
   */
  readonly behind?: number;
  /** Events that have come to it and are not done: they wait, are owned, delayed or parked. */
  readonly open?: number;
}

export interface Transport {
  readonly name: string;
  readonly capabilities: Capabilities;
  /**
   * Resolves, with one result an item in their order, when all are as safe as
   * `capabilities.durable` says.
   */
  publish(batch: readonly Outgoing[]): Promise<readonly PublishResult[]>;
  /**
   * Publishes events for everybody in their order, with one result for each. One that is refused
   * stops those behind it that the carrier keeps in order with it: all where its `order` is
   * `total`, else those of its key. Without it the bus sends what has an order one at a time.
   */
  publishInOrder?(events: readonly AgentEvent[]): Promise<readonly OrderedResult[]>;
  /**
   * The direct path out of a carrier that lives in this process: takes an event for everybody
   * within the call. Undefined, and nothing done, when the event has to wait, to be refused or to
   * be kept for later: then `publish` is asked. Never throws.
   * @param madeBy the clock that gave the event its timestamp just now: a carrier on the same
   * clock need not read it again
   */
  publishNow?(event: AgentEvent, madeBy?: Clock): "taken" | "unroutable" | undefined;
  /** When it resolves, every event whose publish starts later reaches the subscription. */
  open(spec: ConsumeSpec): Promise<Intake>;
  /**
   * The direct path of a carrier that lives in this process: `listener` is called for every event
   * that a publish made deliverable, in order and before that publish resolves. Broadcasts that
   * start now use it instead of an intake. Returns the end of it. The listener never throws, and
   * answers whether a subscription took the event: then it is not `unroutable`.
   */
  tap?(listener: (event: AgentEvent) => boolean): () => void;
  /** In pages; never the whole history at once. */
  read?(query: ReadQuery): AsyncIterable<Recorded>;
  /** The carrier's own place for dead letters. The bus keeps them in memory where there is none. */
  readonly deadLetters?: DeadLetterBox;
  /** Set where the transport and a store are one log. */
  readonly unitOfWork?: UnitOfWork<Lease>;
  /** The groups of the carrier, by name, with or without members. */
  groups?(): Promise<readonly GroupState[]>;
  /** Deletes a group: its place, its deliveries, its definition. Deleting none is allowed. */
  deleteGroup?(group: string): Promise<void>;
  /** Never throws. */
  health?(): Promise<{ readonly ok: boolean; readonly detail?: string }>;
  /** Closes what the transport opened. Closing twice is allowed. */
  close(): Promise<void>;
}

/** What every transport is built with; the bus hands its own on. */
export interface TransportContext {
  readonly clock: Clock;
  readonly logger: Logger;
}
