/**
 * Events as rows. What most events have is in columns, so that nothing is parsed to find, order or
 * route one; the rest of the metadata is one JSON text, and only where there is any. A UUID takes
 * 16 bytes; any other id is kept as its text.
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

/** The columns that every event fills. */
export const commonColumns = [
  "id",
  "type",
  "source",
  "timestamp",
  "correlation",
  "causation",
  "payload",
] as const;
/** The columns that are NULL for most events. */
export const furtherColumns = ["key", "rank", "deliver_at", "schema", "extra"] as const;
export const noFurther: readonly SQLInputValue[] = furtherColumns.map(() => null);

/** An event's own columns, made before the transaction begins. */
export interface EncodedEvent {
  readonly event: AgentEvent;
  readonly packedId: string | Uint8Array;
  /** In the order of `commonColumns`. */
  readonly common: readonly SQLInputValue[];
  /** In the order of `furtherColumns`; `undefined` when all are NULL. */
  readonly further: readonly SQLInputValue[] | undefined;
  readonly bytes: number;
}

export function encodeEvent(event: AgentEvent): EncodedEvent {
  const { metadata } = event;
  const packedId = packId(event.id);
  const payload = JSON.stringify(event.payload) ?? "null";
  const { correlationId, causationId } = metadata;
  const common = [
    packedId,
    event.type,
    event.source,
    event.timestamp,
    correlationId === event.id ? null : packId(correlationId),
    causationId === undefined ? null : causationId === correlationId ? "" : packId(causationId),
    payload,
  ];
  const further = encodeFurther(event);
  const extra = further?.at(-1);
  const extraBytes = typeof extra === "string" ? Buffer.byteLength(extra) : 0;
  return { event, packedId, common, further, bytes: Buffer.byteLength(payload) + extraBytes };
}

function encodeFurther(event: AgentEvent): readonly SQLInputValue[] | undefined {
  const { metadata } = event;
  const { key = null, deliverAt = null, priority, version } = metadata;
  const rank = priority === undefined ? null : priorityRank(event);
  const schema = version === "1.0.0" ? null : version;
  let hasExtra = false;
  for (const field in metadata) hasExtra ||= !inColumns.has(field);
  const extra = hasExtra ? encodeExtra(metadata) : null;
  const isPlain = (key ?? rank ?? deliverAt ?? schema ?? extra) === null;
  return isPlain ? undefined : [key, rank, deliverAt, schema, extra];
}

function encodeExtra(metadata: EventMetadata): string | null {
  let extra: Record<string, unknown> | undefined;
  for (const field of extraFields) {
    const value = metadata[field];
    if (value !== undefined) (extra ??= {})[field] = value;
  }
  return extra ? JSON.stringify(extra) : null;
}

/**
 * What `decodeEvent` reads, in this order, from the table `e`; `position` and `recorded_at` come
 * first. Columns that are mostly NULL come as one, as JSON: each column of a result costs as much
 * as the payload of a small event. (`quote` keeps all digits.)
 */
export const eventSelection: string = [
  "e.position",
  "e.recorded_at",
  packedIdSql("e.id"),
  "e.type",
  "e.source",
  "e.timestamp",
  packedIdSql("e.correlation"),
  packedIdSql("e.causation"),
  `iif(coalesce(e.key, e.rank, e.deliver_at, e.schema, e.extra) IS NULL, NULL,
    json_array(e.key, e.rank, quote(e.deliver_at), e.schema, e.extra))`,
  "e.payload",
].join(", ");
/** How many columns `eventSelection` has. */
export const selectionWidth = 10;
const payloadIndex = 9;

/** The payload in a row of `eventSelection`, as it is kept. */
export function payloadText(row: Row): string {
  return String(row[payloadIndex]);
}

/** The event in a row of `eventSelection`; its payload is parsed when it is first looked at. */
export function decodeLazily(row: Row): AgentEvent {
  const id = unpackId(String(row[2]));
  return lazyEvent(
    id,
    String(row[3]),
    String(row[4]),
    Number(row[5]),
    payloadText(row),
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
    payload: parsePayload(id, payloadText(row)),
    metadata: decodeMetadata(row, id),
  });
}

function decodeMetadata(row: Row, id: string): EventMetadata {
  const correlation = row[6]!;
  const causation = row[7]!;
  const further = row[8]!;
  const correlationId = correlation === null ? id : unpackId(String(correlation));
  if (further !== null) return decodeFurther(String(further), correlationId, causation);
  if (causation === null) return Object.freeze({ version: "1.0.0", correlationId });
  const causationId = decodeCausation(causation, correlationId)!;
  return Object.freeze({ version: "1.0.0", correlationId, causationId });
}

function decodeFurther(text: string, correlationId: string, causation: Cell): EventMetadata {
  const [key, rank, deliverAt, schema, extra] = JSON.parse(text) as readonly Cell[];
  const found: Record<string, unknown> = {
    ...(typeof extra === "string" ? (freezeJson(JSON.parse(extra)) as object) : {}),
    version: schema ?? "1.0.0",
    correlationId,
    causationId: decodeCausation(causation, correlationId),
    key: key ?? undefined,
    priority: typeof rank === "number" ? priorities[rank] : undefined,
    deliverAt: deliverAt === "NULL" ? undefined : Number(deliverAt),
  };
  const metadata: Record<string, unknown> = {};
  for (const field of metadataFields) {
    if (found[field] !== undefined) metadata[field] = found[field];
  }
  return Object.freeze(metadata) as unknown as EventMetadata; // built field by field from one list
}

function decodeCausation(cell: Cell, correlationId: string): string | undefined {
  if (cell === null) return undefined;
  return cell === "t" ? correlationId : unpackId(String(cell));
}
