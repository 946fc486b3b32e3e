import type { Goal, Row, Running } from "../row.ts";
import { openCadre } from "./cadre-side.ts";
import { openRawKafka } from "./raw-kafka.ts";
import { openRawNats } from "./raw-nats.ts";
import { openRawPostgres } from "./raw-postgres-queue.ts";
import { openRawRabbitmq } from "./raw-rabbitmq.ts";
import { openRawRedis } from "./raw-redis.ts";
import { run } from "./scenarios.ts";
import { brokerUrl, serveBroker } from "./serve-broker.ts";
import type { Broker, Side } from "./side.ts";

const clients: Readonly<Partial<Record<Broker, (url: string) => Promise<Side>>>> = {
  nats: openRawNats,
  redis: openRawRedis,
  rabbitmq: openRawRabbitmq,
  kafka: openRawKafka,
  postgres: openRawPostgres,
};

const against = (what: string, scenario: string, figure: string, bound: Partial<Goal>): Goal => ({
  what: `${what}, against the client`,
  of: ["cadre", scenario, figure],
  over: ["client", scenario, figure],
  ...bound,
});

const compared = ["batches", "one at a time", "latency"];

/** A bus over the broker beside the broker's client used by hand. */
export function transportRow(broker: Broker): Row {
  const startCadre = async (scenario: string): Promise<Running> =>
    run(scenario, await openCadre(broker, await brokerUrl(broker), scenario === "soak"));
  const openClient = clients[broker];
  return {
    title: "events of 1 KB, acknowledged by the broker",
    serve: () => serveBroker(broker),
    contenders: {
      cadre: { scenarios: [...compared, "round trip", "idle", "soak"], start: startCadre },
      ...(openClient && {
        client: {
          scenarios: broker === "nats" ? [...compared, "round trip"] : compared,
          start: async (scenario) => run(scenario, await openClient(await brokerUrl(broker))),
        },
      }),
    },
    goals:
      openClient === undefined
        ? []
        : [
            against("publish in batches", "batches", "published", { atLeast: 0.85 }),
            against("consume with ack", "batches", "consumed", { atLeast: 0.8 }),
            against("publish one at a time", "one at a time", "published", { atLeast: 0.9 }),
            against("latency p50 at half of the rate", "latency", "p50Ms", { atMost: 1.3 }),
            {
              what: "processor of an idle bus with 10 subscriptions, percent of a core",
              of: ["cadre", "idle", "cpuPercent"],
              atMost: 1,
            },
          ],
  };
}
