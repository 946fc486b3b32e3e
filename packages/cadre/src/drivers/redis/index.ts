/** Redis Streams as the bus between processes; Valkey speaks the same. Public as `cadre/redis`. */
import type { Transport } from "../../bus/transport.ts";
import { optionsOf, parseAddress } from "./address.ts";
import type { RedisClientLike } from "./client.ts";
import { settle, type RedisOptions } from "./redis-options.ts";
import { RedisTransport } from "./redis-transport.ts";

export type { RedisClientLike } from "./client.ts";
export type { RedisOptions } from "./redis-options.ts";

/**
 * The transport over the Redis server at `connection`: `redis://HOST:PORT`, `rediss://…` for TLS,
 * or a client of `ioredis` of the user's own, of one server or of a cluster, which stays open when
 * the transport closes.
 *
 * It connects at its first use, with a second connection for the first subscription. How safe a
 * resolved publish is, the server decides: `appendfsync always` survives a power loss,
 * `appendfsync no` the server's end, and everything else may lose the last moments; say `durable`
 * to have less than that refused. A broken connection is mended by the client; what is published
 * meanwhile is refused when its time is over, and may be published again under its id.
 *
 * @throws {CadreError} INVALID_OPTION
 * @throws {CadreError} MISSING_LIBRARY, at its first use, when `ioredis` is not installed
 * @throws {CadreError} UNREACHABLE, at its first use, when no server could be reached within
 * `connectTimeoutMs`
 * @throws {CadreError} UNSUPPORTED, at its first use, when the server keeps less than `durable`
 */
export function redis(connection: string | RedisClientLike, options: RedisOptions = {}): Transport {
  if (typeof connection !== "string") return new RedisTransport(connection, settle(options, false));
  const settings = settle({ ...optionsOf(connection), ...options }, true);
  return new RedisTransport(parseAddress(connection), settings);
}
