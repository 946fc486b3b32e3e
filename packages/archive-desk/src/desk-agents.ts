import { defineAgent } from "cadre/agents";
import type { AgentDefinition, TaskContext } from "cadre/agents";
import { checkExtractions } from "./check.ts";
import type { Check, Extraction } from "./check.ts";
import { chunkDocument } from "./chunk.ts";
import type { Corpus, Document, SkippedFile } from "./corpus.ts";
import {
  checkTask,
  cutTask,
  extractTasks,
  planFeatures,
  referencedText,
  type CheckInput,
  type CheckResult,
  type ChunkReference,
} from "./desk-tasks.ts";
import { checkedChunk } from "./graph.ts";
import type { Extractor } from "./mention.ts";

/** Reads documents one after the other; the last one stays, because its chunks come in a row. */
export type ReadDocument = (id: string) => Promise<Document | undefined>;

export function createReader(corpus: Corpus): ReadDocument {
  let last: Document | undefined;
  return async (id) => {
    if (last?.id !== id) last = await corpus.read(id);
    return last;
  };
}

/** Cuts the documents of a batch into chunks with their spans and hashes. */
export function archivist(corpus: Corpus): AgentDefinition {
  return defineAgent({ name: "archivist" }).does(cutTask, async (batch, context) => {
    const chunks: ChunkReference[] = [];
    const skipped: SkippedFile[] = [];
    for (const id of batch.documentIds) {
      const document = await corpus.read(id);
      if (document === undefined) {
        skipped.push(...corpus.skipped.filter(({ documentId }) => documentId === id));
        continue;
      }
      const { title, year } = document;
      for (const { start, end, hash } of chunkDocument(document)) {
        const reference = { documentId: id, title, start, end, hash };
        chunks.push(year === undefined ? reference : { ...reference, year });
      }
      // Cutting a book takes a while, and heartbeats must not be late.
      await context.clock.yield();
    }
    return { features: planFeatures(batch, chunks), skipped };
  });
}

export interface ReaderOptions {
  readonly name: string;
  readonly kind: keyof typeof extractTasks;
  readonly extractor: Extractor;
  readonly read: ReadDocument;
  /** Told when the extraction of a task begins. */
  readonly onWork?: (task: string) => void;
}

/** Finds names in chunks with one extractor. */
export function reader({ name, kind, extractor, read, onWork }: ReaderOptions): AgentDefinition {
  const extract = async (chunk: ChunkReference, context: TaskContext): Promise<Extraction> => {
    const text = referencedText(await read(chunk.documentId), chunk);
    const input = { hash: chunk.hash, extractor: extractor.name, version: extractor.version };
    return context.step("extract", input, () => {
      onWork?.(context.task.id);
      const mentions = extractor.extract(text);
      return { extractor: extractor.name, version: extractor.version, mentions };
    });
  };
  return defineAgent({ name }).does(extractTasks[kind], extract);
}

/** Holds the two extractions of a chunk against each other and the text, and says what stands. */
export function checker(read: ReadDocument): AgentDefinition {
  const check = async (input: CheckInput, context: TaskContext): Promise<CheckResult> => {
    const { results = {}, ...chunk } = input;
    const [first, second] = Object.values(results);
    if (first === undefined || second === undefined) {
      throw new Error(`The check of ${chunk.documentId} needs the results of two extractors.`);
    }
    const text = referencedText(await read(chunk.documentId), chunk);
    const compare = (): Check => checkExtractions(text, [first, second]);
    let checked: Check | undefined;
    const outcome = await context.step("compare", { hash: chunk.hash }, () => {
      checked = compare();
      const { accepted, disagreements } = checked;
      return { accepted: accepted.length, disagreements: disagreements.length };
    });
    // The journal keeps the figures alone: comparing is pure, and an attempt that found the figures
    // there compares again.
    checked ??= compare();
    const { documentId: id, title, year } = chunk;
    const source = year === undefined ? { id, title } : { id, title, year };
    // Held back: it is in the log if, and only if, this task completes.
    await context.publish("desk.chunk.checked", checkedChunk(source, { ...chunk, text }, checked));
    return outcome;
  };
  return defineAgent({ name: "checker" }).does(checkTask, check);
}
