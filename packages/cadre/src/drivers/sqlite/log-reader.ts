/**
 * Reads the log in pages. Each page is one short statement, so that no reader holds up a writer or
 * the checkpoint, and memory holds one page.
 *
 * Where an index narrows the question (an id, a stream, a flow) the page is found through it.
 * Everything else walks the log by position, in windows of a fixed number of rows: a rare match
 * costs many short statements, never one long one.
 */
import type { SQLInputValue } from "node:sqlite";
import { compilePattern, literalPrefix } from "../../core/pattern.ts";
import type { StoredEvent, StoreQuery } from "../../store/event-store.ts";
import { checkQuery } from "../../store/store-query.ts";
import type { Connection, Row } from "./connection.ts";
import type { RecentEvent } from "./recent-events.ts";
import type { LogFile } from "./sqlite-log.ts";
import {
  directedFlag,
  eventSelection,
  eventTables,
  packId,
  privateFlag,
  versionIndex,
} from "./event-rows.ts";

/** What a reader of the log asks for. */
export interface LogQuery extends StoreQuery {
  /** Leaves out what subscriptions don't see. */
  readonly publicOnly?: boolean;
}

const windowRows = 8_192; // rows walked in one statement: some 5 ms
const pageRows = 512; // rows handed out from one statement

/** One matching row, of `eventSelection`, or the event itself where it is in memory. */
export type LogRow = Row | StoredEvent;

/** Whether it is a row. */
export function isRow(item: LogRow): item is Row {
  return Array.isArray(item);
}

interface Conditions {
  readonly sql: readonly string[];
  readonly values: readonly SQLInputValue[];
  /**
   * What the pages are ordered and continued by: a stream's versions stand in the order of its
   * positions.
   */
  readonly key: "position" | "version";
  /** Found without an index: a page looks at a bounded part of the log. */
  readonly windowed: boolean;
}

/**
 * The rows that answer `query`, in pages. Nothing happens before the first page is asked for.
 * @throws {CadreError} INVALID_OPTION
 */
export async function* readRows(
  { connection, recent, settings: { clock } }: LogFile,
  query: LogQuery,
  assertOpen: () => void,
): AsyncIterable<readonly LogRow[]> {
  checkQuery(query);
  const matches = query.type === undefined ? undefined : compilePattern(query.type);
  const conditions = conditionsOf(query);
  let left = query.limit ?? Infinity;
  let low = 0;
  let high = Infinity;
  if (conditions.key === "position") {
    low = query.after ?? 0;
    high = query.upTo ?? Infinity;
  }
  while (left > 0) {
    assertOpen();
    const fresh = conditions.windowed && !query.backward ? recent.after(low, pageRows) : undefined;
    if (fresh) {
      const page = matching(fresh, query, matches);
      if (page.length > 0) yield page.length > left ? page.slice(0, left) : page;
      if (fresh.length < pageRows || page.length >= left) return;
      left -= page.length;
      low = fresh.at(-1)!.stored.position;
      await clock.yield();
      continue;
    }
    const head = conditions.windowed ? Math.min(high, headOf(connection)) : high;
    if (low >= head) return;
    // The window in which this page looks: ]from, to].
    const cut = conditions.windowed && head - low > windowRows;
    const from = cut && query.backward ? head - windowRows : low;
    const to = cut && !query.backward ? low + windowRows : head;
    const rows = readPage(connection, conditions, { from, to, backward: query.backward === true });
    const found = matches ? rows.filter((row) => matches(String(row[3]))) : rows;
    const page = found.length > left ? found.slice(0, left) : found;
    if (page.length > 0) yield page;
    left -= page.length;
    const full = rows.length === pageRows;
    const last = Number(rows.at(-1)?.[conditions.key === "version" ? versionIndex : 0]);
    if (query.backward) high = full ? last - 1 : from;
    else low = full ? last : to;
    if (!conditions.windowed && !full) return;
    await clock.yield();
  }
}

function matching(
  events: readonly RecentEvent[],
  query: LogQuery,
  matches: ((type: string) => boolean) | undefined,
): readonly StoredEvent[] {
  const { upTo = Infinity, streamPrefix, source, since = -Infinity, until = Infinity } = query;
  const found: StoredEvent[] = [];
  for (const { stored, flags } of events) {
    const { event } = stored;
    const isMatch =
      stored.position <= upTo &&
      (streamPrefix === undefined || (stored.stream?.startsWith(streamPrefix) ?? false)) &&
      (matches === undefined || matches(event.type)) &&
      (source === undefined || event.source === source) &&
      event.timestamp >= since &&
      event.timestamp < until &&
      (!query.publicOnly || (flags & (privateFlag | directedFlag)) === 0);
    if (isMatch) found.push(stored);
  }
  return found;
}

export function headOf(connection: Connection): number {
  return Number(connection.sql("SELECT max(position) FROM events").get()?.[0] ?? 0);
}

function readPage(
  connection: Connection,
  { sql, values, key }: Conditions,
  range: { readonly from: number; readonly to: number; readonly backward: boolean },
): readonly Row[] {
  const where = [`e.${key} > ?`, `e.${key} <= ?`, ...sql].join(" AND ");
  const text =
    `SELECT ${eventSelection} FROM ${eventTables} WHERE ${where} ` +
    `ORDER BY e.${key} ${range.backward ? "DESC" : "ASC"} LIMIT ${pageRows}`;
  const statement = connection.sql(text);
  const to = Math.min(range.to, Number.MAX_SAFE_INTEGER);
  return statement.all(range.from, to, ...values);
}

function conditionsOf(query: LogQuery): Conditions {
  const sql: string[] = [];
  const values: SQLInputValue[] = [];
  const add = (text: string, ...given: SQLInputValue[]): void => {
    sql.push(text);
    values.push(...given);
  };
  const indexed = addIndexed(query, add);
  const key = query.stream === undefined ? "position" : "version";
  if (key === "version") {
    // The plus keeps SQLite from walking the log by position instead of the stream.
    if (query.after !== undefined) add("+e.position > ?", query.after);
    if (query.upTo !== undefined) add("+e.position <= ?", query.upTo);
  }
  if (query.streamPrefix !== undefined) {
    // The prefix itself compared over its own length: no wildcard to escape, no end of a range to
    // compute.
    add("substr(s.name, 1, length(?)) = ?", query.streamPrefix, query.streamPrefix);
  }
  if (query.type !== undefined) {
    const prefix = literalPrefix(query.type);
    if (prefix === query.type) add("e.type = ?", prefix);
    // "/" comes right after ".": from the prefix itself to the last topic below it.
    else if (prefix !== "") add("e.type >= ? AND e.type < ?", prefix, `${prefix}/`);
  }
  if (query.source !== undefined) add("e.source = ?", query.source);
  if (query.since !== undefined) add("e.timestamp >= ?", query.since);
  if (query.until !== undefined) add("e.timestamp < ?", query.until);
  if (query.publicOnly) add(`coalesce(e.flags, 0) & ${privateFlag | directedFlag} = 0`);
  return { sql, values, key, windowed: !indexed };
}

function addIndexed(
  query: LogQuery,
  add: (text: string, ...given: SQLInputValue[]) => void,
): boolean {
  let indexed = false;
  if (query.id !== undefined) {
    add("e.id = ?", packId(query.id));
    indexed = true;
  }
  if (query.stream !== undefined) {
    add("e.stream = (SELECT no FROM streams WHERE name = ?)", query.stream);
    if (query.fromVersion !== undefined) add("e.version >= ?", query.fromVersion);
    indexed = true;
  }
  if (query.correlationId !== undefined) {
    const id = packId(query.correlationId);
    add("(e.correlation = ? OR (e.id = ? AND e.correlation IS NULL))", id, id);
    indexed = true;
  }
  return indexed;
}
