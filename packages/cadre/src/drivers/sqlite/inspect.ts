/**
 * The rows as they are kept, each compared with what the store would write for its event: some
 * changes of a column (an id as text instead of bytes, a payload with other white space, a version
 * without a stream) cannot be seen in the event that is read.
 */
import type { SQLInputValue } from "node:sqlite";
import type { Clock } from "../../core/clock.ts";
import { describeError } from "../../core/errors.ts";
import type { InspectedRow, LogRange, StoredEvent } from "../../store/event-store.ts";
import type { Connection, Row } from "./connection.ts";
import {
  commonColumns,
  decodeStored,
  directedFlag,
  encodeEvent,
  eventSelection,
  eventTables,
  furtherColumns,
  noFurther,
  privateFlag,
} from "./event-rows.ts";
import { isBusy } from "./sqlite-error.ts";

const pageRows = 512;
const first = -(2n ** 63n); // a row may have been put where no event ever is
const last = 2n ** 63n - 1n;

const checkedColumns = [
  ...commonColumns,
  ...furtherColumns,
  "recorded_at",
  "stream",
  "version",
  "flags",
] as const;
const rawSelection = [...checkedColumns.map((column) => `e.${column}`), "s.version"].join(", ");
const rawCells = checkedColumns.length + 1; // at the end of each row

export async function* inspectPages(
  connection: Connection,
  clock: Clock,
  range: LogRange,
  assertOpen: () => void,
): AsyncIterable<readonly InspectedRow[]> {
  let after: number | bigint = range.after ?? first;
  const upTo = range.upTo ?? last;
  for (;;) {
    assertOpen();
    const page = readPage(connection, after, upTo);
    if (page.length > 0) yield page;
    after = page.at(-1)?.position ?? last;
    // Behind the last place that an event can have, there is nothing but what has been put there.
    if (page.length < pageRows || !Number.isSafeInteger(after)) return;
    await clock.yield();
  }
}

function readPage(
  connection: Connection,
  after: number | bigint,
  upTo: number | bigint,
): readonly InspectedRow[] {
  const text = `SELECT ${eventSelection}, ${rawSelection} FROM ${eventTables}
    WHERE e.position > ? AND e.position <= ? ORDER BY e.position LIMIT ${pageRows}`;
  try {
    return connection.sql(text).all(after, upTo).map(inspectRow);
  } catch (error) {
    if (isBusy(error)) throw error;
  }
  // A cell that cannot even be read: then row by row, to say which.
  const positions = connection
    .sql(
      `SELECT CAST(position AS TEXT) FROM events WHERE position > ? AND position <= ?
       ORDER BY position LIMIT ${pageRows}`,
    )
    .all(after, upTo);
  const one = connection.sql(
    `SELECT ${eventSelection}, ${rawSelection} FROM ${eventTables} WHERE e.position = ?`,
  );
  return positions.map(([position]) => {
    try {
      return inspectRow(one.get(BigInt(String(position)))!);
    } catch (error) {
      if (isBusy(error)) throw error;
      return { position: Number(position), fault: `cannot be read: ${reasonOf(error)}` };
    }
  });
}

function inspectRow(row: Row): InspectedRow {
  const position = Number(row[0]);
  let stored: StoredEvent;
  let expected: readonly SQLInputValue[];
  try {
    stored = decodeStored(row);
    const { common, further = noFurther } = encodeEvent(stored.event);
    expected = [...common, ...further];
  } catch (error) {
    return { position, fault: `cannot be read: ${reasonOf(error)}` };
  }
  const fault = faultOf(stored, expected, row.slice(-rawCells));
  return fault === undefined ? { position, stored } : { position, stored, fault };
}

function faultOf(
  stored: StoredEvent,
  expected: readonly SQLInputValue[],
  raw: Row,
): string | undefined {
  const different = expected.findIndex((cell, index) => !sameCell(cell, raw[index]));
  if (different >= 0) return `its ${checkedColumns[different]} is not as it is written`;
  const [recordedAt, stream, version, flags, streamVersion] = raw.slice(expected.length);
  if (typeof recordedAt !== "number") return "its recorded_at is no number";
  if (stored.stream === undefined) {
    if (stream !== null) return "its stream does not exist";
    if (version !== null) return "it has a version and no stream";
  } else if (typeof version !== "number") return "its version is no number";
  else if (Number(streamVersion) < version) return "its stream is at an earlier version";
  const bits = (stored.private ? privateFlag : 0) | (stored.directed ? directedFlag : 0);
  return flags === (bits === 0 ? null : bits) ? undefined : "its flags are not as they are written";
}

function sameCell(left: SQLInputValue, right: SQLInputValue | undefined): boolean {
  if (left instanceof Uint8Array && right instanceof Uint8Array) {
    return Buffer.compare(left, right) === 0;
  }
  return left === right;
}

function reasonOf(error: unknown): string {
  return describeError(error).message;
}
