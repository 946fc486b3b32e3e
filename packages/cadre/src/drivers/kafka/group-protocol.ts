/**
 * What members tell each other when they join, in the form of Kafka's own consumer protocol, so
 * that every tool shows who has which partition.
 *
 *   member ─▶ leader   topics; userData: whether it pulls, and which partitions it cannot give up
 *   leader ─▶ member   partitions; userData: how many members there are, which partitions to finish
 */
import { nameOf, type Partition } from "./log-access.ts";

export interface MemberWish {
  readonly topics: readonly string[];
  /** Whether it takes events now. */
  readonly wants: boolean;
  /** Names of partitions of which it has deliveries out. */
  readonly held: readonly string[];
  /** Names of partitions that it had. */
  readonly owned: readonly string[];
  /** Tells two wishes apart that say the same: each asks for a new round. */
  readonly round: number;
}

export interface MemberShare {
  readonly partitions: readonly Partition[];
  /** Names of partitions that others wait for: what is out may end, nothing new goes out. */
  readonly finish: readonly string[];
  readonly members: number;
}

const version = 1;

export function encodeWish({ topics, ...wish }: MemberWish): Buffer {
  const parts = [int16(version), int32(topics.length), ...topics.map((topic) => text(topic))];
  return Buffer.concat([...parts, bytes(wish), int32(0)]); // version 1 ends with owned partitions
}

export function decodeWish(data: Buffer): MemberWish {
  const reader = new Reader(data);
  reader.int16();
  const topics = Array.from({ length: reader.int32() }, () => reader.text());
  return { topics, ...(reader.json() as Omit<MemberWish, "topics">) }; // written by `encodeWish`
}

export function encodeShare({ partitions, ...share }: MemberShare): Buffer {
  const byTopic = [...Map.groupBy(partitions, ({ topic }) => topic)];
  const parts = byTopic.flatMap(([topic, list]) => [
    text(topic),
    int32(list.length),
    ...list.map(({ partition }) => int32(partition)),
  ]);
  return Buffer.concat([int16(version), int32(byTopic.length), ...parts, bytes(share)]);
}

export function decodeShare(data: Buffer): MemberShare {
  if (data.length === 0) return { partitions: [], finish: [], members: 1 };
  const reader = new Reader(data);
  reader.int16();
  const partitions: Partition[] = [];
  for (let topics = reader.int32(); topics > 0; topics -= 1) {
    const topic = reader.text();
    for (let left = reader.int32(); left > 0; left -= 1) {
      partitions.push({ topic, partition: reader.int32() });
    }
  }
  return { partitions, ...(reader.json() as Omit<MemberShare, "partitions">) }; // by `encodeShare`
}

/**
 * Who gets which partition. What a member cannot give up stays; the others go to those that take
 * events, evenly, and to their last owner where that is even. Nobody takes events: nobody gets any.
 */
export function shareOut(
  wishes: ReadonlyMap<string, MemberWish>,
  partitions: readonly Partition[],
): Map<string, MemberShare> {
  const members = [...wishes.keys()].sort();
  const takers = members.filter((member) => wishes.get(member)!.wants);
  const given = new Map<string, Partition[]>(members.map((member) => [member, []]));
  const free: Partition[] = [];
  for (const partition of partitions) {
    const holder = members.find((member) => wishes.get(member)!.held.includes(nameOf(partition)));
    if (holder === undefined) free.push(partition);
    else given.get(holder)!.push(partition);
  }
  const even = takers.length === 0 ? 0 : Math.ceil(partitions.length / takers.length);
  const rest: Partition[] = [];
  for (const partition of free) {
    const last = takers.find((member) => wishes.get(member)!.owned.includes(nameOf(partition)));
    if (last !== undefined && given.get(last)!.length < even) given.get(last)!.push(partition);
    else rest.push(partition);
  }
  for (const partition of rest) {
    const least = leastLoaded(takers, (member) => given.get(member)!.length);
    if (least !== undefined) given.get(least)!.push(partition);
  }
  const finish = toFinish(wishes, given, takers, partitions.length);
  return new Map(
    members.map((member) => {
      const share = { partitions: given.get(member)!, finish: finish.get(member) ?? [] };
      return [member, { ...share, members: members.length }];
    }),
  );
}

/** Partitions that are held where they are too many, while another member has too few. */
function toFinish(
  wishes: ReadonlyMap<string, MemberWish>,
  given: ReadonlyMap<string, readonly Partition[]>,
  takers: readonly string[],
  count: number,
): Map<string, string[]> {
  const finish = new Map<string, string[]>();
  if (takers.length === 0) return finish;
  const fewest = Math.floor(count / takers.length);
  let missing = 0;
  for (const taker of takers) missing += Math.max(0, fewest - given.get(taker)!.length);
  for (const [member, list] of given) {
    const { wants, held } = wishes.get(member)!;
    const enough = wants ? fewest : 0;
    const names = list.map((partition) => nameOf(partition)).filter((name) => held.includes(name));
    const count = Math.min(missing, list.length - enough, names.length);
    if (count <= 0) continue;
    finish.set(member, names.slice(-count));
    missing -= count;
  }
  return finish;
}

function leastLoaded(
  members: readonly string[],
  loadOf: (member: string) => number,
): string | undefined {
  let least: string | undefined;
  for (const member of members) {
    if (least === undefined || loadOf(member) < loadOf(least)) least = member;
  }
  return least;
}

function int16(value: number): Buffer {
  const buffer = Buffer.alloc(2);
  buffer.writeInt16BE(value);
  return buffer;
}

function int32(value: number): Buffer {
  const buffer = Buffer.alloc(4);
  buffer.writeInt32BE(value);
  return buffer;
}

function text(value: string): Buffer {
  const encoded = Buffer.from(value);
  return Buffer.concat([int16(encoded.length), encoded]);
}

function bytes(value: object): Buffer {
  const encoded = Buffer.from(JSON.stringify(value));
  return Buffer.concat([int32(encoded.length), encoded]);
}

class Reader {
  readonly #data: Buffer;
  #at = 0;

  constructor(data: Buffer) {
    this.#data = data;
  }

  int16(): number {
    this.#at += 2;
    return this.#data.readInt16BE(this.#at - 2);
  }

  int32(): number {
    this.#at += 4;
    return this.#data.readInt32BE(this.#at - 4);
  }

  text(): string {
    const length = this.int16();
    this.#at += length;
    return this.#data.toString("utf8", this.#at - length, this.#at);
  }

  json(): unknown {
    const length = this.int32();
    this.#at += length;
    return JSON.parse(this.#data.toString("utf8", this.#at - length, this.#at));
  }
}
