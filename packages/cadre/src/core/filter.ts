/**
 * Content filters: a MongoDB-style document over an event.
 *
 *   { "type": "task.failed", "payload.priority": { $gte: "high" }, "payload.tags": "red" }
 *
 * Paths begin at the event: `id`, `type`, `source`, `timestamp`, `payload.…`, `metadata.…`. The
 * operators are
 *
 *   $eq $ne $gt $gte $lt $lte $in $nin $exists $regex (with $options: i, m, s)
 *   $and $or $nor $not $all $elemMatch $size $mod $type
 *
 * with MongoDB's results: a path through an array means any of its elements, `null` also means
 * missing, values of different kinds are never less or greater, an object is equal only with its
 * keys in the same order.
 *
 * Priorities and severities have an order of their own. `$gt $gte $lt $lte` compare by rank (low <
 * normal < high < critical; info < warning < error < critical) where the path's last word is
 * `priority` or `severity` and the operand is one of these names; then a value that is none of the
 * names does not match. A missing priority is missing, not `normal`.
 */
import type { AgentEvent } from "./event.ts";
import type { FilterNode } from "./filter-ast.ts";
import { canonicalNode } from "./filter-canonical.ts";
import { FilterParser } from "./filter-parse.ts";
import { programOf } from "./filter-program.ts";

/**
 * A condition at each path, all of which must hold, and `$and`, `$or`, `$nor` with lists of further
 * documents.
 */
export type FilterDocument = Readonly<Record<string, unknown>>;

export interface CompileFilterOptions {
  /**
   * The filter was written by the program, not read from outside: `RegExp` objects are allowed, and
   * run without bounds.
   *
   * Otherwise only texts are taken as `$regex`, for an engine that reads the text once (at most
   * 16,384 units long, a longer one does not match) and has neither look-around nor references to
   * groups.
   * @default false
   */
  readonly trusted?: boolean;
}

/** The parts of an event that a filter reads. */
export type FilterSubject = Pick<
  AgentEvent,
  "id" | "type" | "source" | "timestamp" | "payload" | "metadata"
>;

/** What can be looked up in a Map. */
export type FilterScalar = string | number | boolean;

export interface CompiledFilter {
  /** True when the event fits. Never throws; calls nothing of the event. */
  matches(event: FilterSubject): boolean;
  /** At each of these paths, the event must have one of the values for the filter to match. */
  readonly equalities: ReadonlyMap<string, readonly FilterScalar[]>;
}

/**
 * Compiles a filter, once. Later changes of the document have no effect.
 *
 * A filter nests at most 16 deep, has at most 1,024 conditions and values, and regular expressions
 * of at most 256 characters.
 *
 * @throws {CadreError} INVALID_FILTER, with the path and the operator that are wrong
 */
export function compileFilter(
  document: FilterDocument,
  options: CompileFilterOptions = {},
): CompiledFilter {
  const node = new FilterParser(options.trusted === true).parse(document);
  const equalities = new Map<string, readonly FilterScalar[]>();
  collectEqualities(node, equalities);
  return { matches: programOf(node), equalities };
}

/**
 * One text for a filter whatever the order of its conditions, to compare the definitions of a
 * group.
 *
 * @throws {CadreError} INVALID_FILTER
 */
export function canonicalFilter(document: FilterDocument): string {
  return canonicalNode(new FilterParser(true).parse(document));
}

function collectEqualities(node: FilterNode, into: Map<string, readonly FilterScalar[]>): void {
  if (node.kind === "and") {
    for (const part of node.nodes) collectEqualities(part, into);
  } else if (node.kind === "field") {
    const conditions = node.condition.op === "all" ? node.condition.conditions : [node.condition];
    for (const condition of conditions) {
      const values =
        condition.op === "$eq"
          ? [condition.value]
          : condition.op === "$in" && condition.regexes.length === 0
            ? condition.values
            : undefined;
      // Any one of several equalities at a path is a condition that must hold; the shortest says
      // most.
      const known = into.get(node.path.text);
      if (values?.every(isScalar) && (known === undefined || values.length < known.length)) {
        into.set(node.path.text, values);
      }
    }
  }
}

function isScalar(value: unknown): value is FilterScalar {
  return typeof value === "string" || typeof value === "number" || typeof value === "boolean";
}
