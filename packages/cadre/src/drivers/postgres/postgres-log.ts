/** An open log: its connection, its writer, and what the store and the transport share. */
import type { Commit } from "../../core/commit.ts";
import { CadreError } from "../../core/errors.ts";
import { checkCommit } from "../../store/check-commit.ts";
import { parseAddress } from "./address.ts";
import type { PostgresPool } from "./client.ts";
import { openPool } from "./connect.ts";
import { Connection } from "./connection.ts";
import type { EncodedEvent } from "./event-rows.ts";
import { checkSettings, type PostgresOptions, type Settings } from "./postgres-options.ts";
import { closedError } from "./postgres-error.ts";
import { prepareCommit, type PreparedCommit } from "./prepared-commit.ts";
import { prepareSchema } from "./schema.ts";
import { Wake } from "./wake.ts";
import { Writer } from "./writer.ts";

export class Log {
  readonly connection: Connection;
  readonly writer: Writer;
  readonly wake: Wake;
  readonly settings: Settings;
  /** Equal for all that is opened on one schema by one address or one pool. */
  readonly identity: unknown;
  #ready: Promise<void> | undefined;
  /** What must happen before the connection ends, the newest first. */
  readonly #closers: (() => Promise<void>)[] = [];
  #closing: Promise<void> | undefined;

  constructor(connection: Connection, identity: unknown) {
    this.connection = connection;
    this.identity = identity;
    this.settings = connection.settings;
    this.wake = new Wake(connection);
    this.writer = new Writer(connection, (news) => this.wake.announce(news));
  }

  /** Where the log is, without credentials. */
  get shown(): string {
    return this.connection.shown;
  }

  get closed(): boolean {
    return this.#closing !== undefined;
  }

  assertOpen(): void {
    if (this.closed) throw closedError(this.shown);
  }

  /**
   * Reaches the server and makes the tables ready; at most once, and again at the next use when it
   * has failed.
   */
  ready(): Promise<void> {
    if (this.closed) return Promise.reject(closedError(this.shown));
    if (!this.#ready) {
      const ready = prepareSchema(this.connection);
      this.#ready = ready;
      ready.catch(() => (this.#ready = undefined));
    }
    return this.#ready;
  }

  beforeClose(action: () => Promise<void>): void {
    this.#closers.push(action);
  }

  /** @throws {CadreError} what `checkCommit` throws, TOO_LARGE, and DUPLICATE_ID */
  prepare(commit: Commit): PreparedCommit {
    const prepared = prepareCommit(checkCommit(commit));
    for (const event of prepared.events) this.checkSize(event);
    return prepared;
  }

  /** @throws {CadreError} TOO_LARGE */
  checkSize({ event, bytes }: EncodedEvent): void {
    const maxBytes = this.settings.maxEventBytes;
    if (bytes <= maxBytes) return;
    throw new CadreError(
      "TOO_LARGE",
      `The event ${event.id} (${event.type}) takes ${bytes} bytes of at most ${maxBytes}. ` +
        "Keep large content elsewhere and publish where it is.",
      { bytes, maxBytes },
    );
  }

  close(): Promise<void> {
    this.#closing ??= this.#close();
    return this.#closing;
  }

  async #close(): Promise<void> {
    for (const action of this.#closers.toReversed()) {
      await action().catch((error: unknown) => {
        // What it holds is free when its leases have ended.
        this.settings.logger.warn("The log was closed without giving back what it holds.", {
          error,
        });
      });
    }
    await this.writer.close();
    await this.wake.close();
    await this.connection.close();
  }
}

/** The log behind a URL, or behind a pool that was handed in. Nothing is opened yet. */
export function logOf(
  where: string,
  connection: string | PostgresPool,
  options: PostgresOptions,
): Log {
  if (typeof connection !== "string") {
    const pooled = handedIn(where, connection, options);
    return new Log(pooled, identityOf(connection, pooled.settings.schema));
  }
  const address = parseAddress(connection);
  const settings = checkSettings(where, options, address.schema);
  const pool = (): Promise<PostgresPool> => openPool(address, settings);
  const identity = `${address.shown}/${settings.schema}`;
  return new Log(new Connection(address.shown, settings, pool, true), identity);
}

const identities = new WeakMap<PostgresPool, Map<string, object>>();

/** A pool does not say where it leads: what is opened on it and one schema is one log. */
function identityOf(pool: PostgresPool, schema: string): object {
  const ofPool = identities.get(pool) ?? new Map<string, object>();
  identities.set(pool, ofPool);
  const identity = ofPool.get(schema) ?? {};
  ofPool.set(schema, identity);
  return identity;
}

function handedIn(where: string, pool: PostgresPool, options: PostgresOptions): Connection {
  const settings = checkSettings(where, options);
  if (options.connection !== undefined || options.maxConnections !== undefined) {
    const option = options.connection === undefined ? "maxConnections" : "connection";
    throw new CadreError(
      "INVALID_OPTION",
      `Option "${option}" of ${where} is for a URL; a pool that is handed in has its own.`,
      { option, value: options[option] },
    );
  }
  const isPool = typeof pool === "object" && pool !== null && "totalCount" in pool;
  if (!isPool || typeof pool.connect !== "function") {
    throw new CadreError(
      "INVALID_OPTION",
      `${where} takes a URL or a pool (new pg.Pool(…)), which lends out several connections; ` +
        "a single client cannot write, read and listen at the same time.",
      { option: "connection", value: typeof pool },
    );
  }
  return new Connection("the pool that was handed in", settings, async () => pool, false);
}
