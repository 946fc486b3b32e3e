/**
 * Turns a parsed filter into closures. No code is generated, so that a filter from anywhere may be
 * run.
 */
import type { Condition, FilterNode, Ordering } from "./filter-ast.ts";
import { ownValue, someAt, testEnd, type FieldPath, type Test } from "./filter-path.ts";
import { compareValues, equalValues, isObject, kindOf } from "./filter-value.ts";

// From here on a Set of the scalars is quicker than looking through them.
const fewValues = 8;

/** The predicate of a whole document. */
export function programOf(node: FilterNode): Test {
  if (node.kind === "field") return fieldProgram(node.path, node.condition);
  const tests = node.nodes.map(programOf);
  if (node.kind === "and") return every(tests);
  const any = some(tests);
  return node.kind === "or" ? any : (value) => !any(value);
}

function every(tests: readonly Test[]): Test {
  const [first, second] = tests;
  if (first === undefined) return () => true;
  if (second === undefined) return first;
  if (tests.length === 2) return (value) => first(value) && second(value);
  return (value) => {
    for (const test of tests) if (!test(value)) return false;
    return true;
  };
}

function some(tests: readonly Test[]): Test {
  return (value) => {
    for (const test of tests) if (test(value)) return true;
    return false;
  };
}

/**
 * A condition on the values at a path. `$not` and lists of operators stand outside: each asks the
 * whole path anew.
 */
function fieldProgram(path: FieldPath, condition: Condition): Test {
  if (condition.op === "$not") {
    const test = fieldProgram(path, condition.condition);
    return (root) => !test(root);
  }
  if (condition.op === "all") {
    return every(condition.conditions.map((part) => fieldProgram(path, part)));
  }
  return reader(
    path,
    condition.op !== "$size" && condition.op !== "$elemMatch",
    valueTest(condition),
  );
}

/**
 * The usual path is short and meets no array on its way: it is read here, and only the others take
 * the general way.
 */
function reader(path: FieldPath, expand: boolean, test: Test): Test {
  const [first, second] = path.words;
  if (first !== undefined && path.words.length === 1) {
    return (root) => testEnd(isObject(root) ? ownValue(root, first) : undefined, expand, test);
  }
  if (first === "payload" && second !== undefined && path.words.length === 2) {
    // Nearly every filter reads the payload: a name in the code is read several times as fast as
    // one in a variable.
    return (root) => {
      const outer = (root as { payload?: unknown }).payload;
      if (!isObject(outer)) return someAt(root, path, expand, test);
      return testEnd(ownValue(outer, second), expand, test);
    };
  }
  if (first !== undefined && second !== undefined && path.words.length === 2) {
    return (root) => {
      const outer = isObject(root) ? ownValue(root, first) : undefined;
      if (!isObject(outer)) return someAt(root, path, expand, test);
      return testEnd(ownValue(outer, second), expand, test);
    };
  }
  return (root) => someAt(root, path, expand, test);
}

/** A condition on one value, `undefined` being a missing field. */
function valueTest(condition: Condition): Test {
  switch (condition.op) {
    case "$eq":
      return equalTest(condition.value);
    case "$gt":
    case "$gte":
    case "$lt":
    case "$lte":
      return condition.ranks === undefined
        ? orderTest(condition.op, condition.value)
        : rankTest(condition.op, condition.value as string, condition.ranks);
    case "$in":
      return inTest(condition);
    case "$regex": {
      const { test } = condition.regex;
      return (value) => typeof value === "string" && test(value);
    }
    case "$exists":
      return (value) => value !== undefined;
    case "$type":
      return typeTest(new Set(condition.types));
    case "$size":
      return (value) => Array.isArray(value) && value.length === condition.size;
    case "$mod":
      return modTest(condition.divisor, condition.remainder);
    case "$elemMatch":
      return elementTest(condition);
    case "all":
      return every(condition.conditions.map(valueTest));
    case "$not": {
      const test = valueTest(condition.condition);
      return (value) => !test(value);
    }
  }
}

function equalTest(wanted: unknown): Test {
  if (wanted === null) return (value) => value === null || value === undefined;
  if (typeof wanted === "object") return (value) => equalValues(value, wanted);
  return (value) => value === wanted;
}

function orderTest(op: Ordering, bound: unknown): Test {
  const accepts = accepted(op);
  // Null is neither less nor greater than anything, but `$gte` and `$lte` hold where `$eq` does.
  if (bound === null) return accepts(0) ? equalTest(null) : () => false;
  if (typeof bound === "number") return numberTest(op, bound);
  const kind = kindOf(bound);
  return (value) => kindOf(value) === kind && accepts(compareValues(value, bound));
}

function numberTest(op: Ordering, bound: number): Test {
  switch (op) {
    case "$gt":
      return (value) => typeof value === "number" && value > bound;
    case "$gte":
      return (value) => typeof value === "number" && value >= bound;
    case "$lt":
      return (value) => typeof value === "number" && value < bound;
    case "$lte":
      return (value) => typeof value === "number" && value <= bound;
  }
}

function rankTest(op: Ordering, bound: string, ranks: readonly string[]): Test {
  const accepts = accepted(op);
  const rank = ranks.indexOf(bound);
  const names = new Set<unknown>(ranks.filter((_, other) => accepts(other - rank)));
  return (value) => names.has(value);
}

function accepted(op: Ordering): (order: number) => boolean {
  switch (op) {
    case "$gt":
      return (order) => order > 0;
    case "$gte":
      return (order) => order >= 0;
    case "$lt":
      return (order) => order < 0;
    case "$lte":
      return (order) => order <= 0;
  }
}

function inTest({ values, regexes }: Extract<Condition, { op: "$in" }>): Test {
  const isScalar = (value: unknown): boolean => typeof value !== "object";
  const scalars = values.filter(isScalar);
  const tests = values.filter((value) => !isScalar(value)).map(equalTest);
  for (const { test } of regexes) tests.push((value) => typeof value === "string" && test(value));
  const known = new Set<unknown>(scalars);
  const isKnown: Test =
    scalars.length < fewValues
      ? (value) => (scalars as readonly unknown[]).includes(value)
      : (value) => known.has(value);
  return tests.length === 0 ? isKnown : some([isKnown, ...tests]);
}

/**
 * Numbers have the type that MongoDB's own driver gives a JavaScript number: `int` where it fits,
 * else `double`.
 */
function typeTest(types: ReadonlySet<string>): Test {
  return (value) => {
    switch (kindOf(value)) {
      case 0:
        return false;
      case 5:
        return types.has("null");
      case 10:
        return types.has("number") || types.has(isInt(value as number) ? "int" : "double");
      case 15:
        return types.has("string");
      case 20:
        return types.has("object");
      case 25:
        return types.has("array");
      default:
        return types.has("bool");
    }
  };
}

function isInt(value: number): boolean {
  return (value | 0) === value;
}

function modTest(divisor: number, remainder: number): Test {
  return (value) =>
    typeof value === "number" &&
    Math.abs(value) < 2 ** 63 &&
    Math.trunc(value) % divisor === remainder;
}

function elementTest(condition: Extract<Condition, { op: "$elemMatch" }>): Test {
  if ("node" in condition) {
    const program = programOf(condition.node);
    // As in MongoDB, an array in the array counts as an object whose keys are its indexes.
    return (value) =>
      Array.isArray(value) &&
      value.some(
        (element) =>
          typeof element === "object" &&
          element !== null &&
          program(Array.isArray(element) ? Object.fromEntries(element.entries()) : element),
      );
  }
  const test = valueTest(condition.condition);
  return (value) => Array.isArray(value) && value.some(test);
}
