/**
 * Two extractions of one text, held against each other and against the text.
 *
 *   a mention ── its span doesn't say what it claims ──▶ refused
 *      ├─ the other has one over it, same kind ──▶ accepted: agreed
 *      ├─ … another kind ──▶ disagreement; accepted if the text decides
 *      └─ the other has none ──▶ disagreement; accepted if the text supports it
 *
 * The result depends on the two extractions and the text alone, not on the order of the two.
 */
import { hasTitle } from "./mention.ts";
import type { EntityKind, Mention } from "./mention.ts";
import type { Span } from "./sentence.ts";

/** What one extractor found in the text. */
export interface Extraction {
  readonly extractor: string;
  readonly version: string;
  readonly mentions: readonly Mention[];
}

/** A mention that goes into the graph. */
export interface AcceptedMention extends Mention {
  /** From 0 to 1, by what speaks for it; no measured probability. */
  readonly confidence: number;
  /** "name@version" of each extractor that found it as this kind, sorted. */
  readonly extractors: readonly string[];
}

export interface Disagreement extends Span {
  readonly text: string;
  readonly reason: "kind differs" | "found by one only" | "span does not match the text";
  /** What each extractor said, sorted by extractor; an extractor that said nothing is not in it. */
  readonly claims: readonly { readonly extractor: string; readonly kind: EntityKind }[];
  /** What decided, when the mention was accepted all the same. */
  readonly decidedBy?: Evidence;
}

export interface Check {
  readonly accepted: readonly AcceptedMention[];
  readonly disagreements: readonly Disagreement[];
}

/** What in the text speaks for a kind. */
export type Evidence =
  | "title before the name"
  | "preposition of place"
  | "several words"
  | "repeated";

const agreedExactly = 0.95;
const agreedInPart = 0.85;
const weight: Record<Evidence, number> = {
  "title before the name": 0.7,
  "preposition of place": 0.6,
  "several words": 0.6,
  repeated: 0.5,
};

interface Claim {
  readonly mention: Mention;
  readonly extractor: string;
}

/** Compares two extractions of the same text. */
export function checkExtractions(text: string, pair: readonly [Extraction, Extraction]): Check {
  const accepted: AcceptedMention[] = [];
  const disagreements: Disagreement[] = [];
  const [left, right] = pair
    .toSorted((a, b) => order(labelOf(a), labelOf(b)))
    .map((extraction) => verified(text, extraction, disagreements));
  if (left === undefined || right === undefined) return { accepted, disagreements };
  const counts = countNames([...left, ...right]);
  for (const [claim, others] of pairClaims(left, right)) {
    const agreeing = others.filter((other) => other.mention.kind === claim.mention.kind);
    if (agreeing.length > 0) {
      accepted.push(agreed(claim, agreeing));
      continue;
    }
    const claims = [claim, ...others];
    const [winner, evidence] = decide(text, claims, counts);
    if (winner !== undefined && evidence !== undefined) {
      const extractors = [winner.extractor];
      accepted.push({ ...winner.mention, confidence: weight[evidence], extractors });
    }
    disagreements.push(disagreementOf(claims, evidence));
  }
  return { accepted: inOrder(accepted), disagreements: inOrder(disagreements) };
}

function verified(text: string, extraction: Extraction, refused: Disagreement[]): Claim[] {
  const extractor = labelOf(extraction);
  return extraction.mentions.flatMap((mention) => {
    if (mention.text !== "" && text.slice(mention.start, mention.end) === mention.text) {
      return [{ mention, extractor }];
    }
    const { start, end } = mention;
    const claims = [{ extractor, kind: mention.kind }];
    refused.push({
      start,
      end,
      text: mention.text,
      reason: "span does not match the text",
      claims,
    });
    return [];
  });
}

/** Each left claim with the right ones over it, then the right ones that lie over no left claim. */
function pairClaims(left: readonly Claim[], right: readonly Claim[]): [Claim, Claim[]][] {
  const taken = new Set<Claim>();
  const sortedRight = inOrderOf(right);
  const pairs: [Claim, Claim[]][] = [];
  let from = 0;
  for (const claim of inOrderOf(left)) {
    while ((sortedRight[from]?.mention.end ?? Infinity) <= claim.mention.start) from += 1;
    const over: Claim[] = [];
    for (let index = from; index < sortedRight.length; index += 1) {
      const other = sortedRight[index];
      if (other === undefined || other.mention.start >= claim.mention.end) break;
      if (taken.has(other)) continue;
      taken.add(other);
      over.push(other);
    }
    pairs.push([claim, over]);
  }
  for (const claim of sortedRight) if (!taken.has(claim)) pairs.push([claim, []]);
  return pairs;
}

function agreed(claim: Claim, agreeing: readonly Claim[]): AcceptedMention {
  const claims = [claim, ...agreeing];
  const exact = agreeing.some((other) => sameSpan(other.mention, claim.mention));
  // Where they agree in part, the longer one is taken: "Bank of the United States", not "United
  // States".
  const longest = claims.reduce((best, next) =>
    next.mention.end - next.mention.start > best.mention.end - best.mention.start ? next : best,
  );
  const extractors = [...new Set(claims.map((each) => each.extractor))].toSorted(order);
  const chosen = exact ? claim.mention : longest.mention;
  return { ...chosen, confidence: exact ? agreedExactly : agreedInPart, extractors };
}

function decide(
  text: string,
  claims: readonly Claim[],
  counts: ReadonlyMap<string, number>,
): [Claim | undefined, Evidence | undefined] {
  let best: [Claim | undefined, Evidence | undefined] = [undefined, undefined];
  for (const claim of claims) {
    const evidence = evidenceFor(text, claim.mention, counts);
    if (evidence === undefined) continue;
    if (best[1] === undefined || weight[evidence] > weight[best[1]]) best = [claim, evidence];
  }
  return best;
}

function evidenceFor(
  text: string,
  mention: Mention,
  counts: ReadonlyMap<string, number>,
): Evidence | undefined {
  const titled = hasTitle(text, mention);
  if (titled) return mention.kind === "person" ? "title before the name" : undefined;
  const before = text.slice(Math.max(0, mention.start - 24), mention.start);
  if (
    mention.kind === "place" &&
    /\b(?:in|at|from|near|of|with|to|between)\s+(?:the\s+)?$/i.test(before)
  ) {
    return "preposition of place";
  }
  if (/^\p{Lu}\S*\s.*\p{Lu}/u.test(mention.name)) return "several words";
  return (counts.get(countKey(mention)) ?? 0) > 1 ? "repeated" : undefined;
}

function disagreementOf(claims: readonly Claim[], decidedBy: Evidence | undefined): Disagreement {
  const [first] = claims;
  const reason = claims.length > 1 ? "kind differs" : "found by one only";
  const said = claims.map(({ extractor, mention }) => ({ extractor, kind: mention.kind }));
  const { start, end, text } = first?.mention ?? { start: 0, end: 0, text: "" };
  const base = { start, end, text, reason, claims: said } as const;
  return decidedBy === undefined ? base : { ...base, decidedBy };
}

function countNames(claims: readonly Claim[]): Map<string, number> {
  const spans = new Map<string, Set<number>>();
  for (const { mention } of claims) {
    const key = countKey(mention);
    const starts = spans.get(key) ?? new Set<number>();
    spans.set(key, starts.add(mention.start));
  }
  return new Map([...spans].map(([key, starts]) => [key, starts.size]));
}

function countKey(mention: Mention): string {
  return `${mention.kind}:${mention.name}`;
}

function labelOf(extraction: Extraction): string {
  return `${extraction.extractor}@${extraction.version}`;
}

function sameSpan(a: Span, b: Span): boolean {
  return a.start === b.start && a.end === b.end;
}

function inOrder<Item extends Span>(items: readonly Item[]): Item[] {
  return items.toSorted((a, b) => a.start - b.start || a.end - b.end);
}

function inOrderOf(claims: readonly Claim[]): Claim[] {
  return claims.toSorted(
    (a, b) => a.mention.start - b.mention.start || a.mention.end - b.mention.end,
  );
}

function order(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0;
}
