import { createBus, type Transport } from "cadre";
import { eventbridge } from "cadre/eventbridge";
import { kafka } from "cadre/kafka";
import { nats } from "cadre/nats";
import { postgres } from "cadre/postgres";
import { rabbitmq } from "cadre/rabbitmq";
import { redis } from "cadre/redis";
import { inFlight, kilobyte, type Broker, type Kilobyte, type Side } from "./side.ts";

const subscriptions = 10;

/** The drivers with their defaults; `bounded` lets the server forget what is old. */
function transportOf(broker: Broker, url: string, bounded: boolean): Transport {
  switch (broker) {
    case "nats":
      return nats(url, bounded ? { maxAgeMs: 120_000 } : {});
    case "redis":
      return redis(url, bounded ? { maxEvents: 50_000 } : {});
    case "rabbitmq":
      return rabbitmq(url, bounded ? { maxLogBytes: 200_000_000 } : {});
    case "kafka":
      return kafka(url, bounded ? { maxAgeMs: 120_000 } : {});
    case "postgres":
      return postgres(url);
    case "eventbridge": {
      const credentials = { accessKeyId: "bench", secretAccessKey: "bench" };
      return eventbridge(url, { connection: { credentials } });
    }
  }
}

export function openCadre(broker: Broker, url: string, bounded = false): Promise<Side> {
  const bus = createBus({ transport: transportOf(broker, url, bounded), source: "bench" });
  let answering: Promise<unknown> | undefined;
  return Promise.resolve({
    async publish(from, to) {
      if (to === from + 1) {
        await bus.publish("task.created", kilobyte(from));
        return;
      }
      const items = Array.from({ length: to - from }, (_, at) => ({
        type: "task.created",
        payload: kilobyte(from + at),
      }));
      for (const result of await bus.publishBatch(items)) if ("error" in result) throw result.error;
    },
    async consume(handle) {
      const options = { group: "workers", concurrency: inFlight };
      const subscription = await bus.subscribe("task.#", options, ({ payload }) => {
        handle(payload as Kilobyte);
      });
      return { stop: async () => void (await subscription.close()) };
    },
    async double(n) {
      answering ??= bus.respond("math.double", { concurrency: inFlight }, (event) => ({
        doubled: 2 * (event.payload as { readonly n: number }).n,
      }));
      await answering;
      const reply = await bus.request("math.double", { n }, { timeoutMs: 5_000 });
      return (reply.payload as { readonly doubled: number }).doubled;
    },
    async idle() {
      for (let index = 0; index < subscriptions; index += 1) {
        const group = index % 2 === 0 ? {} : { group: `group-${index}` };
        await bus.subscribe(`idle.${index}.#`, group, () => {});
      }
    },
    close: async () => void (await bus.close()),
  });
}
