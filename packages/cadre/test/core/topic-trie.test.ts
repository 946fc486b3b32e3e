import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { compilePattern } from "#src/core/pattern.ts";
import { RouteCache } from "#src/core/route-cache.ts";
import { TopicTrie } from "#src/core/topic-trie.ts";
import { patternVectors } from "#src/testing/vectors/patterns.ts";

const seed =
  process.env["CADRE_SEED"] === undefined ? {} : { seed: Number(process.env["CADRE_SEED"]) };
const words = (...from: string[]) =>
  fc.array(fc.constantFrom(...from), { minLength: 1, maxLength: 5 }).map((list) => list.join("."));

test("every row of the table of patterns holds in one trie with all of them", () => {
  const trie = new TopicTrie<string>();
  for (const pattern of new Set(patternVectors.map((row) => row.pattern)))
    trie.add(pattern, pattern);
  for (const { pattern, topic, matches } of patternVectors) {
    assert.equal(trie.match(topic).includes(pattern), matches, `${pattern} and ${topic}`);
  }
});

const steps = fc.array(
  fc.oneof(
    fc.record({
      kind: fc.constant("add" as const),
      pattern: words("a", "b", "cc", "*", "#").filter((pattern) => pattern.split("#").length <= 4),
      value: fc.integer({ min: 0, max: 5 }),
    }),
    fc.record({ kind: fc.constant("remove" as const), at: fc.nat() }),
    fc.record({ kind: fc.constant("match" as const), topic: words("a", "b", "cc", "d") }),
  ),
  { maxLength: 60 },
);

test("after any adds and removes the trie finds what the reference matcher finds", () => {
  fc.assert(
    fc.property(steps, (list) => {
      const trie = new TopicTrie<number>();
      const model: { pattern: string; value: number; remove: () => void }[] = [];
      const seen: { values: readonly number[]; copy: number[] }[] = [];
      for (const step of list) {
        if (step.kind === "add") {
          model.push({ ...step, remove: trie.add(step.pattern, step.value) });
        } else if (step.kind === "remove") {
          const [gone] = model.splice(step.at % Math.max(1, model.length), 1);
          gone?.remove();
          gone?.remove();
        } else {
          const fitting = model.filter(({ pattern }) => compilePattern(pattern)(step.topic));
          const values = trie.match(step.topic);
          const expected = [...new Set(fitting.map(({ value }) => value))];
          assert.deepEqual(new Set(values), new Set(expected));
          assert.equal(values.length, expected.length);
          assert.equal(trie.match(step.topic).length, values.length);
          seen.push({ values, copy: [...values] });
        }
        assert.equal(trie.size, model.length);
      }
      for (const { values, copy } of seen) assert.deepEqual(values, copy);
    }),
    { numRuns: 1_500, ...seed },
  );
});

test("a value under overlapping patterns is found once, until the last of them is removed", () => {
  const trie = new TopicTrie<string>();
  const removes = ["task.*", "task.created", "#", "task.*"].map((pattern) =>
    trie.add(pattern, "x"),
  );
  assert.deepEqual(trie.match("task.created"), ["x"]);
  for (const remove of removes) {
    assert.deepEqual(trie.match("task.created"), ["x"]);
    remove();
  }
  assert.deepEqual(trie.match("task.created"), []);
  assert.equal(trie.size, 0);
});

test("an array that was handed out is the same until a change, and never changes itself", () => {
  const trie = new TopicTrie<string>();
  trie.add("a.*", "one");
  trie.add("a.#", "two");
  const before = trie.match("a.b");
  assert.equal(trie.match("a.b"), before);
  const remove = trie.add("a.b", "three");
  trie.add("a.*", "four");
  assert.deepEqual(before.toSorted(), ["one", "two"]);
  assert.deepEqual(trie.match("a.b").toSorted(), ["four", "one", "three", "two"]);
  remove();
  assert.deepEqual(trie.match("a.b").toSorted(), ["four", "one", "two"]);
});

test("a subscriber that leaves while its array is walked does not disturb the walk", () => {
  const trie = new TopicTrie<() => void>();
  const calls: string[] = [];
  let removeSecond = (): void => {};
  trie.add("t", () => {
    calls.push("first");
    removeSecond();
  });
  removeSecond = trie.add("t", () => calls.push("second"));
  for (const call of trie.match("t")) call();
  for (const call of trie.match("t")) call();
  assert.deepEqual(calls, ["first", "second", "first"]);
});

test("many values on one type are each found once", () => {
  const trie = new TopicTrie<number>();
  for (let i = 0; i < 100; i++) for (const pattern of ["t.*", "t.x", "#"]) trie.add(pattern, i);
  assert.equal(trie.match("t.x").length, 100);
});

test("nodes of removed patterns are used again", () => {
  const trie = new TopicTrie<number>();
  for (let round = 0; round < 50; round++) {
    const removes = Array.from({ length: 200 }, (_, i) =>
      trie.add(`agent.a${round}.${i}.*.#.x`, i),
    );
    assert.deepEqual(trie.match(`agent.a${round}.7.y.z.x`), [7]);
    for (const remove of removes) remove();
    assert.deepEqual(trie.match(`agent.a${round}.7.y.z.x`), []);
  }
});

test("many # are matched without trying every way", () => {
  const trie = new TopicTrie<string>();
  trie.add("#.a.#.a.#.b", "x");
  trie.add("#.a.a.#.a.a.#.a", "y");
  const topic = Array(32).fill("a").join(".");
  for (let i = 0; i < 5_000; i++) assert.deepEqual(trie.match(topic), ["y"]);
});

test("a type of more words than a topic has matches nothing", () => {
  const trie = new TopicTrie<string>();
  trie.add("#", "x");
  assert.deepEqual(trie.match(Array(33).fill("a").join(".")), []);
});

test("the cache rests when types do not come back, and tries again later", () => {
  const cache = new RouteCache<number>();
  const use = (type: string): void => {
    if (cache.get(type) === undefined) cache.set(type, 1);
  };
  for (let i = 0; i < 1_024; i++) use(`fresh.${i}`);
  assert.equal(cache.on, true, "what fills the cache is not judged");
  for (let i = 0; i < 1_024; i++) use(`fresh.${i + 5_000}`);
  assert.equal(cache.on, false);
  cache.set("known", 1);
  assert.equal(cache.get("known"), undefined);
  for (let i = 0; i < 32_768; i++) use(`fresh.${i}`);
  assert.equal(cache.on, true);
  use("known");
  for (let i = 0; i < 5_000; i++) use("known");
  assert.equal(cache.on, true);
  assert.equal(cache.get("known"), 1);
});

test("the cache keeps a thousand types that come in turn", () => {
  const cache = new RouteCache<number>();
  let hits = 0;
  for (let i = 0; i < 100_000; i++) {
    const type = `task.${i % 1_000}`;
    if (cache.get(type) === undefined) cache.set(type, 1);
    else hits++;
  }
  assert.equal(hits, 99_000);
});

test("the trie answers the same while its cache rests", () => {
  const trie = new TopicTrie<string>();
  trie.add("task.*", "x");
  for (let i = 0; i < 3_000; i++) assert.deepEqual(trie.match(`task.${i}`), ["x"]);
  trie.add("task.#", "y");
  assert.deepEqual([...trie.match("task.1")].toSorted(), ["x", "y"]);
});
