/**
 * Adapters from the clients that people use to the port of `sql.ts`. Each describes the few members
 * that it uses, so that no client is imported. A client that is not here is adapted in the same few
 * lines: an object with `dialect` and `query`.
 */
import type { SqlClient, SqlDatabase, SqlResult, SqlRow, SqlValue, SyncSqlClient } from "./sql.ts";

/** The part of a `DatabaseSync` of `node:sqlite` that is used. */
export interface SqliteLike {
  exec(sql: string): void;
  prepare(sql: string): {
    all(...params: SqlValue[]): unknown[];
    run(...params: SqlValue[]): { readonly changes: number | bigint };
    columns(): unknown[];
  };
  readonly isTransaction: boolean;
}

/** The part of a client of `pg` that is used: a `Client`, or one taken from a `Pool`. */
export interface PgClientLike {
  query(
    sql: string,
    params?: unknown[],
  ): Promise<{
    readonly rows: unknown[];
    readonly rowCount: number | null;
    readonly command: string;
  }>;
  on(event: string, listener: (...args: never[]) => void): unknown;
  removeListener(event: string, listener: (...args: never[]) => void): unknown;
}

/** The part of a `Pool` of `pg` that is used. */
export interface PgPoolLike {
  query: PgClientLike["query"];
  connect(): Promise<PgClientLike & { release(destroy?: boolean): void }>;
  readonly totalCount: number;
  readonly options?: { readonly max?: number | undefined };
}

/** The part of a connection of `mysql2/promise` that is used. */
export interface MysqlConnectionLike {
  query(sql: string): Promise<readonly unknown[]>;
  // mysql2's own type of the values is narrower than `unknown` and wider than ours
  execute(sql: string, values?: never): Promise<readonly unknown[]>;
}

/** The part of a pool of `mysql2/promise` that is used. */
export interface MysqlPoolLike extends MysqlConnectionLike {
  getConnection(): Promise<MysqlConnectionLike & { release(): void; destroy(): void }>;
}

const noParams: readonly SqlValue[] = [];

/**
 * A database of `node:sqlite`. Its statements are done when the call returns, so they fall into
 * whatever transaction is open on `db` just then: give a relay a `DatabaseSync` of its own.
 */
export function sqliteClient(db: SqliteLike): SqlDatabase & SyncSqlClient {
  const querySync = (sql: string, params: readonly SqlValue[] = noParams): SqlResult => {
    const statement = db.prepare(sql);
    if (statement.columns().length === 0) {
      return { rows: [], changes: Number(statement.run(...params).changes) };
    }
    const rows = statement.all(...params) as SqlRow[]; // what a driver answers
    return { rows, changes: rows.length };
  };
  const client: SyncSqlClient = {
    dialect: "sqlite",
    querySync,
    // oxlint-disable-next-line require-await -- what it throws is to be a rejection
    query: async (sql, params) => querySync(sql, params),
  };
  const turns = new Turns();
  return {
    ...client,
    transaction: (work) =>
      turns.take(async () => {
        // The write lock at once: a reader that begins to write may be refused for good.
        db.exec("BEGIN IMMEDIATE");
        try {
          const result = await work(client);
          db.exec("COMMIT");
          return result;
        } catch (error) {
          // Some errors (a full disk) have rolled back already.
          if (db.isTransaction) db.exec("ROLLBACK");
          throw error;
        }
      }),
  };
}

/** A `Client` or a `Pool` of `pg`. A client taken from a pool stays its owner's to release. */
export function pgClient(connection: PgClientLike | PgPoolLike): SqlDatabase {
  if (isPgPool(connection)) {
    const pool = connection;
    return {
      ...onPg(pool),
      async transaction(work) {
        const taken = await pool.connect();
        // Without a listener, a connection that breaks in use would end the process.
        const ignore = (): void => {};
        taken.on("error", ignore);
        const outcome = await settled(pgTransaction(taken, work));
        taken.removeListener("error", ignore);
        taken.release(outcome.broken);
        return outcome.result();
      },
      // Who listens keeps a connection: the only one would be missed.
      ...(pool.options?.max === 1
        ? {}
        : { listen: (channel, heard, lost) => listenOnPool(pool, channel, heard, lost) }),
    };
  }
  const client = connection;
  const turns = new Turns();
  return {
    ...onPg(client),
    transaction: (work) =>
      turns.take(async () => (await settled(pgTransaction(client, work))).result()),
    async listen(channel, heard, lost) {
      const stop = await listenOn(client, channel, heard, lost);
      return async () => {
        stop();
        await client.query(`UNLISTEN ${channel}`).catch(() => undefined); // gone with the client
      };
    },
  };
}

function onPg(connection: Pick<PgClientLike, "query">): SqlClient {
  return {
    dialect: "postgres",
    async query(sql, params = noParams) {
      const { rows, rowCount } = await connection.query(sql, [...params]);
      return { rows: rows as SqlRow[], changes: rowCount ?? 0 }; // what a driver answers
    },
  };
}

function pgTransaction<Result>(
  connection: PgClientLike,
  work: (tx: SqlClient) => Promise<Result>,
): Transaction<Result> {
  return {
    begin: () => connection.query("BEGIN ISOLATION LEVEL READ COMMITTED"),
    work: () => work(onPg(connection)),
    rollback: () => connection.query("ROLLBACK"),
    async commit() {
      // A statement that failed has ended the transaction, also when its error was caught; the
      // server then answers COMMIT with ROLLBACK, and no error.
      const { command } = await connection.query("COMMIT");
      if (command === "COMMIT") return;
      throw new Error("The transaction was rolled back: a statement in it had failed.");
    },
  };
}

function isPgPool(connection: PgClientLike | PgPoolLike): connection is PgPoolLike {
  return "totalCount" in connection;
}

async function listenOnPool(
  pool: PgPoolLike,
  channel: string,
  heard: () => void,
  lost: () => void,
): Promise<() => Promise<void>> {
  const taken = await pool.connect();
  let held = true;
  const giveBack = (): void => {
    if (held) taken.release(true); // it listens: nobody else should have it
    held = false;
  };
  try {
    const stop = await listenOn(taken, channel, heard, () => {
      giveBack();
      lost();
    });
    return () => {
      stop();
      giveBack();
      return Promise.resolve();
    };
  } catch (error) {
    giveBack();
    throw error;
  }
}

async function listenOn(
  client: PgClientLike,
  channel: string,
  heard: () => void,
  lost: () => void,
): Promise<() => void> {
  let over = false;
  const onNotification = (notification: { readonly channel: string }): void => {
    if (notification.channel === channel) heard();
  };
  const onEnd = (): void => {
    if (over) return;
    over = true;
    lost();
  };
  client.on("notification", onNotification);
  client.on("error", onEnd);
  client.on("end", onEnd);
  // The error listener stays: a connection that is torn down may still say so.
  const stop = (): void => {
    over = true;
    client.removeListener("notification", onNotification);
    client.removeListener("end", onEnd);
  };
  try {
    await client.query(`LISTEN ${channel}`);
  } catch (error) {
    stop();
    throw error;
  }
  return stop;
}

/** A connection or a pool of `mysql2/promise`, to MariaDB or MySQL. */
export function mysqlClient(connection: MysqlConnectionLike | MysqlPoolLike): SqlDatabase {
  if ("getConnection" in connection) {
    const pool = connection;
    return {
      ...onMysql(pool),
      async transaction(work) {
        const taken = await pool.getConnection();
        const outcome = await settled(mysqlTransaction(taken, work));
        if (outcome.broken) taken.destroy();
        else taken.release();
        return outcome.result();
      },
    };
  }
  const turns = new Turns();
  return {
    ...onMysql(connection),
    transaction: (work) =>
      turns.take(async () => (await settled(mysqlTransaction(connection, work))).result()),
  };
}

function onMysql(connection: MysqlConnectionLike): SqlClient {
  return {
    dialect: "mysql",
    async query(sql, params = noParams) {
      const values = params as never; // see MysqlConnectionLike
      // Some statements cannot be prepared, and those have no values.
      const [answer] =
        params.length === 0 ? await connection.query(sql) : await connection.execute(sql, values);
      if (Array.isArray(answer)) return { rows: answer as SqlRow[], changes: answer.length };
      const { affectedRows } = answer as { readonly affectedRows?: number };
      return { rows: [], changes: affectedRows ?? 0 };
    },
  };
}

function mysqlTransaction<Result>(
  connection: MysqlConnectionLike,
  work: (tx: SqlClient) => Promise<Result>,
): Transaction<Result> {
  return {
    async begin() {
      await connection.query("SET TRANSACTION ISOLATION LEVEL READ COMMITTED");
      await connection.query("START TRANSACTION");
    },
    work: () => work(onMysql(connection)),
    rollback: () => connection.query("ROLLBACK"),
    commit: () => connection.query("COMMIT"),
  };
}

interface Transaction<Result> {
  begin(): Promise<unknown>;
  work(): Promise<Result>;
  rollback(): Promise<unknown>;
  commit(): Promise<unknown>;
}

interface Outcome<Result> {
  /** Whether nobody knows what state the connection is in. */
  readonly broken: boolean;
  /** What the work resolved with; throws what went wrong. */
  result(): Result;
}

async function settled<Result>(transaction: Transaction<Result>): Promise<Outcome<Result>> {
  let begun = false;
  let worked = false;
  try {
    await transaction.begin();
    begun = true;
    const result = await transaction.work();
    worked = true;
    await transaction.commit();
    return { broken: false, result: () => result };
  } catch (error) {
    let broken = !begun || worked;
    if (begun && !worked) {
      // Where the connection is gone, so is the transaction; the first error is the one to tell.
      await transaction.rollback().catch(() => (broken = true));
    }
    return {
      broken,
      result: () => {
        throw error;
      },
    };
  }
}

/** One after the other, in the order of asking. */
class Turns {
  #last: Promise<unknown> = Promise.resolve();

  take<Result>(action: () => Promise<Result>): Promise<Result> {
    const turn = this.#last.then(action);
    this.#last = turn.catch(() => undefined);
    return turn;
  }
}
