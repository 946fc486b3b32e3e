/** Which filter matches which payload: MongoDB's answers, then ranks of priority and severity. */
import type { FilterDocument } from "../../core/filter.ts";

export interface FilterVector {
  readonly name: string;
  readonly filter: FilterDocument;
  readonly payload: unknown;
  readonly matches: boolean;
}

/** One field of the payload, `x`, under one condition: payloads that fit, and others. */
function field(
  name: string,
  condition: unknown,
  fitting: readonly unknown[],
  others: readonly unknown[] = [],
): FilterVector[] {
  return whole(name, { "payload.x": condition }, fitting, others);
}

function whole(
  name: string,
  filter: FilterDocument,
  fitting: readonly unknown[],
  others: readonly unknown[] = [],
): FilterVector[] {
  return [
    ...fitting.map((payload) => ({ name, filter, payload, matches: true })),
    ...others.map((payload) => ({ name, filter, payload, matches: false })),
  ];
}

const comparisons: readonly FilterVector[] = [
  ...field("an equal scalar", 1, [{ x: 1 }, { x: 1.0 }], [{ x: "1" }, { x: true }, { x: 2 }, {}]),
  ...field("an empty text is a value", "", [{ x: "" }], [{ x: null }, {}, { x: 0 }]),
  ...field("false is a value", false, [{ x: false }], [{ x: 0 }, { x: null }, {}]),
  ...field(
    "one element of an array is equal",
    "a",
    [{ x: ["b", "a"] }],
    [{ x: [["a"]] }, { x: [] }],
  ),
  ...field("a whole array is equal", [1, 2], [{ x: [1, 2] }, { x: [[1, 2], 3] }], [{ x: [2, 1] }]),
  ...field("an array is no subset", [1, 2], [], [{ x: [1, 2, 3] }, { x: [1] }, { x: 1 }]),
  ...field("an empty array is equal", [], [{ x: [] }, { x: [[]] }], [{}, { x: null }, { x: [1] }]),
  ...field(
    "an object is equal",
    { a: 1, b: 2 },
    [{ x: { a: 1, b: 2 } }],
    [{ x: { a: 1, b: 2, c: 3 } }],
  ),
  ...field("an object's keys have an order", { a: 1, b: 2 }, [], [{ x: { b: 2, a: 1 } }]),
  ...field("an object among elements", { a: 1 }, [{ x: [{ a: 1 }] }], [{ x: [{ a: 2 }] }]),
  ...field("an empty object", {}, [{ x: {} }], [{ x: { a: 1 } }, {}, { x: [] }]),
  ...field("$eq written out", { $eq: "a" }, [{ x: "a" }, { x: ["a"] }], [{ x: "b" }, {}]),
  ...field(
    "null means null or missing",
    null,
    [{ x: null }, {}, { x: [1, null] }],
    [{ x: 0 }, { x: [] }],
  ),
  ...field(
    "$ne",
    { $ne: 1 },
    [{ x: 2 }, {}, { x: null }, { x: [2, 3] }],
    [{ x: 1 }, { x: [1, 2] }],
  ),
  ...field("$ne null", { $ne: null }, [{ x: 0 }, { x: [] }], [{}, { x: null }, { x: [null] }]),
  ...field(
    "$gt",
    { $gt: 5 },
    [{ x: 6 }, { x: [1, 9] }],
    [{ x: 5 }, { x: "6" }, { x: null }, {}, { x: true }],
  ),
  ...field("$gte", { $gte: 5 }, [{ x: 5 }, { x: 5.5 }], [{ x: 4.9 }, { x: [] }, { x: [[6]] }]),
  ...field("$lt", { $lt: 0 }, [{ x: -1 }], [{ x: 0 }, { x: null }, {}, { x: false }]),
  ...field("$lte", { $lte: 0 }, [{ x: 0 }, { x: [3, -3] }], [{ x: 1 }, { x: "" }]),
  ...field(
    "texts compare by code point",
    { $lt: "b" },
    [{ x: "a" }, { x: "B" }, { x: "" }],
    [{ x: "b" }, { x: 1 }],
  ),
  ...field("astral texts are greater", { $gt: "\uffff" }, [{ x: "\u{1f600}" }], [{ x: "\ufffe" }]),
  ...field("booleans compare", { $gt: false }, [{ x: true }], [{ x: false }, { x: 1 }]),
  ...field("$gte null holds for null and missing", { $gte: null }, [{ x: null }, {}], [{ x: 0 }]),
  ...field("$gt null holds for nothing", { $gt: null }, [], [{ x: null }, {}, { x: 1 }]),
  ...field(
    "objects compare",
    { $gt: { a: 1 } },
    [{ x: { a: 2 } }, { x: { a: 1, b: 0 } }],
    [{ x: { a: 0 } }, { x: 5 }],
  ),
  ...field(
    "arrays compare",
    { $gt: [1, 2] },
    [{ x: [1, 3] }, { x: [2] }],
    [{ x: [1, 1] }, { x: 5 }, { x: [1, 2] }],
  ),
  ...field("a range by two elements", { $gt: 5, $lt: 3 }, [{ x: [1, 9] }], [{ x: 4 }, { x: [4] }]),
  ...field(
    "$in",
    { $in: [1, "a"] },
    [{ x: 1 }, { x: "a" }, { x: [7, "a"] }],
    [{ x: 2 }, {}, { x: "1" }],
  ),
  ...field("$in with null", { $in: [null, 1] }, [{}, { x: null }, { x: 1 }], [{ x: 2 }]),
  ...field(
    "$in with an array",
    { $in: [[1, 2]] },
    [{ x: [1, 2] }, { x: [[1, 2]] }],
    [{ x: [1] }, { x: 1 }],
  ),
  ...field("$in of nothing", { $in: [] }, [], [{}, { x: null }, { x: [] }]),
  ...field("$nin", { $nin: [1, 2] }, [{ x: 3 }, {}, { x: [] }], [{ x: 1 }, { x: [5, 2] }]),
  ...field("$nin with null", { $nin: [null] }, [{ x: 1 }], [{}, { x: null }]),
];

const elements: readonly FilterVector[] = [
  ...field("$exists", { $exists: true }, [{ x: null }, { x: 0 }, { x: [] }], [{}, { y: 1 }]),
  ...field("$exists false", { $exists: false }, [{}, { y: 1 }], [{ x: null }, { x: [] }]),
  ...field("what objects inherit is missing", { $exists: false }, [Object.create({ x: () => 1 })]),
  ...whole(
    "a name of Object's own",
    { "payload.constructor": { $exists: true } },
    [{ constructor: 1 }],
    [{}],
  ),
  ...field(
    "$type string",
    { $type: "string" },
    [{ x: "" }, { x: [1, "a"] }],
    [{ x: 1 }, {}, { x: null }],
  ),
  ...field("$type by number", { $type: 8 }, [{ x: true }], [{ x: 1 }, {}]),
  ...field("$type number", { $type: "number" }, [{ x: 1 }, { x: 1.5 }], [{ x: "1" }]),
  ...field(
    "$type int",
    { $type: "int" },
    [{ x: 1 }, { x: -2147483648 }],
    [{ x: 1.5 }, { x: 2147483648 }],
  ),
  ...field("$type double", { $type: "double" }, [{ x: 1.5 }, { x: 2147483648 }], [{ x: 1 }]),
  ...field("$type null", { $type: "null" }, [{ x: null }], [{}]),
  ...field("$type array", { $type: "array" }, [{ x: [] }, { x: [[1]] }], [{ x: {} }]),
  ...field("$type object", { $type: "object" }, [{ x: {} }, { x: [{}] }], [{ x: [] }]),
  ...field(
    "$type one of several",
    { $type: ["string", "bool"] },
    [{ x: "a" }, { x: true }],
    [{ x: 1 }],
  ),
  ...field(
    "$size",
    { $size: 2 },
    [{ x: [1, 2] }],
    [{ x: [1] }, { x: [[1, 2]] }, { x: 2 }, { x: "ab" }, {}],
  ),
  ...field("$size 0", { $size: 0 }, [{ x: [] }], [{}, { x: null }, { x: [[]] }]),
  ...field(
    "$mod",
    { $mod: [4, 1] },
    [{ x: 5 }, { x: 5.9 }, { x: [2, 9] }],
    [{ x: 4 }, { x: "5" }, {}],
  ),
  ...field("$mod of a negative number", { $mod: [4, -1] }, [{ x: -5 }], [{ x: 3 }]),
  ...field("$all", { $all: ["a", "b"] }, [{ x: ["b", "c", "a"] }], [{ x: ["a"] }, { x: "a" }, {}]),
  ...field("$all of one value", { $all: ["a"] }, [{ x: "a" }, { x: ["a"] }], [{ x: "b" }]),
  ...field("$all of nothing", { $all: [] }, [], [{ x: [] }, { x: [1] }, {}]),
  ...field(
    "$all of an array",
    { $all: [[1, 2]] },
    [{ x: [1, 2] }, { x: [[1, 2]] }],
    [{ x: [2, 1] }],
  ),
  ...field(
    "$all of $elemMatch",
    { $all: [{ $elemMatch: { a: 1 } }, { $elemMatch: { a: 2 } }] },
    [{ x: [{ a: 2 }, { a: 1 }] }],
    [{ x: [{ a: 1 }] }],
  ),
  ...field(
    "$elemMatch of values",
    { $elemMatch: { $gt: 3, $lt: 6 } },
    [{ x: [1, 5] }],
    [{ x: [1, 9] }, { x: 5 }],
  ),
  ...field(
    "$elemMatch of objects",
    { $elemMatch: { a: 1, b: { $gt: 1 } } },
    [{ x: [{ a: 1, b: 2 }] }],
    [
      {
        x: [
          { a: 1, b: 1 },
          { a: 2, b: 2 },
        ],
      },
      { x: { a: 1, b: 2 } },
      { x: [] },
    ],
  ),
  ...field(
    "$elemMatch $or",
    { $elemMatch: { $or: [{ a: 1 }, { b: 1 }] } },
    [{ x: [{ b: 1 }] }],
    [{ x: [{ c: 1 }] }],
  ),
  ...field(
    "$elemMatch $not",
    { $elemMatch: { $not: { $gt: 3 } } },
    [{ x: [9, 1] }],
    [{ x: [9] }, { x: [] }],
  ),
  ...field(
    "$elemMatch in $elemMatch",
    { $elemMatch: { $elemMatch: { $gt: 3 } } },
    [{ x: [[1, 4]] }],
    [{ x: [4] }],
  ),
  ...field(
    "$elemMatch by index",
    { $elemMatch: { 0: 7 } },
    [{ x: [[7, 8]] }],
    [{ x: [[8, 7]] }, { x: [7] }],
  ),
  ...field(
    "$elemMatch of anything that is an object",
    { $elemMatch: {} },
    [{ x: [{}] }],
    [{ x: [1] }],
  ),
];

const paths: readonly FilterVector[] = [
  ...whole(
    "a path in an object",
    { "payload.a.b": 1 },
    [{ a: { b: 1 } }],
    [{ a: { b: 2 } }, { "a.b": 1 }],
  ),
  ...whole(
    "a path through an array",
    { "payload.a.b": 1 },
    [{ a: [{ b: 2 }, { b: 1 }] }],
    [{ a: [{ c: 1 }] }],
  ),
  ...whole("a path to arrays in an array", { "payload.a.b": 1 }, [{ a: [{ b: [2, 1] }] }]),
  ...whole("no path through an array in an array", { "payload.a.b": 1 }, [], [{ a: [[{ b: 1 }]] }]),
  ...whole(
    "an index",
    { "payload.a.1": 2 },
    [{ a: [1, 2] }, { a: { 1: 2 } }],
    [{ a: [2, 1] }, { a: 2 }],
  ),
  ...whole(
    "an index and then a field",
    { "payload.a.0.b": 1 },
    [{ a: [{ b: 1 }] }],
    [{ a: [{ b: 2 }, { b: 1 }] }],
  ),
  ...whole("an index into an array in an array", { "payload.a.0.b": 1 }, [{ a: [[{ b: 1 }]] }]),
  ...whole(
    "two indexes",
    { "payload.a.0.1": 5 },
    [{ a: [[4, 5]] }],
    [{ a: [[5, 4]] }, { a: [4, 5] }],
  ),
  ...whole("an indexed array stands for itself", { "payload.a.0": 5 }, [], [{ a: [[4, 5]] }]),
  ...whole("an index is also a key", { "payload.a.0": 5 }, [{ a: [{ 0: 5 }] }]),
  ...whole("a missing end is null", { "payload.a.b": null }, [
    {},
    { a: {} },
    { a: 4 },
    { a: [{ b: 1 }, {}] },
  ]),
  ...whole(
    "no object in an array, nothing to be null",
    { "payload.a.b": null },
    [],
    [{ a: [] }, { a: [4] }],
  ),
  ...whole(
    "nothing there in an array",
    { "payload.a.b": { $exists: false } },
    [{ a: [] }, { a: [4] }],
    [{ a: [{ b: 1 }] }],
  ),
  ...whole(
    "$ne through an array asks all",
    { "payload.a.b": { $ne: 1 } },
    [{ a: [{ b: 2 }] }],
    [{ a: [{ b: 2 }, { b: 1 }] }],
  ),
  ...whole("the payload itself", { payload: "text" }, ["text", ["text"]], ["other", null, {}]),
  ...whole("an index into the payload", { "payload.0": 1 }, [[1, 2]], [[2, 1], "1"]),
  ...whole("a text has no fields", { "payload.length": 4 }, [], ["text", ["a", "b", "c", "d"]]),
  ...whole("the type", { type: "task.created" }, [{}]),
  ...whole("metadata", { "metadata.extensions.lane": "fast", "metadata.key": { $exists: false } }, [
    {},
  ]),
];

const logic: readonly FilterVector[] = [
  ...whole("the empty filter", {}, [{}, null, { x: 1 }]),
  ...whole(
    "all paths must fit",
    { "payload.x": 1, "payload.y": 2 },
    [{ x: 1, y: 2 }],
    [{ x: 1 }, { y: 2 }],
  ),
  ...whole("$and", { $and: [{ "payload.x": 1 }, { "payload.x": 2 }] }, [{ x: [1, 2] }], [{ x: 1 }]),
  ...whole(
    "$or",
    { $or: [{ "payload.x": 1 }, { "payload.y": 1 }] },
    [{ x: 1 }, { y: 1 }],
    [{}, { x: 2 }],
  ),
  ...whole(
    "$nor",
    { $nor: [{ "payload.x": 1 }, { "payload.y": 1 }] },
    [{}, { x: 2 }],
    [{ x: 1 }, { y: 1 }],
  ),
  ...field(
    "$not of a missing field",
    { $not: { $gt: 5 } },
    [{}, { x: 5 }, { x: "a" }],
    [{ x: 6 }, { x: [1, 6] }],
  ),
  ...field(
    "$not of two operators",
    { $not: { $gt: 1, $lt: 5 } },
    [{ x: 1 }, { x: 5 }, {}],
    [{ x: 3 }],
  ),
  ...field("$not of $not", { $not: { $not: { $eq: 1 } } }, [{ x: 1 }], [{}, { x: 2 }]),
  ...field(
    "$regex",
    { $regex: "^ab?c$" },
    [{ x: "abc" }, { x: ["x", "ac"] }],
    [{ x: "abbc" }, { x: 1 }, {}],
  ),
  ...field("$regex anywhere", { $regex: "o.o" }, [{ x: "a foxo" }], [{ x: "foo" }, { x: "o\no" }]),
  ...field(
    "$regex with $options",
    { $regex: "^error$", $options: "im" },
    [{ x: "a\nERROR\nb" }],
    [{ x: "errors" }],
  ),
  ...field("$not of $regex", { $not: { $regex: "a" } }, [{ x: "b" }, {}, { x: 1 }], [{ x: "ba" }]),
];

const ranks: readonly FilterVector[] = [
  ...whole(
    "priorities by rank",
    { "payload.priority": { $gte: "high" } },
    [{ priority: "high" }, { priority: "critical" }],
    [{ priority: "low" }, { priority: "normal" }, { priority: "urgent" }, {}, { priority: 3 }],
  ),
  ...whole(
    "priorities below",
    { "payload.priority": { $lt: "normal" } },
    [{ priority: "low" }],
    [{ priority: "high" }],
  ),
  ...whole(
    "severities by rank",
    { "payload.a.severity": { $gt: "warning" } },
    [{ a: [{ severity: "error" }] }],
    [{ a: { severity: "info" } }],
  ),
  ...whole(
    "a name that is no priority is a text",
    { "payload.priority": { $gt: "P1" } },
    [{ priority: "P2" }],
    [{ priority: "P0" }],
  ),
  ...whole(
    "another path compares texts",
    { "payload.level": { $gt: "high" } },
    [{ level: "low" }],
    [{ level: "critical" }],
  ),
  ...whole(
    "ranks in $elemMatch",
    { "payload.a": { $elemMatch: { priority: { $gt: "low" } } } },
    [{ a: [{ priority: "critical" }] }],
    [{ a: [{ priority: "low" }] }],
  ),
];

/** The rest of the event in all rows: type `task.created`, extension `lane: "fast"`, no key. */
export const filterVectors: readonly FilterVector[] = [
  ...comparisons,
  ...elements,
  ...paths,
  ...logic,
  ...ranks,
];
