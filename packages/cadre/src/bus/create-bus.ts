import { systemClock } from "../core/clock.ts";
import { CadreError, isCadreError } from "../core/errors.ts";
import type { AgentEvent } from "../core/event.ts";
import type { EventMap } from "../core/event-types.ts";
import type { FilterDocument } from "../core/filter.ts";
import { silentLogger } from "../core/logger.ts";
import {
  checkOptions,
  someFunction,
  someObject,
  someText,
  wholeNumber,
  type OptionRules,
} from "../core/options.ts";
import { secureRandom } from "../core/random.ts";
import { Broadcasts } from "./broadcast.ts";
import type {
  Bus,
  BusError,
  BusOptions,
  BusStats,
  DrainReport,
  GatherOptions,
  HandleMiddleware,
  Handler,
  PublishItem,
  PublishMiddleware,
  PublishOptions,
  ReplayOptions,
  RequestOptions,
  Responder,
  SubscribeOptions,
  Subscription,
} from "./bus.ts";
import { DeadLetterOffice } from "./dead-letter-office.ts";
import { Deadlines } from "./deadline-queue.ts";
import { Draining } from "./drain.ts";
import { ErrorChannel, errorType, type RaisedError } from "./error-channel.ts";
import { ErrorEvents } from "./error-events.ts";
import { Fairness } from "./fairness.ts";
import { Listening, type ListenOptions } from "./listen.ts";
import { Middleware } from "./middleware.ts";
import { checkPublishOptions, Publisher } from "./publisher.ts";
import { Replay } from "./replay.ts";
import { isInternal } from "./reply.ts";
import { Requests } from "./requests.ts";
import { InvalidEvent, isRefusal } from "./retry-policy.ts";
import { Subscriptions } from "./subscriptions.ts";
import type { Capabilities, ReadQuery } from "./transport.ts";

const defaults = {
  source: "cadre",
  maxHandlerBacklog: 1_000, // events beyond a full queue's bound, from inside handlers
  dedupWindow: 10_000, // ids; at 1,000 events a second, ten seconds of duplicates
  closeDeadlineMs: 10_000,
} as const;

const rules: OptionRules<BusOptions> = {
  transport: someObject,
  events: someObject,
  source: someText,
  unitOfWork: someObject,
  clock: someObject,
  random: someObject,
  logger: someObject,
  maxHandlerBacklog: wholeNumber(0),
  dedupWindow: wholeNumber(1),
  onCritical: someFunction,
};

/**
 * Makes a bus over a transport. Nothing runs before the first subscription; `close` ends it and the transport.
 *
 * @throws {CadreError} INVALID_OPTION, naming an option that is unknown or impossible
 */
export function createBus<Events extends EventMap = EventMap>(
  options: BusOptions<Events>,
): Bus<Events> {
  checkOptions<BusOptions>("createBus", options as BusOptions, rules);
  if (options.transport === undefined) {
    throw new CadreError(
      "INVALID_OPTION",
      "createBus needs a transport: memory() is the simplest.",
      {
        option: "transport",
      },
    );
  }
  // The registry types events for its users; inside, all events are alike.
  return new CadreBus(options as BusOptions) as unknown as Bus<Events>;
}

class CadreBus {
  readonly name: string;
  readonly source: string;
  readonly capabilities: Capabilities;
  readonly deadLetters: DeadLetterOffice;
  readonly #options: BusOptions;
  readonly #errors: ErrorChannel;
  readonly #middleware = new Middleware();
  readonly #broadcasts: Broadcasts;
  readonly #publisher: Publisher;
  readonly #subscriptions: Subscriptions;
  readonly #requests: Requests;
  readonly #errorEvents: ErrorEvents;
  readonly #replay: Replay;
  readonly #draining: Draining;
  readonly #own: Subscription[] = [];
  readonly #listenings = new Set<Listening>();
  #closing: Promise<DrainReport> | undefined;

  constructor(options: BusOptions) {
    const { transport } = options;
    const clock = options.clock ?? systemClock;
    const random = options.random ?? secureRandom;
    const logger = options.logger ?? silentLogger;
    const registry = options.events;
    const instance = random.id(clock.now());
    this.#options = options;
    this.source = options.source ?? defaults.source;
    this.name = `${this.source}-${instance}`;
    this.capabilities = transport.capabilities;
    this.#errors = new ErrorChannel(clock, logger);
    const [errors, middleware] = [this.#errors, this.#middleware];
    const admit = (event: AgentEvent): AgentEvent => this.#admit(event);
    const fairness = new Fairness(clock);
    const deadlines = new Deadlines(clock);
    this.#broadcasts = new Broadcasts({
      transport,
      middleware,
      fairness,
      admit,
      onRefused: (event, cause) =>
        errors.raise({
          severity: "error",
          message: `An event of type "${event.type}" was refused on arrival.`,
          cause,
          event,
        }),
    });
    this.#publisher = new Publisher({
      transport,
      registry,
      source: this.source,
      clock,
      random,
      middleware,
      broadcasts: this.#broadcasts,
      fairness,
      maxHandlerBacklog: options.maxHandlerBacklog ?? defaults.maxHandlerBacklog,
    });
    const publisher = this.#publisher;
    this.deadLetters = new DeadLetterOffice(transport, publisher, clock, logger);
    this.#subscriptions = new Subscriptions({
      transport,
      clock,
      random,
      errors,
      middleware,
      fairness,
      deadlines,
      publisher,
      broadcasts: this.#broadcasts,
      deadLetters: this.deadLetters,
      unitOfWork: options.unitOfWork ?? transport.unitOfWork,
      source: this.source,
      dedupWindow: options.dedupWindow ?? defaults.dedupWindow,
      admit,
      announce: (type, payload) => this.#announce(type, payload),
    });
    const open = (type: string, handler: Handler): Promise<void> => this.#openOwn(type, handler);
    const { reportsUnroutable } = transport.capabilities;
    this.#requests = new Requests({
      instance,
      publisher,
      clock,
      deadlines,
      errors,
      reportsUnroutable,
      open,
    });
    this.#errorEvents = new ErrorEvents({ instance, publisher, errors, open });
    this.#replay = new Replay({ transport, publisher, fairness, admit });
    const [subscriptions, requests] = [this.#subscriptions, this.#requests];
    this.#draining = new Draining({ clock, publisher, requests, subscriptions });
    errors.announce = (error) => this.#sayError(error);
    errors.onCritical = (error) => void this.#shutDown(error);
  }

  async publish(type: string, payload: unknown, options?: PublishOptions): Promise<AgentEvent> {
    this.#publisher.assertOpen();
    const event = this.#publisher.create(type, payload, checkPublishOptions(options));
    await this.#publisher.send(event);
    return event;
  }

  async publishEvent(event: AgentEvent): Promise<void> {
    this.#publisher.assertOpen();
    await this.#publisher.send(this.#publisher.adopt(event));
  }

  async publishBatch(
    items: readonly PublishItem[],
  ): Promise<readonly ({ readonly event: AgentEvent } | { readonly error: unknown })[]> {
    this.#publisher.assertOpen();
    return this.#publisher.sendBatch(items);
  }

  publishTaskEvent(name: string, payload: unknown, options?: PublishOptions): Promise<AgentEvent> {
    return this.publish(`task.${name}`, payload, options);
  }

  async subscribe(
    pattern: string,
    second: SubscribeOptions | Handler,
    third?: Handler,
  ): Promise<Subscription> {
    const options = typeof second === "function" ? {} : second;
    const handler = typeof second === "function" ? second : third;
    if (typeof handler !== "function") {
      throw new CadreError("INVALID_OPTION", "subscribe needs a handler, as its last argument.", {
        option: "handler",
      });
    }
    return this.#subscriptions.open(pattern, options, handler);
  }

  async declareGroup(pattern: string, options: SubscribeOptions): Promise<void> {
    return this.#subscriptions.declareGroup(pattern, options);
  }

  listen(pattern: string, options: ListenOptions = {}): Listening {
    const { signal, ...rest } = options;
    // Nobody settles what is listened to, so nothing limits the time that the reader takes.
    const all = { ...rest, ...(signal === undefined ? {} : { signal }), timeoutMs: 0 };
    const listening: Listening = new Listening(
      (handler) => this.#subscriptions.open(pattern, all, handler),
      signal,
      () => void this.#listenings.delete(listening),
    );
    this.#listenings.add(listening);
    return listening;
  }

  request(type: string, payload: unknown, options?: RequestOptions): Promise<AgentEvent> {
    return this.#requests.request(type, payload, options);
  }

  gather(type: string, payload: unknown, options?: GatherOptions): Promise<readonly AgentEvent[]> {
    return this.#requests.gather(type, payload, options);
  }

  async respond(
    pattern: string,
    options: SubscribeOptions,
    responder: Responder,
  ): Promise<Subscription> {
    await this.#requests.hearCancellations();
    return this.#subscriptions.open(pattern, options, this.#requests.answer(responder));
  }

  history(query: ReadQuery = {}): AsyncIterable<AgentEvent> {
    return this.#replay.history(query);
  }

  replay(query: ReadQuery, options: ReplayOptions & { readonly to: Handler }): Promise<number> {
    return this.#replay.replay(query, options);
  }

  republish(query: ReadQuery): Promise<number> {
    return this.#replay.republish(query);
  }

  addFilter(filter: FilterDocument): () => void {
    return this.#middleware.addFilter(filter);
  }

  usePublish(middleware: PublishMiddleware): () => void {
    return this.#middleware.addPublish(middleware);
  }

  useHandle(middleware: HandleMiddleware): () => void {
    return this.#middleware.addHandle(middleware);
  }

  onError(listener: (error: BusError) => void): () => void {
    if (!this.#draining.begun) {
      this.#errorEvents.hear().catch((cause: unknown) => {
        const message = "Errors of other runtimes cannot be heard.";
        this.#errors.raise({ severity: "warning", message, cause });
      });
    }
    return this.#errors.listen(listener);
  }

  raise(error: RaisedError): void {
    this.#errors.raise({ code: error.cause === undefined ? "RAISED" : undefined, ...error });
  }

  pause(): void {
    this.#subscriptions.pause();
  }

  resume(): void {
    this.#subscriptions.resume();
  }

  stats(): BusStats {
    const { published, refused, unroutable } = this.#publisher;
    return {
      published,
      refused,
      unroutable,
      pendingRequests: this.#requests.size,
      lateReplies: this.#requests.lateReplies,
      subscriptions: this.#subscriptions.members.map((member) => member.stats()),
    };
  }

  async idle(): Promise<void> {
    for (;;) {
      const members = this.#subscriptions.members;
      await Promise.all(members.map((member) => member.idle()));
      // What one handler published may have woken another.
      const { running, queued } = total(this.#subscriptions.members.map((each) => each.stats()));
      if (running + queued === 0) return;
    }
  }

  drain(options: { readonly deadlineMs?: number } = {}): Promise<DrainReport> {
    checkOptions("drain", options, { deadlineMs: wholeNumber(0) });
    for (const listening of this.#listenings) listening.end();
    return this.#draining.run(options.deadlineMs);
  }

  close(options: { readonly deadlineMs?: number } = {}): Promise<DrainReport> {
    this.#closing ??= this.#close(options.deadlineMs ?? defaults.closeDeadlineMs);
    return this.#closing;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }

  async #close(deadlineMs: number): Promise<DrainReport> {
    const report = await this.drain({ deadlineMs });
    await Promise.all(this.#own.map((subscription) => subscription.close({ deadlineMs: 0 })));
    this.#broadcasts.close();
    await this.#options.transport.close();
    return report;
  }

  /** Brings an event that arrives to the current version, and checks it if it comes from another process. */
  #admit(event: AgentEvent): AgentEvent {
    const registry = this.#options.events;
    if (!registry || isInternal(event.type)) return event;
    try {
      const current = registry.upcast(event);
      if (this.capabilities.crossesProcess) {
        registry.validate(current.type, current.payload, current.metadata.version);
      }
      return current;
    } catch (error) {
      throw isRefusal(error) ? new InvalidEvent(error) : error;
    }
  }

  async #openOwn(type: string, handler: Handler): Promise<void> {
    this.#own.push(await this.#subscriptions.openOwn(type, handler));
  }

  #announce(type: string, payload: Readonly<Record<string, unknown>>): void {
    const event = this.#publisher.createUnchecked(type, payload);
    this.#sendOwn({ event });
  }

  #sendOwn(outgoing: { readonly event: AgentEvent }): void {
    this.#publisher
      .sendRaw({ ...outgoing, excess: Number.MAX_SAFE_INTEGER })
      .catch((cause: unknown) => {
        const message = `An event of type "${outgoing.event.type}" about the bus itself could not be published.`;
        this.#errors.raise({ severity: "warning", message, cause });
      });
  }

  #sayError(error: BusError): void {
    this.#errorEvents.say(error).catch((cause: unknown) => {
      if (isCadreError(cause, "CLOSED")) return; // the last errors of a bus that is closing
      const message = `An event of type "${errorType}" could not be published.`;
      this.#errors.raise({ severity: "warning", message, cause });
    });
  }

  async #shutDown(error: BusError): Promise<void> {
    if (this.#closing) return;
    try {
      await this.close();
    } catch (cause) {
      this.#errors.raise({
        severity: "error",
        message: "The bus could not close in order.",
        cause,
      });
    }
    this.#options.onCritical?.(error);
  }
}

function total(stats: readonly { readonly running: number; readonly queued: number }[]): {
  running: number;
  queued: number;
} {
  let [running, queued] = [0, 0];
  for (const each of stats) {
    running += each.running;
    queued += each.queued;
  }
  return { running, queued };
}
