import { CadreError, describeError, isCadreError } from "../core/errors.ts";
import type { AgentEvent } from "../core/event.ts";
import type { EventMap } from "../core/event-types.ts";
import type { FilterDocument } from "../core/filter.ts";
import {
  checkOptions,
  someFunction,
  someObject,
  someText,
  wholeNumber,
  type OptionRules,
} from "../core/options.ts";
import { assembleBus, type BusParts } from "./bus-parts.ts";
import type {
  Bus,
  BusError,
  BusHealth,
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
} from "./bus.ts";
import type { Subscription, SubscriptionStats } from "./subscription.ts";
import type { DeadLetterOffice } from "./dead-letter-office.ts";
import { errorType, type RaisedError } from "./error-channel.ts";
import { keepGuard } from "./guard-of-bus.ts";
import { Listening, type ListenOptions } from "./listen.ts";
import type { OrderedPublishOptions } from "./ordered-publish.ts";
import type { Capabilities, GroupState, OrderedResult, ReadQuery, Transport } from "./transport.ts";

const closeDeadlineMs = 10_000; // for `close` without one: longer than most handlers

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
  identity: someObject,
  identities: someObject,
  signatures: someObject,
  permissions: someObject,
  onViolation: someFunction,
  onCritical: someFunction,
};

/**
 * Makes a bus over a transport. Nothing runs before the first subscription; `close` ends it and the
 * transport.
 *
 * @throws {CadreError} INVALID_OPTION, naming an option that is unknown or impossible
 */
export function createBus<Events extends object = EventMap>(
  options: BusOptions<Events>,
): Bus<Events> {
  checkOptions<BusOptions>("createBus", options, rules);
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
  return new CadreBus(options) as unknown as Bus<Events>;
}

class CadreBus {
  readonly name: string;
  readonly source: string;
  readonly capabilities: Capabilities;
  readonly deadLetters: DeadLetterOffice;
  readonly #options: BusOptions;
  readonly #parts: BusParts;
  readonly #listenings = new Set<Listening>();
  #closing: Promise<DrainReport> | undefined;

  constructor(options: BusOptions) {
    this.#options = options;
    const parts = assembleBus(options);
    this.#parts = parts;
    if (parts.guard) keepGuard(this, parts.guard);
    this.name = parts.name;
    this.source = parts.source;
    this.capabilities = options.transport.capabilities;
    this.deadLetters = parts.deadLetters;
    parts.errors.announce = (error) => this.#sayError(error);
    parts.errors.onCritical = (error) => void this.#shutDown(error);
  }

  publish(type: string, payload: unknown, options?: PublishOptions): Promise<AgentEvent> {
    return this.#parts.publisher.publish(type, payload, options);
  }

  async publishEvent(event: AgentEvent): Promise<void> {
    this.#parts.publisher.assertOpen();
    await this.#parts.publisher.send(this.#parts.publisher.adopt(event));
  }

  async publishInOrder(
    events: readonly AgentEvent[],
    options: OrderedPublishOptions = {},
  ): Promise<readonly OrderedResult[]> {
    this.#parts.publisher.assertOpen();
    return this.#parts.ordered.publish(events, options);
  }

  async publishBatch(
    items: readonly PublishItem[],
  ): Promise<readonly ({ readonly event: AgentEvent } | { readonly error: unknown })[]> {
    this.#parts.publisher.assertOpen();
    return this.#parts.publisher.sendBatch(items);
  }

  publishTaskEvent(name: string, payload: unknown, options?: PublishOptions): Promise<AgentEvent> {
    return this.publish(`task.${name}`, payload, options);
  }

  async subscribe(
    pattern: string,
    second: SubscribeOptions | Handler,
    third?: Handler,
  ): Promise<Subscription> {
    const [options, handler] = lastIsHandler("subscribe", second, third);
    return this.#parts.subscriptions.open(pattern, options, handler);
  }

  async declareGroup(pattern: string, options: SubscribeOptions): Promise<void> {
    return this.#parts.subscriptions.declareGroup(pattern, options);
  }

  async groups(): Promise<readonly GroupState[]> {
    this.#parts.publisher.assertOpen();
    const { transport } = this.#options;
    if (!transport.groups) throw unsupported(transport, "listing groups");
    return transport.groups();
  }

  async deleteGroup(group: string): Promise<void> {
    this.#parts.publisher.assertOpen();
    const { transport } = this.#options;
    if (!transport.deleteGroup) throw unsupported(transport, "deleting groups");
    await transport.deleteGroup(group);
  }

  listen(pattern: string, options: ListenOptions = {}): Listening {
    const { signal, ...rest } = options;
    // Nobody settles what is listened to, so nothing limits the time that the reader takes.
    const all = { ...rest, ...(signal === undefined ? {} : { signal }), timeoutMs: 0 };
    const listening: Listening = new Listening(
      (handler) => this.#parts.subscriptions.open(pattern, all, handler),
      signal,
      () => void this.#listenings.delete(listening),
    );
    this.#listenings.add(listening);
    return listening;
  }

  request(type: string, payload: unknown, options?: RequestOptions): Promise<AgentEvent> {
    return this.#parts.requests.request(type, payload, options);
  }

  gather(type: string, payload: unknown, options?: GatherOptions): Promise<readonly AgentEvent[]> {
    return this.#parts.requests.gather(type, payload, options);
  }

  async respond(
    pattern: string,
    second: SubscribeOptions | Responder,
    third?: Responder,
  ): Promise<Subscription> {
    const [options, responder] = lastIsHandler("respond", second, third);
    await this.#parts.requests.hearCancellations();
    return this.#parts.subscriptions.open(pattern, options, this.#parts.requests.answer(responder));
  }

  history(query: ReadQuery = {}): AsyncIterable<AgentEvent> {
    return this.#parts.replay.history(query);
  }

  replay(query: ReadQuery, options: ReplayOptions & { readonly to: Handler }): Promise<number> {
    return this.#parts.replay.replay(query, options);
  }

  republish(query: ReadQuery): Promise<number> {
    return this.#parts.replay.republish(query);
  }

  addFilter(filter: FilterDocument): () => void {
    return this.#parts.middleware.addFilter(filter);
  }

  usePublish(middleware: PublishMiddleware): () => void {
    return this.#parts.middleware.addPublish(middleware);
  }

  useHandle(middleware: HandleMiddleware): () => void {
    return this.#parts.middleware.addHandle(middleware);
  }

  onError(listener: (error: BusError) => void): () => void {
    if (!this.#parts.draining.begun) {
      this.#parts.errorEvents.hear().catch((cause: unknown) => {
        const message = "Errors of other runtimes cannot be heard.";
        this.#parts.errors.raise({ severity: "warning", message, cause });
      });
    }
    return this.#parts.errors.listen(listener);
  }

  raise(error: RaisedError): void {
    this.#parts.errors.raise({ code: error.cause === undefined ? "RAISED" : undefined, ...error });
  }

  pause(): void {
    this.#parts.subscriptions.pause();
  }

  resume(): void {
    this.#parts.subscriptions.resume();
  }

  stats(): BusStats {
    const { publisher, requests, subscriptions } = this.#parts;
    const { published, refused, unroutable } = publisher;
    return {
      published,
      refused,
      unroutable,
      pendingRequests: requests.size,
      lateReplies: requests.lateReplies,
      subscriptions: subscriptions.members.map((member) => member.stats()),
    };
  }

  async health(): Promise<BusHealth> {
    const { state } = this.#parts.publisher;
    if (state !== "open") return { ok: false, detail: `the bus is ${state}` };
    try {
      return (await this.#options.transport.health?.()) ?? { ok: true };
    } catch (error) {
      return { ok: false, detail: describeError(error).message };
    }
  }

  async idle(): Promise<void> {
    const { broadcasts, subscriptions } = this.#parts;
    for (;;) {
      // what was just published has arrived, on a carrier within the process
      await broadcasts.settled();
      await Promise.all(subscriptions.members.map((member) => member.idle()));
      // What one handler published may have woken another.
      if (subscriptions.members.every((member) => isIdle(member.stats()))) return;
    }
  }

  drain(options: { readonly deadlineMs?: number } = {}): Promise<DrainReport> {
    checkOptions("drain", options, { deadlineMs: wholeNumber(0) });
    for (const listening of this.#listenings) listening.end();
    return this.#parts.draining.run(options.deadlineMs);
  }

  close(options: { readonly deadlineMs?: number } = {}): Promise<DrainReport> {
    this.#closing ??= this.#close(options.deadlineMs ?? closeDeadlineMs);
    return this.#closing;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }

  async #close(deadlineMs: number): Promise<DrainReport> {
    const report = await this.drain({ deadlineMs });
    await Promise.all(this.#parts.own.map((subscription) => subscription.close({ deadlineMs: 0 })));
    this.#parts.broadcasts.close();
    await this.#options.transport.close();
    return report;
  }

  #sayError(error: BusError): void {
    this.#parts.errorEvents.say(error).catch((cause: unknown) => {
      if (isCadreError(cause, "CLOSED")) return; // the last errors of a bus that is closing
      const message = `An event of type "${errorType}" could not be published.`;
      this.#parts.errors.raise({ severity: "warning", message, cause });
    });
  }

  async #shutDown(error: BusError): Promise<void> {
    if (this.#closing) return;
    try {
      await this.close();
    } catch (cause) {
      this.#parts.errors.raise({
        severity: "error",
        message: "The bus could not close in order.",
        cause,
      });
    }
    this.#options.onCritical?.(error);
  }
}

function unsupported({ name }: Transport, feature: string): CadreError<"UNSUPPORTED"> {
  const message = `The ${name} transport cannot do this: ${feature}.`;
  return new CadreError("UNSUPPORTED", message, { feature, by: name });
}

function isIdle({ running, queued }: SubscriptionStats): boolean {
  return running + queued === 0;
}

/** Options may be left out; the handler is always last. */
function lastIsHandler<Last extends Handler | Responder>(
  method: string,
  second: SubscribeOptions | Last,
  third: Last | undefined,
): readonly [SubscribeOptions, Last] {
  if (typeof second === "function") return [{}, second];
  if (typeof third === "function") return [second, third];
  const message = `${method} needs a handler, as its last argument.`;
  throw new CadreError("INVALID_OPTION", message, { option: "handler" });
}
