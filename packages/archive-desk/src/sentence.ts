/** A half-open range of characters: `text.slice(start, end)`. */
export interface Span {
  readonly start: number;
  readonly end: number;
}

// A full stop after one of these, or after a single capital ("U. S. Grant"), ends no sentence.
const shortened =
  "Mr|Mrs|Ms|Messrs|Dr|Gen|Col|Capt|Lieut|Lt|Maj|Adm|Gov|Sen|Rep|Hon|Rev|Prof|St|No|Nos|Art|Sec|" +
  "Jr|Sr|vs|etc|viz|Co|Inc|Ltd|Jan|Feb|Mar|Apr|Aug|Sept|Oct|Nov|Dec";
const abbreviation = new RegExp(`(?:^|[\\s("'“‘])(?:[A-Z]|(?:[A-Z]\\.)+[A-Z]|${shortened})$`);
const candidate = /\n\s*\n|[.!?]["'”’)\]]*(?:\s+(?=["'“‘([]*[A-Z0-9])|\s*$)/g;
const abbreviationWindow = 16; // characters: longer than any entry above

/** The sentences of a text, in order, without the white space between them. */
export function splitSentences(text: string): Span[] {
  const spans: Span[] = [];
  let start = 0;
  for (const match of text.matchAll(candidate)) {
    const before = text.slice(Math.max(0, match.index - abbreviationWindow), match.index);
    if (match[0].startsWith(".") && abbreviation.test(before) && !/\n\s*\n/.test(match[0])) {
      continue;
    }
    const end = match.index + match[0].length;
    pushTrimmed(spans, text, { start, end });
    start = end;
  }
  pushTrimmed(spans, text, { start, end: text.length });
  return spans;
}

function pushTrimmed(spans: Span[], text: string, span: Span): void {
  const piece = text.slice(span.start, span.end);
  const trimmed = piece.trim();
  if (trimmed === "") return;
  const start = span.start + piece.indexOf(trimmed);
  spans.push({ start, end: start + trimmed.length });
}
