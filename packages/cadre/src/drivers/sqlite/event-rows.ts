/**
 * Events as rows. What most events have is in columns, so that nothing is parsed to find, order or route one; the rest of the
 * metadata is one JSON text, and only where there is any. A UUID takes 16 bytes; any other id is kept as its text.
 *
 *   correlation   NULL: the event began its flow (its own id)
 *   causation     NULL: none; an empty text: the event that began the flow
 *   schema        NULL: 1.0.0
 */
import type { SQLInputValue } from "node:sqlite";
import {
  metadataFields,
  priorities,
  priorityRank,
  type AgentEvent,
  type EventMetadata,
} from "../../core/event.ts";
import { freezeJson } from "../../core/json.ts";
import type { Cell, Row } from "./connection.ts";
import { lazyEvent, parsePayload } from "./lazy-event.ts";

/** Kept from all subscriptions. */
export const privateFlag = 1;
/** In the log for one group alone, which has it as a delivery of its own. */
export const directedFlag = 2;

const uuid = /^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/;

/** An id as it is kept. */
export function packId(id: string): string | Uint8Array {
  if (id.length !== 36 || !uuid.test(id)) return id;
  return Buffer.from(id.replaceAll("-", ""), "hex");
}

/** SQL that gives a packed id as text: 32 hexadecimal digits, or a "t" and the text that it is. */
export function packedIdSql(column: string): string {
  return `iif(typeof(${column}) = 'blob', lower(hex(${column})), 't' || ${column})`;
}

/** The id from what `packedIdSql` gives. */
export function unpackId(text: string): string {
  if (text.startsWith("t")) return text.slice(1);
  return `${text.slice(0, 8)}-${text.slice(8, 12)}-${text.slice(12, 16)}-${text.slice(16, 20)}-${text.slice(20)}`;
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

/** The columns that `encodeEvent` fills, after those that say where the event stands. */
export const eventColumns = [
  "position",
  "recorded_at",
  "stream",
  "version",
  "flags",
  "id",
  "type",
  "source",
  "timestamp",
  "correlation",
  "causation",
  "key",
  "rank",
  "deliver_at",
  "schema",
  "extra",
  "payload",
] as const;

/** An event's own columns, made before the transaction begins. */
export interface EncodedEvent {
  readonly event: AgentEvent;
  readonly packedId: string | Uint8Array;
  /** From `id` to `payload`, in the order of `eventColumns`. */
  readonly cells: readonly SQLInputValue[];
  readonly bytes: number;
}

export function encodeEvent(event: AgentEvent): EncodedEvent {
  const { metadata } = event;
  const packedId = packId(event.id);
  const payload = JSON.stringify(event.payload) ?? "null";
  const extra = encodeExtra(metadata);
  const { correlationId, causationId } = metadata;
  const cells = [
    packedId,
    event.type,
    event.source,
    event.timestamp,
    correlationId === event.id ? null : packId(correlationId),
    causationId === undefined ? null : causationId === correlationId ? "" : packId(causationId),
    metadata.key ?? null,
    metadata.priority === undefined ? null : priorityRank(event),
    metadata.deliverAt ?? null,
    metadata.version === "1.0.0" ? null : metadata.version,
    extra,
    payload,
  ];
  const bytes = Buffer.byteLength(payload) + (extra === null ? 0 : Buffer.byteLength(extra));
  return { event, packedId, cells, bytes };
}

function encodeExtra(metadata: EventMetadata): string | null {
  let extra: Record<string, unknown> | undefined;
  for (const field of extraFields) {
    const value = metadata[field];
    if (value !== undefined) (extra ??= {})[field] = value;
  }
  return extra ? JSON.stringify(extra) : null;
}

/** What `decodeEvent` reads, in this order, from the table `e`; `position` and `recorded_at` come first. */
export const eventSelection: string = [
  "e.position",
  "e.recorded_at",
  packedIdSql("e.id"),
  "e.type",
  "e.source",
  "e.timestamp",
  packedIdSql("e.correlation"),
  packedIdSql("e.causation"),
  "e.key",
  "e.rank",
  "e.deliver_at",
  "e.schema",
  "e.extra",
  "e.payload",
].join(", ");
/** How many columns `eventSelection` has. */
export const selectionWidth = 14;

/** The event in a row of `eventSelection`; its payload is parsed when it is first looked at. */
export function decodeLazily(row: Row): AgentEvent {
  const id = unpackId(String(row[2]));
  return lazyEvent(
    id,
    String(row[3]),
    String(row[4]),
    Number(row[5]),
    String(row[13]),
    decodeMetadata(row, id),
  );
}

/**
 * The event in a row of `eventSelection`, whole.
 * @throws {CadreError} UNDECODABLE, when the payload is no JSON
 */
export function decodeEvent(row: Row): AgentEvent {
  const id = unpackId(String(row[2]));
  return Object.freeze({
    id,
    type: String(row[3]),
    source: String(row[4]),
    timestamp: Number(row[5]),
    payload: parsePayload(id, String(row[13])),
    metadata: decodeMetadata(row, id),
  });
}

function decodeMetadata(row: Row, id: string): EventMetadata {
  const correlation = row[6]!;
  const causation = row[7]!;
  const schema = row[11]!;
  const correlationId = correlation === null ? id : unpackId(String(correlation));
  const version = schema === null ? "1.0.0" : String(schema);
  const isPlain = row[8] === null && row[9] === null && row[10] === null && row[12] === null;
  if (!isPlain) return decodeFurther(row, version, correlationId);
  if (causation === null) return Object.freeze({ version, correlationId });
  const causationId = decodeCausation(causation, correlationId)!;
  return Object.freeze({ version, correlationId, causationId });
}

function decodeFurther(row: Row, version: string, correlationId: string): EventMetadata {
  const [causation, key, rank, deliverAt, , extra] = row.slice(7, 13);
  const found: Record<string, unknown> = {
    ...(typeof extra === "string" ? (freezeJson(JSON.parse(extra)) as object) : {}),
    version,
    correlationId,
    causationId: decodeCausation(causation, correlationId),
    key: key ?? undefined,
    priority: typeof rank === "number" ? priorities[rank] : undefined,
    deliverAt: deliverAt ?? undefined,
  };
  const metadata: Record<string, unknown> = {};
  for (const field of metadataFields) {
    if (found[field] !== undefined) metadata[field] = found[field];
  }
  return Object.freeze(metadata) as unknown as EventMetadata; // built field by field from one list
}

function decodeCausation(cell: Cell | undefined, correlationId: string): string | undefined {
  if (cell === null || cell === undefined) return undefined;
  return cell === "t" ? correlationId : unpackId(String(cell));
}
