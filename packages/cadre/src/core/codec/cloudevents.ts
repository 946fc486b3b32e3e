/**
 * CloudEvents 1.0, structured mode: attributes and data in one JSON object,
 * `application/cloudevents+json`.
 */
import { isCadreError } from "../errors.ts";
import type { AgentEvent } from "../event.ts";
import { toFrozenJson, type JsonValue } from "../json.ts";
import { fromAttributes, toAttributes } from "./cloudevents-attributes.ts";
import { decodeJson, encodeUtf8, undecodable, type CodecLimits } from "./wire-json.ts";

/** A CloudEvent in the JSON format, as other libraries read it. */
export interface CloudEvent {
  readonly specversion: "1.0";
  readonly id: string;
  readonly type: string;
  readonly source: string;
  readonly time?: string;
  readonly datacontenttype?: string;
  readonly data: unknown;
  readonly [attribute: string]: unknown;
}

export interface CloudDecodeOptions extends CodecLimits {
  /** Unix milliseconds; stands in for the time of an event that has none. @default 0 */
  readonly receivedAt?: number;
}

export const cloudEventsContentType = "application/cloudevents+json; charset=utf-8";

/** The event as a CloudEvent. Its `data` is the payload itself, frozen. */
export function toCloudEvent(event: AgentEvent): CloudEvent {
  const attributes: Record<string, unknown> = toAttributes(event, true);
  attributes["data"] = event.payload;
  return attributes as unknown as CloudEvent; // `toAttributes` sets all that the interface names
}

/**
 * The event that a CloudEvent holds. Attributes that are `null` count as absent, and no data is
 * `null`.
 *
 * @throws {CadreError} UNDECODABLE, also for `data_base64`: payloads are JSON
 */
export function fromCloudEvent(cloudEvent: unknown, options: CloudDecodeOptions = {}): AgentEvent {
  return fromJson(toFrozenJson(cloudEvent), options);
}

/** @throws {CadreError} TOO_LARGE */
export function encodeCloudEvent(event: AgentEvent, limits: CodecLimits = {}): Uint8Array {
  return encodeUtf8(JSON.stringify(toCloudEvent(event)), limits);
}

/** @throws {CadreError} TOO_LARGE | UNDECODABLE */
export function decodeCloudEvent(bytes: Uint8Array, options: CloudDecodeOptions = {}): AgentEvent {
  return fromJson(decodeJson(bytes, options), options);
}

export const cloudEventsBatchContentType = "application/cloudevents-batch+json; charset=utf-8";

/** Several events as one batch, an array of CloudEvents. @throws {CadreError} TOO_LARGE */
export function encodeCloudEventBatch(
  events: readonly AgentEvent[],
  limits: CodecLimits = {},
): Uint8Array {
  return encodeUtf8(JSON.stringify(events.map(toCloudEvent)), limits);
}

/**
 * The events of a batch; one that is none spoils it.
 *
 * @throws {CadreError} TOO_LARGE | UNDECODABLE, naming its place
 */
export function decodeCloudEventBatch(
  bytes: Uint8Array,
  options: CloudDecodeOptions = {},
): readonly AgentEvent[] {
  const json = decodeJson(bytes, options);
  if (!Array.isArray(json)) throw undecodable("it is no JSON array");
  return json.map((each: JsonValue, index) => {
    try {
      return fromJson(each, options);
    } catch (error) {
      if (!isCadreError(error, "UNDECODABLE")) throw error;
      throw undecodable(`${error.details.reason} (event ${index} of the batch)`, error);
    }
  });
}

/** As {@link fromCloudEvent}, of what is JSON already. @throws {CadreError} UNDECODABLE */
export function readCloudEvent(json: JsonValue, options: CloudDecodeOptions = {}): AgentEvent {
  return fromJson(json, options);
}

function fromJson(json: JsonValue, options: CloudDecodeOptions): AgentEvent {
  if (typeof json !== "object" || json === null || Array.isArray(json)) {
    throw undecodable("it is no JSON object");
  }
  const attributes: Record<string, JsonValue> = {};
  let payload: JsonValue = null;
  for (const [name, value] of Object.entries(json as Readonly<Record<string, JsonValue>>)) {
    if (name === "data") payload = value;
    else if (name === "data_base64" && value !== null) {
      throw undecodable("its data is binary, and payloads are JSON");
    } else if (value !== null && name !== "__proto__") attributes[name] = value;
  }
  return fromAttributes(attributes, payload, options.receivedAt ?? 0);
}
