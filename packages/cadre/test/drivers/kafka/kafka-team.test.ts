import { test } from "node:test";
import { kafka } from "cadre/kafka";
import { kafkaServerPath, startKafkaServer } from "../../servers/kafka-server.ts";
import { hearsEachOnce } from "../team-over-broker.ts";

const skip = kafkaServerPath() === undefined ? "there is no Kafka here" : false;

test(
  "an agent hears each fact of another process's team, and its effects happen once",
  { skip, timeout: 60_000 },
  async () => {
    await using server = await startKafkaServer();
    await hearsEachOnce(`${server.url}?prefix=notes`, kafka);
  },
);
