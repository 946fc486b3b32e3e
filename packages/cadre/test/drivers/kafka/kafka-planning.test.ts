/** What needs no server: addresses, options, topics, shares, marks, positions. */
import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { isCadreError } from "cadre";
import { kafka } from "cadre/kafka";
import { optionsOf, parseAddress } from "#src/drivers/kafka/address.ts";
import {
  decodeShare,
  encodeShare,
  shareOut,
  type MemberWish,
} from "#src/drivers/kafka/group-protocol.ts";
import { decodeMarks, encodeMarks, windowSize } from "#src/drivers/kafka/marks.ts";
import { settle } from "#src/drivers/kafka/kafka-options.ts";
import { partitionOfKey, planTopics, topicOf } from "#src/drivers/kafka/topics.ts";
import { fromPosition, toPosition } from "#src/drivers/kafka/wire.ts";

const invalid = (option: string): ((error: unknown) => boolean) => {
  return (error) => isCadreError(error, "INVALID_OPTION") && error.details.option === option;
};

test("an address has hosts, ports, a login and TLS, and tells no password", () => {
  assert.deepEqual(parseAddress("kafka://one,two:9093/?prefix=a"), {
    shown: "kafka://one:9092,two:9093",
    brokers: [
      { host: "one", port: 9092 },
      { host: "two", port: 9093 },
    ],
    connection: {},
  });
  const { shown, connection } = parseAddress("kafkas://team:s3cret%2F@[::1]:9094");
  assert.equal(shown, "kafkas://[::1]:9094");
  assert.deepEqual(connection, {
    tls: {},
    tlsServerName: true,
    sasl: { mechanism: "PLAIN", username: "team", password: "s3cret/" },
  });
});

for (const bad of ["kafka://", "http://one", "kafka://one:0", "kafka://one:99999", "kafka://a b"]) {
  test(`"${bad}" is no address`, () => {
    assert.throws(() => kafka(bad), invalid("connection"));
  });
}

test("an address that is refused does not show its password", () => {
  assert.throws(
    () => kafka("kafka://team:hunter2@one:x"),
    (error: unknown) => invalid("connection")(error) && !/hunter2/.test(String(error)),
  );
});

test("a URL may say prefix, group, partitions, replication and workers", () => {
  const url = "kafka://a?prefix=maf.&group=maf-agents&partitions=4&replication=3&workers=20";
  assert.deepEqual(optionsOf(url), {
    prefix: "maf.",
    group: "maf-agents",
    partitions: 4,
    replication: 3,
    workers: 20,
  });
  const { prefix, group } = settle(optionsOf(url), true);
  assert.deepEqual([prefix, group], ["maf", "maf-agents"], "the dot stands between the words");
  assert.equal(settle({ prefix: "team" }, true).group, "team");
});

test("what a URL or the options cannot say is refused by its name", () => {
  assert.throws(() => kafka("kafka://a?acks=1"), invalid("acks"));
  assert.throws(() => kafka("kafka://a?workers=none"), invalid("workers"));
  assert.throws(() => kafka("kafka://a", { partitions: 0 }), invalid("partitions"));
  assert.throws(() => kafka("kafka://a", { replication: 0 }), invalid("replication"));
  assert.throws(() => kafka("kafka://a", { prefix: "a b" }), invalid("prefix"));
  assert.throws(() => kafka("kafka://a", { topicNames: { a: "a b" } }), invalid("topicNames"));
  const late = { heartbeatMs: 1_000, sessionTimeoutMs: 1_500 };
  assert.throws(() => kafka("kafka://a", late), invalid("sessionTimeoutMs"));
  const client = { brokers: [], connect: () => Promise.reject(new Error("never")) };
  assert.throws(() => kafka(client, { connection: {} }), invalid("connection"));
});

test("a type lies on the topic of its first word, or where it was told to", () => {
  const settings = settle({ prefix: "maf", topicNames: { legacy: "maf-legacy" } }, true);
  assert.equal(topicOf(settings, "task.created"), "maf.task");
  assert.equal(topicOf(settings, "task"), "maf.task");
  assert.equal(topicOf(settings, "legacy.thing"), "maf-legacy");
  assert.notEqual(topicOf(settings, "_groups.x"), "maf._groups", "the driver's own stay its own");
  assert.match(topicOf(settings, "grüße.an.alle"), /^[A-Za-z0-9._-]+$/);
  assert.equal(topicOf(settle({ topics: "single" }, true), "task.created"), "cadre.events");
});

test("patterns are planned onto topics, and a wildcard in front onto all of the bus", () => {
  const settings = settle({ prefix: "maf", topicNames: { legacy: "old" } }, true);
  assert.deepEqual(planTopics(settings, ["task.*", "task.#", "note"]).names, [
    "maf.task",
    "maf.note",
  ]);
  const all = planTopics(settings, ["#.created"]);
  assert.equal(all.names, undefined);
  const taken = ["maf.task", "old", "maf._groups", "maf._copies", "maf.x.y", "other.task"];
  assert.deepEqual(
    taken.filter((topic) => all.takes(topic)),
    ["maf.task", "old"],
  );
});

test("a key's partition is the one that Kafka's own clients choose", () => {
  // From the tests of Kafka's Java client: murmur2 of these texts.
  const known: Readonly<Record<string, number>> = {
    "21": -973932308,
    foobar: -790332482,
    "a-little-bit-long-string": -985981536,
    "a-little-bit-longer-string": -1486304829,
  };
  for (const [key, hash] of Object.entries(known)) {
    assert.equal(partitionOfKey(key, 1_000), (hash & 0x7fffffff) % 1_000, key);
  }
});

test("what is settled and handed out comes back out of a commit's text, within Kafka's bound", () => {
  fc.assert(
    fc.property(
      fc.integer({ min: 0, max: 1e12 }),
      fc.uniqueArray(fc.integer({ min: 0, max: windowSize - 1 }), { maxLength: 500 }),
      fc.array(fc.tuple(fc.integer({ min: 0, max: 999 }), fc.integer({ min: 1, max: 9 })), {
        maxLength: 100,
      }),
      (base, offsets, counts) => {
        const done = new Set(offsets.map((offset) => base + offset));
        const attempts = new Map(counts.map(([offset, count]) => [base + offset, count]));
        const text = encodeMarks(base, { done, attempts });
        assert.ok(text.length <= 4_096, `${text.length} characters`);
        assert.deepEqual(decodeMarks(base, text), { done, attempts });
      },
    ),
  );
  const full = Array.from({ length: windowSize }, (_, at) => at);
  const most = { done: new Set(full), attempts: new Map(full.map((at) => [at, 35])) };
  const text = encodeMarks(0, most);
  assert.ok(text.length <= 4_096, `${text.length} characters`);
  assert.deepEqual(decodeMarks(0, text).done, most.done, "what is settled always fits");
  for (const other of ["", "metadata", "cadre9.AA.0:1", null]) {
    assert.deepEqual(decodeMarks(5, other), { done: new Set(), attempts: new Map() });
  }
});

const partitions = Array.from({ length: 6 }, (_, partition) => ({ topic: "t", partition }));
const wish: MemberWish = { topics: ["t"], wants: true, held: [], owned: [], round: 1 };
const namesOf = (list: readonly { readonly partition: number }[]): string[] =>
  list.map(({ partition }) => `t/${partition}`);

test("partitions go evenly to those that take events, and stay where they were", () => {
  const first = shareOut(new Map([["a", wish]]), partitions);
  assert.equal(first.get("a")!.partitions.length, 6);
  const owned = namesOf(first.get("a")!.partitions);
  const both = shareOut(
    new Map([
      ["a", { ...wish, owned }],
      ["b", wish],
    ]),
    partitions,
  );
  assert.deepEqual(namesOf(both.get("a")!.partitions), owned.slice(0, 3));
  assert.equal(both.get("b")!.partitions.length, 3);
  assert.equal(both.get("b")!.members, 2);
});

test("what is held stays with its owner, and is to be finished where another has too few", () => {
  const held = namesOf(partitions);
  const shares = shareOut(
    new Map([
      ["a", { ...wish, held }],
      ["b", wish],
    ]),
    partitions,
  );
  assert.equal(shares.get("a")!.partitions.length, 6);
  assert.equal(shares.get("a")!.finish.length, 3);
  assert.deepEqual(shares.get("b")!.partitions, []);
  assert.deepEqual(decodeShare(encodeShare(shares.get("a")!)), shares.get("a"));
});

test("who takes no events keeps only what it holds; without takers nobody is given anything", () => {
  const shares = shareOut(
    new Map([
      ["a", { ...wish, wants: false, held: ["t/0"], owned: namesOf(partitions) }],
      ["b", wish],
    ]),
    partitions,
  );
  assert.deepEqual(namesOf(shares.get("a")!.partitions), ["t/0"]);
  assert.equal(shares.get("b")!.partitions.length, 5);
  const idle = shareOut(new Map([["a", { ...wish, wants: false }]]), partitions);
  assert.deepEqual(idle.get("a")!.partitions, []);
});

test("every partition is given to one member at most, whatever they wish", () => {
  const anyWish = fc.record({
    wants: fc.boolean(),
    held: fc.subarray(namesOf(partitions)),
    owned: fc.subarray(namesOf(partitions)),
  });
  fc.assert(
    fc.property(fc.array(anyWish, { minLength: 1, maxLength: 8 }), (wishes) => {
      const all = new Map(wishes.map((each, at) => [`m${at}`, { ...wish, ...each }]));
      const given = [...shareOut(all, partitions).values()].flatMap((share) =>
        namesOf(share.partitions),
      );
      assert.equal(new Set(given).size, given.length);
      const takers = wishes.some(({ wants }) => wants);
      if (takers) assert.equal(given.length, partitions.length);
    }),
  );
});

test("a position is read back, and what is none is refused", () => {
  const place = { topic: "maf.task", partition: 3, offset: 12, timestamp: 1_700, id: "01a/b" };
  assert.deepEqual(fromPosition(toPosition(place)), place);
  for (const bad of ["", "12", "maf.task/3/12/1/x"]) {
    assert.throws(() => fromPosition(bad), invalid("position"));
  }
});
