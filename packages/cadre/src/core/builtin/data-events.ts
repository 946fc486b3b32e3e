/** Documents and what is computed from them. */
import {
  anyJson,
  count,
  fact,
  map,
  optional,
  text,
  word,
  type BuiltinFamily,
} from "./payload-schema.ts";

export interface DocumentProcessed {
  readonly documentId: string;
  readonly title?: string;
  readonly contentHash?: string;
  readonly chunks?: number;
  readonly bytes?: number;
  readonly uri?: string;
  readonly attributes?: Readonly<Record<string, unknown>>;
}

export interface EmbeddingGenerated {
  readonly embeddingId: string;
  /** What was embedded: a document, a chunk, a memory. */
  readonly subjectId?: string;
  readonly model?: string;
  readonly dimensions?: number;
}

export type DataEvents = {
  "document.processed": DocumentProcessed;
  "embedding.generated": EmbeddingGenerated;
};

export const dataEvents: BuiltinFamily<DataEvents> = {
  "document.processed": fact("A document was read and cut into chunks.", {
    documentId: word,
    title: optional(text),
    contentHash: optional(text),
    chunks: optional(count),
    bytes: optional(count),
    uri: optional(text),
    attributes: optional(map(anyJson)),
  }),
  "embedding.generated": fact("A vector was computed for a text.", {
    embeddingId: word,
    subjectId: optional(word),
    model: optional(text),
    dimensions: optional(count),
  }),
};
