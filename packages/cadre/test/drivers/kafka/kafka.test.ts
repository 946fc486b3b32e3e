import { after, test } from "node:test";
import { kafka } from "cadre/kafka";
import { transportConformance } from "cadre/testing";
import { kafkaServerPath, kafkaServerUrl, startKafkaServer } from "../../servers/kafka-server.ts";

const given = kafkaServerUrl();

if (given === undefined && kafkaServerPath() === undefined) {
  test("the suite on a real server", { skip: "there is no Kafka here" }, () => {});
} else {
  const server = given === undefined ? await startKafkaServer() : undefined;
  after(() => server?.stop());
  await transportConformance({
    test,
    // Few partitions, and members that hear of one another soon: many groups come and go.
    createTransport: () =>
      kafka(given ?? server!.url, { partitions: 3, heartbeatMs: 50, idleMs: 150 }),
    ...(server ? { restart: () => server.restart() } : {}),
  });
}
