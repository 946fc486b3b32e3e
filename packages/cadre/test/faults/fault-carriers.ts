/** The carriers whose faults are shown, each with what the fault runs must know of it. */
import type { Transport } from "cadre";
import { eventbridge } from "cadre/eventbridge";
import { kafka } from "cadre/kafka";
import { nats } from "cadre/nats";
import { postgres } from "cadre/postgres";
import { rabbitmq } from "cadre/rabbitmq";
import { redis } from "cadre/redis";
import { settleScript } from "#src/drivers/redis/lua-settle.ts";
import { kafkaServerPath, startKafkaServer } from "../servers/kafka-server.ts";
import { motoConnection, motoMissing, startMotoServer } from "../servers/moto-server.ts";
import { natsServerPath, startNatsServer } from "../servers/nats-server.ts";
import { postgresServerPath, startPostgresServer } from "../servers/postgres-server.ts";
import { rabbitmqServerPath, startRabbitmqServer } from "../servers/rabbitmq-server.ts";
import { redisServerPath, startRedisServer } from "../servers/redis-server.ts";

/** A server of the test's own. */
export interface FaultServer {
  readonly port: number;
  kill(): Promise<void>;
  restart(): Promise<void>;
  stop(): Promise<void>;
}

export interface FaultCarrier {
  readonly name: string;
  /** Why nothing can be shown here. */
  readonly skip: string | false;
  /** @param options.advertisedPort where the server tells its clients to connect, if it does */
  start(options?: { readonly advertisedPort?: number }): Promise<FaultServer>;
  /** A transport that connects to this port of the loopback: the server's, or a proxy's. */
  connect(port: number): Transport;
  /** Whether the server tells its clients one address: then all go through one proxy. */
  readonly isAdvertised?: boolean;
  /** Bytes on the way to the server that are an ack. */
  readonly ackMark: string | Uint8Array;
  /** Within this time a connection that is open and dead is noticed, by `connect`'s settings. */
  readonly noticeMs: number;
  /** Why its server can be neither killed nor filled; the others can. */
  readonly keepsNothing?: string;
  /** Megabytes of a disk on which the server starts, and which the test then fills. */
  readonly diskMb: number;
}

const noServer = (name: string, path: string | undefined): string | false =>
  path === undefined && `there is no ${name} here`;

export const faultCarriers: Readonly<Record<string, FaultCarrier>> = {
  nats: {
    name: "nats",
    skip: noServer("nats-server", natsServerPath()),
    start: () => startNatsServer(),
    connect: (port) =>
      nats(`nats://127.0.0.1:${port}`, {
        requestTimeoutMs: 3_000,
        connection: { pingInterval: 1_000 },
      }),
    ackMark: "+ACK",
    noticeMs: 10_000,
    diskMb: 24,
  },
  redis: {
    name: "redis",
    skip: noServer("redis-server", redisServerPath()),
    start: () => startRedisServer(),
    connect: (port) =>
      redis(`redis://127.0.0.1:${port}`, { durable: "disk", requestTimeoutMs: 3_000 }),
    ackMark: settleScript.digest,
    noticeMs: 15_000,
    diskMb: 16,
  },
  rabbitmq: {
    name: "rabbitmq",
    skip: noServer("rabbitmq-server", rabbitmqServerPath()),
    start: () => startRabbitmqServer(),
    connect: (port) =>
      rabbitmq(`amqp://guest:guest@127.0.0.1:${port}`, {
        requestTimeoutMs: 3_000,
        heartbeatMs: 2_000,
      }),
    ackMark: Buffer.from([0, 60, 0, 80]), // the method basic.ack
    noticeMs: 20_000,
    diskMb: 256,
  },
  kafka: {
    name: "kafka",
    skip: noServer("Kafka", kafkaServerPath()),
    start: (options) => startKafkaServer(options),
    connect: (port) =>
      kafka(`kafka://127.0.0.1:${port}`, {
        partitions: 8,
        requestTimeoutMs: 3_000,
        sessionTimeoutMs: 3_000,
        heartbeatMs: 200,
        idleMs: 300,
      }),
    isAdvertised: true,
    ackMark: Buffer.from([0, 8, 0, 8]), // a request OffsetCommit in its version 8
    noticeMs: 20_000,
    diskMb: 512,
  },
  postgres: {
    name: "postgres",
    skip: noServer("postgres", postgresServerPath()),
    start: () => startPostgresServer({ settings: ["max_connections = 200"] }),
    connect: (port) =>
      postgres(`postgres://postgres@127.0.0.1:${port}/postgres`, {
        connection: { query_timeout: 3_000 },
      }),
    ackMark: "cadre_settle_",
    noticeMs: 15_000,
    diskMb: 128,
  },
  eventbridge: {
    name: "eventbridge",
    skip: motoMissing(),
    start: startStandIn,
    connect: (port) =>
      eventbridge(`eventbridge://us-east-1/faults?endpoint=http://127.0.0.1:${port}`, {
        connection: motoConnection,
        requestTimeoutMs: 3_000,
        waitMs: 1_000,
      }),
    ackMark: "AmazonSQS.DeleteMessageBatch",
    noticeMs: 15_000,
    keepsNothing: "the stand-in keeps all in memory: what is killed has lost it",
    diskMb: 0,
  },
};

async function startStandIn(): Promise<FaultServer> {
  const server = await startMotoServer();
  const refused = (): Promise<never> => Promise.reject(new Error("The stand-in keeps nothing."));
  const port = Number(new URL(server.endpoint).port);
  return { port, kill: refused, restart: refused, stop: () => server.stop() };
}
