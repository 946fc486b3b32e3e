/**
 * The port of wire formats: events as messages with headers and a body, and back.
 *
 *   event ──encode (the format that was chosen)──▶ message ──▶ carrier
 *   event ◀──decode (whatever came)─────────────── message ◀── carrier
 *
 * Only writing has a choice. Reading tells by a message's shape what it is: CloudEvents in both
 * modes, the two older formats and their relatives, and Cadre's own JSON.
 */
import type { AgentEvent } from "../event.ts";
import type { JsonValue } from "../json.ts";
import { decodeBinaryCloudEvent, encodeBinaryCloudEvent } from "./cloudevents-binary.ts";
import type { CloudBinding } from "./cloudevents-binary.ts";
import {
  cloudEventsContentType,
  encodeCloudEvent,
  readCloudEvent,
  type CloudDecodeOptions,
} from "./cloudevents.ts";
import { isEnvelope, isObject, readEnvelope } from "./envelope.ts";
import { writeEnvelope, type EnvelopeName } from "./envelope-writer.ts";
import { decodeExactJson } from "./exact-json.ts";
import { eventOfJson, isEventJson } from "./json.ts";
import { encodeUtf8, undecodable, type CodecLimits } from "./wire-json.ts";

/** One event on the wire. */
export interface WireMessage {
  /** Beside the content type; names as the carrier's binding has them. */
  readonly headers: Readonly<Record<string, string>>;
  readonly contentType: string;
  readonly body: Uint8Array;
}

/** A message as it came: foreign programs leave out what they like. */
export interface ForeignMessage {
  readonly headers?: Readonly<Record<string, string | undefined>>;
  readonly contentType?: string;
  readonly body: Uint8Array;
}

export interface WireFormat {
  readonly name: string;
  /** Whether a message is of this format alone; asked before Cadre looks for its own formats. */
  recognises?(message: ForeignMessage): boolean;
  /** @throws {CadreError} TOO_LARGE */
  encode(event: AgentEvent, limits?: CodecLimits): WireMessage;
  /**
   * What it says again of the same bytes, it says with the same id.
   *
   * @throws {CadreError} TOO_LARGE | UNDECODABLE
   */
  decode(message: ForeignMessage, options?: CloudDecodeOptions): AgentEvent;
}

/** The formats that go by a name. */
export type WireFormatName = "cloudevents" | "cloudevents-binary" | "maf" | "platform";

export const wireFormatNames: readonly WireFormatName[] = [
  "cloudevents",
  "cloudevents-binary",
  "maf",
  "platform",
];

/** Headers above this are more than some carriers take; the attributes go into the body then. */
const maxHeaderBytes = 8_192;

/**
 * A format by its name.
 *
 * @param binding how the carrier's headers are written; a carrier without headers has none, and
 *   `cloudevents-binary` is `cloudevents` there
 */
export function wireFormat(name: WireFormatName, binding?: CloudBinding): WireFormat {
  const encode = encoderOf(name, binding);
  return { name, encode, decode: (message, options) => readMessage(message, options, binding) };
}

function encoderOf(name: WireFormatName, binding?: CloudBinding): WireFormat["encode"] {
  if (name === "maf" || name === "platform")
    return (event, limits) => envelope(event, name, limits);
  if (name === "cloudevents" || binding === undefined) return structured;
  return (event, limits) => {
    const { headers, contentType, data } = encodeBinaryCloudEvent(event, binding, limits);
    let size = 0;
    for (const header in headers) size += header.length + 3 * headers[header]!.length;
    if (size > maxHeaderBytes) return structured(event, limits);
    return { headers, contentType, body: data };
  };
}

const noHeaders: Readonly<Record<string, string>> = Object.freeze({});

function structured(event: AgentEvent, limits: CodecLimits = {}): WireMessage {
  const body = encodeCloudEvent(event, limits);
  return { headers: noHeaders, contentType: cloudEventsContentType, body };
}

function envelope(event: AgentEvent, name: EnvelopeName, limits: CodecLimits = {}): WireMessage {
  const body = encodeUtf8(JSON.stringify(writeEnvelope(event, name)), limits);
  return { headers: noHeaders, contentType: "application/json", body };
}

/**
 * The event that a message holds, in whichever format it came.
 *
 * @param binding whose headers to look at, for CloudEvents in binary mode
 * @throws {CadreError} TOO_LARGE | UNDECODABLE
 */
export function readMessage(
  message: ForeignMessage,
  options: CloudDecodeOptions = {},
  binding?: CloudBinding,
): AgentEvent {
  const { headers, contentType, body } = message;
  const spoken = binding === undefined || !headers ? undefined : cloudHeaders(headers, binding);
  if (binding !== undefined && spoken) {
    const typed = contentType === undefined ? {} : { contentType };
    return decodeBinaryCloudEvent({ headers: spoken, data: body, ...typed }, binding, options);
  }
  if (contentType !== undefined && /^application\/cloudevents-batch\b/i.test(contentType)) {
    throw undecodable("it is a batch of events, and a message holds one");
  }
  return readJson(decodeExactJson(body, options), body, options);
}

function readJson(json: JsonValue, body: Uint8Array, options: CloudDecodeOptions): AgentEvent {
  if (!isObject(json)) throw undecodable("it is no JSON object");
  if (Object.hasOwn(json, "specversion")) return readCloudEvent(json, options);
  if (isEventJson(json)) return eventOfJson(json);
  if (isEnvelope(json)) return readEnvelope(json, body, options.receivedAt ?? 0);
  throw undecodable("it has no specversion, no event_type and no type");
}

/** In small letters. */
const specVersionHeaders: Readonly<Record<CloudBinding, string>> = {
  http: "ce-specversion",
  nats: "ce-specversion",
  kafka: "ce_specversion",
  amqp: "cloudevents_specversion",
};

const older = /^cloudEvents:/i; // AMQP's binding knows both spellings

function respelled(
  headers: Readonly<Record<string, string | undefined>>,
): Readonly<Record<string, string | undefined>> {
  const spelled: Record<string, string | undefined> = {};
  for (const name in headers) spelled[name.replace(older, "cloudEvents_")] = headers[name];
  return spelled;
}

/** The headers, when they hold a CloudEvent. */
function cloudHeaders(
  headers: Readonly<Record<string, string | undefined>>,
  binding: CloudBinding,
): Readonly<Record<string, string | undefined>> | undefined {
  const spoken = binding === "amqp" ? respelled(headers) : headers;
  const wanted = specVersionHeaders[binding];
  if (spoken[wanted] !== undefined) return spoken;
  for (const name in spoken) {
    if (spoken[name] !== undefined && name.toLowerCase() === wanted) return spoken;
  }
  return undefined;
}
