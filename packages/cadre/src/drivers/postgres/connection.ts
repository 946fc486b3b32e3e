/**
 * The way to the server: a pool of the driver's own, or one that was handed in.
 *
 *   call ─▶ borrow ─▶ statements ─▶ give back
 *     ▲        │ lost, or undone because of others
 *     └─pause──┘ until `connectTimeoutMs` is over; then UNREACHABLE
 */
import { CadreError } from "../../core/errors.ts";
import type { Cell, Parameter, PostgresClient, PostgresPool, Row } from "./client.ts";
import { closedError, storeError, troubleOf, unreachable } from "./postgres-error.ts";
import type { Settings } from "./postgres-options.ts";

const firstPauseMs = 5; // a connection that was cut is often back at once
const mostPauseMs = 1_000;

// A client that freezes between two statements must not keep its locks for ever.
const begin =
  "BEGIN ISOLATION LEVEL READ COMMITTED; SET LOCAL idle_in_transaction_session_timeout = '30s'";

/** Statements on one connection, one after the other. */
export class Session {
  readonly #client: PostgresClient;

  constructor(client: PostgresClient) {
    this.#client = client;
  }

  async query(text: string, values: readonly Parameter[] = [], name?: string): Promise<Row[]> {
    const named = name === undefined ? {} : { name };
    const query = { text, rowMode: "array" as const, ...named };
    // Without values the client may send several statements at once.
    const result = await this.#client.query(values.length === 0 ? query : { ...query, values });
    return result.rows as Row[]; // `rowMode` asked for them
  }
}

/** A connection of its own for somebody who keeps it. */
export interface Kept {
  readonly client: PostgresClient;
  readonly session: Session;
}

export class Connection {
  /** Where it leads, without credentials. */
  readonly shown: string;
  readonly settings: Settings;
  readonly #openPool: () => Promise<PostgresPool>;
  readonly #owned: boolean;
  readonly #closing = new AbortController();
  #pool: Promise<PostgresPool> | undefined;
  #closed: Promise<void> | undefined;

  /** @param owned whether `close` ends the pool */
  constructor(
    shown: string,
    settings: Settings,
    openPool: () => Promise<PostgresPool>,
    owned: boolean,
  ) {
    this.shown = shown;
    this.settings = settings;
    this.#openPool = openPool;
    this.#owned = owned;
  }

  get closed(): boolean {
    return this.#closing.signal.aborted;
  }

  /** Ends when the connection is closed. */
  get signal(): AbortSignal {
    return this.#closing.signal;
  }

  assertOpen(): void {
    if (this.closed) throw closedError(this.shown);
  }

  /** One statement, sent again when its answer is lost: it must be harmless to repeat. */
  query(text: string, values: readonly Parameter[] = [], name?: string): Promise<Row[]> {
    return this.use((session) => session.query(text, values, name));
  }

  /** The first cell of the first row. */
  async value(text: string, values: readonly Parameter[] = [], name?: string): Promise<Cell> {
    const rows = await this.query(text, values, name);
    return rows[0]?.[0] ?? null;
  }

  /**
   * Lends one connection to `action`, again when it is lost: all of it must be harmless to repeat.
   */
  use<Result>(action: (session: Session) => Promise<Result>): Promise<Result> {
    return this.#patiently(() => this.once(action));
  }

  /**
   * One transaction, again from its beginning when it is undone or lost. `action` must change
   * nothing but the database, and must find out by itself what an attempt has left whose answer to
   * COMMIT was lost.
   */
  transaction<Result>(action: (session: Session) => Promise<Result>): Promise<Result> {
    return this.use(async (session) => {
      await session.query(begin);
      try {
        const result = await action(session);
        await session.query("COMMIT");
        return result;
      } catch (error) {
        // A connection that is lost has rolled back; the pool drops it.
        if (troubleOf(error) !== "lost") await session.query("ROLLBACK");
        throw error;
      }
    });
  }

  /**
   * A connection for as long as the caller keeps it; the caller must `release` it, and must hear
   * its end by the client's "error", or it ends the process. Tries once.
   */
  async keep(): Promise<Kept> {
    const client = await (await this.#opened()).connect();
    return { client, session: new Session(client) };
  }

  /** Waits for nobody: whoever uses the connection gets CLOSED, or ends first. */
  close(): Promise<void> {
    this.#closed ??= this.#close();
    return this.#closed;
  }

  async #close(): Promise<void> {
    this.#closing.abort(closedError(this.shown));
    if (!this.#owned || !this.#pool) return;
    // A pool that could not be opened has told whoever used it.
    const pool = await this.#pool.catch(() => undefined);
    await pool?.end();
  }

  async #opened(): Promise<PostgresPool> {
    this.assertOpen();
    this.#pool ??= this.#openPool();
    return this.#pool;
  }

  /** The same in one try, for whoever wants to know how it is now. */
  async once<Result>(action: (session: Session) => Promise<Result>): Promise<Result> {
    const { client, session } = await this.keep();
    // A connection that breaks between two statements says so here; the next statement fails by it.
    const hear = (): void => {};
    client.on("error", hear);
    let broken = false;
    try {
      return await action(session);
    } catch (error) {
      broken = troubleOf(error) === "lost";
      throw error;
    } finally {
      client.removeListener("error", hear);
      client.release(broken);
    }
  }

  async #patiently<Result>(attempt: () => Promise<Result>): Promise<Result> {
    const { clock, random, connectTimeoutMs } = this.settings;
    let end: number | undefined;
    for (let tried = 1; ; tried += 1) {
      try {
        return await attempt();
      } catch (error) {
        const trouble = troubleOf(error);
        if (trouble !== "lost" && trouble !== "retry") throw this.#errorOf(error, tried);
        end ??= clock.monotonic() + connectTimeoutMs;
        const most = Math.min(mostPauseMs, firstPauseMs * 2 ** (tried - 1));
        const pauseMs = Math.ceil(most * (0.5 + random.next() / 2));
        if (clock.monotonic() + pauseMs >= end) throw unreachable(this.shown, tried, error);
        await clock.sleep(pauseMs, this.signal);
      }
    }
  }

  #errorOf(error: unknown, tried: number): unknown {
    // A pool that is closed while a call waits in it says so in its own words.
    if (this.closed && !(error instanceof CadreError)) return closedError(this.shown);
    return storeError(error, this.shown, tried);
  }
}
