import { randomUUID } from "node:crypto";
import { createRequire } from "node:module";
import { join } from "node:path";
import { envelope, inFlight, payloadOf, type Side } from "./side.ts";

// The driver's version; this folder has an older one, for BullMQ.
const driverRequire = createRequire(join(import.meta.dirname, "../../packages/cadre/package.json"));
const { Redis } = driverRequire("ioredis") as typeof import("ioredis");

// An id is recognised for two minutes, as the driver's.
const put = `
if redis.call('SET', KEYS[2], 1, 'NX', 'PX', 120000) then
  return redis.call('XADD', KEYS[1], '*', 'id', ARGV[1], 'type', ARGV[2], 'event', ARGV[3])
end
return ''`;

type Page = readonly [string, readonly (readonly [string, readonly string[]])[]][];

/** A script an event, sent together; one ack for each page that is read. */
export async function openRawRedis(url: string): Promise<Side> {
  const client = new Redis(url);
  const script = String(await client.script("LOAD", put));
  await client.xgroup("CREATE", "{raw}:task", "workers", "0", "MKSTREAM");
  return {
    async publish(from, to) {
      const pipeline = client.pipeline();
      for (let index = from; index < to; index += 1) {
        const id = randomUUID();
        const event = envelope(index, id);
        pipeline.evalsha(script, 2, "{raw}:task", `{raw}:i:${id}`, id, "task.created", event);
      }
      for (const [error] of (await pipeline.exec())!) if (error) throw error;
    },
    async consume(handle) {
      const reader = client.duplicate();
      let stopped = false;
      const reading = (async () => {
        let acked: Promise<unknown> | undefined;
        while (!stopped) {
          const page = (await reader.xreadgroup(
            ...(["GROUP", "workers", "me", "COUNT", inFlight, "BLOCK", 100] as const),
            ...(["STREAMS", "{raw}:task", ">"] as const),
          )) as Page | null;
          const entries = page?.[0]?.[1] ?? [];
          for (const [, fields] of entries) handle(payloadOf(fields[5]!));
          await acked;
          const ids = entries.map(([id]) => id);
          if (ids.length > 0) acked = client.xack("{raw}:task", "workers", ...ids);
        }
        await acked;
      })();
      return {
        async stop() {
          stopped = true;
          await reading;
          reader.disconnect();
        },
      };
    },
    close: async () => void (await client.quit()),
  };
}
