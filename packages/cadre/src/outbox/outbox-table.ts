/**
 * The tables of the outbox and of the inbox, in the user's database.
 *
 *   waiting ──published──▶ published ──after a while──▶ deleted
 *      │  ▲
 *      │  └──retry──┐
 *      ├──set aside─▶ aside          refused for ever, and the relay was told to go on
 *      └──skip──────▶ skipped        a person said so; deleted as the published are
 *
 * A row holds the finished event: what is published is what was added, byte for byte. `claim` is
 * the fencing token: whoever writes to a row that it claimed names its own token.
 */
import { CadreError } from "../core/errors.ts";
import type { SqlClient, SqlDialect } from "../core/sql.ts";

export type OutboxState = "waiting" | "published" | "aside" | "skipped";

const tableName = /^[a-z_][a-z0-9_]{0,47}(?:\.[a-z_][a-z0-9_]{0,47})?$/;

/** @throws {CadreError} INVALID_OPTION: it becomes part of statements, so it is a plain name */
export function assertTableName(option: string, name: string): void {
  if (tableName.test(name)) return;
  throw new CadreError(
    "INVALID_OPTION",
    `Option "${option}" is ${JSON.stringify(name)}. Give a table's name in lower case: letters, ` +
      `digits and "_", at most 48 characters, with its schema before a dot if need be.`,
    { option, value: name },
  );
}

/**
 * The statements that make the outbox's table, for those who run their own migrations. Each can be
 * run again and changes nothing then.
 */
export function outboxMigration(
  dialect: SqlDialect,
  table: string = "cadre_outbox",
): readonly string[] {
  assertTableName("table", table);
  const index = bareName(table);
  switch (dialect) {
    case "mysql":
      return [
        `CREATE TABLE IF NOT EXISTS ${table} (
  position BIGINT NOT NULL AUTO_INCREMENT PRIMARY KEY,
  id VARCHAR(255) NOT NULL,
  type VARCHAR(512) NOT NULL,
  event_key VARCHAR(200) NULL,
  event LONGTEXT NOT NULL,
  added_at BIGINT NOT NULL,
  state VARCHAR(10) NOT NULL DEFAULT 'waiting',
  attempts INT NOT NULL DEFAULT 0,
  due_at BIGINT NOT NULL DEFAULT 0,
  claim VARCHAR(80) NULL,
  claimed_until BIGINT NOT NULL DEFAULT 0,
  done_at BIGINT NULL,
  error TEXT NULL,
  INDEX ${index}_waiting (state, position),
  INDEX ${index}_keys (state, event_key, position)
) ENGINE=InnoDB CHARACTER SET utf8mb4 COLLATE utf8mb4_bin`,
      ];
    case "postgres":
    case "sqlite": {
      const integer = dialect === "postgres" ? "BIGINT" : "INTEGER";
      const position =
        dialect === "postgres"
          ? "BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY"
          : "INTEGER PRIMARY KEY AUTOINCREMENT";
      return [
        `CREATE TABLE IF NOT EXISTS ${table} (
  position ${position},
  id TEXT NOT NULL,
  type TEXT NOT NULL,
  event_key TEXT,
  event TEXT NOT NULL,
  added_at ${integer} NOT NULL,
  state TEXT NOT NULL DEFAULT 'waiting',
  attempts INTEGER NOT NULL DEFAULT 0,
  due_at ${integer} NOT NULL DEFAULT 0,
  claim TEXT,
  claimed_until ${integer} NOT NULL DEFAULT 0,
  done_at ${integer},
  error TEXT
)`,
        indexOf(dialect, `${index}_waiting`, table, "(position) WHERE state = 'waiting'"),
        indexOf(dialect, `${index}_keys`, table, "(event_key, position) WHERE state = 'waiting'"),
      ];
    }
  }
}

/** The statements that make the inbox's table. Each can be run again and changes nothing then. */
export function inboxMigration(
  dialect: SqlDialect,
  table: string = "cadre_inbox",
): readonly string[] {
  assertTableName("table", table);
  const index = bareName(table);
  if (dialect === "mysql") {
    return [
      `CREATE TABLE IF NOT EXISTS ${table} (
  subscription VARCHAR(255) NOT NULL,
  event_id VARCHAR(255) NOT NULL,
  handled_at BIGINT NOT NULL,
  PRIMARY KEY (subscription, event_id),
  INDEX ${index}_handled (handled_at)
) ENGINE=InnoDB CHARACTER SET utf8mb4 COLLATE utf8mb4_bin`,
    ];
  }
  const integer = dialect === "postgres" ? "BIGINT" : "INTEGER";
  return [
    `CREATE TABLE IF NOT EXISTS ${table} (
  subscription TEXT NOT NULL,
  event_id TEXT NOT NULL,
  handled_at ${integer} NOT NULL,
  PRIMARY KEY (subscription, event_id)
)${dialect === "sqlite" ? " WITHOUT ROWID" : ""}`,
    indexOf(dialect, `${index}_handled`, table, "(handled_at)"),
  ];
}

/** An index is the table's or its schema's: with the schema's name it would only get too long. */
function bareName(table: string): string {
  return table.slice(table.indexOf(".") + 1);
}

/** An index lives in its table's schema; SQLite wants the schema before the index's name. */
function indexOf(dialect: SqlDialect, name: string, table: string, rest: string): string {
  const bare = bareName(table);
  const schema = bare === table ? undefined : table.slice(0, -bare.length - 1);
  if (dialect === "postgres" || schema === undefined) {
    return `CREATE INDEX IF NOT EXISTS ${name} ON ${table} ${rest}`;
  }
  return `CREATE INDEX IF NOT EXISTS ${schema}.${name} ON ${bare} ${rest}`;
}

/** Runs a migration; two processes may do so at once. */
export async function migrate(client: SqlClient, statements: readonly string[]): Promise<void> {
  for (const statement of statements) {
    try {
      await client.query(statement);
    } catch {
      // Postgres lets two that create one thing at once collide; the second time it exists.
      await client.query(statement);
    }
  }
}

/** Placeholders for `values`, padded to a power of two: a server keeps few prepared statements. */
export function listOf<Value>(values: readonly Value[]): {
  readonly marks: string;
  readonly params: readonly Value[];
} {
  let size = 1;
  while (size < values.length) size *= 2;
  const last = values.at(-1)!; // nobody asks for an empty list
  const padding = Array.from({ length: size - values.length }, () => last);
  return {
    marks: Array.from({ length: size }, () => "?").join(", "),
    params: [...values, ...padding],
  };
}
