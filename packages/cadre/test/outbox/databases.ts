/**
 * The databases that the outbox works with, each as a test finds it: fresh, with several
 * connections.
 */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { createPool } from "mysql2/promise";
// @ts-expect-error -- pg has no types of its own; what is used of it is PgPoolLike
import pg from "pg";
import {
  mysqlClient,
  pgClient,
  sqliteClient,
  type PgPoolLike,
  type SqlDatabase,
  type SqlDialect,
} from "cadre";
import { mariadbServerPath, startMariadbServer } from "../servers/mariadb-server.ts";
import { postgresServerPath, startPostgresServer } from "../servers/postgres-server.ts";

interface PgPool extends PgPoolLike {
  on(event: "error", listener: () => void): unknown;
  end(): Promise<void>;
}

/** A connection, or a pool of them. */
export interface OpenDatabase {
  readonly client: SqlDatabase;
  close(): Promise<void>;
}

export interface TestDatabase {
  readonly url: string;
  stop(): Promise<void>;
  /** Of a server alone: SIGKILL, and start again. */
  kill?(): Promise<void>;
  restart?(): Promise<void>;
}

/**
 * Opens what a URL names; also for processes that were only told the URL. SQLite waits `busyMs` for
 * a lock, and stops this process as long: short where several connections share it.
 */
export function openDatabase(url: string, busyMs: number = 10_000): OpenDatabase {
  if (url.startsWith("postgres:")) {
    const pool: PgPool = new pg.Pool({ connectionString: url, max: 4 });
    pool.on("error", () => {}); // an idle connection that the server has cut
    return { client: pgClient(pool), close: () => pool.end() };
  }
  if (url.startsWith("mysql:")) {
    const pool = createPool({ uri: url, connectionLimit: 4 });
    return { client: mysqlClient(pool), close: () => pool.end() };
  }
  const db = new DatabaseSync(url.slice("sqlite:".length), { timeout: busyMs });
  db.exec("PRAGMA journal_mode = WAL; PRAGMA synchronous = NORMAL");
  const close = (): Promise<void> => Promise.resolve(db.close());
  return { client: sqliteClient(db), close };
}

export interface DatabaseKind {
  readonly dialect: SqlDialect;
  /** Why it cannot run here; false where it can. */
  readonly skip: string | false;
  start(): Promise<TestDatabase>;
}

export const databases: readonly DatabaseKind[] = [
  {
    dialect: "sqlite",
    skip: false,
    start: () => {
      const folder = mkdtempSync(join(tmpdir(), "cadre-test-"));
      const stop = (): Promise<void> =>
        Promise.resolve(rmSync(folder, { recursive: true, force: true }));
      return Promise.resolve({ url: `sqlite:${join(folder, "shop.db")}`, stop });
    },
  },
  {
    dialect: "postgres",
    skip: postgresServerPath() === undefined ? "there is no postgres here" : false,
    start: () => startPostgresServer(),
  },
  {
    dialect: "mysql",
    skip: mariadbServerPath() === undefined ? "there is no mariadbd here" : false,
    start: () => startMariadbServer(),
  },
];
