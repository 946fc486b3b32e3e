/**
 * History: all partitions at once, by time, a page of each in memory.
 *
 * Kafka reads forward only, so backward it is window by window: each is read forward and handed out
 * from its end.
 */
import { recordMatcher } from "../../bus/record-matcher.ts";
import type { ReadQuery, Recorded } from "../../bus/transport.ts";
import {
  nameOf,
  offsetsAt,
  partitionsOf,
  readPage,
  readRange,
  type Partition,
} from "./log-access.ts";
import type { Session } from "./session.ts";
import { knownTopics } from "./start-offsets.ts";
import { planTopics } from "./topics.ts";
import { compareRecords, compareWithPlace, fromPosition, toRead, type Read } from "./wire.ts";

const window = 500; // records of a partition that are read at once when reading backward

export async function* readHistory(
  session: Session,
  query: ReadQuery,
): AsyncGenerator<Recorded, void, undefined> {
  let left = query.limit ?? Infinity;
  if (left <= 0) return;
  const after = query.after === undefined ? undefined : fromPosition(query.after);
  const before = query.before === undefined ? undefined : fromPosition(query.before);
  const plan = planTopics(session.settings, query.type === undefined ? [] : [query.type]);
  const partitions = partitionsOf(session.cluster, await knownTopics(session, plan));
  const from = after ? ({ time: after.timestamp } as const) : "start";
  const starts = await offsetsAt(session.cluster, partitions, from);
  const ends = await offsetsAt(session.cluster, partitions, "end");
  const matches = recordMatcher(query);
  const sources = partitions.map((partition) => {
    const range = { from: starts.get(nameOf(partition))!, to: ends.get(nameOf(partition))! };
    return query.backward
      ? readBackward(session, partition, range)
      : readForward(session, partition, range);
  });
  const compare = query.backward
    ? (one: Read, other: Read) => compareRecords(other, one)
    : compareRecords;
  for await (const read of merge(sources, compare)) {
    if (after && compareWithPlace(read, after) <= 0) {
      if (query.backward) return;
      continue;
    }
    if (before && compareWithPlace(read, before) >= 0) {
      if (!query.backward) return;
      continue;
    }
    if (!matches(read.recorded)) continue;
    yield read.recorded;
    left -= 1;
    if (left === 0) return;
  }
}

interface Range {
  readonly from: number;
  readonly to: number;
}

async function* readForward(
  session: Session,
  partition: Partition,
  { from, to }: Range,
): AsyncGenerator<Read, void, undefined> {
  const { format } = session.settings;
  for await (const page of readRange(session.cluster, partition, from, to)) {
    for (const record of page) yield toRead(record, format);
  }
}

async function* readBackward(
  session: Session,
  partition: Partition,
  { from, to }: Range,
): AsyncGenerator<Read, void, undefined> {
  const { format } = session.settings;
  for (let end = to; end > from;) {
    const start = Math.max(from, end - window);
    const reads: Read[] = [];
    for (let offset = start; offset < end;) {
      const page = await readPage(session.cluster, { ...partition, offset });
      for (const record of page.records) {
        if (record.offset < end) reads.push(toRead(record, format));
      }
      if (page.next <= offset) break;
      offset = page.next;
    }
    yield* reads.toReversed();
    end = start;
  }
}

/** The first of all heads, again and again. */
async function* merge(
  sources: readonly AsyncGenerator<Read, void, undefined>[],
  compare: (one: Read, other: Read) => number,
): AsyncGenerator<Read, void, undefined> {
  try {
    const heads = await Promise.all(sources.map((source) => nextOf(source)));
    for (;;) {
      let first = -1;
      for (const [index, head] of heads.entries()) {
        if (head && (first === -1 || compare(head, heads[first]!) < 0)) first = index;
      }
      if (first === -1) return;
      yield heads[first]!;
      heads[first] = await nextOf(sources[first]!);
    }
  } finally {
    await Promise.all(sources.map((source) => source.return()));
  }
}

async function nextOf(source: AsyncGenerator<Read, void, undefined>): Promise<Read | undefined> {
  const { value } = await source.next();
  return value ?? undefined;
}
