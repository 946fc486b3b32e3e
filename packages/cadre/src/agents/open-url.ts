/** Opens stores and transports by URL. A driver's library is loaded when its URL is used. */
import { CadreError } from "../core/errors.ts";
import type { Clock } from "../core/clock.ts";
import type { Logger } from "../core/logger.ts";
import type { Random } from "../core/random.ts";
import { memory } from "../bus/memory-transport.ts";
import type { Transport } from "../bus/transport.ts";
import type { EventStore } from "../store/event-store.ts";
import { memoryStore } from "../store/memory-store.ts";

export interface OpenContext {
  readonly clock: Clock;
  readonly random: Random;
  readonly logger: Logger;
}

/** A store, and the transport that is the same log, where there is one. */
export interface OpenedStore {
  readonly store: EventStore;
  readonly transport?: Transport;
  close(): Promise<void>;
}

/**
 * `memory:`, `sqlite:PATH`, `postgres://…`. @throws {CadreError} INVALID_OPTION for another scheme
 */
export async function openStore(url: string, context: OpenContext): Promise<OpenedStore> {
  if (url === "memory:") {
    const store = memoryStore({ clock: context.clock });
    return { store, close: () => store.close() };
  }
  if (url.startsWith("sqlite:")) {
    const { openSqlite } = await import("../drivers/sqlite/index.ts");
    return openSqlite(url, context);
  }
  if (isPostgres(url)) {
    const { openPostgres } = await import("../drivers/postgres/index.ts");
    return openPostgres(url, context);
  }
  throw unknownScheme("store", url, "memory:, sqlite:PATH, postgres://HOST:PORT/DATABASE");
}

/**
 * `memory:`, `sqlite:PATH`, `postgres://…`, `nats://HOST:PORT`, `redis://HOST:PORT`,
 * `kafka://HOST:PORT`, `eventbridge://REGION/EVENT-BUS` and so on.
 * @throws {CadreError} INVALID_OPTION for another scheme
 */
export async function openTransport(url: string, context: OpenContext): Promise<Transport> {
  if (url === "memory:") return memory({ clock: context.clock });
  if (url.startsWith("sqlite:")) {
    const { sqlite } = await import("../drivers/sqlite/index.ts");
    return sqlite(url, context); // opens the file at first use, and closes it with the transport
  }
  if (isPostgres(url)) {
    const { postgres } = await import("../drivers/postgres/index.ts");
    return postgres(url, context); // connects at first use, and closes with the transport
  }
  if (url.startsWith("nats:") || url.startsWith("tls:")) {
    const { nats } = await import("../drivers/nats/index.ts");
    return nats(url, context);
  }
  if (url.startsWith("amqp:") || url.startsWith("amqps:")) {
    const { rabbitmq } = await import("../drivers/rabbitmq/index.ts");
    return rabbitmq(url, context);
  }
  if (/^rediss?:/.test(url)) {
    const { redis } = await import("../drivers/redis/index.ts");
    return redis(url, context); // connects at first use, and closes with the transport
  }
  if (url.startsWith("eventbridge:")) {
    const { eventbridge } = await import("../drivers/eventbridge/index.ts");
    return eventbridge(url, context);
  }
  if (/^kafkas?:/.test(url)) {
    const { kafka } = await import("../drivers/kafka/index.ts");
    return kafka(url, context); // connects at first use, and closes with the transport
  }
  throw unknownScheme("bus", url, `memory:, sqlite:PATH, ${places}`);
}

const places =
  "postgres://HOST:PORT/DATABASE, nats://HOST:PORT, amqp://HOST:PORT, redis://HOST:PORT, " +
  "kafka://HOST:PORT, eventbridge://REGION/EVENT-BUS";

function isPostgres(url: string): boolean {
  return /^postgres(?:ql)?:/.test(url);
}

function unknownScheme(option: string, value: string, known: string): CadreError {
  return new CadreError(
    "INVALID_OPTION",
    `The ${option} "${value}" has no scheme that is known here. Give one of: ${known}.`,
    { option, value },
  );
}
