/**
 * Events as rows. What most events have is in columns, so that nothing is parsed to find, order or
 * route one; the rest of the metadata is one JSON text, and only where there is any.
 *
 *   id            a UUID; any other id as the UUID (version 8) of its SHA-256, itself in `extra`
 *   correlation   NULL: the event began its flow (its own id)
 *   schema        NULL: 1.0.0
 *   payload       JSON as text, byte for byte what was written; `json` would parse it once more at
 *                 each insert, and `jsonb` cannot hold all of JSON (U+0000) nor keep its order
 */
import { createHash } from "node:crypto";
import {
  metadataFields,
  priorities,
  type AgentEvent,
  type EventMetadata,
} from "../../core/event.ts";
import { freezeJson } from "../../core/json.ts";
import type { StoredEvent } from "../../store/event-store.ts";
import { lazyEvent, parsePayload } from "../../store/lazy-event.ts";
import type { Cell, Row } from "./client.ts";
import { fromStoredText, toStoredText } from "./stored-text.ts";

/** Kept from all subscriptions. */
export const privateFlag = 1;
/** In the log for one group alone, which has it as a delivery of its own. */
export const directedFlag = 2;

// Lower case, and of no version 8: those are made here, of ids that are no UUIDs.
const plainUuid = /^[0-9a-f]{8}-[0-9a-f]{4}-[0-79a-f][0-9a-f]{3}-[0-9a-f]{4}-[0-9a-f]{12}$/;

/** Whether an id is kept as it is. */
function isPlainId(id: string): boolean {
  return id.length === 36 && plainUuid.test(id);
}

/** An id as it is kept and looked for. */
export function packId(id: string): string {
  if (isPlainId(id)) return id;
  // Each code unit counts, so that lone surrogates make different ids.
  const hex = createHash("sha256").update(Buffer.from(id, "utf16le")).digest("hex");
  const variant = ((Number.parseInt(hex[16]!, 16) & 3) | 8).toString(16);
  return `${hex.slice(0, 8)}-${hex.slice(8, 12)}-8${hex.slice(13, 16)}-${variant}${hex.slice(17, 20)}-${hex.slice(20, 32)}`;
}

/** An event's own columns, made before anything is sent. */
export interface EncodedEvent {
  readonly event: AgentEvent;
  readonly id: string;
  readonly correlation: string | null;
  readonly causation: string | null;
  readonly payload: string;
  readonly extra: string | null;
  /** Whether one of the columns that are NULL for most events isn't. */
  readonly isRich: boolean;
  readonly bytes: number;
}

const inColumns: ReadonlySet<string> = new Set([
  "version",
  "correlationId",
  "causationId",
  "key",
  "priority",
  "deliverAt",
]);
const extraFields = metadataFields.filter((field) => !inColumns.has(field));

export function encodeEvent(event: AgentEvent): EncodedEvent {
  const { metadata } = event;
  const { correlationId, causationId } = metadata;
  const payload = JSON.stringify(event.payload) ?? "null";
  const extra = encodeExtra(event);
  return {
    event,
    id: packId(event.id),
    correlation: correlationId === event.id ? null : packId(correlationId),
    causation: causationId === undefined ? null : packId(causationId),
    payload,
    extra,
    isRich:
      extra !== null ||
      metadata.key !== undefined ||
      metadata.priority !== undefined ||
      metadata.deliverAt !== undefined ||
      metadata.version !== "1.0.0",
    bytes: Buffer.byteLength(payload) + (extra === null ? 0 : Buffer.byteLength(extra)),
  };
}

/** What has no column of its own, and the ids that are no UUIDs. */
function encodeExtra(event: AgentEvent): string | null {
  const { metadata } = event;
  let extra: Record<string, unknown> | undefined;
  if (!isPlainId(event.id)) extra = { id: event.id };
  for (const field of ["correlationId", "causationId"] as const) {
    const id = metadata[field];
    if (id !== undefined && id !== event.id && !isPlainId(id)) (extra ??= {})[field] = id;
  }
  for (const field in metadata) {
    if (inColumns.has(field)) continue;
    extra ??= {};
    for (const name of extraFields) {
      if (metadata[name] !== undefined) extra[name] = metadata[name];
    }
    break;
  }
  return extra ? JSON.stringify(extra) : null;
}

/** The columns of an event that few have, as they are kept. */
export function richColumns({ metadata }: AgentEvent): {
  readonly key: string | null;
  readonly rank: number | null;
  readonly deliverAt: number | null;
  readonly schema: string | null;
} {
  const { key, priority, deliverAt, version } = metadata;
  return {
    key: key === undefined ? null : toStoredText(key),
    rank: priority === undefined ? null : priorities.indexOf(priority),
    deliverAt: deliverAt ?? null,
    schema: version === "1.0.0" ? null : toStoredText(version),
  };
}

/** What `decodeStored` reads, in this order, from `eventTables`. */
export const eventSelection: string = [
  "e.position",
  "e.recorded_at",
  "e.id",
  "e.type",
  "e.source",
  "e.timestamp",
  "e.payload",
  "e.correlation",
  "e.causation",
  "s.name",
  "e.version",
  "e.flags",
  "e.key",
  "e.rank",
  "e.deliver_at",
  "e.schema",
  "e.extra",
].join(", ");
/** Where the version in the stream is in it. */
export const versionIndex = 10;
export const typeIndex = 3;
const payloadIndex = 6;

/**
 * Every column of `eventSelection` comes from these. `OFFSET 0` keeps the look-up of the stream's
 * name one by one: a join would read all streams for each page.
 */
export function eventTables(schema: string): string {
  const stream = `SELECT name, version FROM ${schema}.streams WHERE no = e.stream OFFSET 0`;
  return `${schema}.events e LEFT JOIN LATERAL (${stream}) s ON true`;
}

/** The payload in a row of `eventSelection`, as it is kept. */
export function payloadText(row: Row): string {
  return String(row[payloadIndex]);
}

interface Extra extends Readonly<Record<string, unknown>> {
  readonly id?: string;
  readonly correlationId?: string;
  readonly causationId?: string;
}

/** A row of `eventSelection`; the event's payload is parsed when it is first looked at. */
export function decodeStored(row: Row): StoredEvent {
  const extra = decodeExtra(row);
  const id = extra?.id ?? String(row[2]);
  const event = lazyEvent(
    id,
    fromStoredText(String(row[typeIndex])),
    fromStoredText(String(row[4])),
    Number(row[5]),
    payloadText(row),
    decodeMetadata(row, id, extra),
  );
  const position = Number(row[0]);
  const recordedAt = Number(row[1]);
  const stream = row[9] ?? null;
  const flags = Number(row[11] ?? 0);
  if (stream === null && flags === 0) return { position, event, recordedAt };
  const within =
    stream === null
      ? {}
      : { stream: fromStoredText(String(stream)), version: Number(row[versionIndex]) };
  return {
    position,
    event,
    ...within,
    ...((flags & privateFlag) === 0 ? {} : { private: true }),
    ...((flags & directedFlag) === 0 ? {} : { directed: true }),
    recordedAt,
  };
}

/**
 * The event in a row of `eventSelection`, whole.
 * @throws {CadreError} UNDECODABLE, when the payload is no JSON
 */
export function decodeEvent(row: Row): AgentEvent {
  const extra = decodeExtra(row);
  const id = extra?.id ?? String(row[2]);
  return Object.freeze({
    id,
    type: fromStoredText(String(row[typeIndex])),
    source: fromStoredText(String(row[4])),
    timestamp: Number(row[5]),
    payload: parsePayload(id, payloadText(row)),
    metadata: decodeMetadata(row, id, extra),
  });
}

function decodeExtra(row: Row): Extra | undefined {
  const text = row[16] ?? null;
  return text === null ? undefined : (freezeJson(JSON.parse(String(text))) as Extra);
}

function decodeMetadata(row: Row, id: string, extra: Extra | undefined): EventMetadata {
  const correlationId = extra?.correlationId ?? textOr(row[7], id);
  const causationId = extra?.causationId ?? decodeCausation(row, id, correlationId);
  const isPlain = !extra && (row[12] ?? row[13] ?? row[14] ?? row[15] ?? null) === null;
  if (isPlain) {
    if (causationId === undefined) return Object.freeze({ version: "1.0.0", correlationId });
    return Object.freeze({ version: "1.0.0", correlationId, causationId });
  }
  const found: Record<string, unknown> = {
    ...extra,
    version: row[15] === null ? "1.0.0" : fromStoredText(String(row[15])),
    correlationId,
    causationId,
    key: row[12] === null ? undefined : fromStoredText(String(row[12])),
    priority: row[13] === null ? undefined : priorities[Number(row[13])],
    deliverAt: row[14] === null ? undefined : Number(row[14]),
  };
  const metadata: Record<string, unknown> = {};
  for (const field of metadataFields) {
    if (found[field] !== undefined) metadata[field] = found[field];
  }
  return Object.freeze(metadata) as unknown as EventMetadata; // built field by field from one list
}

/** An id that is no UUID and equal to the event's own isn't said twice. */
function decodeCausation(row: Row, id: string, correlationId: string): string | undefined {
  const cell = row[8] ?? null;
  if (cell === null) return undefined;
  if (cell === row[2]) return id;
  return cell === row[7] ? correlationId : String(cell);
}

function textOr(cell: Cell | undefined, otherwise: string): string {
  return cell === null || cell === undefined ? otherwise : String(cell);
}
