import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import type { JsonSchema } from "cadre";
import { compareSchemas, type CompatibilityMode } from "cadre";
import { compileJsonSchema } from "#src/core/json-schema.ts";

const seed = process.env["CADRE_SEED"];
const runs = { numRuns: 300, ...(seed === undefined ? {} : { seed: Number(seed) }) };

const object = (
  properties: Readonly<Record<string, unknown>>,
  required: readonly string[] = [],
  more: JsonSchema = {},
): JsonSchema => ({ type: "object", properties, required, ...more });

const found = (older: JsonSchema, newer: JsonSchema, mode: CompatibilityMode): string[] =>
  compareSchemas(older, newer, mode).map(
    ({ kind, direction, verdict, path }) =>
      `${direction} ${path} ${kind}${verdict === "breaking" ? "" : " ?"}`,
  );

const text = { type: "string" };
const count = { type: "integer" };

/** Each change: the old schema, the new one, and all that stands against it, both ways. */
const changes: readonly (readonly [string, JsonSchema, JsonSchema, readonly string[]])[] = [
  ["nothing", object({ a: text }), object({ a: text }), []],
  ["words only", object({ a: text }), object({ a: { ...text, description: "A" } }), []],
  ["optional property added", object({ a: text }), object({ a: text, b: count }), []],
  [
    "property added to a closed object",
    object({ a: text }, [], { additionalProperties: false }),
    object({ a: text, b: count }, [], { additionalProperties: false }),
    ["forward $.b property-added"],
  ],
  [
    "required property added",
    object({ a: text }),
    object({ a: text, b: count }, ["b"]),
    ["backward $.b required-added"],
  ],
  [
    "property becomes required",
    object({ a: text }),
    object({ a: text }, ["a"]),
    ["backward $.a required-added"],
  ],
  [
    "property is no longer required",
    object({ a: text }, ["a"]),
    object({ a: text }),
    ["forward $.a required-removed"],
  ],
  [
    "required property removed",
    object({ a: text, b: text }, ["a", "b"]),
    object({ a: text }, ["a"]),
    ["forward $.b property-removed"],
  ],
  ["optional property removed", object({ a: text, b: text }), object({ a: text }), []],
  [
    "property removed from a closed object",
    object({ a: text, b: text }),
    object({ a: text }, [], { additionalProperties: false }),
    ["backward $.b property-removed"],
  ],
  [
    "type widened",
    object({ a: count }),
    object({ a: { type: "number" } }),
    ["forward $.a type-widened"],
  ],
  [
    "type narrowed",
    object({ a: { type: ["string", "null"] } }),
    object({ a: text }),
    ["backward $.a type-narrowed"],
  ],
  [
    "type changed",
    object({ a: text }),
    object({ a: count }),
    ["backward $.a type-changed", "forward $.a type-changed"],
  ],
  [
    "values added and removed",
    object({ a: { enum: ["x", "y"] } }),
    object({ a: { enum: ["y", "z"] } }),
    ["backward $.a enum-narrowed", "forward $.a enum-widened"],
  ],
  [
    "text becomes a list of values",
    object({ a: text }),
    object({ a: { type: "string", enum: ["x"] } }),
    ["backward $.a enum-added"],
  ],
  [
    "const changed",
    object({ a: { const: 1 } }),
    object({ a: { const: 2 } }),
    ["backward $.a enum-narrowed", "forward $.a enum-widened"],
  ],
  [
    "minimum raised",
    object({ a: { type: "number", minimum: 0 } }),
    object({ a: { type: "number", exclusiveMinimum: 0 } }),
    ["backward $.a bound-tightened"],
  ],
  [
    "maximum raised",
    object({ a: { type: "number", maximum: 5 } }),
    object({ a: { type: "number", maximum: 6 } }),
    ["forward $.a bound-loosened"],
  ],
  [
    "length and multiple",
    object({ a: { type: "string", maxLength: 9 }, b: { type: "number", multipleOf: 4 } }),
    object({ a: { type: "string", maxLength: 3 }, b: { type: "number", multipleOf: 2 } }),
    ["backward $.a bound-tightened", "forward $.b bound-loosened"],
  ],
  [
    "pattern added",
    object({ a: text }),
    object({ a: { type: "string", pattern: "^a" } }),
    ["backward $.a pattern-added"],
  ],
  [
    "pattern changed",
    object({ a: { type: "string", pattern: "^a" } }),
    object({ a: { type: "string", pattern: "^[ab]" } }),
    ["backward $.a pattern-changed ?", "forward $.a pattern-changed ?"],
  ],
  [
    "deep in lists",
    object({ items: { type: "array", items: object({ price: count }, ["price"]) } }),
    object({ items: { type: "array", items: object({ price: text }, ["price"]) } }),
    ["backward $.items[*].price type-changed", "forward $.items[*].price type-changed"],
  ],
  [
    "a place of a tuple, in both drafts' words",
    object({ at: { type: "array", items: [count, count], maxItems: 2 } }),
    object({ at: { type: "array", prefixItems: [count, text], maxItems: 2 } }),
    ["backward $.at[1] type-changed", "forward $.at[1] type-changed"],
  ],
  [
    "fewer items, each once",
    object({ a: { type: "array", items: text, maxItems: 9 } }),
    object({ a: { type: "array", items: text, maxItems: 3, uniqueItems: true } }),
    ["backward $.a bound-tightened", "backward $.a bound-tightened"],
  ],
  [
    "a map becomes closed",
    object({}, [], { additionalProperties: count }),
    object({}, [], { additionalProperties: false }),
    ["backward $.* additional-properties-narrowed"],
  ],
  [
    "a map of other values",
    object({}, [], { additionalProperties: count }),
    object({}, [], { additionalProperties: { type: "number" } }),
    ["forward $.* type-widened"],
  ],
  [
    "one more alternative",
    object({ a: { anyOf: [text, count] } }),
    object({ a: { anyOf: [text, count, { type: "null" }] } }),
    ["forward $.a type-widened"],
  ],
  [
    "alternatives told apart by a member",
    {
      oneOf: [
        object({ kind: { const: "a" }, x: text }, ["kind"]),
        object({ kind: { const: "b" } }, ["kind"]),
      ],
    },
    {
      oneOf: [
        object({ kind: { const: "a" }, x: text }, ["kind"]),
        object({ kind: { const: "b" } }, ["kind"]),
        object({ kind: { const: "c" } }, ["kind"]),
      ],
    },
    ["forward $ type-widened"],
  ],
  [
    "references, also to itself",
    {
      $ref: "#/$defs/node",
      $defs: { node: object({ next: { $ref: "#/$defs/node" }, n: count }) },
    },
    {
      $ref: "#/definitions/n",
      definitions: { n: object({ next: { $ref: "#/definitions/n" }, n: text }) },
    },
    ["backward $.n type-changed", "forward $.n type-changed"],
  ],
  [
    "a reference into another document",
    object({ a: text }),
    object({ a: { $ref: "other.json#/a" } }),
    ["backward $.a reference-unresolved ?", "forward $.a reference-unresolved ?"],
  ],
  [
    "a keyword that nobody can weigh",
    object({ a: text }),
    object({ a: text }, [], { dependentRequired: { a: ["b"] } }),
    ["backward $ keyword-changed ?"],
  ],
  [
    "what a condition excludes may not be written",
    object({ a: { type: "number", not: { type: "integer" } } }),
    object({ a: { type: "string" } }),
    ["backward $.a type-changed ?", "forward $.a keyword-changed ?", "forward $.a type-changed"],
  ],
  [
    "names that need quotes",
    object({ "a b": text }),
    object({ "a b": count }),
    ['backward $["a b"] type-changed', 'forward $["a b"] type-changed'],
  ],
];

for (const [what, older, newer, expected] of changes) {
  test(`a change of a schema: ${what}`, () => {
    assert.deepEqual(found(older, newer, "full").toSorted(), [...expected].toSorted());
    const backward = expected.filter((each) => each.startsWith("backward"));
    assert.deepEqual(found(older, newer, "backward").toSorted(), backward.toSorted());
    assert.deepEqual(found(older, newer, "none"), []);
  });
}

test("without a JSON Schema nothing is decided", () => {
  const [finding] = compareSchemas(undefined, object({ a: text }), "backward");
  assert.deepEqual([finding?.kind, finding?.verdict], ["no-schema", "undecided"]);
  assert.equal(compareSchemas(object({}), undefined, "full").length, 2);
});

// Small schemas whose writers write only what is named, and values that they write.

const leaf = fc.oneof(
  fc.record({ type: fc.constant("string") }),
  fc.record({
    type: fc.constant("string"),
    minLength: fc.nat(3),
    maxLength: fc.integer({ min: 3, max: 6 }),
  }),
  fc.record({
    type: fc.constant("integer"),
    minimum: fc.nat(3),
    maximum: fc.integer({ min: 3, max: 9 }),
  }),
  fc.record({ type: fc.constant("number"), exclusiveMinimum: fc.nat(3) }),
  fc.record({ type: fc.constant("number"), multipleOf: fc.constantFrom(1, 2, 0.5) }),
  fc.record({ type: fc.constant("boolean") }),
  fc.record({ enum: fc.uniqueArray(fc.constantFrom("a", "b", 1, null), { minLength: 1 }) }),
  fc.record({ type: fc.constantFrom(["string", "null"], ["integer", "boolean"]) }),
);
const { schema } = fc.letrec<{ schema: JsonSchema }>((tie) => ({
  schema: fc.oneof(
    { depthSize: "small", withCrossShrink: true },
    leaf as fc.Arbitrary<JsonSchema>,
    fc
      .record({
        type: fc.constant("object"),
        properties: fc.dictionary(fc.constantFrom("a", "b", "c"), tie("schema")),
        required: fc.uniqueArray(fc.constantFrom("a", "b", "c")),
        additionalProperties: fc.constantFrom(undefined, false),
      })
      // what is required is named, or nothing could be written
      .map(({ required, additionalProperties, ...rest }) => ({
        ...rest,
        required: required.filter((name) => Object.hasOwn(rest.properties, name)),
        ...(additionalProperties === undefined ? {} : { additionalProperties }),
      })),
    fc.record({
      type: fc.constant("array"),
      items: tie("schema"),
      maxItems: fc.integer({ min: 1, max: 3 }),
    }),
    fc.record({ anyOf: fc.array(tie("schema"), { minLength: 1, maxLength: 3 }) }),
    fc.record({ allOf: fc.tuple(tie("schema")) }),
  ),
}));

/** Something that a writer of this schema may write. */
function written(of: JsonSchema): fc.Arbitrary<unknown> {
  if (Array.isArray(of["enum"])) return fc.constantFrom(...(of["enum"] as unknown[]));
  if (Array.isArray(of["anyOf"])) return fc.oneof(...(of["anyOf"] as JsonSchema[]).map(written));
  if (Array.isArray(of["allOf"])) return written((of["allOf"] as JsonSchema[])[0]!);
  const types = Array.isArray(of["type"]) ? (of["type"] as string[]) : [String(of["type"])];
  return fc.oneof(...types.map((type) => writtenOf(type, of)));
}

function writtenOf(type: string, of: JsonSchema): fc.Arbitrary<unknown> {
  switch (type) {
    case "string":
      return fc.string({
        minLength: Number(of["minLength"] ?? 0),
        maxLength: Number(of["maxLength"] ?? 8),
      });
    case "integer":
      return fc.integer({ min: Number(of["minimum"] ?? -5), max: Number(of["maximum"] ?? 12) });
    case "number": {
      const step = Number(of["multipleOf"] ?? 0.25);
      const above = of["exclusiveMinimum"] === undefined ? -5 : Number(of["exclusiveMinimum"]);
      return fc
        .integer({ min: 1, max: 40 })
        .map((steps) => Math.ceil(above / step) * step + steps * step);
    }
    case "boolean":
      return fc.boolean();
    case "null":
      return fc.constant(null);
    case "array":
      return fc.array(written(of["items"] as JsonSchema), { maxLength: Number(of["maxItems"]) });
    default: {
      const properties = of["properties"] as Readonly<Record<string, JsonSchema>>;
      const requiredKeys = of["required"] as string[];
      const values = Object.entries(properties).map(([name, each]) => [name, written(each)]);
      const record = Object.fromEntries(values) as Record<string, fc.Arbitrary<unknown>>;
      return fc.record(record, { requiredKeys });
    }
  }
}

test("what is found compatible is read: every value that the one writes fits the other", () => {
  let compatible = 0;
  fc.assert(
    fc.property(
      fc.tuple(schema, schema).chain(([older, newer]) =>
        fc.record({
          older: fc.constant(older),
          newer: fc.oneof(fc.constant(newer), fc.constant({ anyOf: [newer, older] })),
          values: fc.array(written(older), { minLength: 4, maxLength: 8 }),
        }),
      ),
      ({ older, newer, values }) => {
        const check = compileJsonSchema(newer);
        const own = compileJsonSchema(older);
        for (const value of values) assert.equal(own(value), undefined);
        if (compareSchemas(older, newer, "backward").length > 0) return;
        compatible += 1;
        for (const value of values) assert.equal(check(value), undefined, JSON.stringify(value));
      },
    ),
    runs,
  );
  assert.ok(compatible > 40, `only ${compatible} were compatible`);
});
