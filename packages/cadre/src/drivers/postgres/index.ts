/**
 * The log in a PostgreSQL database: the event store and the transport of several processes and
 * hosts. Public as `cadre/postgres`.
 */
import type { Transport } from "../../bus/transport.ts";
import type { EventStore } from "../../store/event-store.ts";
import type { PostgresPool } from "./client.ts";
import { logOf } from "./postgres-log.ts";
import type { PostgresOptions } from "./postgres-options.ts";
import { PostgresStore } from "./postgres-store.ts";
import { PostgresTransport } from "./postgres-transport.ts";

export type { PostgresClient, PostgresNotification, PostgresPool, Query } from "./client.ts";
export type { PostgresOptions } from "./postgres-options.ts";

/** An open log. */
export interface PostgresLog {
  /** Where it is, without credentials. */
  readonly url: string;
  readonly store: EventStore;
  readonly transport: Transport;
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
  return {
    url: log.shown,
    store: new PostgresStore(log),
    transport: new PostgresTransport(log, false),
    close: () => log.close(),
  };
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

/**
 * The transport in a database, or of an open log. A URL is connected to when the transport is first
 * used; closing the transport closes what it opened.
 *
 * Events are kept for ever: a group may start anywhere in the past. A publish resolves when the
 * event is on the server's disk; all that is published in one turn of the loop shares one wait for
 * it. Leases, delays and schedules go by the server's clock, so that those of hosts don't matter.
 *
 * @throws {CadreError} INVALID_OPTION
 */
export function postgres(
  connection: string | PostgresPool | PostgresLog,
  options: PostgresOptions = {},
): Transport {
  if (typeof connection === "object" && "transport" in connection) return connection.transport;
  return new PostgresTransport(logOf("postgres", connection, options), true);
}
