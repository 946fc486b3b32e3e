/**
 * The way out: an event is made, checked once, passed through the publish middleware and handed to
 * the transport.
 *
 *   create (topic, registry, JSON) ─▶ middleware ─▶ room in the queues ─▶ transport.publish
 */
import type { Clock } from "../core/clock.ts";
import { CadreError } from "../core/errors.ts";
import { checkMetadata, makeEvent, type AgentEvent, type EventMetadata } from "../core/event.ts";
import { toFrozenJson } from "../core/json.ts";
import type { Random } from "../core/random.ts";
import type { EventRegistry } from "../core/registry.ts";
import { assertTopic } from "../core/topic.ts";
import type { Broadcasts } from "./broadcast.ts";
import type { PublishItem, PublishOptions } from "./bus.ts";
import type { Fairness } from "./fairness.ts";
import type { Guard } from "./guard.ts";
import { isInsideHandler } from "./handler-scope.ts";
import type { Middleware } from "./middleware.ts";
import { checkPublishOptions } from "./publish-options.ts";
import type { Outgoing, PublishResult, Transport } from "./transport.ts";

export interface PublisherParts {
  readonly transport: Transport;
  readonly registry: EventRegistry | undefined;
  readonly source: string;
  readonly clock: Clock;
  readonly random: Random;
  readonly middleware: Middleware;
  readonly broadcasts: Broadcasts;
  readonly fairness: Fairness;
  /** Only where signatures or permissions are on. */
  readonly guard?: Guard | undefined;
  readonly maxHandlerBacklog: number;
}

/** What became of an event that was not refused. */
export interface Sent {
  readonly unroutable?: boolean;
}

const taken: Sent = Object.freeze({});

const unroutable: Sent = Object.freeze({ unroutable: true });

export class Publisher {
  readonly #parts: PublisherParts;
  #state: "open" | "draining" | "closed" = "open";
  published = 0;
  refused = 0;
  unroutable = 0;

  constructor(parts: PublisherParts) {
    this.#parts = parts;
  }

  get state(): "open" | "draining" | "closed" {
    return this.#state;
  }

  /** From now on only handlers that still run may publish. */
  drain(): void {
    if (this.#state === "open") this.#state = "draining";
  }

  close(): void {
    this.#state = "closed";
  }

  /** @throws {CadreError} CLOSED */
  assertOpen(): void {
    if (this.#state === "open" || (this.#state === "draining" && isInsideHandler())) return;
    this.refused += 1;
    const doing = this.#state === "draining" ? "is draining" : "is closed";
    throw new CadreError("CLOSED", `The bus ${doing} and takes no new events.`, { what: "bus" });
  }

  /**
   * Makes an event and checks it against the registry.
   * @param now the time as the bus's clock has just said it
   * @throws {CadreError} INVALID_TOPIC | UNKNOWN_TYPE | UNKNOWN_VERSION | INVALID_PAYLOAD |
   * NOT_JSON | INVALID_EVENT
   */
  create(
    type: string,
    payload: unknown,
    options: PublishOptions = {},
    now: number = this.#parts.clock.now(),
  ): AgentEvent {
    try {
      assertTopic(type);
      const { registry, source, random, guard } = this.#parts;
      const from = options.source ?? source;
      const permitted = guard ? guard.permit(from, type, options) : options;
      let event: AgentEvent;
      if (registry) {
        const checked = registry.validate(type, payload, options.version);
        const version = options.version ?? registry.find(type)?.version;
        event = makeEvent(random, now, type, checked, permitted, from, version);
      } else {
        assertObject(type, payload);
        event = makeEvent(random, now, type, payload, permitted, from, undefined);
      }
      return guard ? guard.seal(event) : event;
    } catch (error) {
      this.refused += 1;
      throw error;
    }
  }

  /** Makes an event of the bus's own, which no registry knows. */
  createUnchecked(type: string, payload: unknown, options: PublishOptions = {}): AgentEvent {
    assertTopic(type);
    const { clock, random, source, guard } = this.#parts;
    const from = options.source ?? source;
    const owned = guard ? guard.own(from, options) : options;
    const event = makeEvent(random, clock.now(), type, payload, owned, from, undefined);
    return guard ? guard.seal(event) : event;
  }

  /** The source of what is said again: what this process cannot speak for, it says itself. */
  sourceOf(past: AgentEvent): string {
    const { guard, source } = this.#parts;
    return !guard || guard.speaksFor(past.source) ? past.source : source;
  }

  /**
   * Takes over a finished event: checked like a new one, copied and frozen, its id kept.
   * @throws {CadreError} INVALID_EVENT | INVALID_TOPIC | UNKNOWN_TYPE | INVALID_PAYLOAD | NOT_JSON
   */
  adopt(event: AgentEvent): AgentEvent {
    try {
      assertTopic(event.type);
      assertEnvelope(event);
      const { registry } = this.#parts;
      if (registry) registry.validate(event.type, event.payload, event.metadata.version);
      else assertObject(event.type, event.payload);
      return Object.freeze({
        id: event.id,
        type: event.type,
        source: event.source,
        timestamp: event.timestamp,
        payload: toFrozenJson(event.payload),
        metadata: toFrozenJson(event.metadata) as unknown as EventMetadata, // checked above
      });
    } catch (error) {
      this.refused += 1;
      throw error;
    }
  }

  /** Makes an event and sends it; resolves with it when the transport has it. */
  publish(
    type: string,
    payload: unknown,
    options: PublishOptions | undefined,
  ): Promise<AgentEvent> {
    // Not an async function: the usual publish makes one promise, which is settled at once.
    try {
      this.assertOpen();
      const event = this.create(type, payload, checkPublishOptions(options));
      if (!this.sendNow(event, this.#parts.clock)) return this.#sendThenGive(event);
      const { fairness } = this.#parts;
      return fairness.spend() ? fairness.turn().then(() => event) : Promise.resolve(event);
    } catch (error) {
      return Promise.reject(error);
    }
  }

  async #sendThenGive(event: AgentEvent): Promise<AgentEvent> {
    await this.send(event);
    return event;
  }

  /** Resolves when the transport has the event. */
  send(event: AgentEvent): Promise<Sent> {
    if (this.#parts.middleware.observesPublish) return this.#sendThrough(event);
    return this.#transmit(event);
  }

  /**
   * Sends on the direct path, if there is one and nothing is in the way.
   * @param madeBy the clock, for an event that has just been made
   */
  sendNow(event: AgentEvent, madeBy?: Clock): Sent | undefined {
    const { middleware, broadcasts } = this.#parts;
    if (middleware.observesPublish || broadcasts.pressed) return undefined;
    return this.#handOverNow(event, madeBy);
  }

  #handOverNow(event: AgentEvent, madeBy?: Clock): Sent | undefined {
    const answer = this.#parts.transport.publishNow?.(event, madeBy);
    if (answer === undefined) return undefined;
    this.published += 1;
    if (answer === "taken") return taken;
    this.unroutable += 1;
    return unroutable;
  }

  async #sendThrough(event: AgentEvent): Promise<Sent> {
    let result: Sent | undefined;
    await this.#parts.middleware.aroundPublish(event, async (changed) => {
      result = await this.#transmit(this.#recheck(event, changed));
    });
    if (!result) this.refused += 1;
    return result ?? taken;
  }

  /**
   * The event as the publish middleware leaves it, or undefined when it is held; for sending later.
   */
  async pass(event: AgentEvent): Promise<AgentEvent | undefined> {
    this.assertDelay(event);
    const { middleware } = this.#parts;
    if (!middleware.observesPublish) return event;
    let passed: AgentEvent | undefined;
    await middleware.aroundPublish(event, (changed) => {
      passed = this.#recheck(event, changed);
      return Promise.resolve();
    });
    if (!passed) this.refused += 1;
    return passed;
  }

  /** Sends events that have passed the middleware; throws the first failure. */
  async sendAll(events: readonly AgentEvent[]): Promise<void> {
    if (events.length === 0) return;
    const { transport, maxHandlerBacklog } = this.#parts;
    const batch = events.map((event): Outgoing => ({ event, excess: maxHandlerBacklog }));
    for (const result of await this.#handOver(transport, batch)) this.#count(result);
  }

  /** `sendRaw` of an event for everybody on the direct path; false when it cannot go there. */
  sendRawNow(event: AgentEvent, madeBy?: Clock): boolean {
    return this.#handOverNow(event, madeBy) !== undefined;
  }

  /** Sends one thing as it is: what the bus says for itself, and deliveries to one group. */
  async sendRaw(outgoing: Outgoing): Promise<Sent> {
    const sent = outgoing.to === undefined ? this.#handOverNow(outgoing.event) : undefined;
    if (sent) return sent;
    const [result] = await this.#handOver(this.#parts.transport, [outgoing]);
    return this.#count(result);
  }

  async sendBatch(
    items: readonly PublishItem[],
  ): Promise<readonly ({ readonly event: AgentEvent } | { readonly error: unknown })[]> {
    const outcomes: ({ readonly event: AgentEvent } | { readonly error: unknown })[] = [];
    const batch: Outgoing[] = [];
    const places: number[] = [];
    for (const [place, item] of items.entries()) {
      try {
        const event = this.create(item.type, item.payload, checkPublishOptions(item.options));
        const passed = await this.pass(event);
        if (passed) {
          batch.push(await this.#admit(passed));
          places.push(place);
        }
        outcomes.push({ event });
      } catch (error) {
        outcomes.push({ error });
      }
    }
    if (batch.length === 0) return outcomes;
    const results = await this.#handOver(this.#parts.transport, batch);
    for (const [index, place] of places.entries()) {
      try {
        this.#count(results[index]);
      } catch (error) {
        outcomes[place] = { error };
      }
    }
    return outcomes;
  }

  async #transmit(event: AgentEvent): Promise<Sent> {
    this.assertDelay(event);
    const { transport, fairness, broadcasts } = this.#parts;
    const admitted = broadcasts.pressed ? await this.#admit(event) : undefined;
    let sent = this.#handOverNow(event);
    if (!sent) {
      const batch = [admitted ?? this.#outgoing(event)];
      const [result] = await this.#handOver(transport, batch);
      sent = this.#count(result);
    }
    if (fairness.spend()) await fairness.turn();
    return sent;
  }

  /** Waits for room in the queues that make their publishers wait, or refuses. */
  async #admit(event: AgentEvent): Promise<Outgoing> {
    const { broadcasts, maxHandlerBacklog } = this.#parts;
    const outgoing = this.#outgoing(event);
    try {
      if (outgoing.excess !== undefined) broadcasts.assertRoom(event.type, maxHandlerBacklog);
      else await broadcasts.waitForRoom(event.type);
    } catch (error) {
      this.refused += 1;
      throw error;
    }
    return outgoing;
  }

  #outgoing(event: AgentEvent): Outgoing {
    return isInsideHandler() ? { event, excess: this.#parts.maxHandlerBacklog } : { event };
  }

  #count(result: PublishResult | undefined): Sent {
    if (result?.ok) {
      this.published += 1;
      if (result.unroutable) this.unroutable += 1;
      return result;
    }
    this.refused += 1;
    throw (
      result?.error ??
      new CadreError("INTERNAL", "The transport gave no result for a published event.", {
        what: "transport.publish",
      })
    );
  }

  async #handOver(
    transport: Transport,
    batch: readonly Outgoing[],
  ): Promise<readonly PublishResult[]> {
    try {
      return await transport.publish(batch);
    } catch (error) {
      this.refused += batch.length;
      throw error;
    }
  }

  #recheck(before: AgentEvent, after: AgentEvent): AgentEvent {
    if (after === before) return before;
    const adopted = this.adopt(after);
    return this.#parts.guard?.reseal(before, adopted) ?? adopted;
  }

  /** @throws {CadreError} UNSUPPORTED */
  assertDelay(event: AgentEvent): void {
    const { deliverAt } = event.metadata;
    if (deliverAt === undefined) return;
    const { transport, clock } = this.#parts;
    if (transport.capabilities.delayedPublish || deliverAt <= clock.now()) return;
    this.refused += 1;
    throw new CadreError(
      "UNSUPPORTED",
      `Transport "${transport.name}" cannot hold an event back until its deliverAt. ` +
        `Publish it when it is due.`,
      { feature: "deliverAt", by: transport.name },
    );
  }
}

function assertObject(type: string, payload: unknown): void {
  if (typeof payload === "object" && payload !== null && !Array.isArray(payload)) return;
  const found = payload === null ? "null" : Array.isArray(payload) ? "an array" : typeof payload;
  throw new CadreError("INVALID_PAYLOAD", `The payload of "${type}" is ${found}. Give an object.`, {
    type,
    version: "1.0.0",
    issues: [{ path: "", message: "must be an object" }],
  });
}

function assertEnvelope(event: AgentEvent): void {
  const fields = { id: event.id, source: event.source };
  for (const [field, value] of Object.entries(fields)) {
    if (typeof value === "string" && value !== "") continue;
    throw new CadreError("INVALID_EVENT", `The event's ${field} is not a string with text in it.`, {
      field,
      value,
    });
  }
  if (!Number.isFinite(event.timestamp)) {
    throw new CadreError("INVALID_EVENT", "The event's timestamp is no number of milliseconds.", {
      field: "timestamp",
      value: event.timestamp,
    });
  }
  const metadata = event.metadata as unknown;
  if (typeof metadata !== "object" || metadata === null) {
    throw new CadreError("INVALID_EVENT", "The event has no metadata.", { field: "metadata" });
  }
  for (const field of ["version", "correlationId"] as const) {
    if (typeof event.metadata[field] === "string") continue;
    throw new CadreError("INVALID_EVENT", `The event has no metadata.${field}.`, {
      field: `metadata.${field}`,
    });
  }
  checkMetadata(metadata as Readonly<Record<string, unknown>>);
}
