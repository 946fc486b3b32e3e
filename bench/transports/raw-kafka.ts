import {
  Admin,
  Consumer,
  MessagesStreamFallbackModes,
  MessagesStreamModes,
  ProduceAcks,
  Producer,
  stringDeserializers,
  stringSerializers,
} from "@platformatic/kafka";
import { randomUUID } from "node:crypto";
import { envelope, inFlight, payloadOf, type Side } from "./side.ts";

const topic = "raw.task";
const partitions = 16; // the driver's default

/** An idempotent producer; each batch on one partition, in turns; commits that the client joins. */
export async function openRawKafka(url: string): Promise<Side> {
  const client = { clientId: "raw", bootstrapBrokers: [new URL(url).host] };
  const admin = new Admin(client);
  await admin.createTopics({ topics: [topic], partitions, replicas: 1 });
  await admin.close();
  const producer = new Producer({
    ...client,
    serializers: stringSerializers,
    acks: ProduceAcks.ALL,
    idempotent: true,
  });
  let turn = 0;
  return {
    async publish(from, to) {
      turn = (turn + 1) % partitions;
      const messages = Array.from({ length: to - from }, (_, at) => {
        const id = randomUUID();
        return { topic, partition: turn, value: envelope(from + at, id) };
      });
      await producer.send({ messages });
    },
    async consume(handle) {
      const consumer = new Consumer({
        ...client,
        groupId: "workers",
        deserializers: stringDeserializers,
        autocommit: false,
        maxWaitTime: 500,
      });
      const stream = await consumer.consume({
        topics: [topic],
        mode: MessagesStreamModes.COMMITTED,
        fallbackMode: MessagesStreamFallbackModes.EARLIEST,
      });
      const commits = new Set<Promise<void>>();
      const reading = (async () => {
        for await (const message of stream) {
          handle(payloadOf(message.value));
          const commit = Promise.resolve(message.commit()).finally(() => commits.delete(commit));
          commits.add(commit);
          if (commits.size >= inFlight) await Promise.race(commits);
        }
      })();
      return {
        async stop() {
          await Promise.all(commits);
          await stream.close();
          await reading;
          await consumer.close();
        },
      };
    },
    close: async () => void (await producer.close()),
  };
}
