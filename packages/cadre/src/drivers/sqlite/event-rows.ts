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
import type { StoredEvent } from "../../store/event-store.ts";
import type { Cell, Row } from "./connection.ts";
import { lazyEvent, parsePayload } from "../../store/lazy-event.ts";

/** Kept from all subscriptions. */
export const privateFlag = 1;
/** In the log for one group alone, which has it as a delivery of its own. */
export const directedFlag = 2;

const noDigit = 16;
const digitOf = new Uint8Array(128).fill(noDigit);
for (let digit = 0; digit < 16; digit += 1) digitOf[digit.toString(16).charCodeAt(0)] = digit;

/** An id as it is kept. */
export function packId(id: string): string | Uint8Array {
  if (id.length !== 36) return id;
  const bytes = Buffer.allocUnsafe(16);
  let at = 0;
  for (let index = 0; index < 36; index += 2) {
    if (index === 8 || index === 13 || index === 18 || index === 23) {
      if (id.charCodeAt(index) !== 0x2d) return id; // a dash
      index += 1;
    }
    const high = digitOf[id.charCodeAt(index)] ?? noDigit;
    const low = digitOf[id.charCodeAt(index + 1)] ?? noDigit;
    if (high === noDigit || low === noDigit) return id;
    bytes[at++] = high * 16 + low;
  }
  return bytes;
}

/**
 * SQL that gives a packed id as text: 32 hexadecimal digits, or a "t" and the text that it is.
 * Every blob is greater than the empty one, and no text is: that costs less than `typeof`.
 */
export function packedIdSql(column: string): string {
  return `iif(${column} >= x'', hex(${column}), 't' || ${column})`;
}

/** The id from what `packedIdSql` gives. */
export function unpackId(text: string): string {
  if (text.startsWith("t")) return text.slice(1);
  const hex = text.toLowerCase();
  return `${hex.slice(0, 8)}-${hex.slice(8, 12)}-${hex.slice(12, 16)}-${hex.slice(16, 20)}-${hex.slice(20)}`;
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
 * What `decodeEvent` reads, in this order, from `eventTables`. Columns that are mostly NULL come as
 * one, as JSON: each column of a result costs as much as the payload of a small event. (`quote`
 * keeps all digits.)
 */
export const eventSelection: string = [
  "e.position",
  "e.recorded_at",
  packedIdSql("e.id"),
  "e.type",
  "e.source",
  "e.timestamp",
  "e.payload",
  packedIdSql("e.correlation"),
  packedIdSql("e.causation"),
  "s.name",
  "e.version",
  `iif(coalesce(e.flags, e.key, e.rank, e.deliver_at, e.schema, e.extra) IS NULL, NULL,
    json_array(e.flags, e.key, e.rank, quote(e.deliver_at), e.schema, e.extra))`,
].join(", ");
export const eventTables = "events e LEFT JOIN streams s ON s.no = e.stream";
/** Where the version in the stream is in it. */
export const versionIndex = 10;
const payloadIndex = 6;

/** What few events have. */
interface Rest {
  readonly isPrivate: boolean;
  readonly isDirected: boolean;
  /** Further metadata. */
  readonly further: Readonly<Record<string, unknown>>;
}

/** The payload in a row of `eventSelection`, as it is kept. */
export function payloadText(row: Row): string {
  return String(row[payloadIndex]);
}

/** A row of `eventSelection`; the event's payload is parsed when it is first looked at. */
export function decodeStored(row: Row): StoredEvent {
  const position = Number(row[0]);
  const recordedAt = Number(row[1]);
  const id = unpackId(String(row[2]));
  const rest = decodeRest(row);
  const metadata = decodeMetadata(row, id, rest);
  const type = String(row[3]);
  const event = lazyEvent(id, type, String(row[4]), Number(row[5]), payloadText(row), metadata);
  const stream = row[9]!;
  if (!rest?.isPrivate && !rest?.isDirected) {
    if (stream === null) return { position, event, recordedAt };
    return { position, event, stream: String(stream), version: Number(row[10]), recordedAt };
  }
  const within = stream === null ? {} : { stream: String(stream), version: Number(row[10]) };
  const flags = {
    ...(rest.isPrivate ? { private: true } : {}),
    ...(rest.isDirected ? { directed: true } : {}),
  };
  return { position, event, ...within, ...flags, recordedAt };
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
    metadata: decodeMetadata(row, id, decodeRest(row)),
  });
}

function decodeMetadata(row: Row, id: string, rest: Rest | undefined): EventMetadata {
  const correlation = row[7]!;
  const correlationId = correlation === null ? id : unpackId(String(correlation));
  const causationId = decodeCausation(row[8]!, correlationId);
  if (rest) return decodeFurther(rest.further, correlationId, causationId);
  if (causationId === undefined) return Object.freeze({ version: "1.0.0", correlationId });
  return Object.freeze({ version: "1.0.0", correlationId, causationId });
}

function decodeRest(row: Row): Rest | undefined {
  const text = row[11]!;
  if (text === null) return undefined;
  const cells = JSON.parse(String(text)) as readonly Cell[];
  const [flags, key, rank, deliverAt, schema, extra] = cells;
  const further = {
    ...(typeof extra === "string" ? (freezeJson(JSON.parse(extra)) as object) : {}),
    version: schema ?? "1.0.0",
    key: key ?? undefined,
    priority: typeof rank === "number" ? priorities[rank] : undefined,
    deliverAt: deliverAt === "NULL" ? undefined : Number(deliverAt),
  };
  const bits = Number(flags ?? 0);
  const isPrivate = (bits & privateFlag) !== 0;
  return { isPrivate, isDirected: (bits & directedFlag) !== 0, further };
}

function decodeFurther(
  further: Readonly<Record<string, unknown>>,
  correlationId: string,
  causationId: string | undefined,
): EventMetadata {
  const found: Record<string, unknown> = { ...further, correlationId, causationId };
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
