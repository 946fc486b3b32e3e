/** What the fetch loop asks of a broker that is played. */
import assert from "node:assert/strict";
import { setImmediate } from "node:timers/promises";
import { test } from "node:test";
import { VirtualClock } from "cadre";
import type { Cluster } from "#src/drivers/kafka/cluster.ts";
import { FetchLoop } from "#src/drivers/kafka/fetch-loop.ts";
import type { Wanted } from "#src/drivers/kafka/log-access.ts";

/** A request that the broker keeps. */
interface Kept {
  readonly partitions: readonly number[];
  readonly waitMs: number;
  /** With nothing in it. */
  answer(): Promise<void>;
}

/** One broker; `wanted` is what the loop asks for, as long as a partition is in it. */
function play(): { readonly loop: FetchLoop; readonly wanted: Set<number>; readonly kept: Kept[] } {
  const wanted = new Set<number>();
  const kept: Kept[] = [];
  const fetch = (_connection: unknown, waitMs: number, ...rest: readonly unknown[]): unknown => {
    const topics = rest[5] as readonly { partitions: readonly { partition: number }[] }[];
    const partitions = topics.flatMap((topic) => topic.partitions.map((each) => each.partition));
    return new Promise((resolve) => {
      const request: Kept = {
        partitions,
        waitMs,
        answer: async () => {
          kept.splice(kept.indexOf(request), 1);
          const empty = { topic: "t", start: 0, end: 0, errorCode: 0, records: undefined };
          resolve({
            errorCode: 0,
            partitions: partitions.map((partition) => ({ ...empty, partition })),
          });
          await setImmediate();
        },
      };
      kept.push(request);
    });
  };
  const cluster = {
    settings: { clock: new VirtualClock(), requestTimeoutMs: 1_000 },
    leaderOf: () => 1,
    protocol: { fetch },
    ask: (_where: unknown, _what: string, use: (connection: unknown) => unknown) => use({}),
    hangUp: () => Promise.resolve(),
  } as unknown as Cluster; // what a fetch uses of it
  const loop = new FetchLoop(cluster, {
    purpose: "test",
    wanted: () => [...wanted].map((partition): Wanted => ({ topic: "t", partition, offset: 0 })),
    take: () => {},
    moved: () => assert.fail("nothing has moved"),
  });
  return { loop, wanted, kept };
}

function summary(kept: readonly Kept[]): readonly string[] {
  return kept.map(({ partitions, waitMs }) => `${partitions.join()}: ${waitMs} ms`);
}

test("logs at their end hold up no other for long, and are asked for together again", async () => {
  const { loop, wanted, kept } = play();
  for (const partition of [0, 1, 2, 3, 4]) {
    wanted.add(partition);
    loop.wake();
  }
  // The fourth request comes back soon, and takes the fifth partition along.
  assert.deepEqual(summary(kept), ["0: 2000 ms", "1: 2000 ms", "2: 2000 ms", "3: 50 ms"]);
  await kept[3]!.answer();
  assert.deepEqual(summary(kept), ["0: 2000 ms", "1: 2000 ms", "2: 2000 ms", "3,4: 50 ms"]);
  // A long one that found nothing waits for the short one, and goes together with it.
  await kept[0]!.answer();
  assert.deepEqual(summary(kept), ["1: 2000 ms", "2: 2000 ms", "3,4: 50 ms"]);
  await kept[2]!.answer();
  assert.deepEqual(summary(kept), ["1: 2000 ms", "2: 2000 ms", "0,3,4: 2000 ms"]);
  await loop.end();
});
