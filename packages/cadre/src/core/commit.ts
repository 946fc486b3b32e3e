/**
 * What one unit of work writes. These are values of floor 0 because the bus (which decides when a
 * step of work is done) and the store (which makes it durable) must agree on them without knowing
 * each other.
 */
import type { AgentEvent } from "./event.ts";

/** Events for the end of one stream. */
export interface Append {
  /** Name of the stream, such as `task/0199…`. At most 256 characters. */
  readonly stream: string;
  /**
   * The version that the stream must be at: 0 means that it must not exist, `any` appends wherever
   * it is. The first event of a stream is its version 1.
   */
  readonly expectedVersion: number | "any";
  readonly events: readonly AgentEvent[];
  /**
   * Kept from the bus: the events are in the log, for folds and audit, and no subscription sees
   * them.
   */
  readonly private?: boolean;
}

/** One write to a slot: a named value with a version, outside the log. */
export interface SlotWrite {
  readonly name: string;
  /** The version that the slot must be at; 0 means that it must not exist, `any` overwrites. */
  readonly expectedVersion: number | "any";
  /** `undefined` deletes the slot. */
  readonly value: string | undefined;
}

/** Says that a subscription has handled an event. */
export interface InboxMark {
  readonly subscription: string;
  readonly eventId: string;
}

/** All or nothing. */
export interface Commit {
  readonly appends?: readonly Append[];
  readonly slots?: readonly SlotWrite[];
  readonly inbox?: readonly InboxMark[];
  /**
   * Events for the bus that belong to no stream: they enter the log and are published by the relay.
   */
  readonly outbox?: readonly AgentEvent[];
  /**
   * Positions whose events are taken out of the log, at most 1,000; those that aren't there are
   * passed over. Streams keep their versions and no position is used again: what removes must also
   * write an event, as its record. The ids of removed events are free again.
   */
  readonly removals?: readonly number[];
}

/** What a handler staged, and the delivery that it staged it for. */
export interface DeliveredWork<Delivery = unknown> {
  readonly commit: Commit;
  /**
   * The transport's lease. A unit of work that is one log with it settles it in the same
   * transaction.
   */
  readonly lease: Delivery;
}

/**
 * Makes the end of a delivery atomic.
 *
 *   one log (sqlite)      commit() writes effects, held-back events, mark and settling at once
 *   broker and store      commit() writes effects, mark and outbox; the bus settles afterwards,
 *                         the relay publishes
 */
export interface UnitOfWork<Delivery = unknown> {
  /** Whether `commit` also settled the lease. If not, the bus does after it. */
  readonly settles: boolean;
  /**
   * The log that it writes: equal to the `log` of a store that is the same one. A transport and a
   * store of which one does not say it are taken for one log.
   */
  readonly log?: unknown;
  /**
   * @returns `lost` when another owner has the delivery by now: nothing was written
   * @throws {CadreError} VERSION_CONFLICT, when an expected version does not hold: nothing was
   * written
   */
  commit(work: DeliveredWork<Delivery>): Promise<"ok" | "lost">;
  /** Those of `eventIds` that `subscription` has handled. */
  handled(subscription: string, eventIds: readonly string[]): Promise<ReadonlySet<string>>;
}
