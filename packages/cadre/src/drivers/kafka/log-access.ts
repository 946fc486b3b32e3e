/** What the log holds: offsets by time, and pages of records. */
import type { Cluster } from "./cluster.ts";
import { codes, KafkaRefusal } from "./kafka-error.ts";
import { readRecords } from "./record-reader.ts";
import type { LogRecord } from "./wire.ts";

export interface Partition {
  readonly topic: string;
  readonly partition: number;
}

export function nameOf({ topic, partition }: Partition): string {
  return `${topic}/${partition}`;
}

/** All partitions of the topics that are known. */
export function partitionsOf(cluster: Cluster, topics: readonly string[]): Partition[] {
  return topics.flatMap((topic) =>
    Array.from({ length: cluster.partitionsOf(topic) }, (_, partition) => ({ topic, partition })),
  );
}

/** Where something begins: behind the last record, at the first, or at an instant. */
export type When = "end" | "start" | { readonly time: number };

/** Offsets by the partition's name. An instant after the last record is the end. */
export function offsetsAt(
  cluster: Cluster,
  partitions: readonly Partition[],
  when: When,
): Promise<Map<string, number>> {
  return cluster.patiently("where the log is", async () => {
    const found = await listOffsets(cluster, partitions, when);
    const beyond = partitions.filter((partition) => found.get(nameOf(partition)) === -1);
    if (beyond.length === 0) return found;
    for (const [name, offset] of await listOffsets(cluster, beyond, "end")) found.set(name, offset);
    return found;
  });
}

async function listOffsets(
  cluster: Cluster,
  partitions: readonly Partition[],
  when: When,
): Promise<Map<string, number>> {
  const timestamp = when === "end" ? -1n : when === "start" ? -2n : BigInt(Math.floor(when.time));
  const byLeader = await groupByLeader(cluster, partitions);
  const found = new Map<string, number>();
  const asking = [...byLeader].map(async ([node, list]) => {
    const topics = topicsOf(list, ({ partition }) => ({
      partitionIndex: partition,
      currentLeaderEpoch: -1,
      timestamp,
    })).map(({ topic, partitions: items }) => ({ name: topic, partitions: items }));
    const answer = await cluster.ask({ node }, "where the log is", (connection) =>
      cluster.protocol.listOffsets(connection, -1, 0, topics),
    );
    for (const { name: topic, partitions: items } of answer.topics) {
      for (const { partitionIndex, errorCode, offset } of items) {
        if (errorCode !== 0) {
          await cluster.refresh([topic]);
          throw new KafkaRefusal(errorCode, `${topic}/${partitionIndex}`);
        }
        found.set(nameOf({ topic, partition: partitionIndex }), Number(offset));
      }
    }
  });
  await Promise.all(asking);
  return found;
}

/** @throws {KafkaRefusal} when a partition has no leader now */
async function groupByLeader<Item extends Partition>(
  cluster: Cluster,
  partitions: readonly Item[],
): Promise<Map<number, Item[]>> {
  const lost = partitions.filter(
    ({ topic, partition }) => cluster.leaderOf(topic, partition) === undefined,
  );
  if (lost.length > 0) await cluster.refresh([...new Set(lost.map(({ topic }) => topic))]);
  const byLeader = new Map<number, Item[]>();
  for (const item of partitions) {
    const leader = cluster.leaderOf(item.topic, item.partition);
    if (leader === undefined) throw new KafkaRefusal(5, nameOf(item));
    const list = byLeader.get(leader);
    if (list) list.push(item);
    else byLeader.set(leader, [item]);
  }
  return byLeader;
}

function topicsOf<Item extends Partition, Entry>(
  items: readonly Item[],
  entryOf: (item: Item) => Entry,
): { topic: string; partitions: Entry[] }[] {
  return [...Map.groupBy(items, ({ topic }) => topic)].map(([topic, list]) => ({
    topic,
    partitions: list.map((item) => entryOf(item)),
  }));
}

/** What is asked of a partition. */
export interface Wanted extends Partition {
  readonly offset: number;
  /** Nothing has been read yet: the answer does not wait for something to come. */
  readonly isFirst?: boolean;
}

/** What a partition had. */
export interface Fetched {
  readonly wanted: Wanted;
  /** From `wanted.offset` on. */
  readonly records: readonly LogRecord[];
  /** The offset to go on at: also behind what is no record of anybody's. */
  readonly next: number;
  /** Behind the last record that is safe to read. */
  readonly end: number;
  readonly start: number;
  readonly errorCode: number;
}

export interface FetchLimits {
  readonly purpose: string;
  /** How long the broker waits for something to come, in milliseconds. */
  readonly waitMs: number;
  readonly maxBytes: number;
}

/** One request to one broker. */
export async function fetchFrom(
  cluster: Cluster,
  node: number,
  wanted: readonly Wanted[],
  { purpose, waitMs, maxBytes }: FetchLimits,
): Promise<Fetched[]> {
  const topics = topicsOf(wanted, ({ partition, offset }) => ({
    partition,
    currentLeaderEpoch: -1,
    fetchOffset: BigInt(offset),
    lastFetchedEpoch: -1,
    partitionMaxBytes: maxBytes,
  })).map(({ topic, partitions }) => ({ topicId: topic, partitions })); // by name in this version
  const timeoutMs = waitMs + cluster.settings.requestTimeoutMs;
  const answer = await cluster.ask({ node, purpose, timeoutMs }, "fetch", (connection) =>
    cluster.protocol.fetch(connection, waitMs, 1, maxBytes * 4, 1, 0, -1, topics, [], ""),
  );
  if (answer.errorCode !== 0) throw new KafkaRefusal(answer.errorCode, "fetch");
  const byName = new Map(wanted.map((item) => [nameOf(item), item]));
  return answer.partitions.map((item) => {
    const asked = byName.get(nameOf(item))!;
    const { inflate } = cluster.protocol;
    const { records, next } = readRecords(item.records ?? nothing, asked, asked.offset, inflate);
    return {
      wanted: asked,
      records,
      next,
      end: item.end,
      start: item.start,
      errorCode: item.errorCode,
    };
  });
}

const nothing = Buffer.alloc(0);

const pageBytes = 1_048_576;

/** One page of a partition, from `offset` on; the same as asked where nothing is left. */
export function readPage(cluster: Cluster, wanted: Wanted): Promise<Fetched> {
  return cluster.patiently("read the log", async () => {
    const [[node]] = [...(await groupByLeader(cluster, [wanted]))] as [[number, Wanted[]]];
    const limits = { purpose: "read", waitMs: 0, maxBytes: pageBytes };
    const [page] = await fetchFrom(cluster, node, [wanted], limits);
    if (page!.errorCode === codes.offsetOutOfRange) {
      const offsets = await offsetsAt(cluster, [wanted], "start");
      const start = offsets.get(nameOf(wanted))!;
      if (start > wanted.offset) return { ...page!, records: [], next: start, errorCode: 0 };
      return { ...page!, records: [], next: wanted.offset, end: wanted.offset, errorCode: 0 };
    }
    if (page!.errorCode !== 0) {
      await cluster.refresh([wanted.topic]);
      throw new KafkaRefusal(page!.errorCode, nameOf(wanted));
    }
    return page!;
  });
}

/** All records of a partition in [from, to), a page at a time. */
export async function* readRange(
  cluster: Cluster,
  partition: Partition,
  from: number,
  to: number,
): AsyncGenerator<readonly LogRecord[], void, undefined> {
  for (let offset = from; offset < to;) {
    const page = await readPage(cluster, { ...partition, offset });
    const records = page.records.filter((record) => record.offset < to);
    if (records.length > 0) yield records;
    if (page.next <= offset) return;
    offset = page.next;
  }
}
