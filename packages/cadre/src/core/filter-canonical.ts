/**
 * One text for all the ways to write the same filter: the order of conditions, of `$and`, `$or`,
 * `$nor` and `$in` does not show, nor does an `$eq` that was left out. What is written differently
 * in other ways has another text, even if it matches the same events.
 */
import type { Condition, FilterNode, FilterRegex } from "./filter-ast.ts";

export function canonicalNode(node: FilterNode): string {
  if (node.kind === "field") {
    return `${JSON.stringify(node.path.text)}:${canonicalCondition(node.condition)}`;
  }
  const nodes = sorted(node.nodes.map(canonicalNode));
  if (node.kind !== "nor" && nodes.length === 1) return nodes[0] as string;
  return `$${node.kind}(${nodes.join(",")})`;
}

function canonicalCondition(condition: Condition): string {
  switch (condition.op) {
    case "$in":
      return `$in(${sorted([
        ...condition.values.map((value) => JSON.stringify(value)),
        ...condition.regexes.map(canonicalRegex),
      ]).join(",")})`;
    case "$regex":
      return `$regex(${canonicalRegex(condition.regex)})`;
    case "$exists":
      return "$exists()";
    case "$type":
      return `$type(${sorted(condition.types).join(",")})`;
    case "$size":
      return `$size(${condition.size})`;
    case "$mod":
      return `$mod(${condition.divisor},${condition.remainder})`;
    case "$elemMatch":
      return "node" in condition
        ? `$elemMatch{${canonicalNode(condition.node)}}`
        : `$elemMatch(${canonicalCondition(condition.condition)})`;
    case "all":
      return `$all(${sorted(condition.conditions.map(canonicalCondition)).join(",")})`;
    case "$not":
      return `$not(${canonicalCondition(condition.condition)})`;
    default:
      return `${condition.op}(${JSON.stringify(condition.value)})`;
  }
}

function canonicalRegex({ source, flags }: FilterRegex): string {
  return `/${JSON.stringify(source)}/${flags}`;
}

function sorted(texts: readonly string[]): string[] {
  return [...new Set(texts)].toSorted();
}
