/**
 * The rows as they are kept, each compared with what the store would write for its event: some
 * changes of a column (a payload with other white space, a version without a stream) cannot be seen
 * in the event that is read.
 */
import { describeError } from "../../core/errors.ts";
import type { InspectedRow, LogRange, StoredEvent } from "../../store/event-store.ts";
import type { Cell, Row } from "./client.ts";
import type { Connection } from "./connection.ts";
import {
  decodeStored,
  directedFlag,
  encodeEvent,
  eventSelection,
  eventTables,
  privateFlag,
  richColumns,
} from "./event-rows.ts";
import { toStoredText } from "./stored-text.ts";

const pageRows = 1_000;
// A row may have been put where no event ever is.
const first = "-9223372036854775808";
const last = "9223372036854775807";

export async function* inspectPages(
  connection: Connection,
  range: LogRange,
): AsyncIterable<readonly InspectedRow[]> {
  const { schema } = connection.settings;
  const text =
    `SELECT ${eventSelection}, e.stream, s.version, e.position::text FROM ${eventTables(schema)} ` +
    `WHERE e.position > $1 AND e.position <= $2 ORDER BY e.position LIMIT ${pageRows}`;
  let after = range.after === undefined ? first : String(range.after);
  const upTo = range.upTo === undefined ? last : String(range.upTo);
  for (;;) {
    const rows = await connection.query(text, [after, upTo]);
    if (rows.length > 0) yield rows.map(inspectRow);
    if (rows.length < pageRows) return;
    after = String(rows.at(-1)!.at(-1)); // as text: it may be beyond what a number holds
  }
}

function inspectRow(row: Row): InspectedRow {
  const position = Number(row[0]);
  try {
    const stored = decodeStored(row);
    const fault = faultOf(stored, row);
    return fault === undefined ? { position, stored } : { position, stored, fault };
  } catch (error) {
    return { position, fault: `cannot be read: ${describeError(error).message}` };
  }
}

function faultOf(stored: StoredEvent, row: Row): string | undefined {
  const { event } = stored;
  const encoded = encodeEvent(event);
  const { key, rank, deliverAt, schema } = richColumns(event);
  const expected: readonly (readonly [number, string, Cell])[] = [
    [2, "id", encoded.id],
    [3, "type", toStoredText(event.type)],
    [4, "source", toStoredText(event.source)],
    [6, "payload", encoded.payload],
    [7, "correlation", encoded.correlation],
    [8, "causation", encoded.causation],
    [12, "key", key],
    [13, "rank", rank],
    [14, "deliver_at", deliverAt],
    [15, "schema", schema],
    [16, "extra", encoded.extra],
  ];
  const different = expected.find(([index, , cell]) => !isCell(row[index] ?? null, cell));
  if (different) return `its ${different[1]} is not as it is written`;
  if (!Number.isFinite(event.timestamp)) return "its timestamp is no number";
  if (!Number.isFinite(stored.recordedAt)) return "its recorded_at is no number";
  return streamFaultOf(stored, row);
}

function isCell(found: Cell, expected: Cell): boolean {
  if (found === null || expected === null) return found === expected;
  return typeof expected === "number" ? Number(found) === expected : String(found) === expected;
}

function streamFaultOf(stored: StoredEvent, row: Row): string | undefined {
  const [version, flags, stream, streamVersion] = [row[10], row[11], row[17], row[18]];
  if (stored.stream === undefined) {
    if ((stream ?? null) !== null) return "its stream does not exist";
    if ((version ?? null) !== null) return "it has a version and no stream";
  } else if ((version ?? null) === null) return "it has a stream and no version";
  else if (Number(streamVersion) < Number(version)) return "its stream is at an earlier version";
  const bits = (stored.private ? privateFlag : 0) | (stored.directed ? directedFlag : 0);
  const isWritten = isCell(flags ?? null, bits === 0 ? null : bits);
  return isWritten ? undefined : "its flags are not as they are written";
}
