/**
 * Measures Cadre beside other libraries:
 *
 *   npm run bench -- [--only NAME[,NAME]] [--rounds N] [--json]
 *
 * Installs the rivals into `bench/node_modules` when they are not there, and needs the built
 * library (`npm run build`).
 */
import { spawnSync } from "node:child_process";
import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { runRow, type Outcome } from "./contest.ts";
import type { Row } from "./row.ts";
import { tableOf } from "./table.ts";

const here = import.meta.dirname;
const names = [
  "routing",
  "publish",
  "acks",
  "replay",
  "durable-task",
  "fairness",
  "handlers",
  "filters",
  "envelope",
  "requests",
  "memory-task",
  "postgres",
  "saga",
  "idle-agents",
];

const { values } = parseArgs({
  options: {
    only: { type: "string" },
    rounds: { type: "string", default: "5" },
    json: { type: "boolean", default: false },
    help: { type: "boolean", default: false },
  },
});
const only = values.only?.split(",");
const unknown = only?.find((name) => !names.includes(name));
const rounds = Number(values.rounds);

if (values.help || unknown !== undefined || !Number.isInteger(rounds) || rounds < 1) {
  if (unknown !== undefined) process.stderr.write(`There is no row "${unknown}".\n`);
  process.stderr.write(
    `bench [--only NAME[,NAME]] [--rounds N] [--json]\nrows: ${names.join(", ")}\n`,
  );
  process.exit(values.help ? 0 : 2);
}

if (!existsSync(join(here, "../packages/cadre/dist/index.js"))) {
  process.stderr.write("The library is not built. Run `npm run build` first.\n");
  process.exit(1);
}
if (!existsSync(join(here, "node_modules"))) install();

const about = { date: new Date().toISOString().slice(0, 10), rounds, versions: versions() };
say(about, `Cadre bench, ${about.date}, ${rounds} rounds\n${versionLines(about.versions)}\n`);

let missed = 0;
for (const name of only ?? names) {
  process.stderr.write(`bench: ${name}\n`);
  const { row } = (await import(`./rows/${name}.ts`)) as { readonly row: Row };
  const outcome = await runRow(name, row, rounds);
  missed += outcome.verdicts.filter(({ met }) => met === false).length;
  report(name, row, outcome);
}
process.stderr.write(`bench: ${missed === 0 ? "no goal missed" : `goals missed: ${missed}`}\n`);

/** The one native module in use is built last: without a compiler one rival is missing. */
function install(): void {
  for (const step of [
    ["ci", "--ignore-scripts"],
    ["rebuild", "sqlite3"],
  ]) {
    process.stderr.write(`bench: installing the rivals: npm ${step.join(" ")}\n`);
    const { status } = spawnSync("npm", step, { cwd: here, stdio: ["ignore", 2, 2] });
    if (status !== 0 && step[0] === "ci") process.exit(1);
  }
}

function report(name: string, row: Row, { entries, verdicts, left }: Outcome): void {
  const lines: object[] = entries.map((entry) => ({ row: name, ...entry }));
  for (const { goal, value, met } of verdicts) lines.push({ row: name, goal, value, met });
  for (const out of left) lines.push({ row: name, leftOut: out.name, reason: out.reason });
  say(lines, tableOf(`${name}: ${row.title}`, { entries, verdicts, left }));
}

/** JSON lines for programs, or the table for people. */
function say(lines: object | readonly object[], table: string): void {
  if (!values.json) process.stdout.write(`${table}\n`);
  else for (const line of [lines].flat()) process.stdout.write(`${JSON.stringify(line)}\n`);
}

function versions(): Record<string, string> {
  const { dependencies = {}, optionalDependencies = {} } = JSON.parse(
    readFileSync(join(here, "package.json"), "utf8"),
  ) as Record<string, Record<string, string>>;
  const sqlite = process.versions["sqlite"] ?? "?";
  return { node: process.versions.node, sqlite, ...dependencies, ...optionalDependencies };
}

function versionLines(all: Record<string, string>): string {
  const lines = [""];
  for (const [name, version] of Object.entries(all)) {
    const word = `${name} ${version}  `;
    if (lines.at(-1)!.length + word.length > 100) lines.push("");
    lines.push(`${lines.pop()}${word}`);
  }
  return lines.map((line) => line.trimEnd()).join("\n");
}
