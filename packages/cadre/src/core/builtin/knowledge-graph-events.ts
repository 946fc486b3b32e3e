/** The knowledge graph: entities and relations, each with where it comes from. */
import {
  anyJson,
  count,
  fact,
  list,
  map,
  object,
  optional,
  share,
  text,
  word,
  type BuiltinFamily,
} from "./payload-schema.ts";

/** Where a piece of knowledge comes from. */
export interface Provenance {
  readonly documentId?: string;
  readonly start?: number;
  readonly end?: number;
  readonly extractor?: string;
  readonly eventId?: string;
}

export interface GraphEntity {
  readonly entityId: string;
  readonly name?: string;
  readonly type?: string;
  readonly attributes?: Readonly<Record<string, unknown>>;
  readonly provenance?: readonly Provenance[];
}

export interface GraphEntityMerged {
  readonly entityId: string;
  /** The entities that became this one. */
  readonly merged: readonly string[];
  readonly reason?: string;
}

export interface GraphEntityRemoved {
  readonly entityId: string;
  readonly reason?: string;
}

export interface GraphRelation {
  readonly relationId: string;
  readonly from?: string;
  readonly to?: string;
  readonly type?: string;
  /** 0 to 1. */
  readonly confidence?: number;
  readonly attributes?: Readonly<Record<string, unknown>>;
  readonly provenance?: readonly Provenance[];
}

export interface GraphUpdated {
  readonly entities?: number;
  readonly relations?: number;
  readonly hash?: string;
}

export type KnowledgeGraphEvents = {
  "knowledge_graph.entity.created": GraphEntity;
  "knowledge_graph.entity.updated": GraphEntity;
  "knowledge_graph.entity.merged": GraphEntityMerged;
  "knowledge_graph.entity.removed": GraphEntityRemoved;
  "knowledge_graph.relation.created": GraphRelation;
  "knowledge_graph.relation.removed": GraphRelation;
  "knowledge_graph.updated": GraphUpdated;
};

const provenance = list(
  object<Provenance>({
    documentId: optional(word),
    start: optional(count),
    end: optional(count),
    extractor: optional(text),
    eventId: optional(word),
  }),
);
const entity = {
  entityId: word,
  name: optional(text),
  type: optional(word),
  attributes: optional(map(anyJson)),
  provenance: optional(provenance),
};
const relation = {
  relationId: word,
  from: optional(word),
  to: optional(word),
  type: optional(word),
  confidence: optional(share),
  attributes: optional(map(anyJson)),
  provenance: optional(provenance),
};

export const knowledgeGraphEvents: BuiltinFamily<KnowledgeGraphEvents> = {
  "knowledge_graph.entity.created": fact("The graph has a new entity.", entity),
  "knowledge_graph.entity.updated": fact("More is known of an entity.", entity),
  "knowledge_graph.entity.merged": fact("Several entities turned out to be one.", {
    entityId: word,
    merged: list(word),
    reason: optional(text),
  }),
  "knowledge_graph.entity.removed": fact("An entity was a mistake.", {
    entityId: word,
    reason: optional(text),
  }),
  "knowledge_graph.relation.created": fact("Two entities are related.", relation),
  "knowledge_graph.relation.removed": fact("A relation no longer holds.", relation),
  "knowledge_graph.updated": fact("The graph has taken in a batch of changes.", {
    entities: optional(count),
    relations: optional(count),
    hash: optional(text),
  }),
};
