/**
 * The format of the log's tables. `docs/reference/postgres-format.md` says what each column means.
 *
 *   no tables ──step 1──▶ version 1 ──step 2──▶ version 2 …   in one transaction, under a lock
 *   a newer version, or another program's tables: refused before anything is written
 */
import { CadreError } from "../../core/errors.ts";
import type { Connection, Session } from "./connection.ts";
import { migrationLock } from "./locks.ts";
import { groupStep } from "./group-schema.ts";
import { logStep } from "./log-schema.ts";
import { unavailable } from "./postgres-error.ts";

/** What leads from one version of the format to the next. */
export interface MigrationStep {
  /** What it brings, for the log. */
  readonly name: string;
  /** SQL in which every name carries `schema`, which needs no quotes. */
  readonly sql: (schema: string) => string;
}

/** Step n leads to version n + 1. Only ever added to, at the end. */
export const steps: readonly MigrationStep[] = [logStep, groupStep];

export const formatVersion: number = steps.length;

const oldestServer = 130_000;

/**
 * Makes the tables ready: checked, of the newest format. Of several who start at once, one does it
 * and the others wait.
 *
 * @throws {CadreError} STORE_TOO_NEW | STORE_CORRUPT | STORE_UNAVAILABLE | STORE_READ_ONLY |
 * UNREACHABLE
 */
export async function prepareSchema(
  connection: Connection,
  upTo: number = formatVersion,
): Promise<void> {
  const { schema } = connection.settings;
  const found = await connection.use(async (session) => {
    await checkServer(session, connection.shown);
    return checkFormat(session, schema, connection.shown);
  });
  if (found >= upTo) return;
  await connection.transaction(async (session) => {
    await session.query(`SELECT pg_advisory_xact_lock(${migrationLock(schema)})`);
    const from = await checkFormat(session, schema, connection.shown);
    if (from === 0) await session.query(`CREATE SCHEMA IF NOT EXISTS ${schema}`);
    for (const step of steps.slice(from, upTo)) await session.query(step.sql(schema));
    await session.query(
      `INSERT INTO ${schema}.meta (name, value) VALUES ('format', $1)
       ON CONFLICT (name) DO UPDATE SET value = excluded.value`,
      [String(Math.max(from, upTo))],
    );
  });
}

async function checkServer(session: Session, shown: string): Promise<void> {
  const [row] = await session.query(
    "SELECT current_setting('server_encoding'), current_setting('server_version_num')::int",
  );
  const [encoding, version] = row!;
  if (encoding !== "UTF8") {
    throw unavailable(shown, `its encoding is ${String(encoding)}; make a database with UTF8`);
  }
  if (Number(version) < oldestServer) {
    throw unavailable(shown, `the server's version is ${String(version)}; 13 or later is needed`);
  }
}

/** The version of the tables that are there; 0 where there are none. Writes nothing. */
async function checkFormat(session: Session, schema: string, shown: string): Promise<number> {
  // The catalog itself: name look-ups such as to_regclass may answer from before the lock.
  const tables = await session.query(
    `SELECT c.relname, (SELECT count(*) FROM pg_attribute a
       WHERE a.attrelid = c.oid AND a.attname IN ('name', 'value'))
     FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
     WHERE n.nspname = $1 AND c.relname IN ('meta', 'events')`,
    [schema],
  );
  if (tables.length === 0) return 0;
  const isMeta = tables.some(([name, columns]) => name === "meta" && Number(columns) === 2);
  const rows = isMeta
    ? await session.query(`SELECT value FROM ${schema}.meta WHERE name = 'format'`)
    : [];
  const found = Number(rows[0]?.[0]);
  if (!Number.isSafeInteger(found) || found < 1) throw notOurs(schema, shown);
  if (found > formatVersion) {
    throw new CadreError(
      "STORE_TOO_NEW",
      `The log at ${shown} (schema "${schema}") has format ${found}; ` +
        `this version of Cadre reads up to ${formatVersion}. Update Cadre.`,
      { path: shown, found, supported: formatVersion },
    );
  }
  return found;
}

function notOurs(schema: string, shown: string): CadreError<"STORE_CORRUPT"> {
  const reason = `the tables in its schema "${schema}" are another program's`;
  return new CadreError(
    "STORE_CORRUPT",
    `The database at ${shown} has no sound log: ${reason}. Nothing was changed; ` +
      "give another schema, such as ?schema=team.",
    { path: shown, reason },
  );
}
