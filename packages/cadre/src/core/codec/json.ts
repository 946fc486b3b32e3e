/**
 * The in-process shape as JSON in UTF-8: what Cadre's own processes and files speak among
 * themselves.
 *
 *   { "id", "type", "source", "timestamp", "payload", "metadata": { "version", … } }
 *
 * Lone surrogates travel escaped. Members that this version doesn't know, at the top or in the
 * metadata, are kept in `metadata.extensions`: a newer process may have written them, and they must
 * survive the hop.
 */
import type { AgentEvent } from "../event.ts";
import { eventFields, metadataFields } from "../event.ts";
import type { JsonValue } from "../json.ts";
import { assembleEvent } from "./assemble-event.ts";
import { decodeJson, encodeUtf8, undecodable, type CodecLimits } from "./wire-json.ts";

type Members = Readonly<Record<string, JsonValue>>;

const knownFields: ReadonlySet<string> = new Set(eventFields);
const knownMetadata: ReadonlySet<string> = new Set(metadataFields);

/** @throws {CadreError} TOO_LARGE */
export function encodeEvent(event: AgentEvent, limits: CodecLimits = {}): Uint8Array {
  return encodeUtf8(JSON.stringify(event), limits);
}

/**
 * The event that the bytes hold, frozen.
 *
 * @throws {CadreError} TOO_LARGE | UNDECODABLE
 */
export function decodeEvent(bytes: Uint8Array, limits: CodecLimits = {}): AgentEvent {
  return eventOfJson(decodeJson(bytes, limits));
}

/** Whether JSON is an event in this shape, and not in one of other systems. */
export function isEventJson(fields: JsonValue): fields is Members {
  if (!isObject(fields)) return false;
  const { metadata } = fields;
  return (
    typeof fields["type"] === "string" &&
    typeof fields["timestamp"] === "number" &&
    Object.hasOwn(fields, "payload") &&
    isObject(metadata) &&
    typeof metadata["correlationId"] === "string" &&
    typeof metadata["version"] === "string"
  );
}

/** As {@link decodeEvent}, of JSON. @throws {CadreError} UNDECODABLE */
export function eventOfJson(fields: JsonValue): AgentEvent {
  if (!isObject(fields)) throw undecodable("it is no JSON object");
  const metadata = fields["metadata"];
  if (!isObject(metadata)) throw undecodable("it has no metadata");
  return assembleEvent({
    id: fields["id"],
    type: fields["type"],
    source: fields["source"],
    timestamp: fields["timestamp"],
    payload: fields["payload"],
    metadata: withStrangers(fields, metadata),
  });
}

/** The metadata, with all unknown members among its extensions. */
function withStrangers(fields: Members, metadata: Members): Members {
  const extensions = metadata["extensions"];
  if (extensions !== undefined && !isObject(extensions)) return metadata; // refused later, by name
  const strangers: [string, JsonValue][] = [];
  for (const name in fields) if (!knownFields.has(name)) strangers.push([name, fields[name]!]);
  for (const name in metadata)
    if (!knownMetadata.has(name)) strangers.push([name, metadata[name]!]);
  if (strangers.length === 0) return metadata;
  // `fromEntries` makes a member of `__proto__` too, and of two with one name the later stays: the
  // event's own extensions.
  const all = [...strangers, ...Object.entries(extensions ?? {})];
  return { ...metadata, extensions: Object.freeze(Object.fromEntries(all)) };
}

function isObject(value: JsonValue | undefined): value is Members {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}
