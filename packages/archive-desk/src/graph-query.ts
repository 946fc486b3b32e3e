import { entityName, foldName } from "./graph.ts";
import type { Entity, Graph, GraphMention } from "./graph.ts";
import type { EntityKind } from "./mention.ts";

export interface Quote {
  readonly document: string;
  readonly title: string;
  readonly year?: number;
  /** Where the name stands in the document, in characters. */
  readonly start: number;
  readonly end: number;
  readonly sentence: string;
  readonly confidence: number;
  readonly extractors: string;
  /** Id of the event in the log that brought it. */
  readonly eventId: string;
}

export interface Companion {
  readonly name: string;
  readonly kind: EntityKind;
  /** The sentences that name both. */
  readonly sentences: number;
}

/** All that the graph knows about a name. */
export interface Answer {
  readonly name: string;
  readonly kind: EntityKind;
  readonly mentions: number;
  readonly documents: number;
  /** Mentions by year, in order; documents without a year are not in it. */
  readonly when: readonly { readonly year: number; readonly mentions: number }[];
  readonly where: readonly Companion[];
  readonly withWhom: readonly Companion[];
  readonly said: readonly Quote[];
  /** Others that the name could have meant, most often said first. */
  readonly alternatives: readonly { readonly name: string; readonly kind: EntityKind }[];
}

/** The answer, or the nearest names when nobody has this one. */
export type GraphReply =
  | { readonly found: true; readonly answer: Answer }
  | { readonly found: false; readonly asked: string; readonly nearest: readonly string[] };

export interface QueryOptions {
  /** At most so many quotes. @default 10 */
  readonly quotes?: number;
  /** At most so many names in each list. @default 12 */
  readonly companions?: number;
}

const mostNearest = 5;
const mostAlternatives = 5;

/**
 * Asks the graph about a name.
 *
 * The exact name is taken first. A single word that is somebody's surname ("Lincoln") means the
 * person of that name most often said, unless a place or organisation of just that name is said
 * more often.
 */
export function askGraph(graph: Graph, name: string, options: QueryOptions = {}): GraphReply {
  const candidates = resolveName(graph, name);
  const [entity, ...others] = candidates;
  if (entity === undefined) {
    return { found: false, asked: name, nearest: nearestNames(graph, name) };
  }
  const alternatives = others
    .slice(0, mostAlternatives)
    .map((other) => ({ name: entityName(other), kind: other.kind }));
  return { found: true, answer: { ...describe(entity, options), alternatives } };
}

function resolveName(graph: Graph, name: string): Entity[] {
  const asked = foldName(name);
  if (asked === "") return [];
  const ranked: { readonly entity: Entity; readonly rank: number }[] = [];
  for (const entity of graph.entities.values()) {
    const folded = entity.key.slice(entity.kind.length + 1);
    const rank = rankOf(folded, asked, entity.kind);
    if (rank !== undefined) ranked.push({ entity, rank });
  }
  return ranked
    .toSorted(
      (a, b) =>
        a.rank - b.rank ||
        b.entity.mentions.length - a.entity.mentions.length ||
        (a.entity.key < b.entity.key ? -1 : 1),
    )
    .map(({ entity }) => entity);
}

/** 0: the name itself, or a person whose surname was asked; 1: that surname alone; 2: a part. */
function rankOf(folded: string, asked: string, kind: EntityKind): number | undefined {
  const single = !asked.includes(" ");
  if (folded === asked) return single && kind === "person" ? 1 : 0;
  if (!` ${folded} `.includes(` ${asked} `)) return undefined;
  return single && kind === "person" && folded.endsWith(` ${asked}`) ? 0 : 2;
}

function describe(entity: Entity, options: QueryOptions): Omit<Answer, "alternatives"> {
  const companions = options.companions ?? 12;
  const ordered = entity.mentions.toSorted(inOrder);
  const years = new Map<number, number>();
  for (const { sentence } of ordered) {
    const { year } = sentence.document;
    if (year !== undefined) years.set(year, (years.get(year) ?? 0) + 1);
  }
  const beside = besides(entity);
  return {
    name: entityName(entity),
    kind: entity.kind,
    mentions: ordered.length,
    documents: new Set(ordered.map(({ sentence }) => sentence.document.id)).size,
    when: [...years].toSorted(([a], [b]) => a - b).map(([year, mentions]) => ({ year, mentions })),
    where: beside.filter(({ kind }) => kind === "place").slice(0, companions),
    withWhom: beside.filter(({ kind }) => kind !== "place").slice(0, companions),
    said: spread(ordered, options.quotes ?? 10).map(quoteOf),
  };
}

function besides(entity: Entity): Companion[] {
  const counts = new Map<Entity, number>();
  for (const sentence of new Set(entity.mentions.map((mention) => mention.sentence))) {
    for (const other of sentence.entities) {
      if (other !== entity) counts.set(other, (counts.get(other) ?? 0) + 1);
    }
  }
  return [...counts]
    .toSorted(([a, many], [b, more]) => more - many || (a.key < b.key ? -1 : 1))
    .map(([other, sentences]) => ({ name: entityName(other), kind: other.kind, sentences }));
}

/**
 * So many of a list, evenly over its whole length: quotes of all times, not of the first year
 * alone.
 */
function spread<Item>(items: readonly Item[], most: number): Item[] {
  if (items.length <= most) return [...items];
  return items.filter(
    (_, index) =>
      Math.floor((index * most) / items.length) !== Math.floor(((index - 1) * most) / items.length),
  );
}

function quoteOf({ sentence, start, end, confidence, extractors }: GraphMention): Quote {
  const { id, title, year } = sentence.document;
  return {
    document: id,
    title,
    ...(year === undefined ? {} : { year }),
    start,
    end,
    sentence: sentence.text,
    confidence,
    extractors,
    eventId: sentence.eventId,
  };
}

function inOrder(a: GraphMention, b: GraphMention): number {
  const [left, right] = [a.sentence.document, b.sentence.document];
  const years = (left.year ?? Infinity) - (right.year ?? Infinity);
  if (years !== 0 && !Number.isNaN(years)) return years;
  return left.id < right.id ? -1 : left.id > right.id ? 1 : a.start - b.start;
}

/** Names that differ by few letters, nearest first. */
function nearestNames(graph: Graph, name: string): string[] {
  const asked = foldName(name);
  const scored: { readonly entity: Entity; readonly distance: number }[] = [];
  for (const entity of graph.entities.values()) {
    const folded = entity.key.slice(entity.kind.length + 1);
    const words = [folded, ...folded.split(" ")];
    const distance = Math.min(...words.map((word) => editDistance(word, asked)));
    if (distance <= Math.max(1, Math.floor(asked.length / 3))) scored.push({ entity, distance });
  }
  scored.sort(
    (a, b) =>
      a.distance - b.distance ||
      b.entity.mentions.length - a.entity.mentions.length ||
      (a.entity.key < b.entity.key ? -1 : 1),
  );
  return [...new Set(scored.map(({ entity }) => entityName(entity)))].slice(0, mostNearest);
}

function editDistance(a: string, b: string): number {
  // Far apart in length is far apart: don't fill the table.
  if (Math.abs(a.length - b.length) > 8 || a.length > 64 || b.length > 64) return Infinity;
  let row = Array.from({ length: b.length + 1 }, (_, index) => index);
  for (let i = 1; i <= a.length; i += 1) {
    const next = [i];
    for (let j = 1; j <= b.length; j += 1) {
      const change = (row[j - 1] ?? 0) + (a[i - 1] === b[j - 1] ? 0 : 1);
      next.push(Math.min(change, (row[j] ?? 0) + 1, (next[j - 1] ?? 0) + 1));
    }
    row = next;
  }
  return row[b.length] ?? Infinity;
}
