/**
 * A parsed content filter: what `filter-parse.ts` makes, and what programs and canonical texts are
 * made from.
 */
import type { JsonValue } from "./json.ts";
import type { FieldPath } from "./filter-path.ts";

export type FilterNode =
  | { readonly kind: "and" | "or" | "nor"; readonly nodes: readonly FilterNode[] }
  | { readonly kind: "field"; readonly path: FieldPath; readonly condition: Condition };

export type Ordering = "$gt" | "$gte" | "$lt" | "$lte";

/** A regular expression in a filter, and the test that it compiled to. */
export interface FilterRegex {
  readonly source: string;
  readonly flags: string;
  readonly test: (text: string) => boolean;
}

export type Condition =
  | { readonly op: "$eq"; readonly value: JsonValue }
  | { readonly op: Ordering; readonly value: JsonValue; readonly ranks?: readonly string[] }
  | {
      readonly op: "$in";
      readonly values: readonly JsonValue[];
      readonly regexes: readonly FilterRegex[];
    }
  | { readonly op: "$regex"; readonly regex: FilterRegex }
  | { readonly op: "$exists" }
  | { readonly op: "$type"; readonly types: readonly string[] }
  | { readonly op: "$size"; readonly size: number }
  | { readonly op: "$mod"; readonly divisor: number; readonly remainder: number }
  | { readonly op: "$elemMatch"; readonly node: FilterNode }
  | { readonly op: "$elemMatch"; readonly condition: Condition }
  /** All must hold, each for some element of its own where the field is an array. */
  | { readonly op: "all"; readonly conditions: readonly Condition[] }
  | { readonly op: "$not"; readonly condition: Condition };

/** What one filter may cost, whoever wrote it. */
export const filterLimits = {
  depth: 16, // documents in documents; bounds the recursion of parsing and matching
  nodes: 1_024, // conditions and operand values together; bounds the work of one match
  pathWords: 16, // each may have to be tried as an index and as a key
} as const;
