/**
 * The log in a PostgreSQL database: the event store and the transport of several processes and
 * hosts. Public as `cadre/postgres`.
 */
import type { EventStore } from "../../store/event-store.ts";
import type { PostgresPool } from "./client.ts";
import { logOf } from "./postgres-log.ts";
import type { PostgresOptions } from "./postgres-options.ts";
import { PostgresStore } from "./postgres-store.ts";

export type { PostgresClient, PostgresNotification, PostgresPool, Query } from "./client.ts";
export type { PostgresOptions } from "./postgres-options.ts";

/** An open log. */
export interface PostgresLog {
  /** Where it is, without credentials. */
  readonly url: string;
  readonly store: EventStore;
  /**
   * Ends subscriptions, gives back what they hold, answers the writes that were taken, ends the
   * connections that it has opened. Closing twice is allowed.
   */
  close(): Promise<void>;
}

/**
 * Opens the log at `postgres://USER:PASSWORD@HOST:PORT/DATABASE`, or in the database of a pool of
 * `pg`, and makes its tables where there are none. A pool that is handed in stays open.
 *
 * Any number of processes and hosts may have one log open: what one commits, wakes the others.
 *
 * @throws {CadreError} INVALID_OPTION | MISSING_LIBRARY
 * @throws {CadreError} UNREACHABLE, when the server does not answer in time or refuses the user
 * @throws {CadreError} STORE_TOO_NEW, when a newer Cadre wrote the tables; STORE_CORRUPT, when they
 * are another program's
 * @throws {CadreError} STORE_READ_ONLY | STORE_UNAVAILABLE | STORE_FULL
 */
export async function openPostgres(
  connection: string | PostgresPool,
  options: PostgresOptions = {},
): Promise<PostgresLog> {
  const log = logOf("openPostgres", connection, options);
  try {
    await log.ready();
  } catch (error) {
    await log.close();
    throw error;
  }
  return { url: log.shown, store: new PostgresStore(log), close: () => log.close() };
}

/**
 * The event store in a database, or of an open log. A URL is connected to when the store is first
 * used; closing the store closes what it opened.
 *
 * @throws {CadreError} INVALID_OPTION
 */
export function postgresStore(
  connection: string | PostgresPool | PostgresLog,
  options: PostgresOptions = {},
): EventStore {
  if (typeof connection === "object" && "store" in connection) return connection.store;
  return new PostgresStore(logOf("postgresStore", connection, options));
}
