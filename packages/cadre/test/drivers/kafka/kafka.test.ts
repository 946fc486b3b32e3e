import { kafka } from "cadre/kafka";
import { kafkaServerPath, startKafkaServer } from "../../servers/kafka-server.ts";
import { suiteOnServer } from "../../servers/suite-server.ts";

await suiteOnServer({
  variable: "CADRE_TEST_KAFKA_URL",
  path: kafkaServerPath(),
  start: startKafkaServer,
  // Few partitions, and members that hear of one another soon: many groups come and go.
  open: (url) => kafka(url, { partitions: 3, heartbeatMs: 50, idleMs: 150 }),
});
