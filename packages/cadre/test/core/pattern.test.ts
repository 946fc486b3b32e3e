import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { isCadreError } from "#src/core/errors.ts";
import {
  assertPattern,
  compilePattern,
  literalPrefix,
  parsePattern,
  patternsOverlap,
} from "#src/core/pattern.ts";
import { patternVectors } from "#src/testing/vectors/patterns.ts";

const seed =
  process.env["CADRE_SEED"] === undefined ? {} : { seed: Number(process.env["CADRE_SEED"]) };
const words = (...from: string[]) =>
  fc.array(fc.constantFrom(...from), { minLength: 1, maxLength: 6 }).map((list) => list.join("."));
const topics = words("a", "b", "c");
const patterns = words("a", "b", "*", "#").filter((pattern) => pattern.split("#").length <= 4);

/** AMQP's meaning, written as simply as it can be. */
function means(pattern: readonly string[], topic: readonly string[]): boolean {
  const [first, ...rest] = pattern;
  if (first === undefined) return topic.length === 0;
  if (first === "#")
    return topic.length > 0
      ? means(rest, topic) || means(pattern, topic.slice(1))
      : means(rest, topic);
  return topic.length > 0 && (first === "*" || first === topic[0]) && means(rest, topic.slice(1));
}

test("the table of patterns and topics has at least 60 rows and holds", () => {
  assert.ok(patternVectors.length >= 60);
  for (const { pattern, topic, matches } of patternVectors) {
    assert.equal(compilePattern(pattern)(topic), matches, `${pattern} and ${topic}`);
  }
});

test("any pattern and topic agree with the definition", () => {
  fc.assert(
    fc.property(patterns, topics, (pattern, topic) => {
      assert.equal(compilePattern(pattern)(topic), means(pattern.split("."), topic.split(".")));
    }),
    { numRuns: 2_000, ...seed },
  );
});

test("patterns of one normal form match the same topics", () => {
  fc.assert(
    fc.property(patterns, topics, (pattern, topic) => {
      const normal = parsePattern(pattern).words.join(".");
      assert.equal(compilePattern(normal)(topic), compilePattern(pattern)(topic));
    }),
    seed,
  );
  assert.deepEqual(parsePattern("a.#.*.#.b").words, ["a", "*", "#", "b"]);
});

test("bad patterns are refused", () => {
  const bad = [
    "",
    ".",
    "a.",
    "a..b",
    "a*",
    "#a.b",
    "**",
    "a b",
    "a.\n",
    "#.a.#.b.#.c.#",
    "a".repeat(256),
  ];
  for (const pattern of [...bad, Array(33).fill("*").join("."), undefined as unknown as string]) {
    assert.throws(
      () => assertPattern(pattern),
      (error) => isCadreError(error, "INVALID_PATTERN") && error.details.pattern === pattern,
      pattern,
    );
  }
  assertPattern("#.a.#.b.#");
  assertPattern(Array(32).fill("*").join("."));
});

test("a hostile pattern and topic are matched in no time", () => {
  const matches = compilePattern("#.a.a.a.a.a.a.a.#.a.a.a.a.a.a.a.#.b");
  for (let i = 0; i < 10_000; i++) assert.equal(matches(Array(32).fill("a").join(".")), false);
});

test("two patterns overlap when some topic matches both", () => {
  for (const [a, b, overlap] of [
    ["task.*", "task.created", true],
    ["task.*", "task", false],
    ["task.#", "task", true],
    ["#.error", "agent.#", true],
    ["*.a", "b.*", true],
    ["a.*.c", "a.#.b.c", true],
    ["a.*.c", "a.#.b.b.c", false],
    ["#", "#", true],
    [`${Array(20).fill("a").join(".")}.#`, `#.${Array(20).fill("b").join(".")}`, false],
  ] as const) {
    assert.equal(patternsOverlap(a, b), overlap, `${a} and ${b}`);
    assert.equal(patternsOverlap(b, a), overlap, `${b} and ${a}`);
  }
});

test("patterns that match one topic overlap, and those that overlap share a short topic", () => {
  const all: string[] = [];
  const alphabet = ["a", "b", "c"];
  const grow = (prefix: string, left: number): void => {
    for (const word of alphabet) {
      const topic = prefix === "" ? word : `${prefix}.${word}`;
      all.push(topic);
      if (left > 1) grow(topic, left - 1);
    }
  };
  grow("", 6);
  const short = words("a", "b", "*", "#").filter((pattern) => pattern.length <= 5);
  fc.assert(
    fc.property(short, short, (a, b) => {
      const [left, right] = [compilePattern(a), compilePattern(b)];
      assert.equal(
        patternsOverlap(a, b),
        all.some((topic) => left(topic) && right(topic)),
      );
    }),
    seed,
  );
});

test("the literal prefix ends before the first wildcard", () => {
  assert.equal(literalPrefix("task.assigned.*"), "task.assigned");
  assert.equal(literalPrefix("task.created"), "task.created");
  assert.equal(literalPrefix("#.error"), "");
  assert.equal(literalPrefix("a.#.b"), "a");
});
