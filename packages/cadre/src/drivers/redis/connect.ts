/**
 * Opens the connection of a URL. The client library is loaded when it is needed for the first time.
 */
import { CadreError, describeError } from "../../core/errors.ts";
import type { Address } from "./address.ts";
import type { RedisClientLike } from "./client.ts";
import { isRefusedCertificate, isRefusedLogin } from "./redis-error.ts";
import type { Settings } from "./redis-options.ts";

const library = "ioredis";
const firstPauseMs = 100;
const mostPauseMs = 2_000;

type Open = (options: Readonly<Record<string, unknown>>) => RedisClientLike;

/** @throws {CadreError} MISSING_LIBRARY */
async function loadLibrary(): Promise<Open> {
  try {
    const { Redis } = await import("ioredis");
    return (options) => new Redis(options);
  } catch (error) {
    const install = `npm install ${library}`;
    const message = `The Redis transport needs ${library}, which is not installed. Run: ${install}`;
    throw new CadreError("MISSING_LIBRARY", message, { library, install }, error);
  }
}

/**
 * Connects, and tries again with growing pauses until `connectTimeoutMs` is over. Later breaks are
 * the client's to mend: it tries for ever.
 *
 * @throws {CadreError} UNREACHABLE, with what was tried and why the last try failed
 */
export async function connect(
  address: Address,
  settings: Settings,
  signal: AbortSignal,
): Promise<RedisClientLike> {
  const { clock, random, connectTimeoutMs } = settings;
  const open = await loadLibrary();
  const end = clock.monotonic() + connectTimeoutMs;
  for (let tried = 1; ; tried += 1) {
    const leftMs = Math.max(1, Math.ceil(end - clock.monotonic()));
    try {
      return await connectOnce(open, address, settings, Math.min(leftMs, 5_000));
    } catch (error) {
      const pauseMs = Math.min(mostPauseMs, firstPauseMs * 2 ** (tried - 1));
      const pause = Math.round(pauseMs * (0.5 + random.next() / 2));
      const isFinal = isRefusedLogin(error) || isRefusedCertificate(error);
      if (isFinal || clock.monotonic() + pause >= end) {
        throw unreachable(address.shown, tried, error);
      }
      await clock.sleep(pause, signal);
    }
  }
}

async function connectOnce(
  open: Open,
  address: Address,
  settings: Settings,
  timeoutMs: number,
): Promise<RedisClientLike> {
  const { random, requestTimeoutMs } = settings;
  let wasReady = false;
  let lastError: unknown;
  const client = open({
    connectionName: "cadre",
    connectTimeout: timeoutMs,
    // A connection that is open and dead is closed by then; blocking reads end sooner.
    socketTimeout: Math.max(requestTimeoutMs * 2, 5_000),
    keepAlive: 10_000,
    // What had no answer may have been done: sending it again is the caller's to decide.
    autoResendUnfulfilledCommands: false,
    maxRetriesPerRequest: null,
    // After a failover the old primary takes no writes: connect anew, and ask again.
    reconnectOnError: (error: Error) => (error.message.startsWith("READONLY") ? 2 : false),
    ...address.options,
    ...settings.connection,
    lazyConnect: true,
    retryStrategy: (times: number) =>
      wasReady ? Math.min(2_000, 50 * 2 ** Math.min(times, 6)) * (0.5 + random.next() / 2) : null,
  });
  client.on("error", (error) => (lastError = error)); // the client tells of it again and again
  try {
    await client.connect();
    await client.call("PING", []);
    wasReady = true;
    return client;
  } catch (error) {
    client.disconnect();
    throw lastError ?? error;
  }
}

function unreachable(url: string, tried: number, cause: unknown): CadreError {
  const times = tried === 1 ? "once" : `${tried} times`;
  const message =
    `No Redis server could be reached at ${url}, tried ${times}: ` +
    `${describeError(cause).message}. Start it (redis-server), or fix the address and credentials.`;
  return new CadreError("UNREACHABLE", message, { url, tried }, cause);
}
