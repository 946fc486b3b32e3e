/**
 * Reads a filter document, refuses what has no meaning, and copies it, so that changing the
 * document changes nothing.
 */
import { CadreError } from "./errors.ts";
import {
  filterLimits,
  type Condition,
  type FilterNode,
  type FilterRegex,
  type Ordering,
} from "./filter-ast.ts";
import type { FieldPath } from "./filter-path.ts";
import { isObject } from "./filter-value.ts";
import type { JsonValue } from "./json.ts";
import { compileSafeRegex } from "./safe-regex.ts";
import { shown } from "./topic.ts";

const roots = ["id", "type", "source", "timestamp", "payload", "metadata"];

const priorityRanks = ["low", "normal", "high", "critical"];
const severityRanks = ["info", "warning", "error", "critical"];

/** MongoDB's names and numbers of the types that JSON has. */
const typeNames: Readonly<Record<string, string>> = {
  1: "double",
  2: "string",
  3: "object",
  4: "array",
  8: "bool",
  10: "null",
  16: "int",
  18: "long",
};
const knownTypes: ReadonlySet<string> = new Set([...Object.values(typeNames), "number"]);

export class FilterParser {
  readonly #trusted: boolean;
  #depth = 0;
  #nodes = 0;
  /** The path whose condition is being read, for messages. */
  #path = "";

  constructor(trusted: boolean) {
    this.#trusted = trusted;
  }

  parse(document: unknown): FilterNode {
    return this.#document(document, true);
  }

  #fail(problem: string, operator?: string): never {
    const where = this.#path === "" ? "" : ` at ${shown(this.#path)}`;
    throw new CadreError("INVALID_FILTER", `The filter is refused${where}: ${problem}.`, {
      path: this.#path,
      ...(operator === undefined ? {} : { operator }),
    });
  }

  #deeper<Result>(read: () => Result): Result {
    if (++this.#depth > filterLimits.depth)
      this.#fail(`it nests deeper than ${filterLimits.depth}`);
    const result = read();
    this.#depth--;
    return result;
  }

  #count(): void {
    if (++this.#nodes > filterLimits.nodes) {
      this.#fail(`it has more than ${filterLimits.nodes} conditions and values`);
    }
  }

  /**
   * `{ path: condition, …, $or: [ … ] }`; at the top the paths begin at the event, in `$elemMatch`
   * at the element.
   */
  #document(document: unknown, top: boolean): FilterNode {
    if (!isPlainObject(document)) this.#fail("a filter is an object of paths and conditions");
    return this.#deeper(() => {
      const nodes: FilterNode[] = [];
      for (const [key, value] of Object.entries(document)) {
        this.#count();
        if (key.startsWith("$")) nodes.push(this.#logical(key, value, top));
        else nodes.push(this.#field(key, value, top));
      }
      return nodes.length === 1 ? (nodes[0] as FilterNode) : { kind: "and", nodes };
    });
  }

  #logical(operator: string, value: unknown, top: boolean): FilterNode {
    if (operator !== "$and" && operator !== "$or" && operator !== "$nor") {
      this.#fail(`${shown(operator)} is no operator in this place ($and, $or, $nor are)`, operator);
    }
    if (!Array.isArray(value) || value.length === 0) {
      this.#fail(`${operator} takes a list of filters that is not empty`, operator);
    }
    const kind = operator.slice(1) as "and" | "or" | "nor";
    return { kind, nodes: value.map((document) => this.#document(document, top)) };
  }

  #field(text: string, value: unknown, top: boolean): FilterNode {
    const outer = this.#path;
    this.#path = outer === "" ? text : `${outer}.${text}`;
    const words = text.split(".");
    if (words.includes("")) this.#fail("a path has no empty word");
    if (words.length > filterLimits.pathWords) {
      this.#fail(`a path has at most ${filterLimits.pathWords} words`);
    }
    if (words.some((word) => word.startsWith("$"))) this.#fail("a path's word begins with $");
    if (top && !roots.includes(words[0] as string)) {
      this.#fail(`an event has no ${shown(words[0])}; paths begin with ${roots.join(", ")}`);
    }
    const path: FieldPath = { text, words };
    const condition = this.#conditionOf(path, value);
    this.#path = outer;
    return { kind: "field", path, condition };
  }

  #conditionOf(path: FieldPath, value: unknown): Condition {
    if (value instanceof RegExp) return { op: "$regex", regex: this.#regex(value, "") };
    if (isOperators(value)) return this.#operators(path, value);
    return { op: "$eq", value: this.#operand(value) };
  }

  #operators(path: FieldPath, document: Readonly<Record<string, unknown>>): Condition {
    return this.#deeper(() => {
      const conditions: Condition[] = [];
      for (const [operator, value] of Object.entries(document)) {
        this.#count();
        if (!operator.startsWith("$")) {
          this.#fail(`operators and the field ${shown(operator)} stand side by side`);
        }
        if (operator === "$options") {
          if (document["$regex"] === undefined) this.#fail("$options needs a $regex", operator);
          continue;
        }
        const operand = operator === "$regex" ? [value, document["$options"]] : value;
        conditions.push(this.#operator(path, operator, operand));
      }
      return conditions.length === 1 ? (conditions[0] as Condition) : { op: "all", conditions };
    });
  }

  #operator(path: FieldPath, operator: string, value: unknown): Condition {
    switch (operator) {
      case "$eq":
        return { op: "$eq", value: this.#operand(value, operator) };
      case "$ne":
        return not({ op: "$eq", value: this.#operand(value, operator) });
      case "$gt":
      case "$gte":
      case "$lt":
      case "$lte":
        return this.#ordering(path, operator, value);
      case "$in":
        return this.#in(value, operator);
      case "$nin":
        return not(this.#in(value, operator));
      case "$exists":
        // MongoDB takes any value and asks whether it is true; 0 and 1 are seen in the wild.
        return isTrue(value) ? { op: "$exists" } : not({ op: "$exists" });
      case "$regex":
        return this.#regexOf(value as readonly [unknown, unknown]);
      case "$not":
        return this.#not(path, value);
      case "$all":
        return this.#all(path, value);
      case "$elemMatch":
        return this.#elemMatch(path, value);
      case "$size":
        return { op: "$size", size: this.#whole(value, operator) };
      case "$mod":
        return this.#mod(value);
      case "$type":
        return this.#type(value);
      default:
        this.#fail(`${shown(operator)} is no operator of a filter`, operator);
    }
  }

  #ordering(path: FieldPath, op: Ordering, value: unknown): Condition {
    const operand = this.#operand(value, op);
    const ranks = ranksOf(path);
    return typeof operand === "string" && ranks?.includes(operand) === true
      ? { op, value: operand, ranks }
      : { op, value: operand };
  }

  #in(value: unknown, operator: string): Condition {
    const values: JsonValue[] = [];
    const regexes: FilterRegex[] = [];
    for (const item of this.#list(value, operator)) {
      if (item instanceof RegExp) regexes.push(this.#regex(item, ""));
      else if (isOperators(item)) this.#fail(`${operator} takes values, not operators`, operator);
      else values.push(this.#operand(item, operator));
    }
    return { op: "$in", values, regexes };
  }

  #not(path: FieldPath, value: unknown): Condition {
    if (!(value instanceof RegExp) && !isOperators(value)) {
      this.#fail("$not takes operators or a regular expression", "$not");
    }
    return not(this.#conditionOf(path, value));
  }

  #all(path: FieldPath, value: unknown): Condition {
    const items = this.#list(value, "$all");
    // Nothing has all of nothing: as in MongoDB, an empty $all matches no event.
    if (items.length === 0) return { op: "$in", values: [], regexes: [] };
    const matches = items.filter((item) => isObject(item) && "$elemMatch" in item);
    if (matches.length > 0 && matches.length < items.length) {
      this.#fail("$all takes values or $elemMatch, not both", "$all");
    }
    const conditions = items.map((item) => {
      this.#count();
      if (matches.length === 0 && isOperators(item)) {
        this.#fail("$all takes values or $elemMatch, no other operators", "$all");
      }
      return this.#conditionOf(path, item);
    });
    return { op: "all", conditions };
  }

  #elemMatch(path: FieldPath, value: unknown): Condition {
    if (!isPlainObject(value)) this.#fail("$elemMatch takes an object", "$elemMatch");
    const logical = Object.keys(value).some((key) => ["$and", "$or", "$nor"].includes(key));
    if (isOperators(value) && !logical) {
      return { op: "$elemMatch", condition: this.#operators(path, value) };
    }
    return { op: "$elemMatch", node: this.#document(value, false) };
  }

  #mod(value: unknown): Condition {
    if (!Array.isArray(value) || value.length !== 2 || !value.every(Number.isFinite)) {
      this.#fail("$mod takes [divisor, remainder]", "$mod");
    }
    const [divisor, remainder] = (value as number[]).map(Math.trunc) as [number, number];
    if (divisor === 0) this.#fail("$mod cannot divide by 0", "$mod");
    return { op: "$mod", divisor, remainder };
  }

  #type(value: unknown): Condition {
    const types = (Array.isArray(value) ? value : [value]).map((type: unknown) => {
      const name = typeof type === "number" ? typeNames[type] : type;
      if (typeof name === "string" && knownTypes.has(name)) return name;
      return this.#fail(`${shown(type)} is no type that JSON has`, "$type");
    });
    if (types.length === 0) this.#fail("$type takes at least one type", "$type");
    return { op: "$type", types };
  }

  #whole(value: unknown, operator: string): number {
    if (typeof value === "number" && Number.isInteger(value) && value >= 0) return value;
    return this.#fail(`${operator} takes a whole number from 0`, operator);
  }

  #list(value: unknown, operator: string): readonly unknown[] {
    return Array.isArray(value) ? value : this.#fail(`${operator} takes a list`, operator);
  }

  #regexOf([pattern, options]: readonly [unknown, unknown]): Condition {
    if (options !== undefined && typeof options !== "string") {
      this.#fail("$options takes a text of flags", "$options");
    }
    if (typeof pattern !== "string" && !(pattern instanceof RegExp)) {
      this.#fail("$regex takes a text", "$regex");
    }
    return { op: "$regex", regex: this.#regex(pattern, options ?? "") };
  }

  #regex(pattern: string | RegExp, options: string): FilterRegex {
    if (pattern instanceof RegExp) {
      if (!this.#trusted) {
        this.#fail("a RegExp object runs without bounds; use $regex with a text", "$regex");
      }
      if (options !== "" && pattern.flags !== "") {
        this.#fail("flags are set in the RegExp and in $options", "$options");
      }
      // Without g and y, which would make `test` remember where it was.
      const flags = sortedFlags((pattern.flags + options).replace(/[gy]/g, ""));
      return this.#native(pattern.source, flags);
    }
    if (!/^[ims]*$/.test(options)) {
      this.#fail("$options takes i, m and s", "$options");
    }
    const flags = sortedFlags(options);
    try {
      return { source: pattern, flags, test: compileSafeRegex(pattern, flags) };
    } catch (error) {
      return this.#fail(`the regular expression is refused, ${(error as Error).message}`, "$regex");
    }
  }

  #native(source: string, flags: string): FilterRegex {
    let regex: RegExp;
    try {
      regex = new RegExp(source, flags);
    } catch (error) {
      return this.#fail(`the regular expression is refused, ${(error as Error).message}`, "$regex");
    }
    return { source, flags, test: (text) => regex.test(text) };
  }

  /** A frozen copy of a value to compare with. */
  #operand(value: unknown, operator?: string): JsonValue {
    this.#count();
    if (value === null || typeof value === "string" || typeof value === "boolean") return value;
    if (typeof value === "number" && Number.isFinite(value)) return value;
    if (Array.isArray(value)) {
      return this.#deeper(() => Object.freeze(value.map((item) => this.#operand(item, operator))));
    }
    if (isPlainObject(value)) {
      return this.#deeper(() => {
        const entries = Object.entries(value).map(([key, item]) => {
          if (key.startsWith("$")) this.#fail(`${shown(key)} cannot stand here`, key);
          return [key, this.#operand(item, operator)] as const;
        });
        return Object.freeze(Object.fromEntries(entries));
      });
    }
    return this.#fail(
      "a value is null, a boolean, a finite number, a text, a list or an object",
      operator,
    );
  }
}

function not(condition: Condition): Condition {
  return { op: "$not", condition };
}

function ranksOf(path: FieldPath): readonly string[] | undefined {
  const last = path.words.at(-1);
  return last === "priority" ? priorityRanks : last === "severity" ? severityRanks : undefined;
}

function isTrue(value: unknown): boolean {
  return value !== false && value !== 0 && value !== null && value !== undefined;
}

function sortedFlags(flags: string): string {
  return [...new Set(flags)].toSorted().join("");
}

/** Operators are meant when the first key begins with `$`. */
function isOperators(value: unknown): value is Readonly<Record<string, unknown>> {
  return isPlainObject(value) && Object.keys(value)[0]?.startsWith("$") === true;
}

function isPlainObject(value: unknown): value is Readonly<Record<string, unknown>> {
  if (!isObject(value)) return false;
  const prototype: unknown = Object.getPrototypeOf(value);
  return prototype === null || prototype === Object.prototype;
}
