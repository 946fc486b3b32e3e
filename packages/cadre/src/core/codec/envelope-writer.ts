/**
 * Events in the envelopes of the older systems.
 *
 *   maf        event_id, event_type TASK_CREATED, timestamp, source, target, payload
 *   platform   event_id, event_type task.created, timestamp, source_service, payload,
 *              metadata: user_id, agent_id, correlation_id, version
 *
 * What came in an older envelope goes back to its place. What the envelope has no place for is in
 * `metadata.cadre`, found by reading what was written and comparing: so nothing is ever lost.
 */
import { typeOfWireName, wireNameOf } from "../builtin/legacy-names.ts";
import { metadataFields, type AgentEvent } from "../event.ts";
import type { JsonValue } from "../json.ts";
import {
  isObject,
  keptBeside,
  pointerTo,
  readParts,
  reservedMember,
  unknownSource,
  type Members,
} from "./envelope.ts";
import {
  readInstant,
  readText,
  readVersion,
  writeInstant,
  writeVersion,
} from "./envelope-values.ts";

type Draft = Record<string, JsonValue>;

interface Envelope {
  readonly top: Draft;
  readonly metadata: Draft;
}

export type EnvelopeName = "maf" | "platform";

/** The envelope of an event, as one JSON object. */
export function writeEnvelope(event: AgentEvent, name: EnvelopeName): Members {
  const envelope = name === "maf" ? mafOf(event) : platformOf(event);
  const extensions = event.metadata.extensions ?? {};
  for (const [pointer, value] of Object.entries(extensions)) {
    place(envelope, event, pointer, value);
  }
  const reserved = missingIn(assembled(envelope), event);
  if (reserved) envelope.metadata[reservedMember] = reserved;
  return assembled(envelope);
}

function mafOf(event: AgentEvent): Envelope {
  const top: Draft = {
    event_id: event.id,
    event_type: wireNameOf(event.type),
    timestamp: writeInstant(event.timestamp),
    source: event.source,
    target: event.metadata.target ?? null,
    payload: event.payload as JsonValue, // an event holds nothing else
  };
  return { top, metadata: {} };
}

function platformOf(event: AgentEvent): Envelope {
  const { target, userId, agentId, correlationId, version } = event.metadata;
  const top: Draft = {
    event_id: event.id,
    event_type: event.type,
    timestamp: writeInstant(event.timestamp),
    source_service: event.source,
    payload: event.payload as JsonValue, // an event holds nothing else
  };
  if (target !== undefined) top["target"] = target;
  const metadata: Draft = { correlation_id: correlationId, version: writeVersion(version) };
  if (userId !== undefined) metadata["user_id"] = userId;
  if (agentId !== undefined) metadata["agent_id"] = agentId;
  return { top, metadata };
}

function assembled({ top, metadata }: Envelope): Draft {
  return Object.keys(metadata).length === 0 ? top : { ...top, metadata };
}

/** Puts a member back where it came from, unless the event says something else there by now. */
function place(
  { top, metadata }: Envelope,
  event: AgentEvent,
  pointer: string,
  value: JsonValue,
): void {
  const names = pointer.split("/").slice(1).map(unescaped);
  const name = names.at(-1);
  if (name === undefined || pointerTo(...names) !== pointer) return;
  if (names.length === 1 && name !== "metadata") {
    // It would make another kind of envelope of it.
    if (name === "source_service" && !Object.hasOwn(top, name)) return;
    put(top, name, value, saysTheSame.get(name), event);
  } else if (names.length === 2 && names[0] === "metadata" && name !== reservedMember) {
    put(metadata, name, value, metadataSaysTheSame.get(name), event);
  }
}

type Comparison = (value: JsonValue, event: AgentEvent) => boolean;

const saysTheSame: ReadonlyMap<string, Comparison> = new Map<string, Comparison>([
  ["event_id", (value, { id }) => readText(value) === id],
  ["event_type", (value, { type }) => typeof value === "string" && typeOfWireName(value) === type],
  ["timestamp", (value, { timestamp }) => instantOf(value) === timestamp],
  ["source", (value, { source }) => sourceOf(value) === source],
  ["source_service", (value, { source }) => sourceOf(value) === source],
  ["target", (value, { metadata }) => readText(value) === metadata.target],
]);

/** A value that no reader takes for anything may stand there: what it stands in for is reserved. */
const orNothing =
  (
    read: (value: JsonValue) => string | undefined,
    field: "userId" | "agentId" | "correlationId" | "version",
  ): Comparison =>
  (value, { metadata }) => {
    const said = read(value);
    return said === undefined || said === metadata[field];
  };

const metadataSaysTheSame: ReadonlyMap<string, Comparison> = new Map([
  ["user_id", orNothing(readText, "userId")],
  ["agent_id", orNothing(readText, "agentId")],
  ["correlation_id", orNothing(readText, "correlationId")],
  ["version", orNothing(readVersion, "version")],
]);

function put(
  members: Draft,
  name: string,
  value: JsonValue,
  same: Comparison | undefined,
  event: AgentEvent,
): void {
  if (Object.hasOwn(members, name) && !same?.(value, event)) return;
  // A plain assignment would make a prototype of `__proto__`.
  const member = { value, enumerable: true, configurable: true, writable: true };
  Object.defineProperty(members, name, member);
}

/** What a reader takes for the source; undefined for what it would refuse. */
function sourceOf(value: JsonValue): string | undefined {
  return value === null || value === "" ? unknownSource : readText(value);
}

function instantOf(value: JsonValue): number | undefined {
  try {
    return readInstant(value);
  } catch {
    return undefined; // no instant at all
  }
}

function unescaped(name: string): string {
  return name.replaceAll("~1", "/").replaceAll("~0", "~");
}

/** What a reader of the envelope would not find, or find otherwise; undefined for nothing. */
function missingIn(written: Members, event: AgentEvent): Members | undefined {
  const read = readParts(written);
  const reserved: Draft = {};
  for (const field of ["id", "type", "source", "timestamp"] as const) {
    if (read[field] !== event[field]) reserved[field] = event[field];
  }
  const found: Record<string, unknown> = {
    ...read.metadata,
    correlationId: read.metadata["correlationId"] ?? read.id,
  };
  for (const field of metadataFields) {
    if (field === "extensions" || found[field] === event.metadata[field]) continue;
    reserved[field] = event.metadata[field] ?? null;
  }
  const extensions = strangeIn(event.metadata.extensions, keptBeside(read.kept, reserved));
  if (extensions) reserved["extensions"] = extensions;
  return Object.keys(reserved).length === 0 ? undefined : reserved;
}

/** Extensions that have no place in the envelope; an empty object is not the same as none. */
function strangeIn(
  extensions: Members | undefined,
  kept: ReadonlyMap<string, JsonValue>,
): Members | undefined {
  if (!isObject(extensions)) return undefined;
  const names = Object.keys(extensions);
  const strange = names.filter((name) => kept.get(name) !== extensions[name]);
  if (strange.length === 0 && names.length > 0) return undefined;
  return Object.fromEntries(strange.map((name) => [name, extensions[name]!]));
}
