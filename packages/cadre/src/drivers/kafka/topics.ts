/**
 * Which topic an event lies on, and in which partition.
 *
 *   PREFIX.task        events whose type begins with `task`
 *   PREFIX._groups     the groups' definitions (compacted)
 *   PREFIX._copies     events for one group alone: retries, and what is directed to it
 *   PREFIX._letters    dead letters (compacted)
 */
import type { Settings } from "./kafka-options.ts";

/** The first word of a type as part of a topic's name. */
function topicWord(word: string): string {
  // A leading `_` is the driver's own; what Kafka does not take is written as its bytes.
  return word.replace(/^_|[^A-Za-z0-9_-]/gu, (character) => {
    return `_${Buffer.from(character).toString("hex")}`;
  });
}

const longest = 249; // characters of a name that Kafka takes

/** The topic of events of `type`. */
export function topicOf(settings: Settings, type: string): string {
  const end = type.indexOf(".");
  const word = end === -1 ? type : type.slice(0, end);
  const named = settings.topicNames[word];
  if (named !== undefined) return named;
  const last = settings.topics === "single" ? "events" : topicWord(word);
  return `${settings.prefix}.${last}`.slice(0, longest);
}

export function internalTopic(settings: Settings, kind: "groups" | "copies" | "letters"): string {
  return `${settings.prefix}._${kind}`;
}

export interface TopicPlan {
  /** The topics, where the patterns name them; nothing where a wildcard comes first. */
  readonly names: readonly string[] | undefined;
  takes(topic: string): boolean;
}

/** The topics on which events may lie that one of `patterns` matches; of all without patterns. */
export function planTopics(settings: Settings, patterns: readonly string[]): TopicPlan {
  const words = patterns.map((pattern) => pattern.split(".")[0]!);
  if (words.length > 0 && !words.some((word) => word === "#" || word === "*")) {
    const names = [...new Set(words.map((word) => topicOf(settings, word)))];
    return { names, takes: (topic) => names.includes(topic) };
  }
  const others = new Set(Object.values(settings.topicNames));
  const start = `${settings.prefix}.`;
  return {
    names: undefined,
    takes: (topic) =>
      others.has(topic) || (topic.startsWith(start) && !isInternal(topic.slice(start.length))),
  };
}

function isInternal(rest: string): boolean {
  // Of another bus, whose prefix begins with ours, or the driver's own.
  return rest.includes(".") || /^_(?:groups|copies|letters)$/.test(rest);
}

/** The partition of `key`, as Kafka's own clients choose it. */
export function partitionOfKey(key: string, partitions: number): number {
  return (murmur2(Buffer.from(key)) & 0x7fffffff) % partitions;
}

/** MurmurHash2 with the seed that Kafka's clients share. */
function murmur2(data: Buffer): number {
  const m = 0x5bd1e995;
  let hash = 0x9747b28c ^ data.length;
  const words = data.length >> 2;
  for (let n = 0; n < words; n += 1) {
    let word = Math.imul(data.readInt32LE(n * 4), m);
    word = Math.imul(word ^ (word >>> 24), m);
    hash = Math.imul(hash, m) ^ word;
  }
  const rest = data.length & ~3;
  const left = data.length & 3;
  if (left === 3) hash ^= data[rest + 2]! << 16;
  if (left >= 2) hash ^= data[rest + 1]! << 8;
  if (left >= 1) hash = Math.imul(hash ^ data[rest]!, m);
  hash = Math.imul(hash ^ (hash >>> 13), m);
  return hash ^ (hash >>> 15);
}
