/**
 * The part of `pg`'s pool that the driver uses. Its types aren't imported, to have no dependency on
 * it: any pool that answers in this way fits.
 */

/** One value of a parameter. Arrays are sent as text in Postgres' own notation. */
export type Parameter = string | number | boolean | null;

/** One cell of an answer, as the client has parsed it. */
export type Cell = string | number | bigint | boolean | null;

/** One row of an answer: cells by their place. */
export type Row = readonly Cell[];

export interface Query {
  readonly text: string;
  readonly values?: readonly Parameter[];
  /**
   * Prepared once a connection under this name, where there is one. Several logs may share a pool:
   * the schema is part of it.
   */
  readonly name?: string;
  readonly rowMode: "array";
}

export interface PostgresNotification {
  readonly channel: string;
  readonly payload?: string | undefined;
}

/** One connection, as a pool lends it. */
export interface PostgresClient {
  query(query: Query): Promise<{ readonly rows: unknown[]; readonly rowCount: number | null }>;
  /** Gives it back; with an error or `true`, to be closed. */
  release(destroy?: Error | boolean): void;
  on(name: "error", listener: (error: Error) => void): unknown;
  on(name: "notification", listener: (message: PostgresNotification) => void): unknown;
  removeListener(name: "error", listener: (error: Error) => void): unknown;
  removeListener(name: "notification", listener: (message: PostgresNotification) => void): unknown;
}

/** `new Pool(…)` of `pg` fits. */
export interface PostgresPool {
  connect(): Promise<PostgresClient>;
  end(): Promise<void>;
}
