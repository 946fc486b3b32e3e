/**
 * The embedded log: one SQLite file that is both the event store and the transport. Public as
 * `cadre/sqlite`.
 */
import type { Transport } from "../../bus/transport.ts";
import type { EventStore } from "../../store/event-store.ts";
import { LazyStore } from "./lazy-store.ts";
import { LazyTransport } from "./lazy-transport.ts";
import { checkSettings, filePath, LogFile, type SqliteOptions } from "./sqlite-log.ts";
import { SqliteStore } from "./sqlite-store.ts";
import { SqliteTransport } from "./sqlite-transport.ts";

export type { SqliteOptions } from "./sqlite-log.ts";

/** An open log. */
export interface SqliteLog {
  /** The file's absolute path. */
  readonly path: string;
  readonly store: EventStore;
  readonly transport: Transport;
  /**
   * Ends subscriptions, gives back what they hold, answers the writes that were taken, closes the
   * file. Closing twice is allowed.
   */
  close(): Promise<void>;
}

/**
 * Opens the log at `path` (`./file.db` or `sqlite:./file.db`), and makes it where there is none,
 * folders included.
 *
 * Several processes of one host may have one file open. Each connection takes part in all of it:
 * what one commits, wakes the others.
 *
 * @throws {CadreError} INVALID_OPTION
 * @throws {CadreError} STORE_CORRUPT, when the file is damaged or no log; STORE_TOO_NEW, when a
 * newer Cadre wrote it
 * @throws {CadreError} STORE_READ_ONLY | STORE_UNAVAILABLE | STORE_FULL
 * @throws {CadreError} STORE_MISMATCH, when another process has it open with other settings
 */
export async function openSqlite(path: string, options: SqliteOptions = {}): Promise<SqliteLog> {
  const settings = checkSettings("openSqlite", options);
  const file = await LogFile.open(filePath(path), settings);
  return {
    path: file.path,
    store: new SqliteStore(file),
    transport: new SqliteTransport(file),
    close: () => file.close(),
  };
}

/**
 * The event store in the file at `path`, or of an open log. A path is opened when the store is
 * first used; closing the store closes what it opened.
 *
 * @throws {CadreError} INVALID_OPTION
 */
export function sqliteStore(path: string | SqliteLog, options: SqliteOptions = {}): EventStore {
  if (typeof path !== "string") return path.store;
  const settings = checkSettings("sqliteStore", options);
  const location = filePath(path);
  return new LazyStore(location, () => LogFile.open(location, settings));
}

/**
 * The transport in the file at `path` (`./file.db` or `sqlite:./file.db`), or of an open log. A
 * path is opened when the transport is first used; closing the transport closes what it opened.
 *
 * Events are kept for ever: a group may start anywhere in the past. A publish resolves when the
 * event is on disk; all that is published in one turn of the loop shares one wait for it.
 *
 * @throws {CadreError} INVALID_OPTION
 */
export function sqlite(path: string | SqliteLog, options: SqliteOptions = {}): Transport {
  if (typeof path !== "string") return path.transport;
  return new LazyTransport(filePath(path), checkSettings("sqlite", options));
}
