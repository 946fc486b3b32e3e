/**
 * Events as entries of EventBridge, and back from the messages of SQS.
 *
 *   entry:     Source = prefix, DetailType = type, Detail = CloudEvent
 *   message:   {"id", "source", "detail-type", "time", "detail": CloudEvent, …}
 *
 * A detail that is no CloudEvent is read as the payload of an event whose type is the detail's:
 * others may publish as they do on EventBridge.
 */
import type { Recorded } from "../../bus/transport.ts";
import { decodeCloudEvent, encodeCloudEvent } from "../../core/codec/cloudevents.ts";
import { CadreError, describeError } from "../../core/errors.ts";
import type { AgentEvent } from "../../core/event.ts";
import type { MessageLike, PutEntry, SendEntry } from "./client.ts";
import type { Session } from "./session.ts";
import { detailTypeOf, probeType } from "./rule-pattern.ts";

/** What EventBridge takes in one call, in bytes, and as many entries. */
export const maxCallBytes = 262_144;
export const maxEntries = 10;

/** Largest encoded event: with what is around it, also as a dead letter, it fits into a call. */
export const maxEventBytes = 245_760;

export const attributeOf = {
  attempt: "cadre-attempt",
  /** Unix milliseconds at which it was directed to its group. */
  directedAt: "cadre-directed-at",
  letter: "cadre-letter",
} as const;

/** @throws {CadreError} TOO_LARGE */
export function toDetail(event: AgentEvent): string {
  return Buffer.from(encodeCloudEvent(event, { maxBytes: maxEventBytes })).toString("utf8");
}

export function toEntry(session: Session, event: AgentEvent): PutEntry {
  const { eventBus } = session.settings;
  return {
    EventBusName: eventBus,
    Source: session.names.source,
    DetailType: detailTypeOf(event.type),
    Detail: toDetail(event),
  };
}

export function bytesOf({ Source, DetailType, Detail }: PutEntry): number {
  return Buffer.byteLength(Source) + Buffer.byteLength(DetailType) + Buffer.byteLength(Detail);
}

/** The message that EventBridge would make of the event. */
export function toBody(session: Session, event: AgentEvent): string {
  const { clock, random } = session.settings;
  const head = {
    version: "0",
    id: random.id(clock.now()),
    "detail-type": detailTypeOf(event.type),
    source: session.names.source,
    time: new Date(clock.now()).toISOString(),
    resources: [],
  };
  return `${JSON.stringify(head).slice(0, -1)},"detail":${toDetail(event)}}`;
}

export function numberAttribute(message: MessageLike, name: string): number | undefined {
  const text = message.MessageAttributes?.[name]?.StringValue;
  return text === undefined || text === "" ? undefined : Number(text);
}

export function numberAttributes(
  values: Readonly<Record<string, number>>,
): NonNullable<SendEntry["MessageAttributes"]> {
  const attributes: NonNullable<SendEntry["MessageAttributes"]> = {};
  for (const [name, value] of Object.entries(values)) {
    attributes[name] = { DataType: "Number", StringValue: String(value) };
  }
  return attributes;
}

/** The attempt that this delivery is: SQS counts how often it has handed the message out. */
export function attemptOf(message: MessageLike): number {
  const first = numberAttribute(message, attributeOf.attempt) ?? 1;
  const received = Number(message.Attributes?.["ApproximateReceiveCount"] ?? 1);
  return first + Math.max(1, received) - 1;
}

/** What a message says about itself and holds. */
export interface Received {
  readonly recorded: Recorded;
  /** EventBridge's own id of what was published: the same on every copy. */
  readonly entryId: string;
  readonly isProbe: boolean;
}

export function toReceived(message: MessageLike, now: number): Received {
  const recordedAt = Number(message.Attributes?.["SentTimestamp"] ?? now);
  const text = message.Body ?? "";
  let entryId = message.MessageId ?? "";
  const position = (): string => `${String(recordedAt).padStart(13, "0")}.${entryId}`;
  try {
    const body = parse(text);
    if (typeof body["id"] === "string" && body["detail-type"] !== undefined) entryId = body["id"];
    const isProbe = body["detail-type"] === probeType;
    if (isProbe) return { recorded: { position: position(), recordedAt }, entryId, isProbe };
    const bytes = Buffer.from(JSON.stringify(cloudEventIn(body)));
    const event = decodeCloudEvent(bytes, { maxBytes: Infinity, receivedAt: recordedAt });
    return { recorded: { position: position(), recordedAt, event }, entryId, isProbe };
  } catch (error) {
    const undecodable = { bytes: Buffer.from(text), reason: describeError(error).message };
    const recorded = { position: position(), recordedAt, undecodable };
    return { recorded, entryId, isProbe: false };
  }
}

function parse(text: string): Record<string, unknown> {
  const body: unknown = JSON.parse(text);
  if (typeof body === "object" && body !== null && !Array.isArray(body)) {
    return body as Record<string, unknown>;
  }
  throw new CadreError("UNDECODABLE", "The message holds no event: it is no JSON object.", {
    reason: "it is no JSON object",
  });
}

function cloudEventIn(body: Record<string, unknown>): unknown {
  if ("specversion" in body) return body; // put into the queue by somebody, without a bus
  const { detail } = body;
  if (typeof detail === "object" && detail !== null && "specversion" in detail) return detail;
  return {
    specversion: "1.0",
    id: body["id"],
    source: body["source"],
    type: body["detail-type"],
    time: body["time"],
    data: detail ?? null,
  };
}
