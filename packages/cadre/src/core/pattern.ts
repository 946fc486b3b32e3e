/**
 * Topic patterns with AMQP's meaning: words separated by dots, `*` is exactly one word, `#` is zero
 * or more words.
 *
 *   task.*      task.created                  not task, not task.assigned.reader
 *   task.#      task, task.created, task.assigned.reader
 *   #.error     error, agent.error, tool.call.error
 *
 * A wildcard stands alone in its word: `task*` could match no topic, so it is refused and not taken
 * literally.
 */
import { CadreError } from "./errors.ts";
import { isTopic, maxTopicBytes, maxTopicWords, shown } from "./topic.ts";

/** As many as a topic has: a pattern with more words that are not `#` could match nothing. */
export const maxPatternWords: number = maxTopicWords;

/**
 * Each `#` multiplies the ways to match; nobody has needed a third, and brokers charge for every
 * one.
 */
export const maxPatternHashes = 3;

export interface ParsedPattern {
  readonly pattern: string;
  /**
   * The words in normal form: two patterns with the same words match the same topics. (`#.#` is
   * `#`; `#.*` is `*.#`.)
   */
  readonly words: readonly string[];
  /** The pattern has no wildcard: it matches one topic, itself. */
  readonly literal: boolean;
}

/**
 * Splits a pattern into its words, in normal form.
 *
 * @throws {CadreError} INVALID_PATTERN
 */
export function parsePattern(pattern: string): ParsedPattern {
  const problem = problemOf(pattern);
  if (problem !== undefined) {
    throw new CadreError("INVALID_PATTERN", `${shown(pattern)} is no topic pattern: ${problem}.`, {
      pattern: pattern,
    });
  }
  const words = normalWords(pattern.split("."));
  return { pattern, words, literal: !words.some(isWildcard) };
}

/**
 * Refuses what is no topic pattern: more than 32 words, more than 3 `#`, more than 255 bytes, an
 * empty word, a wildcard inside a longer word, or a character that no topic may have.
 *
 * @throws {CadreError} INVALID_PATTERN
 */
export function assertPattern(pattern: string): void {
  parsePattern(pattern);
}

/**
 * The reference matcher: what it says is what every carrier must say.
 *
 * The time of one match is at most proportional to the words of the pattern times the words of the
 * type.
 *
 * @throws {CadreError} INVALID_PATTERN
 */
export function compilePattern(pattern: string): (type: string) => boolean {
  const { words, literal } = parsePattern(pattern);
  if (literal) return (type) => type === pattern;
  if (words.length === 1 && words[0] === "#") return () => true;
  return (type) => matchesWords(words, type.split("."));
}

/**
 * True when some topic matches both patterns. A topic over 32 words does not count; its bytes are
 * not looked at.
 */
export function patternsOverlap(a: string, b: string): boolean {
  const left = parsePattern(a).words;
  const right = parsePattern(b).words;
  // shortest[j]: the fewest words of a topic that the rest of `left` from i and the rest of `right`
  // from j both match.
  let below: number[] = [];
  for (let i = left.length; i >= 0; i--) {
    const shortest: number[] = Array.from({ length: right.length + 1 }, () => Infinity);
    for (let j = right.length; j >= 0; j--) {
      const l = left[i];
      const r = right[j];
      const nextLeft = below[j] ?? Infinity;
      const nextRight = shortest[j + 1] ?? Infinity;
      const nextBoth = 1 + (below[j + 1] ?? Infinity);
      if (l === undefined && r === undefined) shortest[j] = 0;
      else if (l === "#" && r === "#") shortest[j] = Math.min(nextLeft, nextRight);
      else if (l === "#")
        shortest[j] = Math.min(nextLeft, r === undefined ? Infinity : 1 + nextRight);
      else if (r === "#")
        shortest[j] = Math.min(nextRight, l === undefined ? Infinity : 1 + nextLeft);
      else if (l === r || (l === "*" && r) || (r === "*" && l)) shortest[j] = nextBoth;
    }
    below = shortest;
  }
  return (below[0] ?? Infinity) <= maxTopicWords;
}

/**
 * The words in front of the first wildcard: `task.assigned` of `task.assigned.*`, nothing of
 * `#.error`.
 */
export function literalPrefix(pattern: string): string {
  const words = parsePattern(pattern).pattern.split(".");
  const first = words.findIndex(isWildcard);
  return words.slice(0, first === -1 ? words.length : first).join(".");
}

function isWildcard(word: string): boolean {
  return word === "*" || word === "#";
}

function problemOf(pattern: string): string | undefined {
  if (typeof pattern !== "string") return `a pattern is a string, not ${typeof pattern}`;
  if (pattern === "") return "it is empty (`#` matches every type)";
  if (pattern.length > maxTopicBytes) return `it is longer than ${maxTopicBytes} bytes`;
  const words = pattern.split(".");
  if (words.length > maxPatternWords) return `it has more than ${maxPatternWords} words`;
  if (words.includes("")) return "it has an empty word";
  if (words.filter((word) => word === "#").length > maxPatternHashes) {
    return `it has more than ${maxPatternHashes} times #`;
  }
  if (words.some((word) => !isWildcard(word) && /[*#]/.test(word))) {
    return "a wildcard must be a word of its own";
  }
  // A wildcard takes the place of at least one byte, so the rest is judged as the shortest topic of
  // this shape.
  if (!isTopic(words.map((word) => (isWildcard(word) ? "x" : word)).join("."))) {
    return `it has white space, a control character, or more than ${maxTopicBytes} bytes`;
  }
  return undefined;
}

/**
 * Within a run of wildcards only the number of `*` and whether there is a `#` count: the `*` go
 * first, then one `#`.
 */
function normalWords(words: readonly string[]): string[] {
  const normal: string[] = [];
  let open = false;
  for (const word of words) {
    if (word === "#") {
      open = true;
    } else {
      if (open && word !== "*") {
        normal.push("#");
        open = false;
      }
      normal.push(word);
    }
  }
  if (open) normal.push("#");
  return normal;
}

function matchesWords(pattern: readonly string[], topic: readonly string[]): boolean {
  let p = 0;
  let t = 0;
  // Where to go on from when a word does not fit: the last `#` takes one word more. Earlier ones
  // never need to.
  let hash = -1;
  let taken = 0;
  while (t < topic.length) {
    const word = pattern[p];
    if (word === "#") {
      hash = p++;
      taken = t;
    } else if (word === "*" || (word !== undefined && word === topic[t])) {
      p++;
      t++;
    } else if (hash !== -1) {
      p = hash + 1;
      t = ++taken;
    } else {
      return false;
    }
  }
  while (pattern[p] === "#") p++;
  return p === pattern.length;
}

/**
 * The types among `Types` that `Pattern` matches, for inference: `MatchPattern<"task.*",
 * "task.created" | "agent.online">` is `"task.created"`. A type may itself be a pattern key of a
 * registry (`"task.assigned.*"`); it is in the result when the two can match the same topic. A
 * pattern that is only known as `string` matches all of `Types`.
 */
export type MatchPattern<Pattern extends string, Types extends string> = string extends Pattern
  ? Types
  : string extends Types
    ? string
    : Pattern extends unknown
      ? Types extends unknown
        ? Meets<Pattern, Types> extends true
          ? Types
          : never
        : never
      : never;

/** Whether a topic can match both; `""` is "no words left". */
type Meets<A extends string, B extends string> = string extends A
  ? true
  : string extends B
    ? true
    : A extends "#"
      ? true
      : B extends "#"
        ? true
        : A extends `#.${infer Rest}`
          ? HashMeets<A, Rest, B>
          : B extends `#.${infer Rest}`
            ? HashMeets<B, Rest, A>
            : A extends ""
              ? B extends ""
                ? true
                : false
              : B extends ""
                ? false
                : WordMeets<Head<A>, Head<B>> extends true
                  ? Meets<Tail<A>, Tail<B>>
                  : false;

/** `Hash` is `#.Rest`: the `#` takes nothing, or one word more of `Other`. */
type HashMeets<Hash extends string, Rest extends string, Other extends string> =
  Meets<Rest, Other> extends true ? true : Other extends "" ? false : Meets<Hash, Tail<Other>>;

type WordMeets<A extends string, B extends string> = A extends "*" | B
  ? true
  : B extends "*" | A
    ? true
    : string extends A | B
      ? true
      : false;

type Head<Words extends string> = Words extends `${infer First}.${string}` ? First : Words;
type Tail<Words extends string> = Words extends `${string}.${infer Rest}` ? Rest : "";
