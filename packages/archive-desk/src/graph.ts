/**
 * The knowledge graph as a fold of checked chunks.
 *
 *   document ──▶ sentence ──▶ mention ──▶ entity (kind + folded name)
 *
 * Folding is a union: in which order chunks come, and how often, makes no difference to the hash.
 */
import { createHash } from "node:crypto";
import type { AcceptedMention, Check } from "./check.ts";
import type { Chunk } from "./chunk.ts";
import type { Document } from "./corpus.ts";
import type { EntityKind } from "./mention.ts";
import { splitSentences } from "./sentence.ts";

/**
 * What the checker hands to the graph: the mentions of one chunk, with the sentences that hold
 * them.
 */
export interface CheckedChunk {
  readonly documentId: string;
  readonly title: string;
  readonly year?: number;
  /** Where the chunk begins in its document; the spans below count from there. */
  readonly start: number;
  readonly hash: string;
  readonly disagreements: number;
  readonly sentences: readonly {
    readonly start: number;
    readonly text: string;
    readonly mentions: readonly Omit<AcceptedMention, "text">[];
  }[];
}

export interface GraphDocument {
  readonly id: string;
  readonly title: string;
  readonly year?: number;
}

/** A sentence in its place; `start` counts from the beginning of the document. */
export interface GraphSentence {
  readonly document: GraphDocument;
  readonly start: number;
  readonly text: string;
  /** Id of the event that brought it. */
  readonly eventId: string;
  readonly entities: readonly Entity[];
}

/**
 * Where an entity is named, by whom it was found, and in which sentence; spans count from the
 * document's beginning.
 */
export interface GraphMention {
  readonly sentence: GraphSentence;
  readonly start: number;
  readonly end: number;
  readonly confidence: number;
  readonly extractors: string;
}

export interface Entity {
  readonly key: string;
  readonly kind: EntityKind;
  /** How often each spelling came. */
  readonly spellings: Map<string, number>;
  readonly mentions: GraphMention[];
}

export interface Graph {
  readonly documents: Map<string, GraphDocument>;
  readonly entities: Map<string, Entity>;
  /** What has been folded already. */
  readonly folded: Set<string>;
  disagreements: number;
}

export function createGraph(): Graph {
  return { documents: new Map(), entities: new Map(), folded: new Set(), disagreements: 0 };
}

/** One key for all spellings of a name: without case, accents and punctuation. */
export function entityKey(name: string, kind: EntityKind): string {
  return `${kind}:${foldName(name)}`;
}

/** A name for comparing: lower case, letters and digits with single spaces. */
export function foldName(name: string): string {
  const plain = name.normalize("NFD").replace(/\p{M}/gu, "").toLowerCase();
  return plain.replace(/[^\p{L}\p{N}]+/gu, " ").trim();
}

/** The spelling most often used; of equals the first in the alphabet. */
export function entityName(entity: Entity): string {
  let best = "";
  let most = 0;
  for (const [spelling, count] of entity.spellings) {
    if (count > most || (count === most && spelling < best)) [best, most] = [spelling, count];
  }
  return best;
}

/** Makes what the graph folds out of a chunk and its check. */
export function checkedChunk(
  document: Omit<Document, "text">,
  chunk: Pick<Chunk, "start" | "hash" | "text">,
  check: Check,
): CheckedChunk {
  const sentences = splitSentences(chunk.text).flatMap(({ start, end }) => {
    const mentions = check.accepted
      .filter((mention) => mention.start >= start && mention.start < end)
      .map(({ text: _text, ...mention }) => mention);
    return mentions.length > 0 ? [{ start, text: chunk.text.slice(start, end), mentions }] : [];
  });
  return {
    documentId: document.id,
    title: document.title,
    ...(document.year === undefined ? {} : { year: document.year }),
    start: chunk.start,
    hash: chunk.hash,
    disagreements: check.disagreements.length,
    sentences,
  };
}

/**
 * Adds a chunk that the event `eventId` brought, in place. False when it was there already: then
 * nothing changes.
 */
export function foldChunk(graph: Graph, chunk: CheckedChunk, eventId = ""): boolean {
  const key = `${chunk.documentId}\n${chunk.start}\n${chunk.hash}`;
  if (graph.folded.has(key)) return false;
  graph.folded.add(key);
  graph.disagreements += chunk.disagreements;
  const document = documentOf(graph, chunk);
  for (const { start, text, mentions } of chunk.sentences) {
    const entities: Entity[] = [];
    const sentence = { document, start: chunk.start + start, text, eventId, entities };
    for (const mention of mentions) {
      const entity = entityOf(graph, mention.name, mention.kind);
      if (!entities.includes(entity)) entities.push(entity);
      entity.spellings.set(mention.name, (entity.spellings.get(mention.name) ?? 0) + 1);
      entity.mentions.push({
        sentence,
        start: chunk.start + mention.start,
        end: chunk.start + mention.end,
        confidence: mention.confidence,
        extractors: mention.extractors.join(" "),
      });
    }
  }
  return true;
}

function documentOf(graph: Graph, chunk: CheckedChunk): GraphDocument {
  const known = graph.documents.get(chunk.documentId);
  if (known !== undefined) return known;
  const year = chunk.year === undefined ? {} : { year: chunk.year };
  const document = { id: chunk.documentId, title: chunk.title, ...year };
  graph.documents.set(document.id, document);
  return document;
}

function entityOf(graph: Graph, name: string, kind: EntityKind): Entity {
  const key = entityKey(name, kind);
  const known = graph.entities.get(key);
  if (known !== undefined) return known;
  const entity: Entity = { key, kind, spellings: new Map(), mentions: [] };
  graph.entities.set(key, entity);
  return entity;
}

/**
 * SHA-256 over the sorted entities, types, documents, spans and extractor versions.
 *
 * Times, ids of events and names of agents are not in it: runs that found the same are equal.
 */
export function graphHash(graph: Graph): string {
  const hash = createHash("sha256");
  for (const id of [...graph.documents.keys()].toSorted(byCodeUnit)) {
    hash.update(`${JSON.stringify(["document", id])}\n`);
  }
  for (const entity of [...graph.entities.values()].toSorted((a, b) => byCodeUnit(a.key, b.key))) {
    hash.update(`${JSON.stringify(["entity", entity.kind, entity.key])}\n`);
    const lines = entity.mentions.map(({ sentence, start, end, extractors }) =>
      JSON.stringify([sentence.document.id, start, end, extractors]),
    );
    for (const line of lines.toSorted(byCodeUnit)) hash.update(`${line}\n`);
  }
  return hash.digest("hex");
}

/** "1860s", or "undated". */
export function decadeOf(document: { readonly year?: number }): string {
  return document.year === undefined ? "undated" : `${Math.floor(document.year / 10) * 10}s`;
}

export interface DecadeNames {
  readonly decade: string;
  readonly names: readonly {
    readonly name: string;
    readonly kind: EntityKind;
    readonly mentions: number;
  }[];
}

export interface TopNamesOptions {
  readonly perDecade: number;
  /** @default all kinds */
  readonly kinds?: readonly EntityKind[];
  /**
   * "count": the most often said. "distinct": those said far more often in the decade than over all
   * decades; what every decade says alike falls away. @default "count"
   */
  readonly rank?: "count" | "distinct";
}

/** The names that stand out in each decade, in the order of decades. */
export function topNamesByDecade(graph: Graph, options: TopNamesOptions): DecadeNames[] {
  const decades = new Map<string, Map<Entity, number>>();
  let all = 0;
  for (const entity of graph.entities.values()) {
    if (options.kinds !== undefined && !options.kinds.includes(entity.kind)) continue;
    all += entity.mentions.length;
    for (const { sentence } of entity.mentions) {
      const decade = decadeOf(sentence.document);
      const counts = decades.get(decade) ?? new Map<Entity, number>();
      decades.set(decade, counts.set(entity, (counts.get(entity) ?? 0) + 1));
    }
  }
  return [...decades]
    .toSorted(([a], [b]) => byCodeUnit(a, b))
    .map(([decade, counts]) => ({ decade, names: topNames(counts, all, options) }));
}

function topNames(
  counts: ReadonlyMap<Entity, number>,
  all: number,
  { perDecade, rank }: TopNamesOptions,
): DecadeNames["names"] {
  const said = [...counts.values()].reduce((sum, count) => sum + count, 0);
  const score = (entity: Entity, count: number): number =>
    rank === "distinct" ? count * Math.log(count / said / (entity.mentions.length / all)) : count;
  return [...counts]
    .map(([entity, mentions]) => ({ entity, mentions, score: score(entity, mentions) }))
    .toSorted(
      (a, b) =>
        b.score - a.score || b.mentions - a.mentions || byCodeUnit(a.entity.key, b.entity.key),
    )
    .slice(0, perDecade)
    .map(({ entity, mentions }) => ({ name: entityName(entity), kind: entity.kind, mentions }));
}

function byCodeUnit(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0;
}
