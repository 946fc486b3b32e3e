/** A server of a row's own, whose resolved publishes survive what the driver says they survive. */
import {
  startKafkaServer,
  kafkaServerPath,
} from "../../packages/cadre/test/servers/kafka-server.ts";
import { natsServerPath, startNatsServer } from "../../packages/cadre/test/servers/nats-server.ts";
import {
  rabbitmqServerPath,
  startRabbitmqServer,
} from "../../packages/cadre/test/servers/rabbitmq-server.ts";
import {
  redisServerPath,
  startRedisServer,
} from "../../packages/cadre/test/servers/redis-server.ts";
import { makeDatabase, servePostgres } from "../postgres-cluster.ts";
import type { Served } from "../row.ts";
import type { Broker } from "./side.ts";

const variable = "CADRE_BENCH_BROKER";

interface OwnServer {
  readonly url: string;
  stop(): Promise<void>;
}

const kafkaProperties = {
  // What is old goes soon, so that a long run does not fill the disk.
  "log.retention.check.interval.ms": "10000",
  "log.roll.ms": "30000",
};

const servers: Readonly<
  Record<
    Exclude<Broker, "postgres">,
    { readonly path: () => string | undefined; readonly start: () => Promise<OwnServer> }
  >
> = {
  nats: { path: natsServerPath, start: () => startNatsServer() },
  redis: { path: redisServerPath, start: () => startRedisServer({ appendfsync: "always" }) },
  rabbitmq: {
    path: rabbitmqServerPath,
    start: () => startRabbitmqServer(["vm_memory_high_watermark.absolute = 2GB"]),
  },
  kafka: {
    path: kafkaServerPath,
    start: () => startKafkaServer({ properties: kafkaProperties }),
  },
};

/** Starts the server, or says why there is none. */
export async function serveBroker(broker: Broker): Promise<Served | string> {
  if (broker === "postgres") return servePostgres();
  const { path, start } = servers[broker];
  if (path() === undefined) return `there is no ${broker} here; see scripts/servers.ts`;
  const server = await start();
  return { env: { [variable]: server.url }, stop: () => server.stop() };
}

/** Where it is; of PostgreSQL, an empty database there. */
export async function brokerUrl(broker: Broker): Promise<string> {
  if (broker === "postgres") return makeDatabase();
  const url = process.env[variable];
  if (url === undefined) throw new Error(`${variable} does not say where the server is`);
  return url;
}
