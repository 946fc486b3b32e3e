import type { Span } from "./sentence.ts";
import { notInPersons, titles } from "./word-lists.ts";

export type EntityKind = "person" | "place" | "organisation";

/**
 * A name found in a text: `text.slice(start, end)` of that text is exactly `text`; `name` is
 * its tidied form.
 */
export interface Mention extends Span {
  readonly text: string;
  readonly name: string;
  readonly kind: EntityKind;
}

/**
 * One way of finding names. The same text always gives the same mentions, sorted by their
 * start.
 */
export interface Extractor {
  readonly name: string;
  /**
   * The library's version and the revision of our rules on it; part of what a mention's origin
   * is.
   */
  readonly version: string;
  extract(text: string): Mention[];
}

const titleWords = titles.join("|");
const titlePrefix = new RegExp(`^(?:(?:${titleWords})\\.?\\s+)+(?=\\p{Lu})`, "iu");
const titleBefore = new RegExp(`(?:^|[^\\p{L}])(?:${titleWords})\\.?\\s+$`, "iu");
const edges = /^[^\p{L}\p{N}]+|[^\p{L}\p{N}.]+$/gu;

const sameAs: ReadonlyMap<string, string> = new Map([
  ["United States of America", "United States"],
  ["U.S", "United States"],
  ["U.S.", "United States"],
  ["U. S", "United States"],
  ["U. S.", "United States"],
  ["U.S.A", "United States"],
  ["USA", "United States"],
  ["Republic of Mexico", "Mexico"],
  ["Soviets", "Soviet Union"],
  ["Porto Rico", "Puerto Rico"],
  ["Hayti", "Haiti"],
  ["USSR", "Soviet Union"],
  ["U.N.", "United Nations"],
  ["U.N", "United Nations"],
  ["Viet Nam", "Vietnam"],
  ["Viet-Nam", "Vietnam"],
  ["Franklin D Roosevelt", "Franklin Roosevelt"],
]);

/** The form under which a name is kept: no article, title, possessive or line break. */
export function tidyName(text: string): string {
  let name = text.replace(/\s+/g, " ").replace(edges, "");
  name = name.replace(/^the\s+/i, "").replace(/(?:['’]s|(?<=s)['’])$/i, "");
  name = name.replace(titlePrefix, "");
  if (!/\b\p{L}\.(?:\s?\p{L}\.)*$/u.test(name)) name = name.replace(/[.\s]+$/, "");
  if (/^[\p{Lu}\s.'-]{7,}$/u.test(name) && !name.includes(".")) name = capitalised(name);
  return sameAs.get(name) ?? name;
}

function capitalised(name: string): string {
  const lowered = name.toLowerCase().replace(/(^|[\s-])\p{L}/gu, (letter) => letter.toUpperCase());
  return lowered.replace(/\b(Of|And|The)\b/g, (word) => word.toLowerCase());
}

/** Whether a personal title stands right before `start`, or opens the name itself. */
export function hasTitle(text: string, span: Span): boolean {
  const before = text.slice(Math.max(0, span.start - 30), span.start);
  return titleBefore.test(before) || titlePrefix.test(text.slice(span.start, span.end));
}

const titleOnly = new RegExp(
  `^(?:(?:${titleWords}|her|his|majesty|first|second)\\.?(?:\\s+|$))+$`,
  "i",
);
const notPersons = new RegExp(`\\b(?:${notInPersons.join("|").replaceAll(".", "\\.")})\\b`);

/**
 * A mention of what is left of `span` without punctuation, article and possessive; undefined
 * when nothing is.
 */
export function mentionAt(text: string, span: Span, kind: EntityKind): Mention | undefined {
  let { start, end } = span;
  const piece = text.slice(start, end);
  // Names begin and end with a capitalised word; what stands after a comma is another name.
  start += /^(?:[^\p{L}\p{N}]+|(?:The|THE|\p{Ll}[\p{L}'’-]*)\s+)+/u.exec(piece)?.[0].length ?? 0;
  let kept = text.slice(start, end).replace(/(?:[,;:"“”(]|--)[^]*$/, "");
  kept = kept.replace(/(?:\s+\p{Ll}[\p{L}'’-]*[^\p{L}]*)+$/u, "");
  kept = kept.replace(/[^\p{L}\p{N}.]+$/u, "");
  kept = kept.replace(/(?:['’]s|(?<=s)['’])$/i, "");
  if (!/(?:^|[\s.])\p{Lu}\.$/u.test(kept)) kept = kept.replace(/[.\s]+$/, "");
  end = start + kept.length;
  const name = tidyName(kept);
  if (end <= start || !/\p{Lu}\S/u.test(name) || titleOnly.test(name)) return undefined;
  if (kind === "person" && notPersons.test(name)) return undefined;
  return { text: kept, name, kind, start, end };
}

/** Sorts by start, then the longer first; of overlapping mentions the first stays. */
export function withoutOverlaps(mentions: readonly Mention[]): Mention[] {
  const sorted = mentions.toSorted(
    (a, b) =>
      a.start - b.start || b.end - a.end || (a.kind < b.kind ? -1 : a.kind > b.kind ? 1 : 0),
  );
  const kept: Mention[] = [];
  let reached = 0;
  for (const mention of sorted) {
    if (mention.start < reached) continue;
    kept.push(mention);
    reached = mention.end;
  }
  return kept;
}
