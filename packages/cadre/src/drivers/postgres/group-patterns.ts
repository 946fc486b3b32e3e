import { parsePattern } from "../../core/pattern.ts";
import { toStoredText } from "./stored-text.ts";

/** A group's patterns as the server matches them. */
export interface ServerPatterns {
  /** Patterns without wildcards: the types themselves. */
  readonly exact: readonly string[];
  /** Matches a type with a dot behind it; `null` when there are only exact ones. */
  readonly regex: string | null;
}

/**
 * What matches the same types as the patterns do. Each word of a type has a dot behind it here, so
 * that a word is a word wherever it stands; the server's engine needs no backtracking for it.
 *
 * @throws {CadreError} INVALID_PATTERN
 */
export function serverPatterns(patterns: readonly string[]): ServerPatterns {
  const parsed = patterns.map((pattern) => parsePattern(pattern));
  const exact = parsed.filter(({ literal }) => literal).map(({ pattern }) => toStoredText(pattern));
  const wild = parsed.filter(({ literal }) => !literal);
  if (wild.length === 0) return { exact, regex: null };
  // The whole of it matches everything: nothing to look at.
  if (wild.some(({ words }) => words.join(".") === "#")) return { exact, regex: "^" };
  const texts = wild.map(({ words }) => words.map((word) => wordRegex(word)).join(""));
  return { exact, regex: `^(?:${[...new Set(texts)].join("|")})$` };
}

function wordRegex(word: string): string {
  if (word === "*") return "[^.]+\\.";
  if (word === "#") return "(?:[^.]+\\.)*";
  // Only ASCII signs may mean something to the engine, and a letter behind a backslash would too.
  const escaped = toStoredText(word).replace(/[ -~]/g, (sign) =>
    /\w/.test(sign) ? sign : `\\${sign}`,
  );
  return `${escaped}\\.`;
}
