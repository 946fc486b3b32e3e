/**
 * What the suites have found, transport by transport: read from what they leave behind, printed,
 * and kept in docs/reference/conformance.json, of which tables are made.
 */
import { existsSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import type { CheckResult } from "cadre/testing";

export type Outcome = CheckResult["outcome"];

/** Check → outcome, with `: ` and the reason where there is one. */
export type TransportReport = Readonly<Record<string, string>>;

/** Transport → what the suite has found. */
export type ConformanceTable = Readonly<Record<string, TransportReport>>;

interface SuiteReport {
  readonly transport: string;
  readonly results: readonly Pick<CheckResult, "id" | "outcome" | "reason">[];
}

export const outcomes: readonly Outcome[] = [
  "passed",
  "emulated",
  "refused",
  "not applicable",
  "failed",
];

// What is found by one suite of a transport and not by another counts, a failure most of all.
const weights: readonly Outcome[] = ["not applicable", "refused", "emulated", "passed", "failed"];

const path = join(
  dirname(fileURLToPath(import.meta.url)),
  "..",
  "docs",
  "reference",
  "conformance.json",
);

export function outcomeOf(found: string): Outcome {
  return (found.split(": ", 1)[0] ?? found) as Outcome;
}

/** The text behind the outcome. */
export function reasonOf(found: string): string | undefined {
  const at = found.indexOf(": ");
  return at === -1 ? undefined : found.slice(at + 2);
}

/** Puts the reports of a folder together. A reason of failure is left out: it has its own lines. */
export function readReports(folder: string): ConformanceTable {
  const files = existsSync(folder) ? readdirSync(folder).toSorted() : [];
  return merge(
    files.map((file) => JSON.parse(readFileSync(join(folder, file), "utf8")) as SuiteReport),
  );
}

export function merge(reports: readonly SuiteReport[]): ConformanceTable {
  const table: Record<string, Record<string, string>> = {};
  for (const { transport, results } of reports) {
    const rows = (table[transport] ??= {});
    for (const { id, outcome, reason } of results) {
      const text = reason === undefined || outcome === "failed" ? outcome : `${outcome}: ${reason}`;
      const before = rows[id];
      const isHeavier =
        before === undefined || weights.indexOf(outcome) > weights.indexOf(outcomeOf(before));
      if (isHeavier) rows[id] = text;
    }
  }
  return table;
}

/** How many checks of a transport came out how. */
export function countsOf(report: TransportReport): Readonly<Record<Outcome, number>> {
  const counts = { passed: 0, emulated: 0, refused: 0, failed: 0, "not applicable": 0 };
  for (const found of Object.values(report)) counts[outcomeOf(found)] += 1;
  return counts;
}

/** One line a transport, then what did not apply, with its reasons. */
export function printTable(table: ConformanceTable): void {
  const width = Math.max(9, ...Object.keys(table).map((name) => name.length));
  console.log(["transport".padEnd(width), ...outcomes].join("  "));
  for (const [transport, report] of Object.entries(table)) {
    const counts = countsOf(report);
    const cells = outcomes.map((outcome) => String(counts[outcome]).padStart(outcome.length));
    console.log([transport.padEnd(width), ...cells].join("  "));
  }
  for (const [transport, report] of Object.entries(table)) {
    for (const [reason, ids] of reasonsOf(report)) {
      console.log(`${transport}: ${ids.join(", ")} ${reason}`);
    }
  }
}

/** Outcome and reason → the checks. */
export function reasonsOf(report: TransportReport): ReadonlyMap<string, readonly string[]> {
  const reasons = new Map<string, string[]>();
  for (const [id, found] of Object.entries(report)) {
    if (reasonOf(found) === undefined) continue;
    reasons.set(found, [...(reasons.get(found) ?? []), id]);
  }
  return reasons;
}

export function readCommitted(): ConformanceTable {
  return JSON.parse(readFileSync(path, "utf8")) as ConformanceTable;
}

/** Keeps what was found, beside what is known of transports that did not run. */
export function writeCommitted(table: ConformanceTable): void {
  const all = { ...(existsSync(path) ? readCommitted() : {}), ...table };
  const sorted = Object.fromEntries(
    Object.entries(all).map(([transport, report]) => [transport, inOrder(report)]),
  );
  writeFileSync(path, `${JSON.stringify(sorted, undefined, 2)}\n`);
}

function inOrder(report: TransportReport): TransportReport {
  const number = (id: string): number => Number.parseInt(id.slice(2), 10);
  const entries = Object.entries(report).toSorted(
    ([left], [right]) => number(left) - number(right) || (left < right ? -1 : 1),
  );
  return Object.fromEntries(entries);
}

/**
 * Where a run parts from what is kept. A server that the user runs cannot be restarted: what does
 * not apply for want of that is not a difference.
 */
export function differences(run: ConformanceTable, kept: ConformanceTable): readonly string[] {
  const lines: string[] = [];
  for (const [transport, report] of Object.entries(run)) {
    for (const [id, found] of Object.entries(report)) {
      const before = kept[transport]?.[id];
      if (found === before || reasonOf(found)?.startsWith("the caller gave no way")) continue;
      if (outcomeOf(found) === "failed") continue; // said already
      lines.push(`${transport} ${id}: ${found}; the page has ${before ?? "nothing"}`);
    }
  }
  return lines;
}
