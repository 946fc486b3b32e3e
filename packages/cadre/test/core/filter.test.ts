import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { isCadreError } from "#src/core/errors.ts";
import { canonicalFilter, compileFilter, type FilterDocument } from "#src/core/filter.ts";
import { filterVectors } from "#src/testing/vectors/filters.ts";
import { eventOf, matches, refuses } from "./filter-subject.ts";

const seed =
  process.env["CADRE_SEED"] === undefined ? {} : { seed: Number(process.env["CADRE_SEED"]) };

test("the table of filters and payloads has at least 80 kinds of case and holds", () => {
  assert.ok(new Set(filterVectors.map(({ name }) => name)).size >= 80);
  for (const { name, filter, payload, matches: expected } of filterVectors) {
    const shown = `${name}: ${JSON.stringify(filter)} and ${JSON.stringify(payload)}`;
    assert.equal(compileFilter(filter).matches(eventOf(payload)), expected, shown);
  }
});

test("a payload that came as JSON has the same result, __proto__ and all", () => {
  const payload: unknown = JSON.parse('{"__proto__": {"x": 1}, "hasOwnProperty": 2}');
  assert.ok(matches({ "payload.__proto__.x": 1 }, payload));
  assert.ok(matches({ "payload.hasOwnProperty": 2 }, payload));
  assert.ok(matches({ "payload.x": { $exists: false } }, payload));
  assert.ok(matches({ "payload.__proto__": { $exists: false } }, { x: 1 }));
  assert.ok(
    matches({ "payload.y": JSON.parse('{"__proto__": 1}') }, { y: JSON.parse('{"__proto__": 1}') }),
  );
  assert.ok(!matches({ "payload.y": JSON.parse('{"__proto__": 1}') }, { y: {} }));
});

test("changing the document after compiling changes nothing", () => {
  const list = [1, 2];
  const document = { "payload.x": { $in: list }, "payload.y": { a: 1 } };
  const filter = compileFilter(document);
  list.push(3);
  document["payload.y"].a = 2;
  assert.equal(filter.matches(eventOf({ x: 3, y: { a: 1 } })), false);
  assert.equal(filter.matches(eventOf({ x: 1, y: { a: 1 } })), true);
});

test("what has no meaning is refused, naming path and operator", () => {
  refuses(null, "");
  refuses([], "");
  refuses(new Map(), "");
  refuses({ payloads: 1 }, "payloads");
  refuses({ "": 1 }, "");
  refuses({ "payload..x": 1 }, "payload..x");
  refuses({ "payload.$x": 1 }, "payload.$x");
  refuses({ [`payload${".x".repeat(40)}`]: 1 }, `payload${".x".repeat(40)}`);
  refuses({ $where: "true" }, "", "$where");
  refuses({ $expr: {} }, "", "$expr");
  refuses({ $and: [] }, "", "$and");
  refuses({ $or: {} }, "", "$or");
  refuses({ $nor: [1] }, "");
  refuses({ "payload.x": { $near: 1 } }, "payload.x", "$near");
  refuses({ "payload.x": { $gt: 1, y: 2 } }, "payload.x");
  refuses({ "payload.x": { y: { $gt: 2 } } }, "payload.x", "$gt");
  refuses({ "payload.x": { $in: 1 } }, "payload.x", "$in");
  refuses({ "payload.x": { $in: [{ $gt: 1 }] } }, "payload.x", "$in");
  refuses({ "payload.x": { $nin: "a" } }, "payload.x", "$nin");
  refuses({ "payload.x": { $not: 1 } }, "payload.x", "$not");
  refuses({ "payload.x": { $not: {} } }, "payload.x", "$not");
  refuses({ "payload.x": { $all: 1 } }, "payload.x", "$all");
  refuses({ "payload.x": { $all: [{ $gt: 1 }] } }, "payload.x", "$all");
  refuses({ "payload.x": { $all: [1, { $elemMatch: {} }] } }, "payload.x", "$all");
  refuses({ "payload.x": { $elemMatch: 1 } }, "payload.x", "$elemMatch");
  refuses({ "payload.x": { $elemMatch: { y: { $size: -1 } } } }, "payload.x.y", "$size");
  refuses({ "payload.x": { $size: 1.5 } }, "payload.x", "$size");
  refuses({ "payload.x": { $mod: [0, 1] } }, "payload.x", "$mod");
  refuses({ "payload.x": { $mod: [0.5, 1] } }, "payload.x", "$mod");
  refuses({ "payload.x": { $mod: [2] } }, "payload.x", "$mod");
  refuses({ "payload.x": { $type: "date" } }, "payload.x", "$type");
  refuses({ "payload.x": { $type: "constructor" } }, "payload.x", "$type");
  refuses({ "payload.x": { $type: [] } }, "payload.x", "$type");
  refuses({ "payload.x": { $options: "i" } }, "payload.x", "$options");
  for (const value of [
    undefined,
    () => 1,
    1n,
    NaN,
    Infinity,
    Symbol("x"),
    new Date(0),
    new Map(),
  ]) {
    refuses({ "payload.x": value }, "payload.x");
    refuses({ "payload.x": { $eq: [value] } }, "payload.x", "$eq");
  }
});

test("a filter that is too deep or too large is refused before it is built", () => {
  let deep: FilterDocument = { "payload.x": 1 };
  for (let i = 0; i < 20; i++) deep = { $and: [deep] };
  refuses(deep, "");
  let value: unknown = 1;
  for (let i = 0; i < 100_000; i++) value = [value];
  refuses({ "payload.x": value }, "payload.x");
  refuses({ "payload.x": { $in: Array.from({ length: 2_000 }, (_, i) => i) } }, "payload.x");
});

test("a RegExp object needs trust", () => {
  for (const filter of [
    { "payload.x": /a/ },
    { "payload.x": { $regex: /a/ } },
    { "payload.x": { $not: /a/ } },
    { "payload.x": { $in: [/a/] } },
  ]) {
    refuses(filter, "payload.x", "$regex");
  }
  assert.ok(matches({ "payload.x": /^(?=a)/i }, { x: "Abc" }));
  assert.ok(matches({ "payload.x": { $in: [1, /b/] } }, { x: "abc" }));
  assert.ok(matches({ "payload.x": { $not: /z/ } }, { x: "abc" }));
  assert.ok(matches({ "payload.x": { $all: [/a/, /c/] } }, { x: "abc" }));
  const global = compileFilter({ "payload.x": /a/g }, { trusted: true });
  for (let i = 0; i < 4; i++) assert.ok(global.matches(eventOf({ x: "a" })));
});

/** What the operators mean, written as simply as it can be: by listing the values at a path. */
function valuesAt(value: unknown, words: readonly string[]): unknown[] {
  const [word, ...rest] = words;
  if (word === undefined) return Array.isArray(value) ? [...value, value] : [value];
  if (Array.isArray(value)) {
    return value.flatMap((element: unknown, i) => [
      ...(typeof element === "object" && element !== null && !Array.isArray(element)
        ? valuesAt(element, words)
        : []),
      ...(String(i) !== word
        ? []
        : rest.length === 0
          ? [element]
          : typeof element === "object" && element !== null
            ? valuesAt(element, rest)
            : []),
    ]);
  }
  if (typeof value !== "object" || value === null) return [undefined];
  return valuesAt((value as Record<string, unknown>)[word], rest);
}

function simply(filter: FilterDocument, root: unknown): boolean {
  return Object.entries(filter).every(([key, condition]) => {
    if (key === "$or") return (condition as FilterDocument[]).some((part) => simply(part, root));
    if (key === "$nor") return !(condition as FilterDocument[]).some((part) => simply(part, root));
    if (key === "$and") return (condition as FilterDocument[]).every((part) => simply(part, root));
    return holds(valuesAt(root, key.split(".")), condition);
  });
}

function holds(values: readonly unknown[], condition: unknown): boolean {
  if (typeof condition !== "object" || condition === null || Array.isArray(condition)) {
    return values.some((value) => same(value, condition));
  }
  return Object.entries(condition as Record<string, unknown>).every(([operator, operand]) => {
    switch (operator) {
      case "$ne":
        return !values.some((value) => same(value, operand));
      case "$in":
        return (operand as unknown[]).some((one) => values.some((value) => same(value, one)));
      case "$nin":
        return !(operand as unknown[]).some((one) => values.some((value) => same(value, one)));
      case "$exists":
        return values.some((value) => value !== undefined) === operand;
      case "$gt":
        return values.some(
          (value) => typeof value === typeof operand && (value as number) > (operand as number),
        );
      case "$lte":
        return values.some(
          (value) => typeof value === typeof operand && (value as number) <= (operand as number),
        );
      default:
        return !holds(values, operand);
    }
  });
}

function same(a: unknown, b: unknown): boolean {
  return JSON.stringify(a ?? null) === JSON.stringify(b);
}

const scalars = fc.constantFrom<unknown>(0, 1, 2, "a", "b", "", true, false, null);
const data = fc.letrec<{ value: unknown }>((tie) => ({
  value: fc.oneof(
    { depthSize: "small" },
    scalars,
    fc.array(tie("value"), { maxLength: 3 }),
    fc.dictionary(fc.constantFrom("a", "b", "0", "1"), tie("value"), {
      maxKeys: 3,
      noNullPrototype: true,
    }),
  ),
})).value;
const operators = fc
  .record(
    {
      $ne: scalars,
      $in: fc.array(scalars, { maxLength: 3 }),
      $nin: fc.array(scalars, { maxLength: 3 }),
      $exists: fc.boolean(),
      $gt: fc.constantFrom<unknown>(0, 1, "a"),
      $lte: fc.constantFrom<unknown>(0, 1, "a"),
    },
    { requiredKeys: [] },
  )
  .map((record) => (Object.keys(record).length === 0 ? { $exists: true } : record));
const conditions = fc.oneof(
  scalars,
  operators,
  operators.map(($not): unknown => ({ $not })),
  operators.map(($not): unknown => ({ $ne: 1, $not: { $not } })),
);
const paths = fc
  .array(fc.constantFrom("a", "b", "0", "1"), { maxLength: 3 })
  .map((words) => ["payload", ...words].join("."));
const filters = fc.letrec<{ filter: FilterDocument }>((tie) => ({
  filter: fc.oneof(
    { maxDepth: 3 },
    fc.dictionary(paths, conditions, { maxKeys: 3, noNullPrototype: true }),
    fc
      .constantFrom("$and", "$or", "$nor")
      .chain((operator) =>
        fc
          .array(tie("filter"), { minLength: 1, maxLength: 3 })
          .map((list) => ({ [operator]: list })),
      ),
  ),
})).filter;

test("any filter and payload agree with the simple evaluator", () => {
  fc.assert(
    fc.property(filters, data, (filter, payload) => {
      assert.equal(matches(filter, payload), simply(filter, eventOf(payload)));
    }),
    { numRuns: 5_000, ...seed },
  );
});

test("the equalities are the values that a filter asks for", () => {
  const { equalities } = compileFilter({
    type: "task.created",
    "payload.x": { $in: ["a", 1, true], $ne: "b" },
    "payload.y": null,
    "payload.z": { $gt: 1 },
    $and: [{ "metadata.key": "k" }],
    $or: [{ source: "a" }, { source: "b" }],
  });
  assert.deepEqual(
    [...equalities],
    [
      ["type", ["task.created"]],
      ["payload.x", ["a", 1, true]],
      ["metadata.key", ["k"]],
    ],
  );
});

test("one filter has one canonical text, however it was written", () => {
  const same: [FilterDocument, FilterDocument][] = [
    [
      { type: "a", source: "b" },
      { source: "b", type: "a" },
    ],
    [{ type: "a" }, { type: { $eq: "a" } }],
    [{ "payload.x": { $gt: 1, $lt: 5 } }, { "payload.x": { $lt: 5, $gt: 1 } }],
    [{ "payload.x": { $in: [1, 2, 1] } }, { "payload.x": { $in: [2, 1] } }],
    [{ $or: [{ type: "a" }, { type: "b" }] }, { $or: [{ type: "b" }, { type: "a" }] }],
    [{ $and: [{ type: "a" }] }, { type: "a" }],
    [{ "payload.x": { $ne: 1 } }, { "payload.x": { $not: { $eq: 1 } } }],
    [
      { "payload.x": { $regex: "a", $options: "mi" } },
      { "payload.x": { $regex: "a", $options: "im" } },
    ],
  ];
  for (const [a, b] of same) assert.equal(canonicalFilter(a), canonicalFilter(b));
});

test("filters that differ have canonical texts that differ", () => {
  const texts = [
    {},
    { type: "a" },
    { type: "b" },
    { source: "a" },
    { "payload.x": 1 },
    { "payload.x": "1" },
    { "payload.x": { $in: [1] } },
    { "payload.x": { $ne: 1 } },
    { "payload.x": { a: 1, b: 2 } },
    { "payload.x": { b: 2, a: 1 } },
    { "payload.x": { $elemMatch: { a: 1 } } },
    { "payload.x": { $elemMatch: { $eq: 1 } } },
    { "payload.x": { $regex: "a" } },
    { "payload.x": { $regex: "a", $options: "i" } },
    { $or: [{ type: "a" }, { source: "a" }] },
    { $nor: [{ type: "a" }] },
    { "payload.x": { $exists: true } },
    { "payload.x": { $exists: false } },
    { "payload.x": { $size: 1 } },
    { "payload.x": { $type: "int" } },
    { "payload.x": { $mod: [2, 1] } },
  ].map(canonicalFilter);
  assert.equal(new Set(texts).size, texts.length);
  assert.throws(
    () => canonicalFilter({ "payload.x": { $foo: 1 } }),
    (error) => isCadreError(error, "INVALID_FILTER"),
  );
});
