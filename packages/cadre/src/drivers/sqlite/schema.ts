/**
 * The format of the file, version 1. `docs/reference/sqlite-format.md` says what each column means.
 *
 *   empty file ──create──▶ version 1 ──migrations, one a version, under the write lock──▶ newest
 *   a newer version, another program's database, or no database: refused before anything is written
 */
import type { Clock } from "../../core/clock.ts";
import { CadreError } from "../../core/errors.ts";
import type { Connection } from "./connection.ts";
import { corrupt, unavailable } from "./sqlite-error.ts";

export const applicationId = 0x63_61_64_72; // "cadr" in ASCII
export const formatVersion = 1;

const version1 = `
CREATE TABLE meta (
  name TEXT PRIMARY KEY,
  value TEXT NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE events (
  position INTEGER PRIMARY KEY,
  id BLOB NOT NULL UNIQUE,
  type TEXT NOT NULL,
  source TEXT NOT NULL,
  timestamp NUMERIC NOT NULL,
  recorded_at NUMERIC NOT NULL,
  correlation BLOB,
  causation BLOB,
  stream INTEGER,
  version INTEGER,
  flags INTEGER,
  key TEXT,
  rank INTEGER,
  deliver_at NUMERIC,
  schema TEXT,
  extra TEXT,
  payload TEXT NOT NULL
);
CREATE INDEX events_by_stream ON events (stream, version) WHERE stream IS NOT NULL;
CREATE INDEX events_by_correlation ON events (correlation) WHERE correlation IS NOT NULL;

CREATE TABLE streams (
  no INTEGER PRIMARY KEY,
  name TEXT NOT NULL UNIQUE,
  version INTEGER NOT NULL
) STRICT;

CREATE TABLE slots (
  name TEXT PRIMARY KEY,
  version INTEGER NOT NULL,
  value TEXT NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE inbox (
  subscription TEXT NOT NULL,
  event BLOB NOT NULL,
  marked_at NUMERIC NOT NULL,
  PRIMARY KEY (subscription, event)
) WITHOUT ROWID;

CREATE TABLE members (
  no INTEGER PRIMARY KEY AUTOINCREMENT,
  pid INTEGER NOT NULL,
  started TEXT NOT NULL,
  host TEXT NOT NULL
) STRICT;

CREATE TABLE groups (
  no INTEGER PRIMARY KEY AUTOINCREMENT,
  name TEXT NOT NULL UNIQUE,
  definition TEXT NOT NULL,
  ordered TEXT,
  patterns TEXT NOT NULL,
  cursor INTEGER NOT NULL
) STRICT;

CREATE TABLE deliveries (
  group_no INTEGER NOT NULL,
  position INTEGER NOT NULL,
  copy INTEGER NOT NULL,
  state INTEGER NOT NULL,
  attempt INTEGER NOT NULL,
  due NUMERIC,
  token INTEGER,
  renewals INTEGER,
  lease_ms NUMERIC,
  key TEXT,
  rank INTEGER,
  since NUMERIC NOT NULL,
  event TEXT,
  PRIMARY KEY (group_no, position, copy)
) WITHOUT ROWID;
CREATE INDEX deliveries_due ON deliveries (group_no, due) WHERE due IS NOT NULL;
CREATE INDEX deliveries_by_key ON deliveries (group_no, key, state, position) WHERE key IS NOT NULL;

CREATE TABLE dead_letters (
  no INTEGER PRIMARY KEY AUTOINCREMENT,
  id TEXT NOT NULL UNIQUE,
  group_name TEXT NOT NULL,
  reason TEXT NOT NULL,
  type TEXT,
  letter TEXT NOT NULL
) STRICT;
`;

/** What leads from version n to n + 1, at index n. Index 0 makes the file. */
const migrations: readonly string[] = [version1];

/**
 * Checks that the file is ours and of a version that is known, without writing. Returns its
 * version, 0 for an empty file.
 */
function checkFormat(connection: Connection): number {
  const { path } = connection;
  const application = connection.pragma("application_id");
  const version = connection.pragma("user_version");
  const tables = Number(connection.sql("SELECT count(*) FROM sqlite_schema").get()?.[0]);
  if (application === 0 && version === 0 && tables === 0) return 0;
  if (application !== applicationId) {
    throw corrupt(path, "it is the database of another program");
  }
  if (version > formatVersion) {
    throw new CadreError(
      "STORE_TOO_NEW",
      `"${path}" has format ${version}; this version of Cadre reads up to ${formatVersion}. Update Cadre.`,
      { path, found: version, supported: formatVersion },
    );
  }
  if (version < 1) throw corrupt(path, "it carries no format version");
  return version;
}

/**
 * Makes the file ready: checked, in WAL mode, of the newest format.
 *
 * @throws {CadreError} STORE_CORRUPT | STORE_TOO_NEW | STORE_READ_ONLY | STORE_UNAVAILABLE |
 * STORE_FULL
 */
export async function prepareFile(
  connection: Connection,
  clock: Clock,
  waitMs: number,
): Promise<void> {
  const patiently = <Result>(action: () => Result): Promise<Result> =>
    connection.patiently(clock, waitMs, action);
  await patiently(() => checkFormat(connection));
  await patiently(() => setPragmas(connection));
  await patiently(() =>
    connection.transaction(true, () => {
      const from = checkFormat(connection);
      for (const [index, step] of migrations.entries()) {
        if (index >= from) connection.exec(step);
      }
      if (from === formatVersion) return;
      connection.exec(`PRAGMA application_id = ${applicationId}`);
      connection.exec(`PRAGMA user_version = ${formatVersion}`);
    }),
  );
}

function setPragmas(connection: Connection): void {
  const mode = connection.sql("PRAGMA journal_mode = WAL").get()?.[0];
  if (mode !== "wal") {
    throw unavailable(connection.path, "its file system cannot carry a write-ahead log");
  }
  connection.exec("PRAGMA wal_autocheckpoint = 0"); // see checkpointer.ts
  // kilobytes: the tail of the log and of its indexes
  connection.exec("PRAGMA cache_size = -16000");
  connection.exec("PRAGMA temp_store = MEMORY");
}
