/** The bus as its users see it. `create-bus.ts` makes one. */
import type { Clock } from "../core/clock.ts";
import type { Append, SlotWrite, UnitOfWork } from "../core/commit.ts";
import type { Severity } from "../core/errors.ts";
import type { AgentEvent, EventOptions } from "../core/event.ts";
import type { FilterDocument } from "../core/filter.ts";
import type { Logger } from "../core/logger.ts";
import type { Random } from "../core/random.ts";
import type {
  CheckedPattern,
  EventMap,
  EventOf,
  EventType,
  PayloadOf,
  TopicsOf,
} from "../core/event-types.ts";
import type { EventRegistry } from "../core/registry.ts";
import type { BusHealth, BusStats, DrainReport } from "./bus-report.ts";
import type { BreakerOptions, RetryOptions } from "./failure-options.ts";
import type { GuardOptions } from "./guard-options.ts";
import type { OrderedPublishOptions } from "./ordered-publish.ts";
import type { Subscription } from "./subscription.ts";
import type {
  Capabilities,
  DeadLetter,
  DeadLetterQuery,
  GroupState,
  Lease,
  OnRetry,
  OrderedResult,
  ReadQuery,
  StartFrom,
  Transport,
} from "./transport.ts";

export type { BusHealth, BusStats, DrainReport } from "./bus-report.ts";
export type { BreakerOptions, RetryOptions } from "./failure-options.ts";

export interface BusOptions<Events extends object = EventMap> extends GuardOptions {
  readonly transport: Transport;
  /** The registry. Without one every type is taken, with any JSON object as its payload. */
  readonly events?: EventRegistry<Events>;
  /** Who publishes: the `source` of events that name none. @default "cadre" */
  readonly source?: string;
  /** Makes the end of a delivery atomic. @default the transport's own, where it has one */
  readonly unitOfWork?: UnitOfWork<Lease>;
  readonly clock?: Clock;
  readonly random?: Random;
  readonly logger?: Logger;
  /**
   * Publishes from inside handlers that may wait for a full queue before they are refused.
   * @default 1_000
   */
  readonly maxHandlerBacklog?: number;
  /** Event ids remembered for each group where there is no inbox. @default 10_000 */
  readonly dedupWindow?: number;
  /** Called once when a locally raised critical error has shut the bus down. */
  readonly onCritical?: (error: BusError) => void;
}

/** Publishing options, plus the publisher's name. */
export interface PublishOptions extends EventOptions {
  readonly source?: string;
}

/** One item of a batch. */
export interface PublishItem<Type extends string = string, Payload = unknown> {
  readonly type: Type;
  readonly payload: Payload;
  readonly options?: PublishOptions;
}

/** An item of a batch whose payload fits its type. */
export type BatchItem<Events extends object> = string extends keyof Events
  ? PublishItem
  : {
      readonly [Key in keyof Events & string]: PublishItem<TopicsOf<Key>, Events[Key]>;
    }[keyof Events & string];

export type Overflow = "wait" | "reject" | "drop-oldest" | "drop-newest";

export interface SubscribeOptions<Also extends string = string> {
  /**
   * Name of the consumer group: members compete, each event goes to one of them, at least once,
   * with retries and dead letters. Without it every subscriber sees every event, at most once, and
   * a failure is an error record.
   */
  readonly group?: string;
  /** More patterns for the same subscription. */
  readonly also?: readonly Also[];
  readonly filter?: FilterDocument;
  /** Where a new group, or a broadcast, starts. @default "new" */
  readonly from?: StartFrom;
  /** Handlers at once. @default 1 */
  readonly concurrency?: number;
  /**
   * Time for one attempt in milliseconds; then `signal` is aborted and the attempt has failed. 0 is
   * no limit. @default 30_000
   */
  readonly timeoutMs?: number;
  /**
   * How long a delivery is owned without renewal; the bus renews while the handler runs.
   * @default 30_000
   */
  readonly leaseMs?: number;
  readonly retry?: RetryOptions;
  /**
   * Events of one key one after the other across all members; says what a failing one does to those
   * behind it.
   */
  readonly ordered?: OnRetry;
  /** Events held in memory for this subscription. @default 1_000 */
  readonly maxQueued?: number;
  /**
   * What happens when they are that many. @default "wait" for a group; "drop-oldest" for a
   * broadcast
   */
  readonly overflow?: Overflow;
  /** Skips an event that this group has handled. @default true for a group */
  readonly dedup?: boolean;
  /**
   * What becomes of an event whose `expiresAt` has passed. @default "drop": counted, not handed
   * over
   */
  readonly expired?: "drop" | "dead-letter";
  readonly breaker?: BreakerOptions | false;
  /** Closes the subscription when aborted. */
  readonly signal?: AbortSignal;
  /** Name in statistics and error records. @default the group, or the first pattern */
  readonly name?: string;
  /** Whose permissions count, where there are any. @default the bus's source */
  readonly as?: string;
}

/** What a handler can do beside looking at the event. */
export interface Delivery<Events extends object = EventMap> {
  /**
   * Only for inference; never set. It also lets a bus of a registry pass where any bus is taken.
   */
  readonly events?: { readonly [Type in keyof Events]-?: Events[Type] };
  /** From 1. */
  readonly attempt: number;
  /** Whether the event was handed out before. */
  readonly redelivered: boolean;
  readonly subscription: string;
  /** Aborted at the timeout, when the lease is lost, and at the deadline of a drain. */
  readonly signal: AbortSignal;
  /**
   * Publishes with the handled event as cause. In a group it is held back until the handler has
   * succeeded, and resolves at once; `isolated` sends now, whatever becomes of the handler.
   */
  publish<Type extends EventType<Events>>(
    type: Type,
    payload: PayloadOf<Events, Type>,
    options?: PublishOptions & { readonly isolated?: boolean },
  ): Promise<AgentEvent<Type, PayloadOf<Events, Type>>>;
  /**
   * Adds writes that commit with the handler's success.
   * @throws {CadreError} UNSUPPORTED, when the bus has no unit of work
   */
  stage(effects: {
    readonly appends?: readonly Append[];
    readonly slots?: readonly SlotWrite[];
    /** Finished events to publish with the success, with their own ids. */
    readonly outbox?: readonly AgentEvent[];
  }): void;
  /**
   * Owns the delivery for `ms` milliseconds from now; the bus does this by itself while the handler
   * runs.
   */
  extend(ms: number): Promise<void>;
}

export type Handler<Event extends AgentEvent = AgentEvent, Events extends object = EventMap> = (
  event: Event,
  delivery: Delivery<Events>,
) => unknown;

/** Answers a request: the value returned is the reply's payload. */
export type Responder<Event extends AgentEvent = AgentEvent, Events extends object = EventMap> = (
  event: Event,
  delivery: Delivery<Events>,
) => unknown;

export interface RequestOptions extends PublishOptions {
  /** @default 30_000 */
  readonly timeoutMs?: number;
  readonly signal?: AbortSignal;
}

export interface GatherOptions extends RequestOptions {
  /** Stop after so many replies. @default no limit: all that come within the time */
  readonly max?: number;
}

/** One thing that went wrong, on the bus's own channel. */
export interface BusError {
  readonly severity: Severity;
  readonly code: string;
  readonly message: string;
  readonly subscription?: string;
  readonly event?: AgentEvent;
  readonly attempt?: number;
  readonly cause?: unknown;
  /** Unix milliseconds. */
  readonly at: number;
  /** Raised here, or received from another runtime. Only a local critical error shuts down. */
  readonly origin: "local" | "remote";
}

export interface ReplayOptions {
  readonly filter?: FilterDocument;
  readonly signal?: AbortSignal;
}

/**
 * Sees every event on its way out. `next` sends the event that it is given, changed or not, and
 * rejects when it is refused. Without a call of `next` the event is not sent, counted as refused,
 * and its publish resolves all the same.
 */
export type PublishMiddleware = (
  event: AgentEvent,
  next: (event: AgentEvent) => Promise<void>,
) => Promise<void>;

/** Wraps a handler's run and cannot settle. `next` runs the rest, and rejects when that fails. */
export type HandleMiddleware = (
  event: AgentEvent,
  delivery: Delivery,
  next: () => Promise<void>,
) => Promise<void>;

export interface Bus<Events extends object = EventMap> {
  /**
   * Only for inference; never set. It also lets a bus of a registry pass where any bus is taken.
   */
  readonly events?: { readonly [Type in keyof Events]-?: Events[Type] };
  readonly name: string;
  readonly source: string;
  readonly capabilities: Capabilities;

  /**
   * Publishes one event; resolves when the transport has it, as safe as `capabilities.durable`
   * says. Handlers are not awaited.
   *
   * @throws {CadreError} INVALID_TOPIC | UNKNOWN_TYPE | INVALID_PAYLOAD | NOT_JSON | TOO_LARGE,
   * before anything was sent
   * @throws {CadreError} OVERLOADED, when a queue with `reject` is full, or from inside a handler
   * at the hard cap
   * @throws {CadreError} CLOSED, after `close` or during a drain
   */
  publish<Type extends EventType<Events>>(
    type: Type,
    payload: PayloadOf<Events, Type>,
    options?: PublishOptions,
  ): Promise<AgentEvent<Type, PayloadOf<Events, Type>>>;
  /** Publishes a finished event as it is, with its own id. */
  publishEvent(event: AgentEvent): Promise<void>;
  /**
   * Publishes finished events in their order, with one result for each: as fast as the carrier can
   * without letting one overtake another that is refused. Those behind that one are `undefined`,
   * not tried: all of them where the carrier's `order` is `total`, else at least those of its key
   * and those that it caused. With publish middleware they go one at a time.
   */
  publishInOrder(
    events: readonly AgentEvent[],
    options?: OrderedPublishOptions,
  ): Promise<readonly OrderedResult[]>;
  /** One result an item, in order; a bad item fails alone. */
  publishBatch(
    items: readonly BatchItem<Events>[],
  ): Promise<readonly ({ readonly event: AgentEvent } | { readonly error: unknown })[]>;
  /** `publishTaskEvent("created", …)` of the older systems: publishes `task.<name>`. */
  publishTaskEvent(
    name: string,
    payload: { readonly taskId: string } & Readonly<Record<string, unknown>>,
    options?: PublishOptions,
  ): Promise<AgentEvent>;

  subscribe<const Pattern extends string>(
    pattern: CheckedPattern<Pattern, Events>,
    handler: Handler<EventOf<Events, Pattern>, Events>,
  ): Promise<Subscription>;
  subscribe<const Pattern extends string, const Also extends string = never>(
    pattern: CheckedPattern<Pattern, Events>,
    options: SubscribeOptions<CheckedPattern<Also, Events>>,
    handler: Handler<EventOf<Events, Pattern | Also>, Events>,
  ): Promise<Subscription>;
  /** Creates a group without a member, so that it misses nothing from now on. */
  declareGroup(
    pattern: string,
    options: SubscribeOptions & { readonly group: string },
  ): Promise<void>;
  /** By name. @throws {CadreError} UNSUPPORTED, when the transport cannot list its groups */
  groups(): Promise<readonly GroupState[]>;
  /**
   * Forgets a group: its place, its definition and what it had not handled. Its dead letters stay.
   * @throws {CadreError} UNSUPPORTED, when the transport keeps no groups that could be deleted
   */
  deleteGroup(group: string): Promise<void>;
  /** The events of a broadcast as an async iterable; ends with `signal`, `close` or `break`. */
  listen<const Pattern extends string>(
    pattern: CheckedPattern<Pattern, Events>,
    options?: Pick<SubscribeOptions, "filter" | "from" | "maxQueued" | "signal">,
  ): AsyncIterable<EventOf<Events, Pattern>> & { readonly ready: Promise<void> };

  request<Type extends EventType<Events>>(
    type: Type,
    payload: PayloadOf<Events, Type>,
    options?: RequestOptions,
  ): Promise<AgentEvent>;
  /** Replies of many responders until the timeout, or `max`. */
  gather<Type extends EventType<Events>>(
    type: Type,
    payload: PayloadOf<Events, Type>,
    options?: GatherOptions,
  ): Promise<readonly AgentEvent[]>;
  respond<const Pattern extends string>(
    pattern: CheckedPattern<Pattern, Events>,
    responder: Responder<EventOf<Events, Pattern>, Events>,
  ): Promise<Subscription>;
  respond<const Pattern extends string, const Also extends string = never>(
    pattern: CheckedPattern<Pattern, Events>,
    options: SubscribeOptions<CheckedPattern<Also, Events>>,
    responder: Responder<EventOf<Events, Pattern | Also>, Events>,
  ): Promise<Subscription>;

  /** @throws {CadreError} UNSUPPORTED, when the transport keeps no history */
  history(query?: ReadQuery): AsyncIterable<AgentEvent>;
  /**
   * Feeds past events, marked with `replayOf`, to `to` and to nothing else. Touches no checkpoint.
   * Resolves with their number.
   */
  replay(
    query: ReadQuery,
    options: ReplayOptions & { readonly to: Handler<EventOf<Events>, Events> },
  ): Promise<number>;
  /**
   * Publishes past events again under new ids, with the old event as cause and `replayOf`. Resolves
   * with their number.
   */
  republish(query: ReadQuery): Promise<number>;

  readonly deadLetters: {
    list(query?: DeadLetterQuery): AsyncIterable<DeadLetter>;
    get(id: string): Promise<DeadLetter | undefined>;
    /**
     * Hands the event to its group again as attempt 1, with another payload if one is given. False
     * when there is no such letter.
     */
    redrive(id: string, options?: { readonly payload?: unknown }): Promise<boolean>;
    purge(id: string): Promise<boolean>;
  };

  /**
   * Applies to all subscriptions that exist and come: events that don't match are not handed over.
   * Returns the end of it.
   */
  addFilter(filter: FilterDocument): () => void;
  usePublish(middleware: PublishMiddleware): () => void;
  useHandle(middleware: HandleMiddleware): () => void;
  onError(listener: (error: BusError) => void): () => void;
  /** Puts an error on the channel. `critical` shuts the bus down in order. */
  raise(error: {
    severity: Severity;
    code?: string;
    message: string;
    cause?: unknown;
    event?: AgentEvent;
  }): void;

  pause(): void;
  resume(): void;
  stats(): BusStats;
  /** Whether events can be published and carried just now. Never throws. */
  health(): Promise<BusHealth>;
  /** Resolves when no subscription has anything queued or running. */
  idle(): Promise<void>;
  /**
   * Refuses new work, stops pulling, finishes what runs (it may still publish), gives back what had
   * not started, fails open requests with CLOSED. At the deadline it aborts what still runs and
   * returns the report all the same. Doesn't close the transport.
   */
  drain(options?: { readonly deadlineMs?: number }): Promise<DrainReport>;
  /** Drains, then closes the transport. @default deadlineMs 10_000 */
  close(options?: { readonly deadlineMs?: number }): Promise<DrainReport>;
  [Symbol.asyncDispose](): Promise<void>;
}
