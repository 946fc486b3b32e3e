/**
 * The user's own SQL database, as far as Cadre needs it: to write beside the user's rows, in the
 * user's transaction. Any client with a `query` function fits; `sql-clients.ts` has the adapters
 * for `node:sqlite`, `pg` and `mysql2`.
 *
 *   SqlClient     one connection, on which its owner may have a transaction open
 *   SqlDatabase   also opens transactions of its own: what a relay or a projection works with
 */

/** `mysql` is MariaDB too. */
export type SqlDialect = "sqlite" | "postgres" | "mysql";

export type SqlValue = string | number | bigint | null | Uint8Array;

/** A row by the names of its columns. Whether a large integer is a string is the client's. */
export type SqlRow = Readonly<Record<string, unknown>>;

export interface SqlResult {
  readonly rows: readonly SqlRow[];
  /** Rows that a writing statement inserted, updated or deleted. */
  readonly changes: number;
}

export interface SqlClient {
  readonly dialect: SqlDialect;
  /**
   * Runs one statement. Placeholders are the database's own: `?` on SQLite and MySQL, `$1` on
   * Postgres; {@link inDialect} writes them.
   */
  query(sql: string, params?: readonly SqlValue[]): Promise<SqlResult>;
}

/** A client whose statements are done when the call returns. */
export interface SyncSqlClient extends SqlClient {
  querySync(sql: string, params?: readonly SqlValue[]): SqlResult;
}

export interface SqlDatabase extends SqlClient {
  /**
   * Runs `work` in a transaction of its own, READ COMMITTED at least: commits when it resolves,
   * rolls back when it rejects. On one connection, transactions wait for each other; what is asked
   * of that connection past `tx` meanwhile would fall into the open transaction.
   */
  transaction<Result>(work: (tx: SqlClient) => Promise<Result>): Promise<Result>;
  /**
   * Calls `heard` at each notification on `channel`, where the database has such a thing
   * (Postgres). Notifications may be lost; whoever listens also looks from time to time. Rejects
   * when the listening cannot begin. `lost` is called once when it has ended by itself.
   *
   * @returns what ends it
   */
  listen?(channel: string, heard: () => void, lost: () => void): Promise<() => Promise<void>>;
}

/**
 * `sql` with its `?` as `dialect` writes placeholders. For statements without a `?` in a literal.
 */
export function inDialect(dialect: SqlDialect, sql: string): string {
  if (dialect !== "postgres") return sql;
  let index = 0;
  return sql.replaceAll("?", () => `$${++index}`);
}
