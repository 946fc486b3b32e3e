/**
 * The relay: tells the bus what was committed to the store, once each and in the order of the log.
 *
 *   standby ──lease──▶ active: read after the checkpoint ─▶ publish a batch ─▶ checkpoint ─▶ …
 *      ▲                  │                                     │
 *      └────lease lost────┘      the first is refused for now ──┤ alone again, with a growing pause
 *                                the first is refused for ever ─┘ set aside, with the checkpoint
 *
 * What is refused for now is tried for ever, and those behind it wait: the order is kept, as far as
 * the carrier has one. On a carrier whose `order` is not `total`, events of other keys may be taken
 * while one is refused; they are not told again. What is refused for ever is kept under a record of
 * its own, and the others go on.
 *
 * - The checkpoint moves past nothing that was neither acknowledged nor set aside, and a batch ends
 *   where a checkpoint is due.
 * - At least once: a crash between publishing and checkpoint publishes again, under the same id;
 *   consumers know it by that.
 * - Any number of relays of one name may run; one is active, by a lease, which fences its
 *   checkpoints: one that was paused and comes back may publish a few events again, under their
 *   ids, and cannot move the checkpoint.
 * - Private events are never published. Whatever writes events into the store that came from the
 *   bus (an archive) must append them as private, or they would go round for ever.
 * - A transport that is one log with the store needs no relay: what is committed there is
 *   published.
 */
import type { Bus } from "../bus/bus.ts";
import { systemClock, type Clock } from "../core/clock.ts";
import {
  publishInOrder,
  type OrderedCarrier,
  type OrderedPublishOptions,
} from "../bus/ordered-publish.ts";
import type { OrderedResult } from "../bus/transport.ts";
import { CadreError } from "../core/errors.ts";
import type { AgentEvent } from "../core/event.ts";
import { silentLogger, type Logger } from "../core/logger.ts";
import { checkOptions, someObject, someText, wholeNumber } from "../core/options.ts";
import { secureRandom, type Random } from "../core/random.ts";
import type { EventStore, LogPosition } from "../store/event-store.ts";
import { isRefusedForEver } from "./refusal.ts";
import { RelayRun } from "./relay-run.ts";
import type { SetAside } from "./relay-record.ts";

const defaults = {
  name: "relay",
  leaseMs: 10_000, // another relay takes over so long after this one died
  checkpointEvery: 100, // events published again at most after a crash
  pollMs: 1_000, // looks so often without being woken: a wake may be lost between processes
  minRetryMs: 100,
  maxRetryMs: 30_000,
};

export interface RelayOptions {
  readonly store: EventStore;
  /**
   * Where the events go; its error channel is told when the relay is stuck. Give either this or
   * `transport`.
   */
  readonly bus?: Pick<Bus, "publishEvent" | "raise"> & Partial<Pick<Bus, "publishInOrder">>;
  readonly transport?: OrderedCarrier;
  /** Relays of one name share a checkpoint and take turns. @default "relay" */
  readonly name?: string;
  readonly clock?: Clock;
  readonly random?: Random;
  readonly logger?: Logger;
  /**
   * How long the active relay is believed alive without a sign, in milliseconds. @default 10_000
   */
  readonly leaseMs?: number;
  /** Events published between two checkpoints; also kept whenever nothing waits. @default 100 */
  readonly checkpointEvery?: number;
  /** @default 1_000 */
  readonly pollMs?: number;
  /** Pause after the first refusal in milliseconds; doubles each time. @default 100 */
  readonly minRetryMs?: number;
  /** @default 30_000 */
  readonly maxRetryMs?: number;
  /**
   * Whether an event can never be published. @default the codes that say so: TOO_LARGE,
   * INVALID_PAYLOAD, UNKNOWN_TYPE …
   */
  readonly isPoison?: (error: unknown, attempts: number) => boolean;
}

export interface RelayStatus {
  readonly phase: "active" | "standby" | "closed";
  /** Everything up to here was published, or set aside. */
  readonly position: LogPosition;
  /** Positions between that and the head of the log. */
  readonly lag: number;
  /** Events that this relay published since it started. */
  readonly published: number;
  readonly setAside: number;
  /** The event that everything behind it waits for. */
  readonly failing?: {
    readonly position: LogPosition;
    readonly id: string;
    readonly type: string;
    readonly error: unknown;
    /** Unix milliseconds of the first refusal. */
    readonly since: number;
    readonly attempts: number;
  };
  /** Why the store cannot be read or written just now. */
  readonly error?: unknown;
}

export interface Relay {
  readonly name: string;
  status(): Promise<RelayStatus>;
  /**
   * Resolves when everything that is committed by now is published or set aside, by whichever
   * relay.
   */
  idle(): Promise<void>;
  /** The events that were set aside, by position. */
  setAside(): Promise<readonly SetAside[]>;
  /**
   * Publishes an event that was set aside, and drops its record. False when there is no such
   * record. Rejects with what the carrier says when it refuses the event again.
   */
  republish(position: LogPosition): Promise<boolean>;
  /**
   * Ends after the event in hand, keeps the checkpoint, gives the lease back. Closing twice is
   * allowed.
   */
  close(): Promise<void>;
  [Symbol.asyncDispose](): Promise<void>;
}

/** What a run needs, with nothing optional. */
export interface RelayContext extends Required<Omit<RelayOptions, "bus" | "transport" | "store">> {
  readonly store: EventStore;
  /** As `bus.publishInOrder`. */
  readonly publish: (
    events: readonly AgentEvent[],
    options: OrderedPublishOptions,
  ) => Promise<readonly OrderedResult[]>;
  readonly raise: Bus["raise"];
}

/**
 * Starts a relay from the store to the bus. A relay without a checkpoint begins with the first
 * event of the log.
 *
 * @throws {CadreError} INVALID_OPTION
 */
export async function startRelay(options: RelayOptions): Promise<Relay> {
  checkOptions("startRelay", options, {
    store: someObject,
    bus: someObject,
    transport: someObject,
    name: someText,
    clock: someObject,
    random: someObject,
    logger: someObject,
    leaseMs: wholeNumber(3),
    checkpointEvery: wholeNumber(1),
    pollMs: wholeNumber(1),
    minRetryMs: wholeNumber(1),
    maxRetryMs: wholeNumber(1),
    isPoison: { expected: "a function", accepts: (value) => typeof value === "function" },
  });
  const { bus, transport, ...rest } = options;
  const run = new RelayRun({
    ...defaults,
    clock: systemClock,
    random: secureRandom,
    logger: silentLogger,
    isPoison: isRefusedForEver,
    ...rest,
    publish: publisherOf(bus, transport),
    raise: (error) => bus?.raise(error),
  });
  await run.start();
  return run;
}

function publisherOf(
  bus: RelayOptions["bus"],
  transport: RelayOptions["transport"],
): RelayContext["publish"] {
  if (bus && !transport) {
    if (bus.publishInOrder) return (events, options) => bus.publishInOrder!(events, options);
    return (events, options) => publishInOrder(carrierOf(bus), events, options);
  }
  if (!transport || bus) {
    throw new CadreError("INVALID_OPTION", "startRelay takes either a bus or a transport.", {
      option: bus ? "transport" : "bus",
    });
  }
  return (events, options) => publishInOrder(transport, events, options);
}

function carrierOf(bus: Pick<Bus, "publishEvent">): OrderedCarrier {
  return {
    publish: async (batch) => {
      for (const { event } of batch) await bus.publishEvent(event);
      return batch.map(() => ({ ok: true }));
    },
  };
}
