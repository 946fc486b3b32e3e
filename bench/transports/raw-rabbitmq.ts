import { connect, type ConsumeMessage } from "amqplib";
import { randomUUID } from "node:crypto";
import { envelope, inFlight, payloadOf, type Side } from "./side.ts";

/** The driver's queues: a stream that keeps the events, and a quorum queue for the group. */
export async function openRawRabbitmq(url: string): Promise<Side> {
  const client = await connect(url);
  const channel = await client.createConfirmChannel();
  await channel.assertExchange("raw", "topic", { durable: true });
  for (const [queue, kind] of Object.entries({ "raw.log": "stream", "raw.workers": "quorum" })) {
    await channel.assertQueue(queue, { durable: true, arguments: { "x-queue-type": kind } });
    await channel.bindQueue(queue, "raw", kind === "stream" ? "#" : "task.#");
  }
  const publishOne = (index: number): Promise<void> =>
    new Promise((resolve, reject) => {
      const messageId = randomUUID();
      const options = { persistent: true, contentType: "application/json", messageId };
      const content = Buffer.from(envelope(index, messageId));
      channel.publish("raw", "task.created", content, options, (error: unknown) => {
        if (error) reject(error);
        else resolve();
      });
    });
  return {
    async publish(from, to) {
      await Promise.all(Array.from({ length: to - from }, (_, at) => publishOne(from + at)));
    },
    async consume(handle) {
      const reader = await client.createChannel();
      await reader.prefetch(inFlight);
      const receive = (message: ConsumeMessage | null): void => {
        if (message === null) return;
        handle(payloadOf(message.content.toString()));
        reader.ack(message);
      };
      const { consumerTag } = await reader.consume("raw.workers", receive);
      return {
        async stop() {
          await reader.cancel(consumerTag); // answered after the acks
          await reader.close();
        },
      };
    },
    close: () => client.close(),
  };
}
