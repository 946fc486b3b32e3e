import { createHash } from "node:crypto";
import type { Document } from "./corpus.ts";
import { DeskError } from "./desk-error.ts";
import { splitSentences } from "./sentence.ts";
import type { Span } from "./sentence.ts";

/** A piece of a document: `document.text.slice(start, end) === text`. */
export interface Chunk extends Span {
  /** The document's id and the place in it: the same on every run. */
  readonly id: string;
  readonly documentId: string;
  readonly index: number;
  /** SHA-256 of the text in UTF-8, in hexadecimal. */
  readonly hash: string;
  readonly text: string;
}

export interface ChunkOptions {
  /** Characters a chunk has at most, unless one sentence alone is longer. @default 10_000 */
  readonly targetChars?: number;
}

// The default pile makes some 1,200 chunks of it: small enough to spread over the readers and to
// lose little when
// one dies, large enough that a task's own cost stays far below its work.
const defaultTargetChars = 10_000;
// Times the target: a longer sentence is cut at white space, to bound a chunk of a text without
// stops.
const longestSentence = 4;

/**
 * Cuts a document at the ends of paragraphs and sentences. Chunks never overlap and leave out
 * only white space.
 */
export function chunkDocument(document: Document, options: ChunkOptions = {}): Chunk[] {
  const targetChars = options.targetChars ?? defaultTargetChars;
  if (!Number.isSafeInteger(targetChars) || targetChars < 1) {
    const message = `targetChars is a whole number above 0, not ${targetChars}.`;
    throw new DeskError("INVALID_CHUNK_SIZE", message);
  }
  const sentences = splitSentences(document.text).flatMap((span) =>
    cutLong(document.text, span, longestSentence * targetChars),
  );
  return packSentences(document.text, sentences, targetChars).map((span, index) => {
    const text = document.text.slice(span.start, span.end);
    const hash = createHash("sha256").update(text).digest("hex");
    return { id: `${document.id}#${index}`, documentId: document.id, index, ...span, hash, text };
  });
}

function packSentences(text: string, sentences: readonly Span[], targetChars: number): Span[] {
  const spans: Span[] = [];
  let open: Span | undefined;
  for (const sentence of sentences) {
    if (open === undefined) {
      open = sentence;
    } else if (
      sentence.end - open.start > targetChars ||
      endsWell(text, open, sentence, targetChars)
    ) {
      spans.push(open);
      open = sentence;
    } else {
      open = { start: open.start, end: sentence.end };
    }
  }
  if (open !== undefined) spans.push(open);
  return spans;
}

/**
 * A paragraph's end in the last fifth of a chunk is a better place to cut than the last
 * sentence that fits.
 */
function endsWell(text: string, open: Span, next: Span, targetChars: number): boolean {
  const filled = open.end - open.start >= targetChars * 0.8;
  return filled && /\n\s*\n/.test(text.slice(open.end, next.start));
}

function cutLong(text: string, span: Span, maxChars: number): Span[] {
  const pieces: Span[] = [];
  let start = span.start;
  while (span.end - start > maxChars) {
    const limit = start + maxChars;
    const space = text.lastIndexOf(" ", limit);
    let end = space > start ? space : limit;
    // Never between the two halves of one character.
    if (/[\uDC00-\uDFFF]/.test(text.charAt(end))) end -= 1;
    if (end <= start) end = limit;
    pieces.push({ start, end });
    start = text.charAt(end) === " " ? end + 1 : end;
  }
  if (start < span.end) pieces.push({ start, end: span.end });
  return pieces;
}
