/** RabbitMQ as the bus between processes. Public as `cadre/rabbitmq`. */
import type { Transport } from "../../bus/transport.ts";
import type { RabbitClientLike } from "./client.ts";
import { optionsOf, parseAddress } from "./connect.ts";
import { settle, type RabbitmqOptions } from "./rabbitmq-options.ts";
import { RabbitmqTransport } from "./rabbitmq-transport.ts";

export type {
  RabbitChannelLike,
  RabbitClientLike,
  RabbitConfirmChannelLike,
  RabbitMessageLike,
  RabbitProperties,
  RabbitPublishOptions,
} from "./client.ts";
export type { RabbitmqOptions } from "./rabbitmq-options.ts";

/**
 * The transport over the RabbitMQ at `connection`: `amqp://USER:PASSWORD@HOST:PORT/VHOST`,
 * `amqps://…`, several separated by commas, or a connection of the user's own, which stays open
 * when the transport closes.
 *
 * It connects at its first use and makes its exchanges and queues where there are none. A publish
 * resolves when the server has confirmed it: the queues of the groups have it on their disk, the
 * log has it in the system's memory. A broken connection is made again for as long as the transport
 * is open; what is published meanwhile is refused when its time is over.
 *
 * @throws {CadreError} INVALID_OPTION
 * @throws {CadreError} MISSING_LIBRARY, at its first use, when `amqplib` is not installed
 * @throws {CadreError} UNREACHABLE, at its first use, when no server could be reached within
 * `connectTimeoutMs`
 */
export function rabbitmq(
  connection: string | RabbitClientLike,
  options: RabbitmqOptions = {},
): Transport {
  if (typeof connection !== "string") {
    return new RabbitmqTransport(connection, settle(options, false));
  }
  const settings = settle({ ...optionsOf(connection), ...options }, true);
  return new RabbitmqTransport(parseAddress(connection), settings);
}
