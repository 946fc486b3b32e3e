/**
 * What relays do to the rows of an outbox.
 *
 * Order per key. The first waiting row of a key is its head. To claim rows of a key, a relay locks
 * the head and finds it unclaimed; then no other relay can claim anything of that key until the
 * claim is given back or has run out, because the head stays waiting as long. Rows behind the head
 * go with it. A row without a key is a head by itself.
 *
 * Every later write names the claim's token, so that a relay which was paused past its claim
 * changes nothing. What it still publishes is a duplicate: everything before it in its key was
 * published.
 */
import type { Clock } from "../core/clock.ts";
import { inDialect, type SqlClient, type SqlDatabase, type SqlRow } from "../core/sql.ts";
import type { SqlValue } from "../core/sql.ts";
import { listOf } from "./outbox-table.ts";

export interface OutboxRow {
  readonly position: number;
  readonly id: string;
  readonly type: string;
  readonly key: string | undefined;
  /** The finished event as JSON. */
  readonly event: string;
  readonly attempts: number;
}

export interface Claim {
  readonly token: string;
  /** By position. */
  readonly rows: readonly OutboxRow[];
}

export interface ClaimRequest {
  readonly token: string;
  readonly leaseMs: number;
  /** Keys, and rows without a key, at most. */
  readonly maxHeads: number;
  readonly maxRows: number;
}

const rowColumns = "position, id, type, event_key, event, attempts";
const candidatesPerHead = 4; // other relays lock some of them at the same moment
const nearRows = 4_096; // looked through first: a backlog of a million is not read at each claim
const rowsPerDelete = 128;
const minIdleMs = 1_000; // a busy process is no frozen one
const sqliteBusy = 5; // https://sqlite.org/rescode.html
const busyPauseMs = 5;
const maxBusyMs = 10_000; // longer than anybody should hold a SQLite file

export class OutboxRows {
  readonly #db: SqlDatabase;
  readonly #table: string;
  readonly #clock: Clock;

  constructor(db: SqlDatabase, table: string, clock: Clock) {
    this.#db = db;
    this.#table = table;
    this.#clock = clock;
  }

  /** Claims rows that are due; undefined when there are none that are free. */
  async claim(request: ClaimRequest): Promise<Claim | undefined> {
    const candidates = await this.#heads(request.maxHeads * candidatesPerHead);
    if (candidates.length === 0) return undefined;
    if (this.#db.dialect === "sqlite") return this.#claimBySteps(request, candidates);
    return this.#db.transaction(async (tx) => {
      if (tx.dialect === "postgres") {
        // A process that freezes here must not keep its locks longer than its lease.
        const idleMs = Math.max(minIdleMs, request.leaseMs);
        await tx.query(`SET LOCAL idle_in_transaction_session_timeout = ${idleMs}`);
      }
      const heads = await this.#lock(tx, candidates, request.maxHeads);
      if (heads.length === 0) return undefined;
      const rows = [...heads, ...(await this.#followers(tx, heads, request))];
      if (!(await this.#take(tx, request, rows))) throw new ClaimRaced();
      return { token: request.token, rows: rows.toSorted(byPosition) };
    });
  }

  /**
   * Without a transaction: it would stay open over several turns of the loop, and another
   * connection of this process would wait for it without letting it end.
   */
  async #claimBySteps(
    request: ClaimRequest,
    candidates: readonly number[],
  ): Promise<Claim | undefined> {
    const { token, leaseMs, maxHeads } = request;
    const { marks, params } = listOf(candidates);
    const { changes } = await this.#run(
      this.#db,
      `UPDATE ${this.#table} SET claim = ?, claimed_until = ${this.#now()} + ${leaseMs}
        WHERE position IN (SELECT position FROM ${this.#table}
          WHERE position IN (${marks}) AND ${this.#free()} ORDER BY position LIMIT ${maxHeads})`,
      [token, ...params],
    );
    if (changes === 0) return undefined;
    const claimed = await this.#run(
      this.#db,
      `SELECT ${rowColumns} FROM ${this.#table}
        WHERE position IN (${marks}) AND claim = ? ORDER BY position`,
      [...params, token],
    );
    const heads = claimed.rows.map(outboxRow);
    const followers = await this.#followers(this.#db, heads, request);
    if (followers.length > 0 && !(await this.#take(this.#db, request, followers))) {
      await this.release(token, [...heads, ...followers]);
      throw new ClaimRaced();
    }
    return { token, rows: [...heads, ...followers].toSorted(byPosition) };
  }

  /** False when somebody skipped one of them meanwhile: the next look sees it as it is. */
  async #take(
    client: SqlClient,
    { token, leaseMs }: ClaimRequest,
    rows: readonly OutboxRow[],
  ): Promise<boolean> {
    const { marks, params } = listOf(rows.map(({ position }) => position));
    const { changes } = await this.#run(
      client,
      `UPDATE ${this.#table} SET claim = ?, claimed_until = ${this.#now()} + ${leaseMs}
        WHERE state = 'waiting' AND position IN (${marks})`,
      [token, ...params],
    );
    return changes === rows.length;
  }

  /** Owns the claim for `leaseMs` from now. False when some of it was lost. */
  async renew({ token, rows }: Claim, leaseMs: number): Promise<boolean> {
    if (rows.length === 0) return true;
    const { marks, params } = listOf(rows.map(({ position }) => position));
    const { changes } = await this.#run(
      this.#db,
      `UPDATE ${this.#table} SET claimed_until = ${this.#now()} + ${leaseMs}
        WHERE claim = ? AND state = 'waiting' AND position IN (${marks})`,
      [token, ...params],
    );
    return changes === rows.length;
  }

  /** Returns how many rows were still this claim's. */
  async published(token: string, rows: readonly OutboxRow[]): Promise<number> {
    if (rows.length === 0) return 0;
    const { marks, params } = listOf(rows.map(({ position }) => position));
    const { changes } = await this.#run(
      this.#db,
      `UPDATE ${this.#table} SET state = 'published', done_at = ${this.#now()}, claim = NULL,
          attempts = attempts + 1, error = NULL
        WHERE claim = ? AND state = 'waiting' AND position IN (${marks})`,
      [token, ...params],
    );
    return changes;
  }

  /** Gives a refused row back, due again after a pause, or sets it aside. */
  async refused(
    token: string,
    { position }: OutboxRow,
    refusal: { readonly error: string; readonly pauseMs: number; readonly aside: boolean },
  ): Promise<void> {
    const outcome = refusal.aside
      ? `state = 'aside', done_at = ${this.#now()}`
      : `due_at = ${this.#now()} + ${refusal.pauseMs}`;
    await this.#run(
      this.#db,
      `UPDATE ${this.#table} SET ${outcome}, claim = NULL, claimed_until = 0,
          attempts = attempts + 1, error = ?
        WHERE claim = ? AND state = 'waiting' AND position = ?`,
      [refusal.error, token, position],
    );
  }

  /** Gives back what was not tried. */
  async release(token: string, rows: readonly OutboxRow[]): Promise<void> {
    if (rows.length === 0) return;
    const { marks, params } = listOf(rows.map(({ position }) => position));
    await this.#run(
      this.#db,
      `UPDATE ${this.#table} SET claim = NULL, claimed_until = 0
        WHERE claim = ? AND state = 'waiting' AND position IN (${marks})`,
      [token, ...params],
    );
  }

  /** Deletes up to `limit` rows that are done for `keepMs`; returns how many. */
  async clean(keepMs: number, limit: number): Promise<number> {
    const { rows } = await this.#run(
      this.#db,
      `SELECT position FROM ${this.#table}
        WHERE state IN ('published', 'skipped') AND done_at <= ${this.#now()} - ${keepMs}
        ORDER BY position LIMIT ${limit}`,
    );
    const positions = rows.map(({ position }) => Number(position));
    let deleted = 0;
    for (let start = 0; start < positions.length; start += rowsPerDelete) {
      const { marks, params } = listOf(positions.slice(start, start + rowsPerDelete));
      const sql = `DELETE FROM ${this.#table} WHERE position IN (${marks})`;
      deleted += (await this.#run(this.#db, sql, params)).changes;
    }
    return deleted;
  }

  /** Positions of free, due rows that have no waiting row of their key before them. */
  async #heads(limit: number): Promise<readonly number[]> {
    const near = await this.#headsAmong(`LIMIT ${nearRows}`, limit);
    // All that is near may be waiting for its turn, and then what is behind it must not.
    return near.length > 0 ? near : this.#headsAmong("", limit);
  }

  async #headsAmong(window: string, limit: number): Promise<readonly number[]> {
    const { rows } = await this.#run(
      this.#db,
      `SELECT mine.position AS position FROM (
          SELECT position, event_key, due_at, claimed_until FROM ${this.#table}
            WHERE state = 'waiting' ORDER BY position ${window}) mine
        WHERE mine.due_at <= ${this.#now()} AND mine.claimed_until <= ${this.#now()}
          AND (mine.event_key IS NULL OR NOT EXISTS (
            SELECT 1 FROM ${this.#table} earlier
              WHERE earlier.state = 'waiting' AND earlier.event_key = mine.event_key
                AND earlier.position < mine.position))
        ORDER BY mine.position LIMIT ${limit}`,
    );
    return rows.map(({ position }) => Number(position));
  }

  /** Locks those heads that are still free. A head cannot stop being one but by being done. */
  async #lock(tx: SqlClient, candidates: readonly number[], limit: number): Promise<OutboxRow[]> {
    const { marks, params } = listOf(candidates);
    const { rows } = await this.#run(
      tx,
      `SELECT ${rowColumns} FROM ${this.#table}
        WHERE position IN (${marks}) AND ${this.#free()}
        ORDER BY position LIMIT ${limit} FOR UPDATE SKIP LOCKED`,
      params,
    );
    return rows.map(outboxRow);
  }

  /** The rows behind the heads, up to the first of each key that must wait. */
  async #followers(
    tx: SqlClient,
    heads: readonly OutboxRow[],
    { maxRows }: ClaimRequest,
  ): Promise<OutboxRow[]> {
    const limit = maxRows - heads.length;
    const headOf = new Map<string, number>();
    for (const { key, position } of heads) if (key !== undefined) headOf.set(key, position);
    if (limit <= 0 || headOf.size === 0) return [];
    const { marks, params } = listOf([...headOf.keys()]);
    const { rows } = await this.#run(
      tx,
      `SELECT ${rowColumns},
          CASE WHEN due_at <= ${this.#now()} AND claimed_until <= ${this.#now()}
            THEN 1 ELSE 0 END AS free
        FROM ${this.#table}
        WHERE state = 'waiting' AND event_key IN (${marks}) AND position > ?
        ORDER BY position LIMIT ${limit + heads.length}`,
      [...params, heads[0]!.position],
    );
    const stopped = new Set<string>();
    const followers: OutboxRow[] = [];
    for (const each of rows) {
      const row = outboxRow(each);
      const { key = "", position } = row;
      if (position === headOf.get(key) || stopped.has(key)) continue;
      // One before the head was added later, by a transaction that overlapped: it has its own turn.
      if (Number(each["free"]) === 1 && position > (headOf.get(key) ?? 0)) followers.push(row);
      else stopped.add(key);
      if (followers.length === limit) break;
    }
    return followers;
  }

  async #run(
    client: SqlClient,
    sql: string,
    params: readonly SqlValue[] = [],
  ): ReturnType<SqlClient["query"]> {
    const text = inDialect(client.dialect, sql);
    for (let waitedMs = 0; ; waitedMs += busyPauseMs) {
      try {
        return await client.query(text, params);
      } catch (error) {
        if (!isBusy(error) || waitedMs >= maxBusyMs) throw error;
        await this.#clock.sleep(busyPauseMs);
      }
    }
  }

  #free(): string {
    return `state = 'waiting' AND due_at <= ${this.#now()} AND claimed_until <= ${this.#now()}`;
  }

  #now(): string {
    return nowSql(this.#db, this.#clock);
  }
}

/** SQLite's file is locked by another connection; nothing was done. */
function isBusy(error: unknown): boolean {
  if (!(error instanceof Error) || !("errcode" in error)) return false;
  return (Number(error.errcode) & 0xff) === sqliteBusy;
}

function byPosition(left: OutboxRow, right: OutboxRow): number {
  return left.position - right.position;
}

/**
 * The time in Unix milliseconds, for a statement: the server's own where there is one, because
 * those who compare leases run on several machines; SQLite's processes share one clock.
 */
export function nowSql(client: SqlClient, clock: Clock): string {
  switch (client.dialect) {
    case "postgres":
      return "(EXTRACT(EPOCH FROM clock_timestamp()) * 1000)::BIGINT";
    case "mysql":
      return "(TIMESTAMPDIFF(MICROSECOND, '1970-01-01', UTC_TIMESTAMP(3)) DIV 1000)";
    case "sqlite":
      return String(Math.floor(clock.now()));
  }
}

/** The claim was not made: a row changed between looking and claiming. */
export class ClaimRaced extends Error {
  override readonly name: string = "ClaimRaced";
}

function outboxRow(row: SqlRow): OutboxRow {
  const key = row["event_key"];
  return {
    position: Number(row["position"]),
    id: String(row["id"]),
    type: String(row["type"]),
    key: typeof key === "string" ? key : undefined,
    event: String(row["event"]),
    attempts: Number(row["attempts"]),
  };
}
