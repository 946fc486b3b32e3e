/**
 * Measures the bus over each broker beside the broker's client used by hand:
 *
 *   node bench/transports.ts [--only BROKER[,BROKER]] [--part PART[,PART]]
 *     [--rounds N] [--seconds S] [--idle S] [--soak S] [--json FILE]
 *
 * Starts each server itself, for each part anew. Needs the built library (`npm run build`).
 */
import { appendFileSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { median, runRow, type Entry, type Outcome } from "./contest.ts";
import { scratchFolder } from "./load.ts";
import type { Row } from "./row.ts";
import { short, tableOf } from "./table.ts";
import { scenarioNames, soakRoundSeconds } from "./transports/scenarios.ts";
import { brokers } from "./transports/side.ts";

const { values } = parseArgs({
  options: {
    only: { type: "string", default: brokers.join() },
    part: { type: "string", default: scenarioNames.join() },
    rounds: { type: "string", default: "5" },
    seconds: { type: "string", default: "2" },
    idle: { type: "string", default: "10" },
    soak: { type: "string", default: "30" },
    json: { type: "string" },
  },
});
const only = chosen(values.only, brokers);
const parts = chosen(values.part, scenarioNames);
process.env["CADRE_BENCH_SECONDS"] = values.seconds;
process.env["CADRE_BENCH_IDLE_SECONDS"] = values.idle;
if (values.json !== undefined) writeFileSync(values.json, "");

const clients = ["@nats-io/transport-node", "ioredis", "amqplib", "@platformatic/kafka", "pg"];
const date = new Date().toISOString().slice(0, 10);
const versions = Object.fromEntries(clients.map((name) => [name, versionOf(name)]));
write({ date, rounds: Number(values.rounds), seconds: Number(values.seconds), versions });
process.stdout.write(
  `Cadre bench of the transports, ${date}, ${values.rounds} rounds of ${values.seconds} s\n` +
    `node ${process.versions.node}  ${Object.entries(versions).flat().join(" ")}\n\n`,
);

// The servers, and their folders, go when the process exits in order.
for (const signal of ["SIGINT", "SIGTERM"]) process.once(signal, () => process.exit(1));

// A server that starts or stops keeps no process alive by itself.
const alive = setInterval(() => {}, 60_000);
let missed = 0;
for (const broker of only) {
  const name = `transports-${broker}`;
  const { row } = (await import(`./rows/${name}.ts`)) as { readonly row: Row };
  const outcomes: Outcome[] = [];
  for (const part of parts) {
    process.stderr.write(`bench: ${name}: ${part}\n`);
    process.env["CADRE_BENCH_RATES"] = scratchFolder();
    outcomes.push(await runRow(name, partOf(row, part), roundsOf(part)));
  }
  const all: Outcome = {
    entries: outcomes.flatMap(({ entries }) => entries),
    verdicts: outcomes.flatMap(({ verdicts }) => verdicts),
    left: outcomes.flatMap(({ left }) => left),
  };
  missed += all.verdicts.filter(({ met }) => met === false).length;
  for (const entry of all.entries) write({ row: name, ...entry });
  for (const { goal, value, met } of all.verdicts) write({ row: name, goal, value, met });
  for (const { name: who, reason } of all.left) write({ row: name, leftOut: who, reason });
  process.stdout.write(`${tableOf(`${name}: ${row.title}`, all)}${slopes(name, all.entries)}\n`);
}
clearInterval(alive);
process.stderr.write(`bench: ${missed === 0 ? "no goal missed" : `goals missed: ${missed}`}\n`);

/** The row with the contenders, scenarios and goals of one part. */
function partOf(row: Row, part: string): Row {
  const contenders = Object.entries(row.contenders)
    .filter(([, { scenarios }]) => scenarios.includes(part))
    .map(([name, contender]) => [name, { ...contender, scenarios: [part] }] as const);
  const goals = row.goals.filter(({ of }) => of[1] === part);
  return { ...row, contenders: Object.fromEntries(contenders), goals };
}

function roundsOf(part: string): number {
  if (part === "soak") return Math.max(2, Math.round(Number(values.soak) / soakRoundSeconds));
  return part === "idle" ? 1 : Number(values.rounds);
}

/** How memory went over time: from the medians of the second and the last third. */
function slopes(name: string, entries: readonly Entry[]): string {
  let text = "";
  for (const { scenario, rounds } of entries) {
    if (scenario !== "soak") continue;
    for (const figure of ["rssMb", "heapMb"]) {
      const series = rounds.map((round) => round[figure]!);
      const third = Math.max(1, Math.floor(series.length / 3));
      const [before, after] = [
        median(series.slice(third, 2 * third)),
        median(series.slice(-third)),
      ];
      const minutes = (third * soakRoundSeconds) / 60;
      const perMinute = (after - before) / minutes;
      write({ row: name, soak: figure, from: before, to: after, perMinute });
      const change = `${short(before)} → ${short(after)}, ${perMinute.toFixed(2)} a minute`;
      text += `    soak ${figure}: ${change}\n`;
    }
  }
  return text;
}

function chosen<Name extends string>(list: string, all: readonly Name[]): readonly Name[] {
  return list.split(",").map((word) => {
    const name = all.find((each) => each === word || each.replaceAll(" ", "-") === word);
    if (name !== undefined) return name;
    process.stderr.write(`There is no "${word}"; there are: ${all.join(", ")}\n`);
    return process.exit(2);
  });
}

function versionOf(client: string): string {
  const path = join(import.meta.dirname, "../node_modules", client, "package.json");
  return (JSON.parse(readFileSync(path, "utf8")) as { readonly version: string }).version;
}

function write(line: object): void {
  if (values.json !== undefined) appendFileSync(values.json, `${JSON.stringify(line)}\n`);
}
