/** NATS JetStream as the bus between processes. Public as `cadre/nats`. */
import type { Transport } from "../../bus/transport.ts";
import type { NatsClientLike } from "./client.ts";
import { optionsOf, parseAddress } from "./connect.ts";
import { settle, type NatsOptions } from "./nats-options.ts";
import { NatsTransport } from "./nats-transport.ts";

export type {
  NatsClientLike,
  NatsHeadersLike,
  NatsMessageLike,
  NatsSubscriptionLike,
} from "./client.ts";
export type { NatsOptions } from "./nats-options.ts";

/**
 * The transport over the JetStream at `connection`: `nats://HOST:PORT`, `tls://HOST:PORT`, several
 * separated by commas, or a connection of the user's own, which stays open when the transport
 * closes.
 *
 * It connects at its first use and makes three streams where there are none. A publish resolves
 * when the server has written the event to its file: it survives the server's end, and a power loss
 * only where the server is configured to sync always. A broken connection is mended by the client;
 * what is published meanwhile is refused when its time is over, and may be published again under
 * its id.
 *
 * @throws {CadreError} INVALID_OPTION
 * @throws {CadreError} MISSING_LIBRARY, at its first use, when `@nats-io/transport-node` is not
 * installed
 * @throws {CadreError} UNREACHABLE, at its first use, when no server could be reached within
 * `connectTimeoutMs`
 */
export function nats(connection: string | NatsClientLike, options: NatsOptions = {}): Transport {
  if (typeof connection !== "string") return new NatsTransport(connection, settle(options, false));
  const settings = settle({ ...optionsOf(connection), ...options }, true);
  return new NatsTransport(parseAddress(connection), settings);
}
