/**
 * Whether everything that one schema's writers write fits another schema: a walk through both at
 * once. Sound where it says yes; where it cannot tell it says undecided.
 */
import type { JsonSchema } from "./event-definition.ts";
import { compileJsonSchema } from "./json-schema.ts";
import type { SchemaChangeKind, SchemaFinding } from "./schema-compatibility.ts";
import {
  bounds,
  canonicalJson,
  constraintsOf,
  coversType,
  isObject,
  isSchema,
  listShape,
  resolveReference,
  typesOf,
  valuesOf,
  writtenTypes,
  type SchemaNode,
} from "./schema-parts.ts";

/** The kind of a change, by the direction in which it breaks. */
type KindPair = readonly [backward: SchemaChangeKind, forward: SchemaChangeKind];

const kinds = {
  types: ["type-narrowed", "type-widened"],
  values: ["enum-narrowed", "enum-widened"],
  listed: ["enum-added", "enum-removed"],
  bound: ["bound-tightened", "bound-loosened"],
  pattern: ["pattern-added", "pattern-removed"],
  closed: ["property-removed", "property-added"],
  required: ["required-added", "required-removed"],
  lost: ["required-added", "property-removed"],
  additional: ["additional-properties-narrowed", "additional-properties-widened"],
} as const satisfies Readonly<Record<string, KindPair>>;

// Beside these, a keyword of the reader must stand in the writer's schema as it is.
const known = new Set([
  ...["type", "enum", "const", "pattern", "allOf", "anyOf", "oneOf", "$ref"],
  ...["properties", "required", "additionalProperties"],
  ...["items", "prefixItems", "additionalItems"],
  ...["exclusiveMinimum", "exclusiveMaximum"],
  ...bounds.map(({ keyword }) => keyword),
]);
const maxDepth = 60; // deeper than real schemas, and it bounds a recursion that the guard misses

/** What writers of `writer` write that readers with `reader` refuse. */
export function subsetFindings(
  writer: JsonSchema,
  reader: JsonSchema,
  direction: SchemaFinding["direction"],
): readonly SchemaFinding[] {
  const walk = new Walk(writer, reader, direction);
  walk.compare(writer, reader, "$");
  return walk.findings;
}

class Walk {
  readonly findings: SchemaFinding[] = [];
  readonly #writer: JsonSchema;
  readonly #reader: JsonSchema;
  readonly #direction: SchemaFinding["direction"];
  /** Pairs of references on the way to here: meeting one again adds nothing. */
  readonly #open = new Set<string>();
  /** Findings that refuse everything there is at this path. */
  readonly #total = new Map<SchemaFinding, string>();
  #depth = 0;
  /** Over 0 where a keyword of the writer was left out of account. */
  #doubts = 0;

  constructor(writer: JsonSchema, reader: JsonSchema, direction: SchemaFinding["direction"]) {
    this.#writer = writer;
    this.#reader = reader;
    this.#direction = direction;
  }

  compare(writer: SchemaNode, reader: SchemaNode, path: string): void {
    if (writer === false || reader === true) return;
    if (reader === false) return this.#add("types", path, "be there at all", "type");
    const left = writer === true ? {} : writer;
    if (this.#depth >= maxDepth) return this.#undecided("reference-unresolved", path, "$ref");
    this.#depth += 1;
    this.#compareResolved(left, reader, path);
    this.#depth -= 1;
  }

  #compareResolved(writer: JsonSchema, reader: JsonSchema, path: string): void {
    const [from, to] = [this.#target(this.#writer, writer), this.#target(this.#reader, reader)];
    if (!from || !to) return this.#undecided("reference-unresolved", path, "$ref");
    if (from !== writer || to !== reader) {
      const pair = canonicalJson([writer["$ref"] ?? path, reader["$ref"] ?? path]);
      if (this.#open.has(pair)) return;
      this.#open.add(pair);
      this.compare(from, to, path);
      this.#open.delete(pair);
      return;
    }
    if (constraintsOf(reader).length === 0 || this.#isSame(writer, reader)) return;
    if (this.#splitWriter(writer, reader, path)) return;
    if (this.#splitReader(writer, reader, path)) return;
    this.#comparePlain(writer, reader, path);
  }

  /** The schema itself, or what its reference names; nothing where that cannot be told. */
  #target(root: JsonSchema, schema: JsonSchema): SchemaNode | undefined {
    if (!Object.hasOwn(schema, "$ref")) return schema;
    // Draft 7 ignores what stands beside a reference, later drafts don't.
    return constraintsOf(schema).length > 1 ? undefined : resolveReference(root, schema["$ref"]);
  }

  #isSame(writer: JsonSchema, reader: JsonSchema): boolean {
    const text = canonicalJson(plain(writer));
    if (text !== canonicalJson(plain(reader))) return false;
    return !text.includes('"$ref"') || canonicalJson(this.#writer) === canonicalJson(this.#reader);
  }

  /** Each alternative of the writer must fit. True when that was all there is to compare. */
  #splitWriter(writer: JsonSchema, reader: JsonSchema, path: string): boolean {
    for (const keyword of ["anyOf", "oneOf"] as const) {
      const branches = writer[keyword];
      if (!Array.isArray(branches)) continue;
      const { [keyword]: _branches, ...rest } = writer;
      for (const branch of branches as SchemaNode[]) {
        const merged = this.#merged(rest, branch);
        if (merged === undefined) this.#undecided("alternatives-changed", path, keyword);
        else this.compare(merged, reader, path);
      }
      return true;
    }
    if (!Array.isArray(writer["allOf"])) return false;
    const { allOf, ...rest } = writer;
    let merged: SchemaNode | undefined = rest;
    for (const part of allOf as SchemaNode[]) merged = merged && this.#merged(merged, part);
    if (merged === undefined) this.#undecided("alternatives-changed", path, "allOf");
    else this.compare(merged, reader, path);
    return true;
  }

  /** Both at once, where no keyword says two different things. */
  #merged(left: SchemaNode, right: SchemaNode): SchemaNode | undefined {
    if (left === false || right === false) return false;
    const resolved = right === true ? {} : this.#target(this.#writer, right);
    if (left === true || resolved === undefined || resolved === true) {
      return left === true ? resolved : undefined;
    }
    if (resolved === false) return false;
    const merged: Record<string, unknown> = { ...left };
    for (const name of constraintsOf(resolved)) {
      const value = resolved[name];
      const other = merged[name];
      if (other === undefined || canonicalJson(other) === canonicalJson(value))
        merged[name] = value;
      else if (name === "required" && Array.isArray(other) && Array.isArray(value)) {
        merged[name] = [...new Set([...(other as unknown[]), ...(value as unknown[])])];
      } else if (name === "properties" && isObject(other) && isObject(value)) {
        const shared = Object.keys(value).some((key) => Object.hasOwn(other, key));
        if (shared) return undefined;
        merged[name] = { ...other, ...value };
      } else return undefined;
    }
    return merged;
  }

  /** All parts of the reader must be fitted, or one of its alternatives. */
  #splitReader(writer: JsonSchema, reader: JsonSchema, path: string): boolean {
    if (Array.isArray(reader["allOf"])) {
      const { allOf, ...rest } = reader;
      this.compare(writer, rest, path);
      for (const part of allOf as SchemaNode[]) this.compare(writer, part, path);
      return true;
    }
    for (const keyword of ["anyOf", "oneOf"] as const) {
      const branches = reader[keyword];
      if (!Array.isArray(branches)) continue;
      const { [keyword]: _branches, ...rest } = reader;
      this.compare(writer, rest, path);
      this.#compareAlternatives(writer, branches as SchemaNode[], { keyword, path });
      return true;
    }
    return false;
  }

  #compareAlternatives(
    writer: JsonSchema,
    branches: readonly SchemaNode[],
    { keyword, path }: { readonly keyword: "anyOf" | "oneOf"; readonly path: string },
  ): void {
    const fits = branches.map((branch) => this.#tried(writer, branch));
    const covering = fits.filter((found) => found.length === 0).length;
    const refuses = (finding: SchemaFinding): boolean => this.#total.get(finding) === "$";
    const disjoint = fits.filter((found) => found.some(refuses)).length;
    if (keyword === "anyOf" && covering > 0) return;
    if (covering === 1 && disjoint === branches.length - 1) return;
    if (disjoint === branches.length) {
      return this.#add("types", path, "be none of the alternatives", keyword);
    }
    this.#undecided("alternatives-changed", path, keyword);
  }

  /** What `compare` would find, without finding it. */
  #tried(writer: JsonSchema, reader: SchemaNode): readonly SchemaFinding[] {
    const start = this.findings.length;
    this.compare(writer, reader, "$");
    return this.findings.splice(start);
  }

  #comparePlain(writer: JsonSchema, reader: JsonSchema, path: string): void {
    const values = valuesOf(writer);
    if (values) return this.#compareValues(values, reader, path);
    // What it says beyond `known` only narrows it: what is found may then never be written.
    const odd = constraintsOf(writer).some((name) => !known.has(name));
    this.#doubts += odd ? 1 : 0;
    this.#compareKeywords(writer, reader, path);
    if (this.#compareTypes(writer, reader, path)) {
      const types = writtenTypes(writer);
      this.#compareBounds(writer, reader, path);
      if (types.has("string")) this.#comparePatterns(writer, reader, path);
      if (types.has("array")) this.#compareLists(writer, reader, path);
      if (types.has("object")) this.#compareObjects(writer, reader, path);
    }
    this.#doubts -= odd ? 1 : 0;
  }

  /** Few values: each is tried. */
  #compareValues(values: readonly unknown[], reader: JsonSchema, path: string): void {
    const { $defs, definitions, $schema } = this.#reader;
    const rooted = { ...reader, $defs, definitions, ...($schema === undefined ? {} : { $schema }) };
    let refused: readonly unknown[];
    try {
      const check = compileJsonSchema(JSON.parse(JSON.stringify(rooted)) as JsonSchema);
      refused = values.filter((value) => check(value) !== undefined);
    } catch {
      return this.#undecided("reference-unresolved", path, "$ref"); // one into another place
    }
    if (refused.length === 0) return;
    const what = refused.slice(0, 10).map((value) => JSON.stringify(value));
    this.#add("values", path, `be ${what.join(", ")}`, "enum");
    if (refused.length === values.length) this.#markTotal(path);
  }

  /** Keywords without a rule here must be the same. */
  #compareKeywords(writer: JsonSchema, reader: JsonSchema, path: string): void {
    for (const keyword of constraintsOf(reader)) {
      if (known.has(keyword) || keyword === "then" || keyword === "else") continue;
      const names: readonly string[] = keyword === "if" ? ["if", "then", "else"] : [keyword];
      const isSame = names.every(
        (name) => canonicalJson(writer[name] ?? null) === canonicalJson(reader[name] ?? null),
      );
      if (!isSame) this.#undecided("keyword-changed", path, keyword);
    }
    if (valuesOf(reader) && (reader["enum"] !== undefined || Object.hasOwn(reader, "const"))) {
      this.#add("listed", path, "be another value than those listed", "enum");
    }
  }

  /** False when nothing fits, and there is no more to compare. */
  #compareTypes(writer: JsonSchema, reader: JsonSchema, path: string): boolean {
    const [written, read] = [writtenTypes(writer), typesOf(reader)];
    const refused = [...written].filter((type) => !coversType(read, type));
    if (refused.length === 0) return true;
    const some = [...written].some((type) => coversType(read, type));
    const overlaps = some || (written.has("number") && read.has("integer"));
    const pair = overlaps ? kinds.types : (["type-changed", "type-changed"] as const);
    this.#addKind(pair, path, `be ${refused.join(" or ")}`, "type");
    if (!overlaps) this.#markTotal(path);
    return overlaps;
  }

  #compareBounds(writer: JsonSchema, reader: JsonSchema, path: string): void {
    const types = writtenTypes(writer);
    for (const { keyword, type, isTighter } of bounds) {
      if (!types.has(type) && !(type === "number" && types.has("integer"))) continue;
      if (isTighter(writer, reader)) this.#add("bound", path, `go past its ${keyword}`, keyword);
    }
  }

  #comparePatterns(writer: JsonSchema, reader: JsonSchema, path: string): void {
    const [written, read] = [writer["pattern"], reader["pattern"]];
    if (read === undefined || read === written) return;
    if (written !== undefined) this.#undecided("pattern-changed", path, "pattern");
    else
      this.#add(
        "pattern",
        path,
        `be a text that ${JSON.stringify(read)} does not match`,
        "pattern",
      );
  }

  #compareLists(writer: JsonSchema, reader: JsonSchema, path: string): void {
    const [written, read] = [listShape(writer), listShape(reader)];
    const { maxItems } = writer;
    const longest = typeof maxItems === "number" ? maxItems : Infinity;
    const places = Math.min(Math.max(written.first.length, read.first.length), longest);
    for (let index = 0; index < places; index += 1) {
      const [left, right] = [written.first[index], read.first[index]];
      this.compare(left ?? written.rest, right ?? read.rest, `${path}[${index}]`);
    }
    if (places < longest) this.compare(written.rest, read.rest, `${path}[*]`);
  }

  #compareObjects(writer: JsonSchema, reader: JsonSchema, path: string): void {
    const [written, read] = [propertiesOf(writer), propertiesOf(reader)];
    for (const name of namesIn(reader["required"])) {
      if (namesIn(writer["required"]).includes(name)) continue;
      const pair = Object.hasOwn(written, name) ? "required" : "lost";
      this.#add(pair, member(path, name), "be missing", "required");
    }
    const beyond = reader["additionalProperties"];
    for (const [name, schema] of Object.entries(written)) {
      const place = member(path, name);
      if (Object.hasOwn(read, name)) {
        const isWritten = namesIn(writer["required"]).includes(name);
        const start = this.findings.length;
        this.compare(schema, read[name]!, place);
        if (isWritten) this.#raiseTotal(start, place, path);
      } else if (beyond === false && schema !== false) {
        if (reader["patternProperties"] !== undefined) continue; // undecided as a keyword
        this.#add("closed", place, "be there", "additionalProperties");
      } else if (isObject(beyond)) this.compare(schema, beyond, place);
    }
    const extra = writer["additionalProperties"];
    if (!isSchema(extra) || extra === false) return;
    for (const [name, schema] of Object.entries(read)) {
      if (!Object.hasOwn(written, name)) this.compare(extra, schema, member(path, name));
    }
    if (beyond === false) {
      this.#add(
        "additional",
        `${path}.*`,
        "have properties of other names",
        "additionalProperties",
      );
    } else if (isObject(beyond)) this.compare(extra, beyond, `${path}.*`);
  }

  #add(pair: keyof typeof kinds, path: string, what: string, keyword: string): void {
    this.#addKind(kinds[pair], path, what, keyword);
  }

  #addKind(pair: KindPair, path: string, what: string, keyword: string): void {
    const direction = this.#direction;
    const [kind, message] =
      direction === "backward"
        ? [pair[0], `An old payload can ${what}, which the new schema refuses.`]
        : [pair[1], `A new payload can ${what}, which the old schema refuses.`];
    const verdict = this.#doubts > 0 ? "undecided" : "breaking";
    this.findings.push({ kind, direction, verdict, path, keyword, message });
  }

  /** The last finding leaves nothing that fits. */
  #markTotal(path: string): void {
    const last = this.findings.at(-1);
    if (last?.verdict === "breaking") this.#total.set(last, path);
  }

  /** What refuses all values of a member that is always there refuses the whole object. */
  #raiseTotal(start: number, place: string, path: string): void {
    for (const finding of this.findings.slice(start)) {
      if (this.#total.get(finding) === place) this.#total.set(finding, path);
    }
  }

  #undecided(kind: SchemaChangeKind, path: string, keyword: string): void {
    const message = `No rule can tell what a difference in "${keyword}" means. Look at it.`;
    const direction = this.#direction;
    this.findings.push({ kind, direction, verdict: "undecided", path, keyword, message });
  }
}

function plain(schema: JsonSchema): JsonSchema {
  return Object.fromEntries(constraintsOf(schema).map((name) => [name, schema[name]]));
}

function propertiesOf(schema: JsonSchema): Readonly<Record<string, SchemaNode>> {
  const { properties } = schema;
  return isObject(properties) ? (properties as Readonly<Record<string, SchemaNode>>) : {};
}

function namesIn(required: unknown): readonly string[] {
  return Array.isArray(required) ? required.map(String) : [];
}

function member(path: string, name: string): string {
  return /^[A-Za-z_][A-Za-z0-9_]*$/.test(name)
    ? `${path}.${name}`
    : `${path}[${JSON.stringify(name)}]`;
}
