/**
 * The tasks of the desk. What goes from task to task are references (document, span, hash): whoever
 * needs the text reads the document itself and compares the hash.
 */
import { createHash } from "node:crypto";
import { TerminalError, type } from "cadre";
import { defineTask } from "cadre/agents";
import type { PlannedTask, TaskDefinition } from "cadre/agents";
import type { Extraction } from "./check.ts";
import type { Corpus, Document, SkippedFile } from "./corpus.ts";
import { decadeOf } from "./graph.ts";

/** Where a chunk's text is, and what it was when it was cut. */
export interface ChunkReference {
  readonly documentId: string;
  readonly title: string;
  readonly year?: number;
  readonly start: number;
  readonly end: number;
  readonly hash: string;
}

/** Documents that the archivist cuts in one task. */
export interface Batch {
  readonly id: string;
  readonly documentIds: readonly string[];
}

/** The chunks of one feature. */
export interface FeatureChunks {
  readonly id: string;
  readonly title: string;
  readonly chunks: readonly ChunkReference[];
}

export interface CutResult {
  readonly features: readonly FeatureChunks[];
  readonly skipped: readonly SkippedFile[];
}

export interface CheckInput extends ChunkReference {
  /** By the extract tasks' names. */
  readonly results?: Readonly<Record<string, Extraction>>;
}

export interface CheckResult {
  readonly accepted: number;
  readonly disagreements: number;
}

// A chunk whose document has changed fails at once; what a crash interrupts uses no attempt up.
const maxAttempts = 3;
const reference = {
  type: "object",
  required: ["documentId", "title", "start", "end", "hash"],
  properties: {
    documentId: { type: "string" },
    title: { type: "string" },
    year: { type: "integer" },
    start: { type: "integer", minimum: 0 },
    end: { type: "integer", minimum: 1 },
    hash: { type: "string" },
  },
};

export const cutTask: TaskDefinition<Batch, CutResult> = defineTask({
  name: "archive.cut",
  input: type<Batch>(),
  output: type<CutResult>(),
  maxAttempts,
});

export const extractTasks: Readonly<
  Record<"compromise" | "wink", TaskDefinition<ChunkReference, Extraction>>
> = {
  compromise: defineExtract("extract.compromise"),
  wink: defineExtract("extract.wink"),
};

export const checkTask: TaskDefinition<CheckInput, CheckResult> = defineTask({
  name: "check.chunk",
  input: type<CheckInput>(reference),
  output: type<CheckResult>(),
  maxAttempts,
});

function defineExtract(name: string): TaskDefinition<ChunkReference, Extraction> {
  return defineTask({
    name,
    input: type<ChunkReference>(reference),
    output: type<Extraction>(),
    maxAttempts,
  });
}

// Bounds on one task's result and one feature's plan, however many documents a decade has.
const documentsPerBatch = 40;
const chunksPerFeature = 500;

/** Decade by decade, in the order of the pile: the same batches for the same documents. */
export function planBatches(corpus: Pick<Corpus, "ids" | "yearOf">): Batch[] {
  const decades = new Map<string, string[]>();
  for (const id of corpus.ids) {
    const year = corpus.yearOf(id);
    const decade = decadeOf(year === undefined ? {} : { year });
    const documents = decades.get(decade) ?? [];
    decades.set(decade, [...documents, id]);
  }
  return [...decades].flatMap(([decade, ids]) => {
    const name = decade.replace(/s$/, "");
    return inParts(ids, documentsPerBatch).map((documentIds, index) => ({
      id: index === 0 ? `decade-${name}` : `decade-${name}-${index + 1}`,
      documentIds,
    }));
  });
}

/** The features that the chunks of one batch make: one, unless there are very many. */
export function planFeatures(batch: Batch, chunks: readonly ChunkReference[]): FeatureChunks[] {
  const decade = decadeOf(chunks[0] ?? {});
  return inParts(chunks, chunksPerFeature).map((part, index) => ({
    id: index === 0 ? batch.id : `${batch.id}-part-${index + 1}`,
    title: decade === "undated" ? "Read the undated documents" : `Read the ${decade}`,
    chunks: part,
  }));
}

/** Two extract tasks a chunk, and a check task that depends on both. */
export function plannedTasks(chunks: readonly ChunkReference[]): PlannedTask[] {
  return chunks.flatMap((chunk, index): PlannedTask[] => {
    const name = String(index + 1);
    const extracts = Object.entries(extractTasks).map(([extractor, definition]) => ({
      name: `${name}.${extractor}`,
      definition: definition as TaskDefinition,
      input: chunk,
    }));
    const dependsOn = extracts.map((extract) => extract.name);
    const check = checkTask as TaskDefinition;
    return [...extracts, { name: `${name}.check`, definition: check, input: chunk, dependsOn }];
  });
}

/**
 * The text that a reference stands for.
 *
 * @throws {TerminalError} when the document is gone or no longer says what it said
 */
export function referencedText(document: Document | undefined, chunk: ChunkReference): string {
  const { documentId, start, end } = chunk;
  const text = document?.text.slice(start, end) ?? "";
  if (createHash("sha256").update(text).digest("hex") === chunk.hash) return text;
  throw new TerminalError(
    document === undefined
      ? `The document ${documentId} is gone since the desk began. Put it back or use --fresh.`
      : `The document ${documentId} has changed since the desk began (characters ${start} to ` +
          `${end}). Put it back as it was, or begin again with --fresh.`,
  );
}

function inParts<Item>(items: readonly Item[], size: number): Item[][] {
  const parts: Item[][] = [];
  for (let start = 0; start < items.length; start += size) {
    parts.push(items.slice(start, start + size));
  }
  return parts;
}
