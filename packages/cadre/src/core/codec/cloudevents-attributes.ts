/**
 * An event as CloudEvents 1.0 attributes, and back.
 *
 *   event                       attribute
 *   id, type, source            id, type, source
 *   timestamp                   time
 *   payload                     data
 *   metadata.correlationId …    correlationid, causationid, expirytime, partitionkey, traceparent …
 *   metadata.version …          cadreversion, cadretarget … (CloudEvents has no name for them)
 *   metadata.extensions         an attribute each, where name and value are legal ones
 *   all that is no legal value  cadrejson: one JSON object in ASCII
 *
 * Attributes that Cadre does not know become `metadata.extensions` and go out again as they came:
 * `subject` and `dataschema` among them. An `error` event carries severitytext and severitynumber
 * beside the payload's severity.
 */
import { metadataFields, type AgentEvent, type EventMetadata } from "../event.ts";
import type { JsonValue } from "../json.ts";
import { assembleEvent } from "./assemble-event.ts";
import { parseJson, undecodable } from "./wire-json.ts";

export type CloudAttribute = string | number | boolean;
/** The context attributes of one event, by their names. */
export type CloudAttributes = Record<string, CloudAttribute>;

type TextField = Exclude<keyof EventMetadata, "expiresAt" | "deliverAt" | "extensions">;

const textAttributes: readonly (readonly [TextField, string])[] = [
  ["correlationId", "correlationid"],
  ["causationId", "causationid"],
  ["key", "partitionkey"],
  ["traceparent", "traceparent"],
  ["tracestate", "tracestate"],
  ["version", "cadreversion"],
  ["target", "cadretarget"],
  ["priority", "cadrepriority"],
  ["agentId", "cadreagentid"],
  ["userId", "cadreuserid"],
  ["tenant", "cadretenant"],
  ["replyTo", "cadrereplyto"],
  ["replayOf", "cadrereplayof"],
  ["signature", "cadresignature"],
];
const instantAttributes = [
  ["expiresAt", "expirytime"],
  ["deliverAt", "cadredeliverat"],
] as const;

/**
 * Attributes that an extension can be sent as although CloudEvents gives them a meaning of their
 * own.
 */
const optionalAttributes: ReadonlySet<string> = new Set(["subject", "dataschema"]);
const restAttribute = "cadrejson";

/** Attributes that are never an extension. */
const taken: ReadonlySet<string> = new Set([
  ...["specversion", "id", "type", "source", "time", "datacontenttype", "data"],
  ...["severitytext", "severitynumber", restAttribute],
  ...textAttributes.map(([, attribute]) => attribute),
  ...instantAttributes.map(([, attribute]) => attribute),
]);

// OpenTelemetry's severity numbers.
const severities: Readonly<Record<string, readonly [string, number]>> = {
  warning: ["WARN", 13],
  error: ["ERROR", 17],
  critical: ["FATAL", 21],
};

/** What no attribute can hold; it travels in one attribute as JSON. */
interface Rest {
  id?: string;
  source?: string;
  timestamp?: number;
  metadata?: Record<string, JsonValue>;
  extensions?: Record<string, JsonValue>;
}

/**
 * @param typed whether attributes keep their JSON type on this wire; where all are text, only
 *   strings travel as themselves
 */
export function toAttributes(event: AgentEvent, typed: boolean): CloudAttributes {
  const { metadata } = event;
  let rest: Rest | undefined;
  const attributes: CloudAttributes = {
    specversion: "1.0",
    id: event.id,
    type: event.type,
    source: event.source,
    time: timeOf(event.timestamp),
    datacontenttype: "application/json",
  };
  if (!isLegalText(event.id)) {
    attributes["id"] = escapeText(event.id);
    (rest ??= {}).id = event.id;
  }
  if (!isUriReference(event.source)) {
    attributes["source"] = escapeText(event.source);
    (rest ??= {}).source = event.source;
  }
  if (!isWritableInstant(event.timestamp)) (rest ??= {}).timestamp = event.timestamp;
  for (const [field, attribute] of textAttributes) {
    const value = metadata[field];
    if (value === undefined) continue;
    if (isLegalText(value)) attributes[attribute] = value;
    else putMember(((rest ??= {}).metadata ??= {}), field, value);
  }
  for (const [field, attribute] of instantAttributes) {
    const value = metadata[field];
    if (value === undefined) continue;
    if (isWritableInstant(value)) attributes[attribute] = timeOf(value);
    else putMember(((rest ??= {}).metadata ??= {}), field, value);
  }
  if (event.type === "error") addSeverity(attributes, event.payload);
  if (metadata.extensions) rest = addExtensions(attributes, metadata.extensions, typed, rest);
  if (rest) attributes[restAttribute] = asciiJson(rest);
  return attributes;
}

function addExtensions(
  attributes: CloudAttributes,
  extensions: Readonly<Record<string, JsonValue>>,
  typed: boolean,
  before: Rest | undefined,
): Rest | undefined {
  const names = Object.keys(extensions);
  let rest = before;
  // An empty object is not the same as none.
  if (names.length === 0) (rest ??= {}).extensions = {};
  for (const name of names) {
    const value = extensions[name]!;
    if (canBeAttribute(name, value, typed)) attributes[name] = value;
    else putMember(((rest ??= {}).extensions ??= {}), name, value);
  }
  return rest;
}

function canBeAttribute(name: string, value: JsonValue, typed: boolean): value is CloudAttribute {
  if (!/^[a-z0-9]{1,20}$/.test(name) || taken.has(name)) return false;
  if (optionalAttributes.has(name)) {
    if (typeof value !== "string" || !isLegalText(value)) return false;
    return name === "subject" || isUri(value);
  }
  if (typeof value === "string") return isLegalText(value);
  if (typeof value === "number")
    return typed && Number.isInteger(value) && Math.abs(value) < 2 ** 31;
  return typeof value === "boolean" && typed;
}

/**
 * The event that the attributes and the data say.
 *
 * What another sender leaves out is filled in: no time is `receivedAt`, no correlation is the
 * event's own id, no version is 1.0.0.
 *
 * @throws {CadreError} UNDECODABLE
 */
export function fromAttributes(
  attributes: Readonly<Record<string, JsonValue>>,
  payload: JsonValue,
  receivedAt: number,
): AgentEvent {
  if (attributes["specversion"] !== "1.0") throw undecodable("its specversion is not 1.0");
  const rest = readRest(attributes[restAttribute]);
  const metadata: Record<string, unknown> = {};
  for (const [field, attribute] of textAttributes) {
    const value = attributes[attribute];
    if (value !== undefined) metadata[field] = value;
  }
  for (const [field, attribute] of instantAttributes) {
    const value = attributes[attribute];
    if (value !== undefined) metadata[field] = instantOf(attribute, value);
  }
  const id = rest.id ?? attributes["id"];
  metadata["version"] ??= "1.0.0";
  metadata["correlationId"] ??= id;
  for (const field of metadataFields) {
    const value = rest.metadata?.[field];
    if (value !== undefined) metadata[field] = value;
  }
  const extensions = extensionsOf(attributes, payload, rest);
  if (extensions) metadata["extensions"] = Object.freeze(extensions);
  const time = attributes["time"];
  return assembleEvent({
    id,
    type: attributes["type"],
    source: rest.source ?? attributes["source"],
    timestamp: rest.timestamp ?? (time === undefined ? receivedAt : instantOf("time", time)),
    payload,
    metadata,
  });
}

function extensionsOf(
  attributes: Readonly<Record<string, JsonValue>>,
  payload: JsonValue,
  rest: Rest,
): Record<string, JsonValue> | undefined {
  let extensions: Record<string, JsonValue> | undefined;
  for (const name of Object.keys(attributes)) {
    if (!taken.has(name)) putMember((extensions ??= {}), name, attributes[name]!);
  }
  const derived: CloudAttributes = {};
  if (attributes["type"] === "error") addSeverity(derived, payload);
  for (const name of ["severitytext", "severitynumber"]) {
    const value = attributes[name];
    // On an untyped wire the number came as text.
    const isDerived = value === derived[name] || value === String(derived[name]);
    if (value !== undefined && !isDerived) putMember((extensions ??= {}), name, value);
  }
  if (typeof rest.extensions === "object" && rest.extensions !== null) {
    extensions ??= {};
    for (const name of Object.keys(rest.extensions)) {
      putMember(extensions, name, rest.extensions[name]!);
    }
  }
  return extensions;
}

function addSeverity(attributes: CloudAttributes, payload: unknown): void {
  if (typeof payload !== "object" || payload === null || !("severity" in payload)) return;
  const severity = payload.severity;
  if (typeof severity !== "string" || !Object.hasOwn(severities, severity)) return;
  const [text, number] = severities[severity]!;
  attributes["severitytext"] = text;
  attributes["severitynumber"] = number;
}

function readRest(text: JsonValue | undefined): Rest {
  if (text === undefined) return {};
  const rest = typeof text === "string" ? parseJson(text) : null;
  if (typeof rest !== "object" || rest === null) {
    throw undecodable(`its attribute ${restAttribute} is no JSON object`);
  }
  return rest as Rest; // a member of another type is refused with the field that it stands for
}

/** A member of any name, `__proto__` too. */
function putMember(members: Record<string, JsonValue>, name: string, value: JsonValue): void {
  if (name === "__proto__") {
    Object.defineProperty(members, name, { value, enumerable: true, configurable: true });
  } else {
    members[name] = value;
  }
}

const lastInstant = 253_402_300_799_999; // the end of the year 9999: RFC 3339 has four digits

function isWritableInstant(instant: number): boolean {
  return Number.isInteger(instant) && instant >= 0 && instant <= lastInstant;
}

// Events that are written or read one after the other often are of one millisecond.
let writtenTime = { instant: 0, text: "1970-01-01T00:00:00.000Z" };
let readTime = { instant: 0, text: "1970-01-01T00:00:00.000Z" };

function timeOf(instant: number): string {
  const within = Math.min(Math.max(0, Math.floor(instant)), lastInstant);
  if (writtenTime.instant !== within) {
    writtenTime = { instant: within, text: new Date(within).toISOString() };
  }
  return writtenTime.text;
}

// Year, month, day, time, optional fraction, offset.
const rfc3339 = /^\d{4}-\d\d-\d\d[Tt]\d\d:\d\d:\d\d(?:\.\d+)?(?:[Zz]|[+-]\d\d:\d\d)$/;

function instantOf(attribute: string, value: JsonValue): number {
  if (value === readTime.text) return readTime.instant;
  const instant = typeof value === "string" && rfc3339.test(value) ? Date.parse(value) : NaN;
  if (Number.isNaN(instant)) throw undecodable(`its attribute ${attribute} is no RFC 3339 instant`);
  readTime = { instant, text: value as string };
  return instant;
}

// CloudEvents' String: no control characters, no noncharacters, no half a surrogate pair, not
// empty. oxlint-disable-next-line no-control-regex -- control characters are what it looks for
const illegal =
  /[\u0000-\u001f\u007f-\u009f\ufdd0-\ufdef\ufffe\uffff]|[\ud83f-\udbff][\udffe\udfff]/;

function isLegalText(text: string): boolean {
  return text !== "" && !illegal.test(text) && text.isWellFormed();
}

const scheme = "[A-Za-z][A-Za-z0-9+.-]*:";
const authority = "//[A-Za-z0-9._~-]*(?::[0-9]{1,5})?(?=[/?#]|$)";
const character = "(?:[A-Za-z0-9._~!$&'()*+,;=@-]|%[0-9A-Fa-f]{2})";
const tail = `(?:\\?(?:${character}|[:/?])*)?(?:#(?:${character}|[:/?])*)?$`;
const uri = new RegExp(`^${scheme}(?:${authority}|(?!//))(?:${character}|[:/])*${tail}`);
const relativeUri = new RegExp(`^(?!//)${character}*(?:/(?!/)(?:${character}|:)*)*${tail}`);

function isUri(text: string): boolean {
  return uri.test(text);
}

function isUriReference(text: string): boolean {
  return relativeUri.test(text) ? text !== "" : uri.test(text);
}

/** Readable where it can be, and always a legal text and URI reference. */
function escapeText(text: string): string {
  return encodeURIComponent(text.toWellFormed()) || "-";
}

/** JSON of ASCII alone: fit for a header, and for a CloudEvents string whatever it holds. */
function asciiJson(value: Rest): string {
  return JSON.stringify(value).replace(
    /[\u007f-\uffff]/g,
    (unit) => `\\u${unit.charCodeAt(0).toString(16).padStart(4, "0")}`,
  );
}
