/** Opens the pool of a URL. The client library is loaded when it is needed for the first time. */
import { CadreError } from "../../core/errors.ts";
import type { Address } from "./address.ts";
import type { PostgresPool } from "./client.ts";
import type { Settings } from "./postgres-options.ts";

/** The part of `pg` that is used. */
export interface Library {
  readonly Pool: new (
    options: Readonly<Record<string, unknown>>,
  ) => PostgresPool & { on(name: "error", listener: (error: Error) => void): unknown };
}

const library = "pg";
const mostConnectMs = 5_000; // one try; a server that is there answers in far less
const answerWithinMs = 60_000; // a connection that is open and dead is given up after it

/** @throws {CadreError} MISSING_LIBRARY */
export async function loadLibrary(
  load: () => Promise<unknown> = () => import(library),
): Promise<Library> {
  try {
    const loaded = (await load()) as { readonly default?: Library } & Partial<Library>;
    return loaded.Pool ? { Pool: loaded.Pool } : loaded.default!;
  } catch (error) {
    const install = `npm install ${library}`;
    const message = `The Postgres driver needs ${library}, which is not installed. Run: ${install}`;
    throw new CadreError("MISSING_LIBRARY", message, { library, install }, error);
  }
}

/** @throws {CadreError} MISSING_LIBRARY | INVALID_OPTION */
export async function openPool(address: Address, settings: Settings): Promise<PostgresPool> {
  const { Pool } = await loadLibrary();
  let pool: InstanceType<Library["Pool"]>;
  try {
    pool = new Pool({
      max: settings.maxConnections,
      connectionTimeoutMillis: Math.min(mostConnectMs, settings.connectTimeoutMs),
      query_timeout: answerWithinMs,
      keepAlive: true,
      allowExitOnIdle: true,
      application_name: "cadre",
      ...settings.connection,
      connectionString: address.connectionString,
    });
  } catch (error) {
    // A certificate's file that cannot be read, for one.
    const why = error instanceof Error ? error.message : String(error);
    throw new CadreError(
      "INVALID_OPTION",
      `The client cannot use the URL of ${address.shown}: ${why}.`,
      { option: "connection", value: address.shown },
      error,
    );
  }
  // An idle connection that ends is nobody's trouble: the next call opens another.
  pool.on("error", () => {});
  return pool;
}
