/**
 * The event: an immutable, typed fact with an id, a cause and a correlation.
 *
 *   flow (correlationId)   A ──▶ B ──▶ D        B.causationId = A.id, D.causationId = B.id
 *                          └───▶ C              all four carry A.id as correlationId
 *
 * An event is frozen all the way down from the moment it exists; what cannot survive a trip through
 * JSON never enters one.
 */
import type { Clock } from "./clock.ts";
import { CadreError } from "./errors.ts";
import { toFrozenJson, type JsonValue } from "./json.ts";
import type { Random } from "./random.ts";
import { assertTopic } from "./topic.ts";

export type Priority = "low" | "normal" | "high" | "critical";

/** Priorities from the least to the most urgent. */
export const priorities: readonly Priority[] = ["low", "normal", "high", "critical"];

export interface EventMetadata {
  /** Version of the payload's schema, semver. */
  readonly version: string;
  /** The flow that the event belongs to: the id of the event that began it. */
  readonly correlationId: string;
  /** The event that caused this one. */
  readonly causationId?: string;
  /** The one agent (or asking instance) that the event is addressed to. */
  readonly target?: string;
  /** Events with one key keep their order where the subscription asks for it. */
  readonly key?: string;
  /** Absent means `normal`. */
  readonly priority?: Priority;
  /** Unix milliseconds; undelivered after this instant, the event is expired. */
  readonly expiresAt?: number;
  /** Unix milliseconds; not delivered before this instant. */
  readonly deliverAt?: number;
  readonly agentId?: string;
  readonly userId?: string;
  readonly tenant?: string;
  /** W3C Trace Context. */
  readonly traceparent?: string;
  readonly tracestate?: string;
  /** Where a reply to this request goes. */
  readonly replyTo?: string;
  /** The id of the event that this one repeats, in a replay. */
  readonly replayOf?: string;
  readonly signature?: string;
  /** What others put in. Survives every hop. */
  readonly extensions?: Readonly<Record<string, JsonValue>>;
}

export interface AgentEvent<Type extends string = string, Payload = unknown> {
  /** UUIDv7: unique, and sorts by time. */
  readonly id: string;
  /** Dotted lower case: `task.created`. */
  readonly type: Type;
  /** The publisher: an agent's name or its DID. */
  readonly source: string;
  /** Unix milliseconds. */
  readonly timestamp: number;
  readonly payload: Payload;
  readonly metadata: EventMetadata;
}

/** The parts of the metadata that a publisher may set. */
export interface EventOptions extends Partial<Omit<EventMetadata, "causationId">> {
  /**
   * The event that causes the new one: gives it its cause, its correlation, and, unless set here,
   * its tenant, user and trace.
   */
  readonly cause?: AgentEvent;
  /**
   * Sets the id, for a publisher that must be able to send the same event again. A UUIDv7 unless
   * given.
   */
  readonly id?: string;
}

export interface EventContext {
  readonly clock: Clock;
  readonly random: Random;
  readonly source: string;
  /** The payload's version, where the registry knows it. `1.0.0` unless given. */
  readonly version?: string;
}

/**
 * Names of the metadata in the one order in which they are set: events of one kind then share one
 * hidden class.
 */
export const metadataFields: readonly (keyof EventMetadata)[] = [
  "version",
  "correlationId",
  "causationId",
  "target",
  "key",
  "priority",
  "expiresAt",
  "deliverAt",
  "agentId",
  "userId",
  "tenant",
  "traceparent",
  "tracestate",
  "replyTo",
  "replayOf",
  "signature",
  "extensions",
];

type Draft = { -readonly [Field in keyof EventMetadata]: EventMetadata[Field] };

/**
 * Makes an event, frozen and checked.
 *
 * @throws {CadreError} INVALID_TOPIC, when `type` is no topic
 * @throws {CadreError} NOT_JSON, when the payload or an extension holds what JSON cannot carry
 * @throws {CadreError} INVALID_EVENT, when an option has an impossible value
 */
export function createEvent<Type extends string, Payload>(
  context: EventContext,
  type: Type,
  payload: Payload,
  options?: EventOptions,
): AgentEvent<Type, Payload> {
  assertTopic(type);
  const { clock, random, source, version } = context;
  return makeEvent(random, clock.now(), type, payload, options, source, version);
}

/**
 * `createEvent` for a type that has been checked, at a time that has been read, and with a source
 * and a version of its own: a bus needs no context for each of them.
 */
export function makeEvent<Type extends string, Payload>(
  random: Random,
  timestamp: number,
  type: Type,
  payload: Payload,
  options: EventOptions | undefined,
  source: string,
  version: string | undefined,
): AgentEvent<Type, Payload> {
  const id = options?.id ?? random.id(timestamp);
  const event = {
    id,
    type,
    source,
    timestamp,
    payload: toFrozenJson(payload) as Payload,
    metadata: Object.freeze(makeMetadata(id, options, version)),
  };
  return Object.freeze(event);
}

function makeMetadata(
  id: string,
  options: EventOptions | undefined,
  knownVersion: string | undefined,
): EventMetadata {
  const cause = options?.cause;
  const version = options?.version ?? knownVersion ?? "1.0.0";
  const correlationId = options?.correlationId ?? cause?.metadata.correlationId ?? id;
  assertField("version", version);
  assertField("correlationId", correlationId);
  if (!cause) {
    const metadata: Draft = { version, correlationId };
    if (options && hasMember(options)) addFields(metadata, options, options);
    return metadata;
  }
  assertField("causationId", cause.id);
  const metadata: Draft = { version, correlationId, causationId: cause.id };
  addFields(metadata, options, cause.metadata);
  return metadata;
}

/**
 * Adds what is there, in the order of {@link metadataFields}, field by field: a loop over their
 * names takes four times as long. What `inherited` has is what a caused event takes over from its
 * cause unless its publisher says otherwise.
 */
function addFields(
  metadata: Draft,
  options: EventOptions,
  inherited: Pick<EventMetadata, "userId" | "tenant" | "traceparent" | "tracestate">,
): void {
  add(metadata, "target", options.target);
  add(metadata, "key", options.key);
  add(metadata, "priority", options.priority);
  add(metadata, "expiresAt", options.expiresAt);
  add(metadata, "deliverAt", options.deliverAt);
  add(metadata, "agentId", options.agentId);
  addEither(metadata, "userId", options.userId, inherited.userId);
  addEither(metadata, "tenant", options.tenant, inherited.tenant);
  addEither(metadata, "traceparent", options.traceparent, inherited.traceparent);
  addEither(metadata, "tracestate", options.tracestate, inherited.tracestate);
  add(metadata, "replyTo", options.replyTo);
  add(metadata, "replayOf", options.replayOf);
  add(metadata, "signature", options.signature);
  if (options.extensions === undefined) return;
  const extensions = toFrozenJson(options.extensions);
  assertField("extensions", extensions);
  metadata.extensions = extensions as NonNullable<EventMetadata["extensions"]>; // just asserted
}

function add<Field extends keyof Draft>(
  metadata: Draft,
  field: Field,
  value: Draft[Field] | undefined,
): void {
  if (value === undefined) return;
  assertField(field, value);
  metadata[field] = value;
}

function addEither<Field extends keyof Draft>(
  metadata: Draft,
  field: Field,
  own: Draft[Field] | undefined,
  inherited: Draft[Field] | undefined,
): void {
  add(metadata, field, own === undefined ? inherited : own); // null is no absence: it is refused
}

/** Most events have no options at all, and looking for them takes longer than all the rest. */
function hasMember(options: EventOptions): boolean {
  for (const _name in options) return true;
  return false;
}

/** Refuses metadata whose fields have the wrong type. Also the border check of every decoder. */
export function checkMetadata(metadata: Readonly<Record<string, unknown>>): void {
  for (const field in metadata) {
    const value = metadata[field];
    if (value !== undefined && knownFields.has(field)) assertField(field, value);
  }
}

function assertField(field: string, value: unknown): void {
  if (isFieldValue(field, value)) return;
  throw new CadreError(
    "INVALID_EVENT",
    `metadata.${field} is ${JSON.stringify(value)}. ${expectation(field)}`,
    { field: `metadata.${field}`, value },
  );
}

const knownFields: ReadonlySet<string> = new Set(metadataFields);

function isFieldValue(field: string, value: unknown): boolean {
  switch (field) {
    case "expiresAt":
    case "deliverAt":
      return typeof value === "number" && Number.isFinite(value) && value >= 0;
    case "priority":
      return (priorities as readonly unknown[]).includes(value);
    case "extensions":
      return typeof value === "object" && value !== null && !Array.isArray(value);
    default:
      return typeof value === "string" && value !== "";
  }
}

function expectation(field: string): string {
  switch (field) {
    case "expiresAt":
    case "deliverAt":
      return "Give an instant in Unix milliseconds.";
    case "priority":
      return `Give one of ${priorities.join(", ")}.`;
    case "extensions":
      return "Give an object.";
    default:
      return "Give a string that isn't empty.";
  }
}

/** The fields of an event in the order in which they are compared, encoded and shown. */
export const eventFields = ["id", "type", "source", "timestamp", "payload", "metadata"] as const;

/**
 * A copy of `event` with other metadata; the payload is shared, which is safe because both are
 * frozen.
 */
export function withMetadata<Event extends AgentEvent>(
  event: Event,
  changes: Partial<EventMetadata>,
): Event {
  const metadata: Record<string, unknown> = {};
  for (const field of metadataFields) {
    const value = field in changes ? changes[field] : event.metadata[field];
    if (value !== undefined) metadata[field] = value;
  }
  checkMetadata(metadata);
  return Object.freeze({ ...event, metadata: Object.freeze(metadata) });
}

/** How urgent an event is: 0 (low) to 3 (critical). */
export function priorityRank(event: AgentEvent): number {
  return priorities.indexOf(event.metadata.priority ?? "normal");
}
