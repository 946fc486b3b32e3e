/** Rows of another log, written with their own positions, versions and times. */
import type { StoredEvent } from "../../store/event-store.ts";
import { RestorePlan } from "../../store/restore-plan.ts";
import { plainArray, textArray } from "./array-literal.ts";
import { channelOf } from "./log-turn.ts";
import type { Session } from "./connection.ts";
import { eventArrays } from "./event-arrays.ts";
import {
  decodeStored,
  directedFlag,
  encodeEvent,
  eventSelection,
  eventTables,
  privateFlag,
  type EncodedEvent,
} from "./event-rows.ts";
import { appendLock } from "./locks.ts";
import type { Log } from "./postgres-log.ts";
import { fromStoredText, toStoredText } from "./stored-text.ts";

interface PreparedRow {
  readonly row: StoredEvent;
  readonly encoded: EncodedEvent;
}

/**
 * Checks all rows, then writes those that are not there, in one transaction. Returns how many.
 * @throws {CadreError} IMPORT_CONFLICT | TOO_LARGE
 */
export async function restoreRows(log: Log, rows: readonly StoredEvent[]): Promise<number> {
  const prepared = rows.map((row) => ({ row, encoded: encodeEvent(row.event) }));
  for (const { encoded } of prepared) log.checkSize(encoded);
  if (prepared.length === 0) return 0;
  await log.ready();
  const { schema } = log.settings;
  const written = await log.connection.transaction(async (session) => {
    await session.query(`SELECT pg_advisory_xact_lock(${appendLock(schema)})`);
    const fresh = await freshRows(session, schema, prepared);
    if (fresh.length > 0) await write(session, schema, fresh);
    return fresh.length;
  });
  if (written > 0) log.wake.announce();
  return written;
}

async function freshRows(
  session: Session,
  schema: string,
  rows: readonly PreparedRow[],
): Promise<readonly PreparedRow[]> {
  const [tail] = await session.query(
    `SELECT position, recorded_at FROM ${schema}.events ORDER BY position DESC LIMIT 1`,
  );
  const found = await session.query(
    `SELECT ${eventSelection} FROM ${eventTables(schema)} WHERE e.id = ANY ($1::uuid[])`,
    [plainArray(rows.map(({ encoded }) => encoded.id))],
  );
  const there = new Map(found.map(decodeStored).map((stored) => [stored.event.id, stored]));
  const streams = await session.query(
    `SELECT name, version FROM ${schema}.streams WHERE name = ANY ($1::text[])`,
    [textArray(namesOf(rows))],
  );
  const versions = new Map(
    streams.map(([name, version]) => [fromStoredText(String(name)), Number(version)]),
  );
  const plan = new RestorePlan(Number(tail?.[0] ?? 0), Number(tail?.[1] ?? -Infinity));
  return rows.filter(({ row }) =>
    plan.isNew(row, there.get(row.event.id), () => versions.get(row.stream ?? "") ?? 0),
  );
}

function namesOf(rows: readonly PreparedRow[]): readonly string[] {
  const names = new Set(rows.flatMap(({ row }) => (row.stream === undefined ? [] : [row.stream])));
  return [...names].map(toStoredText);
}

async function write(
  session: Session,
  schema: string,
  rows: readonly PreparedRow[],
): Promise<void> {
  const versions = new Map<string, number>();
  for (const { row } of rows) {
    if (row.stream !== undefined) versions.set(row.stream, row.version ?? 0);
  }
  await session.query(
    `INSERT INTO ${schema}.streams (name, version)
     SELECT u.name, u.version FROM unnest($1::text[], $2::integer[]) u(name, version)
     ON CONFLICT (name) DO UPDATE SET version = excluded.version`,
    [textArray([...versions.keys()].map(toStoredText)), plainArray([...versions.values()])],
  );
  const arrays = eventArrays(rows.map(({ encoded }) => encoded));
  const flags = rows.map(({ row }) => flagsOf(row));
  await session.query(insertRows(schema), [
    ...[arrays.ids, arrays.types, arrays.sources, arrays.timestamps, arrays.correlations],
    ...[arrays.causations, arrays.payloads, arrays.deliver_ats, arrays.keys, arrays.ranks],
    ...[arrays.schemas, arrays.extras, plainArray(flags)],
    plainArray(rows.map(({ row }) => row.position)),
    plainArray(rows.map(({ row }) => row.recordedAt)),
    textArray(rows.map(({ row }) => (row.stream === undefined ? null : toStoredText(row.stream)))),
    plainArray(rows.map(({ row }) => row.version)),
  ]);
  await session.query(
    `SELECT setval('${schema}.positions', $1), nextval('${schema}.changes'),
       pg_notify('${channelOf(schema)}', '')`,
    [rows.at(-1)!.row.position],
  );
}

function flagsOf(row: StoredEvent): number | null {
  const flags = (row.private ? privateFlag : 0) | (row.directed ? directedFlag : 0);
  return flags === 0 ? null : flags;
}

function insertRows(schema: string): string {
  return `
    INSERT INTO ${schema}.events (id, type, source, timestamp, correlation, causation, payload,
      deliver_at, key, rank, schema, extra, flags, position, recorded_at, stream, version)
    SELECT u.id, u.type, u.source, u.timestamp, u.correlation, u.causation, u.payload,
      u.deliver_at, u.key, u.rank, u.schema, u.extra, u.flags, u.position, u.recorded_at,
      (SELECT no FROM ${schema}.streams s WHERE s.name = u.stream), u.version
    FROM unnest($1::uuid[], $2::text[], $3::text[], $4::double precision[], $5::uuid[],
      $6::uuid[], $7::text[], $8::double precision[], $9::text[], $10::smallint[], $11::text[],
      $12::text[], $13::smallint[], $14::bigint[], $15::double precision[], $16::text[],
      $17::integer[]) u(id, type, source, timestamp, correlation, causation, payload, deliver_at,
      key, rank, schema, extra, flags, position, recorded_at, stream, version)`;
}
