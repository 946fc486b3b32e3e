import { jetstream, jetstreamManager, type JetStreamClient } from "@nats-io/jetstream";
import { connect, nanos } from "@nats-io/transport-node";
import { randomUUID } from "node:crypto";
import { envelope, inFlight, payloadOf, type Member, type Side } from "./side.ts";

const encoder = new TextEncoder();

/** Acks that the server confirms, and ids that it recognises for two minutes, as the driver. */
export async function openRawNats(url: string): Promise<Side> {
  const client = await connect({ servers: url });
  const manager = await jetstreamManager(client);
  await manager.streams.add({
    name: "raw",
    subjects: ["raw.>"],
    storage: "file",
    duplicate_window: nanos(120_000),
  });
  await manager.consumers.add("raw", {
    durable_name: "workers",
    ack_policy: "explicit",
    ack_wait: nanos(30_000),
    max_ack_pending: 10_000,
  });
  const stream = jetstream(client);
  const publishOne = (index: number): Promise<unknown> => {
    const id = randomUUID();
    return stream.publish("raw.task.created", encoder.encode(envelope(index, id)), { msgID: id });
  };
  let answering = false;
  return {
    async publish(from, to) {
      await Promise.all(Array.from({ length: to - from }, (_, at) => publishOne(from + at)));
    },
    consume: (handle) => consume(stream, handle),
    async double(n) {
      if (!answering) {
        client.subscribe("math.double", {
          callback: (_, message) => {
            const { n: asked } = message.json<{ readonly n: number }>();
            message.respond(JSON.stringify({ doubled: 2 * asked }));
          },
        });
        answering = true;
      }
      const reply = await client.request("math.double", JSON.stringify({ n }), { timeout: 5_000 });
      return reply.json<{ readonly doubled: number }>().doubled;
    },
    close: () => client.close(),
  };
}

async function consume(
  stream: JetStreamClient,
  handle: Parameters<Side["consume"]>[0],
): Promise<Member> {
  const consumer = await stream.consumers.get("raw", "workers");
  const messages = await consumer.consume({ max_messages: inFlight });
  const acks = new Set<Promise<unknown>>();
  const reading = (async () => {
    for await (const message of messages) {
      handle(payloadOf(message.string()));
      const ack = message.ackAck().finally(() => acks.delete(ack));
      acks.add(ack);
      if (acks.size >= inFlight) await Promise.race(acks);
    }
  })();
  return {
    async stop() {
      await messages.close();
      await reading;
      await Promise.all(acks);
    },
  };
}
