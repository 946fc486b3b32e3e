/** One partition in its owner's memory, and who is asked for what comes next: without a server. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { systemClock } from "cadre";
import { wireChoice } from "#src/core/codec/wire-choice.ts";
import type { Cluster } from "#src/drivers/kafka/cluster.ts";
import { FetchLoop } from "#src/drivers/kafka/fetch-loop.ts";
import { Lane, type Entry, type LaneParts } from "#src/drivers/kafka/lane.ts";
import type { Wanted } from "#src/drivers/kafka/log-access.ts";
import { windowSize } from "#src/drivers/kafka/marks.ts";
import { Tail, takeFirst } from "#src/drivers/kafka/tail.ts";
import { kafkaFormat, toRead, type LogRecord } from "#src/drivers/kafka/wire.ts";
import { makeEvent } from "../plain-events.ts";

const format = kafkaFormat(wireChoice({ format: "cloudevents", formats: [] }, "kafka"));

function laneOf(changes: Partial<LaneParts> = {}): Lane {
  return new Lane({
    topic: "t",
    partition: 0,
    base: 0,
    marks: null,
    format,
    ordered: undefined,
    isOurs: () => true,
    dueIn: () => 0,
    after: () => () => {},
    onWaiting: () => {},
    ...changes,
  });
}

function recordAt(offset: number, headers: Readonly<Record<string, string>> = {}): LogRecord {
  const { value, headers: own } = format.encode(makeEvent("t.made"), { maxBytes: Infinity });
  return {
    topic: "t",
    partition: 0,
    offset,
    timestamp: 0,
    key: null,
    value: Buffer.from(value),
    headers: { ...own, ...headers },
  };
}

/** What a fetch from where the lane stands answers. */
function give(lane: Lane, offsets: readonly number[], next = offsets.at(-1)! + 1): void {
  const records = offsets.map((offset) => recordAt(offset));
  lane.take({ wanted: lane.wanted!, records, next, end: next, start: 0, errorCode: 0 });
}

function handOut(lane: Lane): Entry {
  const [entry] = lane.ready();
  lane.handOut(entry!);
  return entry!;
}

test("a hole in the log at the end of the window holds nothing up", () => {
  const lane = laneOf();
  const out: Entry[] = [];
  for (let offset = 0; offset < windowSize - 1; offset += 1) {
    give(lane, [offset]);
    out.push(handOut(lane));
  }
  give(lane, [windowSize]); // the last of the window is a mark of a transaction
  for (const entry of out) lane.settle(entry);
  assert.equal(lane.base, windowSize);
});

test("a log that has dropped very much is gone on in where it begins now", () => {
  const lane = laneOf();
  lane.moved(40_000_000);
  assert.equal(lane.base, 40_000_000);
  assert.equal(lane.wanted?.offset, 40_000_000);
});

test("what is out when the log drops it is settled, and the rest is read after it", () => {
  const lane = laneOf();
  give(lane, [0, 1]);
  const first = handOut(lane);
  lane.settle(handOut(lane));
  lane.moved(40_000_000);
  lane.settle(first);
  assert.equal(lane.base, 40_000_000);
  assert.equal(lane.wanted?.offset, 40_000_000);
  assert.equal(lane.marks, "");
});

test("what comes where a log was cut off is new, though something there was settled", () => {
  const lane = laneOf();
  give(lane, [0, 1, 2]);
  const first = handOut(lane);
  lane.settle(handOut(lane));
  lane.settle(handOut(lane));
  lane.moved(1);
  give(lane, [1, 2]);
  assert.deepEqual(
    [...lane.ready()].map(({ read }) => read.record.offset),
    [1, 2],
  );
  lane.settle(first);
  assert.equal(lane.base, 1);
});

for (const [ordered, isMoved] of [
  ["block", false],
  ["skip", true],
] as const) {
  const what = isMoved ? "may go to the end" : "keeps its place, so that its key waits for it";
  test(`a delayed one that holds up a whole window ${what} with "${ordered}"`, () => {
    const lane = laneOf({ ordered });
    give(lane, [0]);
    lane.delay(handOut(lane), 1_000);
    for (let offset = 1; offset < windowSize; offset += 512) {
      const size = Math.min(512, windowSize - offset);
      give(
        lane,
        Array.from({ length: size }, (_, n) => offset + n),
      );
      for (const entry of lane.ready()) {
        lane.handOut(entry);
        lane.settle(entry);
      }
    }
    assert.ok(lane.isFull);
    assert.equal(lane.stuck !== undefined, isMoved);
  });
}

test("a partition without a leader does not hold up the others of a broadcast", () => {
  const dark = new Tail({ topic: "t", partition: 0 }, 0);
  const lit = new Tail({ topic: "t", partition: 1 }, 0);
  const record = { ...recordAt(0), partition: 1 };
  const fetched = {
    wanted: lit.wanted,
    records: [record],
    next: 1,
    end: 1,
    start: 0,
    errorCode: 0,
  };
  lit.take(fetched, [toRead(record, format)]);
  const tails = new Map([
    ["t/0", dark],
    ["t/1", lit],
  ]);
  assert.equal(takeFirst(tails, 10, () => true).length, 0, "its backlog may come first");
  assert.equal(takeFirst(tails, 10, ({ partition }) => partition === 1).length, 1);
});

test("partitions of every broker are asked for, however many brokers there are", async () => {
  const asked = new Set<number>();
  const never = new Promise<never>(() => {});
  // The few members that a fetch needs; nobody answers.
  const cluster = {
    settings: { clock: systemClock, requestTimeoutMs: 1_000 },
    leaderOf: (_topic: string, partition: number) => partition,
    hangUp: () => Promise.resolve(),
    ask: ({ node }: { readonly node: number }) => {
      asked.add(node);
      return never;
    },
  } as unknown as Cluster; // a class with private fields
  const wanted = Array.from({ length: 9 }, (_, partition): Wanted => {
    return { topic: "t", partition, offset: 0 };
  });
  const parts = { purpose: "p", wanted: () => wanted, take: () => {}, moved: () => {} };
  const loop = new FetchLoop(cluster, parts);
  loop.wake();
  assert.equal(asked.size, 9);
  await loop.end();
});
