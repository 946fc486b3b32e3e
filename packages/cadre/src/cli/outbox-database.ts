/**
 * Opens the user's own database, which an outbox is in. Client libraries are loaded when needed.
 */
import { existsSync } from "node:fs";
import { resolve } from "node:path";
import { DatabaseSync } from "node:sqlite";

import { CadreError, describeError } from "../core/errors.ts";
import type { SqlDatabase } from "../core/sql.ts";
import { mysqlClient, pgClient, sqliteClient } from "../core/sql-clients.ts";
import type { MysqlPoolLike, PgPoolLike } from "../core/sql-clients.ts";

const busyMs = 5_000;
const connectMs = 5_000;

interface OpenDatabase {
  readonly client: SqlDatabase;
  close(): Promise<void>;
}

interface Pg {
  readonly Pool: new (options: object) => PgPoolLike & {
    on(name: "error", listener: () => void): unknown;
    end(): Promise<void>;
  };
}

interface Mysql {
  createPool(options: object): MysqlPoolLike & { end(): Promise<void> };
}

/**
 * @param url `sqlite:PATH`, `postgres://…` or `mysql://…`
 * @throws {CadreError} INVALID_OPTION | MISSING_LIBRARY | NOT_FOUND | STORE_UNAVAILABLE
 */
export async function openOutboxDatabase(url: string, cwd: string): Promise<OpenDatabase> {
  const scheme = /^[a-z]+(?=:)/.exec(url)?.[0];
  switch (scheme) {
    case "sqlite":
      return openSqlite(resolve(cwd, url.slice("sqlite:".length)));
    case "postgres":
    case "postgresql":
      return openPostgres(url);
    case "mysql":
    case "mariadb":
      return openMysql(url.replace(/^mariadb:/, "mysql:"));
    default: {
      const message =
        `The outbox's database is ${JSON.stringify(withoutPassword(url))}. ` +
        "Give sqlite:PATH, postgres://HOST/DATABASE or mysql://HOST/DATABASE.";
      throw new CadreError("INVALID_OPTION", message, { option: "url" });
    }
  }
}

function openSqlite(path: string): OpenDatabase {
  if (!existsSync(path)) {
    const message = `There is no database at ${path}.`;
    throw new CadreError("NOT_FOUND", message, { what: "database", id: path });
  }
  const db = new DatabaseSync(path, { timeout: busyMs });
  return { client: sqliteClient(db), close: () => Promise.resolve(db.close()) };
}

async function openPostgres(url: string): Promise<OpenDatabase> {
  const { Pool } = await load<Pg>("pg", "Pool");
  const options = { connectionString: url, max: 2, connectionTimeoutMillis: connectMs };
  const pool = new Pool(options);
  pool.on("error", () => {}); // an idle connection that ends is nobody's trouble
  return { client: pgClient(pool), close: () => pool.end() };
}

async function openMysql(url: string): Promise<OpenDatabase> {
  const mysql = await load<Mysql>("mysql2/promise", "createPool");
  const pool = mysql.createPool({ uri: url, connectionLimit: 2, connectTimeout: connectMs });
  return { client: mysqlClient(pool), close: () => pool.end() };
}

async function load<Library extends object>(
  name: string,
  member: keyof Library & string,
): Promise<Library> {
  let loaded: Library & { readonly default?: Library };
  try {
    loaded = (await import(name)) as typeof loaded; // its types are the user's to install
  } catch (error) {
    const [library = name] = name.split("/");
    const install = `npm install ${library}`;
    const message = `This database needs ${library}, which is not installed. Run: ${install}`;
    throw new CadreError("MISSING_LIBRARY", message, { library, install }, error);
  }
  return member in loaded ? loaded : loaded.default!;
}

function withoutPassword(url: string): string {
  return url.replace(/:\/\/[^@/]*@/, "://…@");
}

/** What a person is told when the database says no, instead of the client's own words alone. */
export function databaseError(error: unknown, url: string): unknown {
  if (error instanceof CadreError) return error;
  const { message, code } = describeError(error);
  const reason = message === "" ? (code ?? "it does not answer") : message;
  const path = withoutPassword(url);
  return new CadreError(
    "STORE_UNAVAILABLE",
    `The outbox at ${path} cannot be used: ${reason}.`,
    { path, reason },
    error,
  );
}
