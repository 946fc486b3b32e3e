/** What agents remember. */
import {
  anyJson,
  count,
  durationMs,
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

export interface MemoryCreated {
  readonly memoryId: string;
  readonly agent?: string;
  readonly kind?: string;
  readonly content?: unknown;
  readonly tags?: readonly string[];
  /** 0 to 1. */
  readonly importance?: number;
}

export interface MemoryChanged {
  readonly memoryId: string;
  readonly agent?: string;
  readonly content?: unknown;
  readonly reason?: string;
}

export interface MemorySearched {
  readonly query: unknown;
  readonly agent?: string;
  readonly found?: readonly string[];
  readonly durationMs?: number;
}

export interface MemoryConsolidated {
  readonly memoryId: string;
  /** The memories that became this one. */
  readonly from: readonly string[];
  readonly agent?: string;
}

export interface ExtractedEntity {
  readonly name: string;
  readonly type?: string;
  /** Offsets in the text. */
  readonly start?: number;
  readonly end?: number;
  readonly confidence?: number;
}

export interface EntityExtracted {
  readonly memoryId?: string;
  readonly documentId?: string;
  readonly entities: readonly ExtractedEntity[];
  readonly extractor?: string;
  readonly attributes?: Readonly<Record<string, unknown>>;
}

export type MemoryEvents = {
  "memory.created": MemoryCreated;
  "memory.updated": MemoryChanged;
  "memory.deleted": MemoryChanged;
  "memory.accessed": MemoryChanged;
  "memory.searched": MemorySearched;
  "memory.consolidated": MemoryConsolidated;
  "memory.entity.extracted": EntityExtracted;
};

const changed = {
  memoryId: word,
  agent: optional(word),
  content: optional(anyJson),
  reason: optional(text),
};

export const memoryEvents: BuiltinFamily<MemoryEvents> = {
  "memory.created": fact("Something is remembered.", {
    memoryId: word,
    agent: optional(word),
    kind: optional(word),
    content: optional(anyJson),
    tags: optional(list(word)),
    importance: optional(share),
  }),
  "memory.updated": fact("A memory has changed.", changed),
  "memory.deleted": fact("A memory is gone.", changed),
  "memory.accessed": fact("A memory was read.", changed),
  "memory.searched": fact("Memories were searched for.", {
    query: anyJson,
    agent: optional(word),
    found: optional(list(word)),
    durationMs: optional(durationMs),
  }),
  "memory.consolidated": fact("Several memories became one.", {
    memoryId: word,
    from: list(word),
    agent: optional(word),
  }),
  "memory.entity.extracted": fact("Names were found in a text.", {
    memoryId: optional(word),
    documentId: optional(word),
    entities: list(
      object<ExtractedEntity>({
        name: word,
        type: optional(word),
        start: optional(count),
        end: optional(count),
        confidence: optional(share),
      }),
    ),
    extractor: optional(text),
    attributes: optional(map(anyJson)),
  }),
};
