/** Kafka as the bus between processes. Public as `cadre/kafka`. */
import type { Transport } from "../../bus/transport.ts";
import { optionsOf, parseAddress } from "./address.ts";
import type { KafkaClientLike } from "./client.ts";
import { settle, type KafkaOptions } from "./kafka-options.ts";
import { KafkaTransport } from "./kafka-transport.ts";

export type { KafkaBrokerLike, KafkaClientLike, KafkaConnectionLike } from "./client.ts";
export type { KafkaOptions } from "./kafka-options.ts";

/**
 * The transport over the Kafka cluster at `connection`: `kafka://HOST:PORT`, several hosts with
 * commas, `kafkas://…` for TLS, or a client of the user's own that opens connections.
 *
 * It connects at its first use and makes its topics where there are none. A publish resolves when
 * all replicas in sync have the event; what could not be published within `requestTimeoutMs` is
 * refused. Options behind the URL's `?` are `prefix`, `group`, `format`, `partitions`,
 * `replication` and `workers`; those of `options` count for more.
 *
 * @throws {CadreError} INVALID_OPTION
 * @throws {CadreError} MISSING_LIBRARY, at its first use, when `@platformatic/kafka` is not
 * installed
 * @throws {CadreError} UNREACHABLE, at its first use, when no broker could be reached within
 * `connectTimeoutMs`
 */
export function kafka(connection: string | KafkaClientLike, options: KafkaOptions = {}): Transport {
  if (typeof connection !== "string") return new KafkaTransport(connection, settle(options, false));
  const settings = settle({ ...optionsOf(connection), ...options }, true);
  return new KafkaTransport(parseAddress(connection), settings);
}
