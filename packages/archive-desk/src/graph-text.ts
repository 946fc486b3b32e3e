import type { Answer, Companion, GraphReply, Quote } from "./graph-query.ts";
import { fitText, wholeNumber, wrapText } from "./text-layout.ts";

const barLength = 30; // columns of the longest decade
const sentenceLength = 400; // characters of a quote; some sentences of the time fill a page

/** The reply of the graph as lines of text, none longer than `columns`. */
export function renderReply(reply: GraphReply, columns = 80): string[] {
  if (reply.found) return renderAnswer(reply.answer, columns);
  const lines = wrapText(`The graph has no "${reply.asked}".`, columns);
  if (reply.nearest.length === 0) return lines;
  return [...lines, ...wrapText(`Nearest names: ${reply.nearest.join(", ")}.`, columns)];
}

function renderAnswer(answer: Answer, columns: number): string[] {
  const { name, kind, mentions, documents } = answer;
  const lines = [
    fitText(`${name} (${kind})`, columns),
    `${wholeNumber(mentions)} mentions in ${wholeNumber(documents)} documents`,
    "",
    "When",
    ...whenLines(answer),
    ...section("Where", answer.where, columns),
    ...section("With", answer.withWhom, columns),
    "",
    `Said (${answer.said.length} of ${wholeNumber(mentions)})`,
    ...answer.said.flatMap((quote) => quoteLines(quote, columns)),
  ];
  if (answer.alternatives.length > 0) {
    const others = answer.alternatives.map((other) => `${other.name} (${other.kind})`).join(", ");
    lines.push("", ...wrapText(`Also by this name: ${others}`, columns));
  }
  return lines;
}

function whenLines({ when }: Answer): string[] {
  if (when.length === 0) return ["  no dated document"];
  const decades = new Map<number, number>();
  for (const { year, mentions } of when) {
    const decade = Math.floor(year / 10) * 10;
    decades.set(decade, (decades.get(decade) ?? 0) + mentions);
  }
  const most = Math.max(...decades.values());
  return [...decades].map(([decade, count]) => {
    const bar = "#".repeat(Math.max(1, Math.round((count / most) * barLength)));
    return `  ${decade}s ${bar} ${wholeNumber(count)}`;
  });
}

function section(title: string, companions: readonly Companion[], columns: number): string[] {
  if (companions.length === 0) return [];
  const list = companions.map(({ name, sentences }) => `${name} ${sentences}`).join(", ");
  return ["", title, ...wrapText(list, columns, "  ")];
}

function quoteLines(quote: Quote, columns: number): string[] {
  const place = `${quote.title} [${quote.document} ${quote.start}-${quote.end}]`;
  const sentence = fitText(quote.sentence.replace(/\s+/g, " "), sentenceLength);
  return ["", ...wrapText(place, columns, "  "), ...wrapText(sentence, columns, "    ")];
}
