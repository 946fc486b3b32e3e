/**
 * Topic patterns in EventBridge's own pattern language, which knows no words: a rule lets through
 * what the patterns match, and more where it must. The bus matches again.
 *
 *   task.created      {"equals": …}            written as the text itself
 *   task.#, task.*    task, {"prefix": "task."}
 *   #.created         created, {"suffix": ".created"}
 *   task.#.created    {"wildcard": "task*created"}
 *   #, *              everything of the bus's source
 */
import { parsePattern } from "../../core/pattern.ts";

/** What EventBridge takes as an event's type. */
const maxDetailType = 128;

/**
 * The type under which all types go that are longer than EventBridge can say. Every rule lets it
 * through.
 */
const longType = "(long type)";

/** What a rule may have, in characters. */
const maxPattern = 2_048;

export function detailTypeOf(type: string): string {
  return type.length <= maxDetailType ? type : longType;
}

type Condition =
  | string
  | { readonly prefix: string }
  | { readonly suffix: string }
  | { readonly wildcard: string };

/**
 * The pattern of a rule.
 * @param probe the source of the rule's own probes
 */
export function rulePattern(patterns: readonly string[], source: string, probe: string): string {
  const sources = [source, probe];
  const all = JSON.stringify({ source: sources });
  const conditions = new Map<string, Condition>();
  for (const pattern of patterns) {
    const planned = plan(pattern);
    if (!planned) return all;
    for (const condition of planned) conditions.set(JSON.stringify(condition), condition);
  }
  const exact = withTypes(sources, [...conditions.values()]);
  if (exact.length <= maxPattern) return exact;
  const firsts = new Set<string>();
  for (const pattern of patterns) {
    const [first] = parsePattern(pattern).words;
    if (first === undefined || first === "*" || first === "#") return all;
    firsts.add(first);
  }
  const broad = withTypes(
    sources,
    [...firsts].flatMap((first) => [first, { prefix: `${first}.` }]),
  );
  return broad.length <= maxPattern ? broad : all;
}

function withTypes(source: readonly string[], conditions: readonly Condition[]): string {
  return JSON.stringify({ source, "detail-type": [...conditions, longType, probeType] });
}

export const probeType = "(probe)";

/** Nothing where no condition narrows. */
function plan(pattern: string): readonly Condition[] | undefined {
  const { words, literal } = parsePattern(pattern);
  if (literal) return pattern.length <= maxDetailType ? [pattern] : []; // the long type lets it in
  const first = words.findIndex(isWildcard);
  const last = words.findLastIndex(isWildcard);
  const before = words.slice(0, first).join(".");
  const after = words.slice(last + 1).join(".");
  const hashesOnly = words.slice(first, last + 1).every((word) => word === "#");
  if (before === "" && after === "") return undefined;
  if (after === "") return [...(hashesOnly ? [before] : []), { prefix: `${before}.` }];
  if (before === "") return [...(hashesOnly ? [after] : []), { suffix: `.${after}` }];
  return [{ wildcard: `${escape(before)}*${escape(after)}` }];
}

function isWildcard(word: string): boolean {
  return word === "*" || word === "#";
}

function escape(text: string): string {
  return text.replaceAll("\\", "\\\\");
}
