import { median, type Entry, type Outcome, type Verdict } from "./contest.ts";

/** Lines of at most 100 columns. */
export function tableOf(title: string, outcome: Outcome): string {
  const lines = [title];
  for (const verdict of outcome.verdicts) lines.push(verdictLine(verdict));
  lines.push(...outcome.entries.map(entryLine));
  for (const { name, reason } of outcome.left) {
    lines.push(`    left out: ${name}: ${reason.split("\n")[0]}`.slice(0, 100));
  }
  return `${lines.join("\n")}\n`;
}

function verdictLine({ goal, value, met }: Verdict): string {
  const unit = goal.over ? "×" : "";
  const { atLeast, atMost = 0 } = goal;
  const bound = atLeast === undefined ? `≤ ${Number(atMost.toFixed(2))}` : `≥ ${atLeast}`;
  const shown = value === undefined ? "–" : `${short(value)}${unit}`;
  const word = met === undefined ? "not run" : met ? "met" : "MISSED";
  return `  ${goal.what.padEnd(62)} ${shown.padStart(9)}  ${`${bound}${unit}`.padEnd(13)} ${word}`;
}

function entryLine({ contender, scenario, rounds }: Entry): string {
  const names = Object.keys(rounds[0] ?? {});
  const figures = names.map((name) => `${name} ${short(median(rounds.map((r) => r[name]!)))}`);
  return `    ${contender.padEnd(14)} ${scenario.padEnd(22)} ${figures.join(", ")}`;
}

export function short(value: number): string {
  if (value >= 1_000_000) return `${(value / 1_000_000).toFixed(2)} M`;
  if (value >= 10_000) return `${(value / 1_000).toFixed(1)} k`;
  if (value >= 100) return value.toFixed(0);
  return value >= 10 ? value.toFixed(1) : value.toFixed(2);
}
