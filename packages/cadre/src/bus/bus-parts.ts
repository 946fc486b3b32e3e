/** The parts of one bus, put together. Nothing runs yet. */
import { systemClock } from "../core/clock.ts";
import { isCadreError } from "../core/errors.ts";
import type { AgentEvent } from "../core/event.ts";
import { silentLogger, type Logger } from "../core/logger.ts";
import { secureRandom } from "../core/random.ts";
import type { EventRegistry } from "../core/registry.ts";
import { Broadcasts } from "./broadcast.ts";
import type { BusOptions, Handler } from "./bus.ts";
import { DeadLetterOffice } from "./dead-letter-office.ts";
import { Deadlines } from "./deadline-queue.ts";
import { Draining } from "./drain.ts";
import { ErrorChannel } from "./error-channel.ts";
import { ErrorEvents } from "./error-events.ts";
import { Fairness } from "./fairness.ts";
import type { Guard } from "./guard.ts";
import { guardOf } from "./guard-parts.ts";
import type { Violation } from "./identity/violation-log.ts";
import type { MemberOfBus } from "./member.ts";
import { Middleware } from "./middleware.ts";
import { OrderedPublisher } from "./ordered-publisher.ts";
import { Publisher, type PublisherParts } from "./publisher.ts";
import { Replay } from "./replay.ts";
import { isInternal, isNews } from "./reply.ts";
import { Requests } from "./requests.ts";
import { InvalidEvent, isRefusal } from "./retry-policy.ts";
import { once, Subscriptions } from "./subscriptions.ts";

const defaults = {
  source: "cadre",
  maxHandlerBacklog: 1_000, // events beyond a full queue's bound, from inside handlers
  dedupWindow: 10_000, // ids; at 1,000 events a second, ten seconds of duplicates
} as const;

export interface BusParts {
  readonly name: string;
  readonly source: string;
  readonly errors: ErrorChannel;
  readonly middleware: Middleware;
  readonly broadcasts: Broadcasts;
  readonly publisher: Publisher;
  readonly ordered: OrderedPublisher;
  readonly deadLetters: DeadLetterOffice;
  readonly subscriptions: Subscriptions;
  readonly requests: Requests;
  readonly errorEvents: ErrorEvents;
  readonly replay: Replay;
  readonly draining: Draining;
  /** Only where signatures or permissions are on. */
  readonly guard: Guard | undefined;
  /** The bus's own subscriptions, which outlive the user's. */
  readonly own: readonly MemberOfBus[];
}

export function assembleBus(options: BusOptions): BusParts {
  const { transport } = options;
  const logger = options.logger ?? silentLogger;
  const base = assembleBase(options, logger);
  const { source, instance, clock, errors, fairness, admit, publisher } = base;
  const deadlines = new Deadlines(clock);
  const { guard } = base;
  const verify = guard && ((event: AgentEvent, at: number) => void guard.check(event, at));
  const sees = (event: AgentEvent | undefined): boolean =>
    event ? base.sees(event) : (guard?.permissions?.seesUnknown(source) ?? true);
  const deadLetters = new DeadLetterOffice(transport, publisher, clock, logger, sees, verify);
  const subscriptions = new Subscriptions({
    ...base,
    deadlines,
    deadLetters,
    unitOfWork: options.unitOfWork ?? transport.unitOfWork,
    dedupWindow: options.dedupWindow ?? defaults.dedupWindow,
    announce: (type, payload) => announce(publisher, errors, type, payload),
  });
  const own: MemberOfBus[] = [];
  const open = async (type: string, handler: Handler): Promise<void> => {
    own.push(await subscriptions.openOwn(type, handler));
  };
  const { reportsUnroutable } = transport.capabilities;
  const asking = { instance, publisher, clock, deadlines, errors, reportsUnroutable, open, guard };
  const requests = new Requests(asking);
  return {
    name: `${source}-${instance}`,
    source,
    errors,
    middleware: base.middleware,
    broadcasts: base.broadcasts,
    publisher,
    ordered: new OrderedPublisher(publisher, base),
    deadLetters,
    subscriptions,
    requests,
    errorEvents: new ErrorEvents({ instance, publisher, errors, open }),
    replay: new Replay({ transport, publisher, fairness, admit, sees: base.sees }),
    draining: new Draining({ clock, publisher, requests, subscriptions }),
    guard,
    own,
  };
}

interface BaseParts extends PublisherParts {
  readonly instance: string;
  readonly errors: ErrorChannel;
  readonly admit: Admit;
  readonly publisher: Publisher;
  /** Whether the bus's own source may see an event. */
  readonly sees: (event: AgentEvent) => boolean;
}

/** What everything else stands on: the way out, and the direct path in. */
function assembleBase(options: BusOptions, logger: Logger): BaseParts {
  const { transport } = options;
  const clock = options.clock ?? systemClock;
  const random = options.random ?? secureRandom;
  const errors = new ErrorChannel(clock, logger);
  const middleware = new Middleware();
  const fairness = new Fairness(clock);
  const source = options.source ?? defaults.source;
  const say = (violation: Violation): void =>
    announce(publisher, errors, "violation.detected", { ...violation, detectedBy: source });
  const guard: Guard | undefined = guardOf(options, source, clock, options.onViolation ?? say);
  const known = admission(options.events, transport.capabilities.crossesProcess);
  const admit = guard ? guarded(known, guard) : known;
  const onRefused = (event: AgentEvent, cause: unknown): void =>
    errors.raise({
      severity: "error",
      message: refusalOf(event),
      cause: cause instanceof InvalidEvent ? cause.refused : cause,
      event,
    });
  const parts: PublisherParts = {
    transport,
    registry: options.events,
    source,
    clock,
    random,
    middleware,
    broadcasts: new Broadcasts({
      transport,
      middleware,
      fairness,
      admit: guard ? once(admit, guard) : admit,
      onRefused,
    }),
    fairness,
    guard,
    maxHandlerBacklog: options.maxHandlerBacklog ?? defaults.maxHandlerBacklog,
  };
  const instance = random.id(clock.now());
  const publisher: Publisher = new Publisher(parts);
  const rights = guard?.permissions;
  const sees = ({ type, metadata }: AgentEvent): boolean =>
    rights?.may(source, "subscribe", type, metadata.tenant) ?? true;
  return { ...parts, instance, errors, admit, publisher, sees };
}

/** @param takenAt when the carrier took it; now unless given */
type Admit = (event: AgentEvent, takenAt?: number) => AgentEvent;

/** Looks at who an event comes from before anything else is made of it. */
function guarded(known: Admit, guard: Guard): Admit {
  return (event, takenAt) => {
    let verified: AgentEvent;
    try {
      verified = guard.check(event, takenAt);
    } catch (error) {
      const isOurs = isCadreError(error, "SIGNATURE_REJECTED") || isCadreError(error, "FORBIDDEN");
      throw isOurs ? new InvalidEvent(error, "rejected") : error;
    }
    return known(verified);
  };
}

/**
 * Brings an event that arrives to the current version, and checks it if it comes from another
 * process.
 */
function admission(registry: EventRegistry | undefined, crossesProcess: boolean): Admit {
  if (!registry) return (event) => event;
  return (event) => {
    if (isInternal(event.type) || (isNews(event.type) && !registry.find(event.type))) return event;
    try {
      const current = registry.upcast(event);
      if (crossesProcess) {
        registry.validate(current.type, current.payload, current.metadata.version);
      }
      return current;
    } catch (error) {
      throw isRefusal(error) ? new InvalidEvent(error) : error;
    }
  };
}

function refusalOf(event: AgentEvent): string {
  return `An event of type "${event.type}" was refused on arrival.`;
}

/** Says something about the bus itself, best effort. */
function announce(
  publisher: Publisher,
  errors: ErrorChannel,
  type: string,
  payload: Readonly<Record<string, unknown>>,
): void {
  const event = publisher.createUnchecked(type, payload);
  const excess = Number.MAX_SAFE_INTEGER; // news of a full queue must get past it
  publisher.sendRaw({ event, excess }).catch((cause: unknown) => {
    const message = `An event of type "${type}" about the bus itself could not be published.`;
    errors.raise({ severity: "warning", message, cause });
  });
}
