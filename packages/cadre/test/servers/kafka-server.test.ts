import assert from "node:assert/strict";
import { test } from "node:test";
import { Admin } from "@platformatic/kafka";
import { kafkaServerPath, startKafkaServer } from "./kafka-server.ts";

const skip = kafkaServerPath() === undefined ? "there is no Kafka here" : false;

test(
  "a killed server comes back on its port with its topics, and a stopped one is gone",
  { skip, timeout: 120_000 },
  async () => {
    const server = await startKafkaServer();
    const admin = new Admin({
      clientId: "test",
      bootstrapBrokers: [`127.0.0.1:${server.port}`],
      retries: 0,
    });
    await admin.createTopics({ topics: ["kept"], partitions: 1, replicas: 1 });
    const firstPid = server.pid;
    await server.kill();
    assert.equal(server.pid, undefined);
    await server.restart();
    assert.notEqual(server.pid, firstPid);
    assert.ok((await admin.listTopics()).includes("kept"));
    await server.stop();
    await server.stop();
    await assert.rejects(admin.listTopics());
    await admin.close();
  },
);
