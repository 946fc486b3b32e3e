import type { DecadeNames } from "./graph.ts";
import { durationText, wholeNumber, wrapText } from "./text-layout.ts";

/** The figures of a run, in the order in which `--json` prints them. */
export interface Summary {
  readonly documents: number;
  readonly chunks: number;
  readonly entities: number;
  readonly events: number;
  readonly eventsPerSecond: number;
  readonly taskP50Ms: number;
  readonly taskP99Ms: number;
  readonly peakMemoryMb: number;
  readonly diskMb: number;
  readonly tasksLost: number;
  readonly duplicateEffects: number;
  readonly kills: number;
  readonly rejectedLateResults: number;
  readonly graphHash: string;
}

/** What only the text tells. */
export interface SummaryDetails {
  readonly elapsedMs: number;
  readonly mentions: number;
  readonly disagreements: number;
  readonly skippedFiles: number;
  readonly topNames: readonly DecadeNames[];
}

export interface SummaryStyle {
  /** @default 80 */
  readonly columns?: number;
  /** Bold headings by terminal codes; pass `stdout.isTTY`. @default false */
  readonly color?: boolean;
}

const keys = [
  "documents",
  "chunks",
  "entities",
  "events",
  "eventsPerSecond",
  "taskP50Ms",
  "taskP99Ms",
  "peakMemoryMb",
  "diskMb",
  "tasksLost",
  "duplicateEffects",
  "kills",
  "rejectedLateResults",
  "graphHash",
] as const satisfies readonly (keyof Summary)[];

/** The summary with figures of at most one decimal and its keys in their documented order. */
export function summaryJson(summary: Summary): Record<keyof Summary, number | string> {
  const entries = keys.map((key) => {
    const value = summary[key];
    return [key, typeof value === "number" ? Math.round(value * 10) / 10 : value] as const;
  });
  return Object.fromEntries(entries) as Record<keyof Summary, number | string>;
}

/** The summary as lines of text, none longer than `columns`. */
export function renderSummary(
  summary: Summary,
  details: SummaryDetails,
  style: SummaryStyle = {},
): string[] {
  const columns = style.columns ?? 80;
  const heading = (text: string): string => (style.color ? `\u001b[1m${text}\u001b[22m` : text);
  const skipped = details.skippedFiles > 0 ? ` (${wholeNumber(details.skippedFiles)} skipped)` : "";
  const rows: readonly (readonly [string, string])[] = [
    ["documents", `${wholeNumber(summary.documents)}${skipped}`],
    ["chunks", wholeNumber(summary.chunks)],
    ["entities", `${wholeNumber(summary.entities)} in ${wholeNumber(details.mentions)} mentions`],
    ["disagreements", wholeNumber(details.disagreements)],
    ["time", durationText(details.elapsedMs)],
    ["events", `${wholeNumber(summary.events)}, ${wholeNumber(summary.eventsPerSecond)} a second`],
    [
      "task latency",
      `${durationText(summary.taskP50Ms)} p50, ${durationText(summary.taskP99Ms)} p99`,
    ],
    ["peak memory", `${wholeNumber(summary.peakMemoryMb)} MB`],
    ["disk", `${summary.diskMb.toFixed(1)} MB`],
    ["tasks lost", wholeNumber(summary.tasksLost)],
    ["duplicate effects", wholeNumber(summary.duplicateEffects)],
    ["kills", wholeNumber(summary.kills)],
    ["late results", `${wholeNumber(summary.rejectedLateResults)} rejected`],
  ];
  const width = Math.max(...rows.map(([label]) => label.length));
  return [
    ...topNameLines(details.topNames, columns, heading),
    heading("Summary"),
    ...rows.flatMap(([label, value]) => hang(`  ${label.padEnd(width)}  `, value, columns)),
    ...hang(`  ${"graph".padEnd(width)}  `, `sha256 ${summary.graphHash.slice(0, 32)}`, columns),
    ...hang(" ".repeat(width + 11), summary.graphHash.slice(32), columns),
  ];
}

function topNameLines(
  decades: readonly DecadeNames[],
  columns: number,
  heading: (text: string) => string,
): string[] {
  if (decades.length === 0) return [];
  const width = Math.max(...decades.map(({ decade }) => decade.length));
  const lines = decades.flatMap(({ decade, names }) => {
    const list = names.map(({ name, mentions }) => `${name} ${wholeNumber(mentions)}`).join(", ");
    return hang(`  ${decade.padEnd(width)}  `, list, columns);
  });
  return [heading("Top names by decade"), ...lines, ""];
}

/** A label, its text beside it, and the text's further lines below its first. */
function hang(label: string, text: string, columns: number): string[] {
  const lines = wrapText(text, columns, " ".repeat(label.length));
  return lines.map((line, index) => (index === 0 ? label + line.slice(label.length) : line));
}
