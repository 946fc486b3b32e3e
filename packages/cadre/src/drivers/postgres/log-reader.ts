/**
 * Reads the log in pages. Each page is one short statement, so that no reader keeps an old view of
 * the database, and memory holds one page.
 *
 * Where an index narrows the question (an id, a stream, a flow) the page is found through it.
 * Conditions without an index walk the log by position, in windows of a fixed width: a rare match
 * costs many short statements, never one long one.
 */
import { compilePattern, literalPrefix } from "../../core/pattern.ts";
import type { StoreQuery } from "../../store/event-store.ts";
import { checkQuery } from "../../store/store-query.ts";
import type { Cell, Parameter, Row } from "./client.ts";
import type { Connection } from "./connection.ts";
import {
  directedFlag,
  eventSelection,
  eventTables,
  packId,
  privateFlag,
  typeIndex,
  versionIndex,
} from "./event-rows.ts";
import { fromStoredText, toStoredText } from "./stored-text.ts";

/** What a reader of the log asks for. */
export interface LogQuery extends StoreQuery {
  /** Leaves out what subscriptions don't see. */
  readonly publicOnly?: boolean;
}

const windowWidth = 16_384; // positions walked in one statement: some 10 ms
const pageRows = 1_000; // rows handed out from one statement

interface Conditions {
  readonly sql: readonly string[];
  readonly values: readonly Parameter[];
  /**
   * What the pages are ordered and continued by: a stream's versions stand in the order of its
   * positions.
   */
  readonly key: "position" | "version";
  /** Some rows don't match and no index tells which: a page looks at a bounded part of the log. */
  readonly windowed: boolean;
}

/**
 * The rows that answer `query`, in pages. Nothing happens before the first page is asked for.
 * @throws {CadreError} INVALID_OPTION
 */
export async function* readRows(
  connection: Connection,
  query: LogQuery,
): AsyncIterable<readonly Row[]> {
  checkQuery(query);
  const matches = query.type === undefined ? undefined : compilePattern(query.type);
  const conditions = conditionsOf(query, connection.settings.schema);
  const byPosition = conditions.key === "position";
  let left = query.limit ?? Infinity;
  let low = byPosition ? (query.after ?? 0) : 0;
  let high = (byPosition ? query.upTo : undefined) ?? Number.MAX_SAFE_INTEGER;
  let ahead: Promise<readonly Row[]> | undefined;
  while (left > 0) {
    connection.assertOpen();
    const end = conditions.windowed ? Math.min(high, await headOf(connection)) : high;
    if (low >= end) return;
    // The window in which this page looks: ]from, to].
    const cut = conditions.windowed && end - low > windowWidth;
    const from = cut && query.backward ? end - windowWidth : low;
    const to = cut && !query.backward ? low + windowWidth : end;
    const limit = Math.min(pageRows, to - from, matches ? pageRows : left);
    const range = { from, to, backward: query.backward === true, limit };
    let rows = (await ahead) ?? [];
    // What was read ahead counts when it is full: such a page can't have grown since.
    if (rows.length < limit) rows = await readPage(connection, conditions, range);
    const found = rows.filter((row) => {
      const place = Number(row[byPosition ? 0 : versionIndex]);
      return place > from && place <= to && (!matches || matches(typeOf(row)));
    });
    const page = found.length > left ? found.slice(0, left) : found;
    left -= page.length;
    const full = rows.length === limit;
    const last = Number(rows.at(-1)?.[byPosition ? 0 : versionIndex]);
    if (query.backward) high = full ? last - 1 : from;
    else low = full ? last : to;
    ahead = undefined;
    if (!conditions.windowed && limit === pageRows && full) {
      if (left >= pageRows && high - low >= pageRows) {
        ahead = readPage(connection, conditions, { ...range, from: low, to: high });
        ahead.catch(() => {}); // whoever reads on is told; who doesn't, need not know
      }
    }
    if (page.length > 0) yield page;
    if (!conditions.windowed && !full) return;
  }
}

export async function headOf(connection: Connection): Promise<number> {
  const { schema } = connection.settings;
  return Number((await connection.value(`SELECT max(position) FROM ${schema}.events`)) ?? 0);
}

function typeOf(row: readonly Cell[]): string {
  return fromStoredText(String(row[typeIndex]));
}

interface Range {
  readonly from: number;
  readonly to: number;
  readonly backward: boolean;
  readonly limit: number;
}

function readPage(
  connection: Connection,
  { sql, values, key, windowed }: Conditions,
  { from, to, backward, limit }: Range,
): Promise<readonly Row[]> {
  const { schema } = connection.settings;
  // A version is a smaller number than a position may be.
  const most = key === "version" ? 2_147_483_647 : Number.MAX_SAFE_INTEGER;
  const bounds: string[] = [];
  const given: Parameter[] = [...values];
  const bound = (operator: string, value: number): void => {
    given.push(Math.min(value, most));
    bounds.push(`e.${key} ${operator} $${given.length}`);
  };
  // Without a window one bound is enough, the page's end is the other. Two would look like so few
  // rows, to a server that has not analyzed the table yet, that it would sort instead of walk.
  if (windowed || !backward) bound(">", from);
  if (windowed || backward) bound("<=", to);
  const text =
    `SELECT ${eventSelection} FROM ${eventTables(schema)} ` +
    `WHERE ${[...bounds, ...sql].join(" AND ")} ` +
    `ORDER BY e.${key} ${backward ? "DESC" : "ASC"} LIMIT ${limit}`;
  return connection.query(text, given);
}

function conditionsOf(query: LogQuery, schema: string): Conditions {
  const sql: string[] = [];
  const values: Parameter[] = [];
  const add = (condition: (place: string) => string, value: Parameter): void => {
    values.push(value);
    sql.push(condition(`$${values.length}`));
  };
  const indexed = addIndexed(query, schema, add);
  const before = sql.length;
  const key = query.stream === undefined ? "position" : "version";
  if (key === "version") {
    // The sum keeps Postgres from walking the log by position instead of the stream.
    if (query.after !== undefined) add((place) => `e.position + 0 > ${place}`, query.after);
    if (query.upTo !== undefined) add((place) => `e.position + 0 <= ${place}`, query.upTo);
  }
  if (query.streamPrefix !== undefined) {
    add((place) => `starts_with(s.name, ${place})`, toStoredText(query.streamPrefix));
  }
  if (query.type !== undefined) addType(query.type, add);
  if (query.source !== undefined) {
    add((place) => `e.source = ${place}`, toStoredText(query.source));
  }
  if (query.since !== undefined) add((place) => `e.timestamp >= ${place}`, query.since);
  if (query.until !== undefined) add((place) => `e.timestamp < ${place}`, query.until);
  const narrowed = sql.length > before;
  if (query.publicOnly) sql.push(`coalesce(e.flags, 0) & ${privateFlag | directedFlag} = 0`);
  return { sql, values, key, windowed: !indexed && narrowed };
}

type Add = (condition: (place: string) => string, value: Parameter) => void;

function addType(type: string, add: Add): void {
  const prefix = toStoredText(literalPrefix(type));
  if (prefix === toStoredText(type)) add((place) => `e.type = ${place}`, prefix);
  else if (prefix !== "") {
    // "/" comes right after ".": from the prefix itself to the last topic below it.
    add((place) => `e.type >= ${place}`, prefix);
    add((place) => `e.type < ${place}`, `${prefix}/`);
  }
}

function addIndexed(query: LogQuery, schema: string, add: Add): boolean {
  let indexed = false;
  if (query.id !== undefined) {
    add((place) => `e.id = ${place}`, packId(query.id));
    indexed = true;
  }
  if (query.stream !== undefined) {
    add(
      (place) => `e.stream = (SELECT no FROM ${schema}.streams WHERE name = ${place})`,
      toStoredText(query.stream),
    );
    if (query.fromVersion !== undefined) {
      add((place) => `e.version::bigint >= ${place}`, query.fromVersion);
    }
    indexed = true;
  }
  if (query.correlationId !== undefined) {
    const id = packId(query.correlationId);
    add((place) => `(e.correlation = ${place} OR (e.id = ${place} AND e.correlation IS NULL))`, id);
    indexed = true;
  }
  return indexed;
}
