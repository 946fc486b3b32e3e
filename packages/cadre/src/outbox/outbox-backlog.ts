/** What a person sees of an outbox, and does about it. */
import type { Clock } from "../core/clock.ts";
import { inDialect, type SqlClient, type SqlRow, type SqlValue } from "../core/sql.ts";
import { nowSql } from "./outbox-rows.ts";
import { listOf, type OutboxState } from "./outbox-table.ts";

/** Refusals after which a waiting row counts as stuck. */
export const stuckAfter = 5;

export interface OutboxBacklog {
  /** Not published yet. */
  readonly waiting: number;
  /** Waiting, and refused at least five times. */
  readonly stuck: number;
  readonly aside: number;
  /** Done, and not cleaned yet. */
  readonly published: number;
  readonly skipped: number;
  /** When the oldest waiting row was added, in Unix milliseconds. */
  readonly oldestAddedAt?: number;
}

/** One row as a person sees it. */
export interface OutboxEntry {
  readonly position: number;
  readonly id: string;
  readonly type: string;
  readonly key?: string;
  readonly state: OutboxState;
  /** Times that it was tried. */
  readonly attempts: number;
  /** Unix milliseconds. */
  readonly addedAt: number;
  /** Not tried before this instant, in Unix milliseconds; 0 is at once. */
  readonly dueAt: number;
  /** Whether a relay has it in hand. */
  readonly claimed: boolean;
  /** What the bus said last. */
  readonly error?: string;
  /** The finished event as JSON. */
  readonly event: string;
}

export interface OutboxQuery {
  readonly state?: OutboxState;
  /** Only rows that wait and were refused at least five times. */
  readonly stuck?: boolean;
  readonly key?: string;
  /** After this position. */
  readonly after?: number;
  /** @default 100 */
  readonly limit?: number;
}

export async function readBacklog(client: SqlClient, table: string): Promise<OutboxBacklog> {
  const { rows } = await client.query(
    `SELECT state, COUNT(*) AS many, MIN(added_at) AS oldest,
        SUM(CASE WHEN state = 'waiting' AND attempts >= ${stuckAfter} THEN 1 ELSE 0 END) AS stuck
      FROM ${table} GROUP BY state`,
  );
  const of = (state: OutboxState): SqlRow | undefined => rows.find((row) => row["state"] === state);
  const count = (state: OutboxState): number => Number(of(state)?.["many"] ?? 0);
  const waiting = of("waiting");
  return {
    waiting: count("waiting"),
    stuck: Number(waiting?.["stuck"] ?? 0),
    aside: count("aside"),
    published: count("published"),
    skipped: count("skipped"),
    ...(waiting ? { oldestAddedAt: Number(waiting["oldest"]) } : {}),
  };
}

export async function listEntries(
  client: SqlClient,
  table: string,
  clock: Clock,
  query: OutboxQuery,
): Promise<readonly OutboxEntry[]> {
  const { state, stuck = false, key, after = 0, limit = 100 } = query;
  const wheres = ["position > ?"];
  const params: SqlValue[] = [after];
  if (state !== undefined) {
    wheres.push("state = ?");
    params.push(state);
  }
  if (key !== undefined) {
    wheres.push("event_key = ?");
    params.push(key);
  }
  if (stuck) wheres.push(`state = 'waiting' AND attempts >= ${stuckAfter}`);
  const sql = `SELECT position, id, type, event_key, state, attempts, added_at, due_at, error,
      event, CASE WHEN claimed_until > ${nowSql(client, clock)} THEN 1 ELSE 0 END AS claimed
    FROM ${table} WHERE ${wheres.join(" AND ")} ORDER BY position LIMIT ${Math.floor(limit)}`;
  const { rows } = await client.query(inDialect(client.dialect, sql), params);
  return rows.map(entryOf);
}

/**
 * Makes rows due now: those that wait for their next attempt, and those that were set aside. What a
 * relay has in hand is left alone. Returns how many.
 */
export async function retryRows(
  client: SqlClient,
  table: string,
  clock: Clock,
  positions: readonly number[],
): Promise<number> {
  const change = "state = 'waiting', due_at = 0, done_at = NULL";
  return changeRows(client, table, clock, positions, change);
}

/** Gives rows up: they are never published. What a relay has in hand is left alone. */
export async function skipRows(
  client: SqlClient,
  table: string,
  clock: Clock,
  positions: readonly number[],
): Promise<number> {
  const change = `state = 'skipped', done_at = ${nowSql(client, clock)}`;
  return changeRows(client, table, clock, positions, change);
}

async function changeRows(
  client: SqlClient,
  table: string,
  clock: Clock,
  positions: readonly number[],
  change: string,
): Promise<number> {
  if (positions.length === 0) return 0;
  const { marks, params } = listOf(positions);
  const sql = `UPDATE ${table} SET ${change}
    WHERE position IN (${marks}) AND state IN ('waiting', 'aside')
      AND claimed_until <= ${nowSql(client, clock)}`;
  return (await client.query(inDialect(client.dialect, sql), params)).changes;
}

function entryOf(row: SqlRow): OutboxEntry {
  const { event_key: key, error } = row;
  return {
    position: Number(row["position"]),
    id: String(row["id"]),
    type: String(row["type"]),
    ...(typeof key === "string" ? { key } : {}),
    state: row["state"] as OutboxState, // only this folder writes it
    attempts: Number(row["attempts"]),
    addedAt: Number(row["added_at"]),
    dueAt: Number(row["due_at"]),
    claimed: Number(row["claimed"]) === 1,
    ...(typeof error === "string" ? { error } : {}),
    event: String(row["event"]),
  };
}
