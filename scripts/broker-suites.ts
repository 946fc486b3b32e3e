/** The suites that show what each transport guarantees, and the servers that they run on. */
export interface BrokerSuite {
  /** As the transport is called. */
  readonly transport: string;
  /** Its server in scripts/servers.ts; none where the transport needs no other process. */
  readonly server?: string;
  /** Names a server that runs already, for the tests to use instead of one of their own. */
  readonly urlVariable?: string;
  /** The checks that `npm test` makes, from the root. */
  readonly basic: readonly string[];
  /** The checks that take long or break things. */
  readonly faults: readonly string[];
}

const cadre = "packages/cadre/test";

export const brokerSuites: readonly BrokerSuite[] = [
  {
    transport: "memory",
    basic: [`${cadre}/bus/memory-transport.test.ts`],
    faults: [`${cadre}/faults/memory-transport.test.ts`],
  },
  {
    transport: "sqlite",
    basic: [`${cadre}/drivers/sqlite/transport.test.ts`],
    faults: [`${cadre}/faults/sqlite-transport.test.ts`],
  },
  {
    transport: "postgres",
    server: "postgres",
    urlVariable: "CADRE_TEST_POSTGRES_URL",
    basic: [`${cadre}/drivers/postgres/transport.test.ts`],
    faults: [`${cadre}/faults/postgres-suite-faults.test.ts`],
  },
  {
    transport: "nats",
    server: "nats-server",
    urlVariable: "CADRE_TEST_NATS_URL",
    basic: [`${cadre}/drivers/nats/nats.test.ts`],
    faults: [`${cadre}/faults/nats-suite-faults.test.ts`],
  },
  {
    transport: "redis",
    server: "redis-server",
    urlVariable: "CADRE_TEST_REDIS_URL",
    basic: [`${cadre}/drivers/redis/redis.test.ts`],
    faults: [`${cadre}/faults/redis-suite-faults.test.ts`],
  },
  {
    transport: "rabbitmq",
    server: "rabbitmq-server",
    urlVariable: "CADRE_TEST_RABBITMQ_URL",
    basic: [`${cadre}/drivers/rabbitmq/rabbitmq.test.ts`],
    faults: [`${cadre}/faults/rabbitmq-suite-faults.test.ts`],
  },
  {
    transport: "kafka",
    server: "kafka",
    urlVariable: "CADRE_TEST_KAFKA_URL",
    basic: [`${cadre}/drivers/kafka/kafka.test.ts`],
    faults: [`${cadre}/faults/kafka-suite-faults.test.ts`],
  },
  {
    transport: "eventbridge",
    server: "moto",
    urlVariable: "CADRE_TEST_EVENTBRIDGE_ENDPOINT",
    basic: [`${cadre}/drivers/eventbridge/eventbridge.test.ts`],
    faults: [`${cadre}/faults/eventbridge-suite-faults.test.ts`],
  },
];
