/** Reading JSON Schemas: references, types, bounds and lists in one shape, whatever the draft. */
import type { JsonSchema } from "./event-definition.ts";

export type SchemaNode = JsonSchema | boolean;

const allTypes = ["null", "boolean", "object", "array", "number", "string"] as const;

// They say something about a schema, and nothing about what fits it.
const annotations = new Set([
  "$anchor",
  "$comment",
  "$defs",
  "$id",
  "$schema",
  "contentEncoding",
  "contentMediaType",
  "default",
  "definitions",
  "deprecated",
  "description",
  "examples",
  "format", // not checked at run time either
  "id",
  "readOnly",
  "title",
  "writeOnly",
]);

const objectKeywords = ["properties", "required", "additionalProperties", "patternProperties"];

/** Equal texts for equal JSON, whatever the order of members. */
export function canonicalJson(value: unknown): string {
  if (Array.isArray(value)) return `[${value.map(canonicalJson).join()}]`;
  if (!isObject(value)) return JSON.stringify(value) ?? "null";
  const members = Object.keys(value)
    .filter((name) => value[name] !== undefined)
    .toSorted()
    .map((name) => `${JSON.stringify(name)}:${canonicalJson(value[name])}`);
  return `{${members.join()}}`;
}

/** The keywords that a value can break. */
export function constraintsOf(schema: JsonSchema): readonly string[] {
  return Object.keys(schema).filter((name) => !annotations.has(name) && !name.startsWith("x-"));
}

export function isSchema(value: unknown): value is SchemaNode {
  return typeof value === "boolean" || isObject(value);
}

export function isObject(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

/** The schema that a local reference of `root` names; nothing for any other reference. */
export function resolveReference(root: JsonSchema, reference: unknown): SchemaNode | undefined {
  if (typeof reference !== "string" || !/^#(\/|$)/.test(reference)) return undefined;
  let node: unknown = root;
  for (const part of reference.split("/").slice(1)) {
    const name = decodeURIComponent(part).replaceAll("~1", "/").replaceAll("~0", "~");
    if (typeof node !== "object" || node === null || !Object.hasOwn(node, name)) return undefined;
    node = (node as Readonly<Record<string, unknown>>)[name];
  }
  return isSchema(node) ? node : undefined;
}

/** The types that fit; `integer` beside `number` where only whole numbers do. */
export function typesOf(schema: JsonSchema): ReadonlySet<string> {
  const { type } = schema;
  if (typeof type === "string") return new Set([type]);
  if (Array.isArray(type)) return new Set(type.map(String));
  return new Set<string>(allTypes);
}

/**
 * The types that are written by `schema`: one that only speaks of properties is meant for objects.
 */
export function writtenTypes(schema: JsonSchema): ReadonlySet<string> {
  const names = constraintsOf(schema);
  const isObjectLike =
    schema["type"] === undefined && names.some((n) => objectKeywords.includes(n));
  return isObjectLike ? new Set(["object"]) : typesOf(schema);
}

export function coversType(types: ReadonlySet<string>, type: string): boolean {
  return types.has(type) || (type === "integer" && types.has("number"));
}

/** The values, if they are few enough to be listed. */
export function valuesOf(schema: JsonSchema): readonly unknown[] | undefined {
  if (Object.hasOwn(schema, "const")) return [schema["const"]];
  if (Array.isArray(schema["enum"])) return schema["enum"] as readonly unknown[];
  const types = typesOf(schema);
  if (![...types].every((type) => type === "boolean" || type === "null")) return undefined;
  return [...(types.has("boolean") ? [true, false] : []), ...(types.has("null") ? [null] : [])];
}

/** A list's first places, and what the places behind them hold. */
export interface ListShape {
  readonly first: readonly SchemaNode[];
  readonly rest: SchemaNode;
}

export function listShape(schema: JsonSchema): ListShape {
  const { items, prefixItems, additionalItems } = schema;
  const orAny = (value: unknown): SchemaNode => (isSchema(value) ? value : true);
  if (Array.isArray(prefixItems)) return { first: prefixItems.map(orAny), rest: orAny(items) };
  if (Array.isArray(items)) return { first: items.map(orAny), rest: orAny(additionalItems) };
  return { first: [], rest: orAny(items) };
}

export interface Bound {
  readonly keyword: string;
  readonly type: "number" | "string" | "array" | "object";
  /** Whether `reader` refuses what `writer` allows. */
  readonly isTighter: (writer: JsonSchema, reader: JsonSchema) => boolean;
}

const numberOf = (schema: JsonSchema, keyword: string): number | undefined => {
  const value = schema[keyword];
  return typeof value === "number" ? value : undefined;
};

const atLeast = (keyword: string, type: Bound["type"]): Bound => ({
  keyword,
  type,
  isTighter: (writer, reader) =>
    (numberOf(reader, keyword) ?? 0) > Math.max(0, numberOf(writer, keyword) ?? 0),
});

const atMost = (keyword: string, type: Bound["type"]): Bound => ({
  keyword,
  type,
  isTighter: (writer, reader) =>
    (numberOf(reader, keyword) ?? Infinity) < (numberOf(writer, keyword) ?? Infinity),
});

/** The limit of numbers, and whether it is itself outside. `sign` -1 is the lower one. */
function limitOf(
  schema: JsonSchema,
  sign: 1 | -1,
): { readonly at: number; readonly open: boolean } {
  const [inclusive, exclusive] =
    sign === 1 ? ["maximum", "exclusiveMaximum"] : ["minimum", "exclusiveMinimum"];
  const closed = sign * (numberOf(schema, inclusive) ?? sign * Infinity);
  const open = sign * (numberOf(schema, exclusive) ?? sign * Infinity);
  return open <= closed && open !== Infinity
    ? { at: open, open: true }
    : { at: closed, open: false };
}

const limit = (keyword: string, sign: 1 | -1): Bound => ({
  keyword,
  type: "number",
  isTighter(writer, reader) {
    const [theirs, ours] = [limitOf(reader, sign), limitOf(writer, sign)];
    return theirs.at < ours.at || (theirs.at === ours.at && theirs.open && !ours.open);
  },
});

const multiple: Bound = {
  keyword: "multipleOf",
  type: "number",
  isTighter(writer, reader) {
    const step = numberOf(reader, "multipleOf");
    if (step === undefined) return false;
    const own = numberOf(writer, "multipleOf") ?? (typesOf(writer).has("number") ? 0 : 1);
    return own === 0 || !Number.isInteger(own / step);
  },
};

const unique: Bound = {
  keyword: "uniqueItems",
  type: "array",
  isTighter: (writer, reader) => reader["uniqueItems"] === true && writer["uniqueItems"] !== true,
};

export const bounds: readonly Bound[] = [
  limit("minimum", -1),
  limit("maximum", 1),
  multiple,
  atLeast("minLength", "string"),
  atMost("maxLength", "string"),
  atLeast("minItems", "array"),
  atMost("maxItems", "array"),
  unique,
  atLeast("minProperties", "object"),
  atMost("maxProperties", "object"),
];
