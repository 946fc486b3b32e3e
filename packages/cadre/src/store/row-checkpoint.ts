/**
 * The checkpoints of row projections: one row for each name and version, in the user's database.
 *
 *   building ──caught up──▶ active ──a later version is active──▶ retired
 *
 * At most one version of a name is active. The position of a checkpoint is moved by compare and
 * set, first thing in the transaction that writes the rows: of two runners one waits, then finds
 * another position than it knew, and has written nothing.
 */
import { inDialect, type SqlClient, type SqlDatabase, type SqlValue } from "../core/sql.ts";
import type { LogPosition } from "./event-store.ts";

/** A version of a row projection, as the database has it. */
export interface RowCheckpoint {
  readonly name: string;
  readonly version: number;
  readonly position: LogPosition;
  readonly state: "building" | "active" | "retired";
  /** Why it stands still, if it does. */
  readonly error?: string;
}

const table = "cadre_projections";

/** Makes the table of the checkpoints, where there is none. Two processes may do so at once. */
export async function makeCheckpointTable(db: SqlDatabase): Promise<void> {
  const isMysql = db.dialect === "mysql";
  const statement = `CREATE TABLE IF NOT EXISTS ${table} (
  name ${isMysql ? "VARCHAR(128) COLLATE utf8mb4_bin" : "TEXT"} NOT NULL,
  version INTEGER NOT NULL,
  position BIGINT NOT NULL,
  state VARCHAR(10) NOT NULL,
  error TEXT,
  PRIMARY KEY (name, version)
)${isMysql ? " ENGINE=InnoDB CHARACTER SET utf8mb4" : ""}`;
  try {
    await db.query(statement);
  } catch {
    // Postgres lets two that create one thing at once collide; the second time it exists.
    await db.query(statement);
  }
}

/** All versions of all row projections, or of one, by name and version. */
export async function readRowCheckpoints(
  client: SqlClient,
  name?: string,
): Promise<readonly RowCheckpoint[]> {
  const where = name === undefined ? "" : "WHERE name = ?";
  const sql = `SELECT name, version, position, state, error FROM ${table} ${where}
ORDER BY name, version`;
  const params = name === undefined ? [] : [name];
  const { rows } = await client.query(inDialect(client.dialect, sql), params);
  return rows.map((row) => ({
    name: String(row["name"]),
    version: Number(row["version"]),
    position: Number(row["position"]),
    state: row["state"] as RowCheckpoint["state"], // nothing else is written
    ...(typeof row["error"] === "string" ? { error: row["error"] } : {}),
  }));
}

/** The statements on one version's checkpoint. Each says whether it found what it expected. */
export class RowCheckpointRow {
  readonly #key: readonly [string, number];

  constructor({ name, version }: { readonly name: string; readonly version: number }) {
    this.#key = [name, version];
  }

  async read(client: SqlClient): Promise<RowCheckpoint | undefined> {
    const [name, version] = this.#key;
    return (await readRowCheckpoints(client, name)).find((row) => row.version === version);
  }

  insert(tx: SqlClient): Promise<boolean> {
    const sql = `INSERT INTO ${table} (name, version, position, state)
VALUES (?, ?, 0, 'building')`;
    return run(tx, sql, this.#key);
  }

  move(tx: SqlClient, from: LogPosition, to: LogPosition): Promise<boolean> {
    const sql = `UPDATE ${table} SET position = ?, error = NULL
WHERE name = ? AND version = ? AND position = ?`;
    return run(tx, sql, [to, ...this.#key, from]);
  }

  restart(tx: SqlClient): Promise<boolean> {
    const sql = `UPDATE ${table} SET position = 0, error = NULL WHERE name = ? AND version = ?`;
    return run(tx, sql, this.#key);
  }

  /** Makes it the active version, and the one that was retires. */
  async activate(tx: SqlClient): Promise<boolean> {
    const [name, version] = this.#key;
    const retire = `UPDATE ${table} SET state = 'retired'
WHERE name = ? AND version <> ? AND state = 'active'`;
    await run(tx, retire, [name, version]);
    const sql = `UPDATE ${table} SET state = 'active'
WHERE name = ? AND version = ? AND state <> 'active'`;
    return run(tx, sql, this.#key);
  }

  fail(client: SqlClient, position: LogPosition, error: string): Promise<boolean> {
    const sql = `UPDATE ${table} SET error = ? WHERE name = ? AND version = ? AND position = ?`;
    return run(client, sql, [error, ...this.#key, position]);
  }

  remove(tx: SqlClient): Promise<boolean> {
    return run(tx, `DELETE FROM ${table} WHERE name = ? AND version = ?`, this.#key);
  }
}

async function run(client: SqlClient, sql: string, params: readonly SqlValue[]): Promise<boolean> {
  const { changes } = await client.query(inDialect(client.dialect, sql), params);
  return changes > 0;
}
