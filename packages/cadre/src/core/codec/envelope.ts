/**
 * The envelopes of the older systems, read with tolerance.
 *
 *   what               its members, the first that is there counts
 *   id                 event_id, id; without one it is made of the bytes
 *   type               event_type, type: TASK_CREATED, or dotted
 *   timestamp          timestamp, time: ISO, epoch seconds or milliseconds; else the time received
 *   source             source_service, source; else "unknown"
 *   target             target
 *   payload            payload, data, parameters; else {}
 *   metadata           correlation_id, causation_id, version, priority at the top or in `metadata`,
 *                      user_id and agent_id in `metadata`
 *   metadata.cadre     what only Cadre knows; it wins over all of the above
 *
 * Every other member, and every value that Cadre would write in other words, is kept in
 * `metadata.extensions` under its place as a JSON Pointer, `/trace_id` or `/metadata/session`, and
 * goes out again at that place.
 */
import { typeOfWireName, wireNameOf } from "../builtin/legacy-names.ts";
import { metadataFields, type AgentEvent } from "../event.ts";
import type { JsonValue } from "../json.ts";
import { assembleEvent } from "./assemble-event.ts";
import { sha256 } from "./digest.ts";
import {
  readInstant,
  readName,
  readPriority,
  readText,
  readVersion,
  writeInstant,
  writeVersion,
} from "./envelope-values.ts";
import { undecodable } from "./wire-json.ts";

export type Members = Readonly<Record<string, JsonValue>>;

/** The member of `metadata` that carries what an older envelope has no place for. */
export const reservedMember = "cadre";

/** Stands for the source of a message that names none. */
export const unknownSource = "unknown";

/** What an envelope says by itself, before the reserved member is heard. */
export interface EnvelopeParts {
  readonly id: string | undefined;
  readonly type: string | undefined;
  readonly source: string;
  readonly timestamp: number | undefined;
  readonly payload: JsonValue;
  /** By the names of the event's metadata. */
  readonly metadata: Readonly<Record<string, JsonValue | undefined>>;
  /** Members that are kept, by their place. */
  readonly kept: ReadonlyMap<string, JsonValue>;
}

export function isObject(value: JsonValue | undefined): value is Members {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

/** Whether JSON has the shape of one of the envelopes. */
export function isEnvelope(json: JsonValue): json is Members {
  return isObject(json) && (Object.hasOwn(json, "event_type") || Object.hasOwn(json, "type"));
}

/** The place of a member: a JSON Pointer (RFC 6901). */
export function pointerTo(...names: readonly string[]): string {
  return names.map((name) => `/${name.replaceAll("~", "~0").replaceAll("/", "~1")}`).join("");
}

/**
 * The event that an older envelope holds.
 *
 * @param bytes what the envelope was read from: an event without an id has one that follows from
 *   them, so that it is the same at each delivery
 * @throws {CadreError} UNDECODABLE
 */
export function readEnvelope(json: Members, bytes: Uint8Array, receivedAt: number): AgentEvent {
  const parts = readParts(json);
  const reserved = reservedOf(json) ?? {};
  const id = parts.id ?? `sha256-${sha256(bytes).slice(0, 32)}`;
  const metadata: Record<string, JsonValue | undefined> = {
    ...parts.metadata,
    correlationId: parts.metadata["correlationId"] ?? id,
  };
  for (const field of metadataFields) {
    const value = reserved[field];
    if (value !== undefined) metadata[field] = value === null ? undefined : value;
  }
  const extensions = allExtensions(keptBeside(parts.kept, reserved), reserved["extensions"]);
  if (extensions) metadata["extensions"] = extensions;
  return assembleEvent({
    id: reserved["id"] ?? id,
    type: reserved["type"] ?? parts.type,
    source: reserved["source"] ?? parts.source,
    timestamp: reserved["timestamp"] ?? parts.timestamp ?? receivedAt,
    payload: parts.payload,
    metadata,
  });
}

/** @throws {CadreError} UNDECODABLE, naming the member that is not what it must be */
export function readParts(json: Members): EnvelopeParts {
  const kept = new Map<string, JsonValue>();
  const left = new Map(Object.entries(json));
  const isPlatform = Object.hasOwn(json, "source_service");
  /** Takes a member out; its own words are kept where Cadre would choose others. */
  const use = <Value>(
    names: readonly string[],
    read: (name: string, value: JsonValue) => Value | undefined,
    write: (value: Value) => JsonValue,
  ): Value | undefined => {
    for (const name of names) {
      const raw = left.get(name);
      const value = raw === undefined || raw === null ? undefined : read(name, raw);
      if (value === undefined) continue;
      left.delete(name);
      if (written.has(name) && write(value) !== raw) kept.set(pointerTo(name), raw!);
      return value;
    }
    return undefined;
  };
  const same = (value: string): string => value;
  const id = use(["event_id", "id"], readName, same);
  const type = use(
    ["event_type", "type"],
    (name, raw) => {
      const text = readName(name, raw);
      return text === undefined ? undefined : { text, type: typeOfWireName(text) };
    },
    ({ text, type }) => (text === type || isPlatform ? type : wireNameOf(type)),
  )?.type;
  const timestamp = use(["timestamp", "time"], (_name, raw) => readInstant(raw), writeInstant);
  const source = use(["source_service", "source"], readName, same);
  const target = use(["target"], (_name, raw) => readText(raw), same);
  const payload = payloadOf(left);
  // `null` says what leaving out says, and Cadre writes it itself.
  if (left.get("target") === null) left.delete("target");
  const metadata = readMetadata(json, left, kept);
  for (const [name, value] of left) kept.set(pointerTo(name), value);
  return {
    id,
    type,
    source: source ?? unknownSource,
    timestamp,
    payload,
    metadata: { ...metadata, target },
    kept,
  };
}

/** What a format of ours writes at the top; other names are only other spellings of these. */
const written: ReadonlySet<string> = new Set([
  "event_id",
  "event_type",
  "timestamp",
  "source",
  "source_service",
  "target",
]);

/**
 * What an envelope keeps beside its reserved member: what that says in full is not said again by
 * the member that could not.
 */
export function keptBeside(
  kept: ReadonlyMap<string, JsonValue>,
  reserved: Members,
): ReadonlyMap<string, JsonValue> {
  const others = new Map(kept);
  if (reserved["type"] !== undefined) others.delete(pointerTo("event_type"));
  if (reserved["version"] !== undefined) others.delete(pointerTo("metadata", "version"));
  return others;
}

function payloadOf(left: Map<string, JsonValue>): JsonValue {
  const name = ["payload", "data", "parameters"].find((each) => left.has(each));
  if (name === undefined) return Object.freeze({});
  const payload = left.get(name)!;
  left.delete(name);
  return payload;
}

type Reader = (value: JsonValue | undefined) => string | undefined;

const soft: readonly (readonly [member: string, field: string, read: Reader])[] = [
  ["correlation_id", "correlationId", readText],
  ["causation_id", "causationId", readText],
  ["version", "version", readVersion],
  ["priority", "priority", readPriority],
  ["user_id", "userId", readText],
  ["agent_id", "agentId", readText],
];
const atTop = 4; // the others mean the event's subject there as often as its publisher

/** Members of `metadata` that a `platform` envelope has by definition. */
const platformMembers: readonly string[] = ["user_id", "agent_id", "correlation_id", "version"];

/** Moves what it understands out of `left`, and keeps what it does not. */
function readMetadata(
  json: Members,
  left: Map<string, JsonValue>,
  kept: Map<string, JsonValue>,
): Record<string, JsonValue | undefined> {
  const given = json["metadata"];
  const found: Record<string, JsonValue | undefined> = { version: "1.0.0" };
  for (const [member, field, read] of soft.slice(0, atTop)) {
    const value = read(json[member]);
    if (value !== undefined) found[field] = value;
  }
  if (!isObject(given)) return found;
  left.delete("metadata");
  const isPlatform = Object.hasOwn(json, "source_service");
  for (const [name, raw] of Object.entries(given)) {
    if (name === reservedMember && isObject(raw)) continue;
    const known = soft.find(([member]) => member === name);
    const value = known?.[2](raw);
    if (known && value !== undefined) found[known[1]] = value;
    const usual = name === "version" && value !== undefined ? writeVersion(value) : value;
    const isOurs = isPlatform && platformMembers.includes(name) && usual === raw;
    if (!isOurs) kept.set(pointerTo("metadata", name), raw);
  }
  return found;
}

/** The reserved member; another's of that name, which is no object, is none. */
function reservedOf(json: Members): Members | undefined {
  const metadata = json["metadata"];
  if (!isObject(metadata)) return undefined;
  const reserved = Object.hasOwn(metadata, reservedMember) ? metadata[reservedMember] : undefined;
  return isObject(reserved) ? reserved : undefined;
}

function allExtensions(
  kept: ReadonlyMap<string, JsonValue>,
  own: JsonValue | undefined,
): Members | undefined {
  if (own !== undefined && !isObject(own)) {
    throw undecodable(`its metadata.${reservedMember}.extensions are no object`);
  }
  if (kept.size === 0 && own === undefined) return undefined;
  // `fromEntries` makes a member of `__proto__` too.
  return Object.freeze(Object.fromEntries([...kept, ...Object.entries(own ?? {})]));
}
