/** `cadre schemas export`, `check` and `used`: event types over the releases of a program. */
import { existsSync } from "node:fs";
import { mkdir, readdir, readFile, writeFile } from "node:fs/promises";
import { join, resolve } from "node:path";
import type { Command } from "commander";

import { builtinEvents } from "../../core/builtin/registry.ts";
import { CadreError, describeError } from "../../core/errors.ts";
import { assertPattern } from "../../core/pattern.ts";
import { fullVersion } from "../../core/payload-version.ts";
import type { EventRegistry } from "../../core/registry.ts";
import {
  checkRelease,
  releasedSchemas,
  type ReleasedSchema,
  type ReleaseFinding,
} from "../../core/released-schemas.ts";
import { compatibilityModes, type CompatibilityMode } from "../../core/schema-compatibility.ts";
import { storedVersions, type StoredVersion } from "../../store/stored-versions.ts";
import { oneOfWords } from "../arguments.ts";
import type { CommandContext } from "../command-context.ts";
import { loadConfig } from "../config.ts";
import { exitCodes } from "../exit-code.ts";
import { withStore, type HomeFlags } from "../home.ts";
import { tableLines, type Column } from "../table.ts";
import { homeFlags, printing } from "./home-flags.ts";

interface CheckFlags {
  readonly mode?: CompatibilityMode;
  readonly allowUndecided?: boolean;
  readonly json?: boolean;
}

interface UsedFlags extends HomeFlags {
  readonly type?: string;
  readonly json?: boolean;
}

/** Adds the commands below `cadre schemas`. */
export function addSchemaRelease(schemas: Command, context: CommandContext): void {
  const exporting = schemas.command("export").summary("write the schemas of a release to a folder");
  exporting
    .description(
      "Writes each version of each event type to a file of its own, TYPE@VERSION.json. Files of " +
        "other versions stay: the folder is the record of what was released. Keep it beside " +
        "the code.",
    )
    .argument("<dir>", "the folder");
  printing(exporting, ["cadre schemas export schemas/"]);
  // `--json` is a flag of `schemas` too, and commander gives it to that one.
  exporting.action((dir: string) => exportSchemas(context, dir, exporting.optsWithGlobals()));
  const checking = schemas.command("check").summary("check the schemas against a release");
  checking
    .description(
      "Compares the registry with the schemas that `cadre schemas export` wrote. Ends with 1 " +
        "when something breaks, or cannot be decided.",
    )
    .argument("<dir>", "the folder")
    .option(
      "--mode <mode>",
      `${compatibilityModes.join(", ")}; in place of what the registry asks`,
      oneOfWords(compatibilityModes),
    )
    .option("--allow-undecided", "end with 0 when nothing breaks for certain");
  printing(checking, ["cadre schemas check schemas/", "cadre schemas check schemas/ --mode full"]);
  checking.action((dir: string) => checkSchemas(context, dir, checking.optsWithGlobals()));
  const using = schemas.command("used").summary("list the versions of payloads in the store");
  using
    .description("Lists which versions of which event types the store holds: reads all of its log.")
    .option("--type <pattern>", 'types that match: "order.*"');
  printing(homeFlags(using), ["cadre schemas used", 'cadre schemas used --type "order.#" --json']);
  using.action(() => usedVersions(context, using.optsWithGlobals()));
}

async function registryOf(context: CommandContext): Promise<EventRegistry> {
  const { config } = await loadConfig({ cwd: context.cwd, env: context.env });
  return config.events ?? builtinEvents;
}

async function exportSchemas(
  context: CommandContext,
  dir: string,
  flags: { readonly json?: boolean },
): Promise<void> {
  const { output, cwd } = context;
  const folder = resolve(cwd, dir);
  const schemas = releasedSchemas(await registryOf(context));
  await mkdir(folder, { recursive: true });
  let written = 0;
  for (const schema of schemas) {
    const path = join(folder, fileName(schema));
    const text = `${JSON.stringify(schema, undefined, 2)}\n`;
    if (existsSync(path) && (await readFile(path, "utf8")) === text) continue;
    await writeFile(path, text);
    written += 1;
  }
  const total = schemas.length;
  if (flags.json) return output.json({ folder, schemas: total, written });
  return output.text(`${total} schemas are in ${folder}; ${written} of them are new or changed.`);
}

/** A family's name has characters that files should not have. */
function fileName({ type, version }: ReleasedSchema): string {
  return `${type.replaceAll("*", "%2A").replaceAll("#", "%23")}@${version}.json`;
}

async function checkSchemas(
  context: CommandContext,
  dir: string,
  flags: CheckFlags,
): Promise<void> {
  const { output, cwd } = context;
  const released = await readRelease(resolve(cwd, dir));
  const findings = checkRelease(await registryOf(context), released, flags.mode);
  for (const finding of findings) {
    if (flags.json) await output.json(finding);
    else await output.line(findingLine(finding));
  }
  const broken = findings.filter(({ verdict }) => verdict === "breaking").length;
  const open = findings.length - broken;
  if (broken > 0 || (open > 0 && !flags.allowUndecided)) context.exit(exitCodes.failed);
  if (flags.json) return;
  const counted = `${released.length} released schemas: ${broken} breaking, ${open} undecided.`;
  output.note(findings.length === 0 ? `${released.length} released schemas: all fit.` : counted);
}

function findingLine(finding: ReleaseFinding): string {
  const { type, version, direction, verdict, path, kind, message } = finding;
  return `${type}@${version} ${verdict} ${direction} ${kind} ${path}: ${message}`;
}

async function readRelease(folder: string): Promise<readonly ReleasedSchema[]> {
  if (!existsSync(folder)) {
    const message = `There is no folder ${folder}. "cadre schemas export" writes it.`;
    throw new CadreError("NOT_FOUND", message, { what: "folder", id: folder });
  }
  const names = (await readdir(folder)).filter((name) => name.endsWith(".json")).toSorted();
  const released: ReleasedSchema[] = [];
  for (const name of names) {
    released.push(parseReleased(join(folder, name), await readFile(join(folder, name), "utf8")));
  }
  return released;
}

function parseReleased(path: string, text: string): ReleasedSchema {
  let value: Partial<ReleasedSchema> | null;
  try {
    value = JSON.parse(text) as Partial<ReleasedSchema> | null;
  } catch (error) {
    throw noSchema(path, describeError(error).message);
  }
  const { type, version, schema } = value ?? {};
  if (typeof type !== "string" || typeof version !== "string") throw noSchema(path, "no type");
  if (fullVersion(version) === undefined) throw noSchema(path, `no version: ${version}`);
  if (typeof schema !== "object") throw noSchema(path, "no schema");
  return { type, version: fullVersion(version)!, schema };
}

function noSchema(path: string, why: string): CadreError {
  const message = `${path} is no file that "cadre schemas export" wrote: ${why}.`;
  return new CadreError("INVALID_OPTION", message, { option: "dir", value: path });
}

interface UsedRow extends StoredVersion {
  readonly reads: "current" | "upcast" | "as it is" | "no" | "unknown type";
}

async function usedVersions(context: CommandContext, flags: UsedFlags): Promise<void> {
  const { output } = context;
  if (flags.type !== undefined) assertPattern(flags.type);
  const registry = await registryOf(context);
  await withStore(context, flags, async (store) => {
    const query = flags.type === undefined ? {} : { type: flags.type };
    const rows = (await storedVersions(store, query)).map((row) => ({
      ...row,
      reads: readsHow(registry, row),
    }));
    if (flags.json) for (const row of rows) await output.json(row);
    else if (rows.length === 0) output.note("No event matches.");
    else await output.lines(tableLines(output, usedColumns, rows));
  });
}

/** How the registry reads events of this version. */
function readsHow(registry: EventRegistry, { type, version }: StoredVersion): UsedRow["reads"] {
  const info = registry.find(type) ?? builtinEvents.find(type);
  if (!info) return "unknown type";
  const full = fullVersion(version);
  if (full === info.version) return "current";
  if (full !== undefined && info.upcasts.includes(full)) return "upcast";
  return full !== undefined && info.readable.includes(full) ? "as it is" : "no";
}

const usedColumns: readonly Column<UsedRow>[] = [
  { title: "type", text: ({ type }) => type, least: 16, style: () => "cyan" },
  { title: "version", text: ({ version }) => version },
  { title: "events", text: ({ count }) => String(count), align: "right" },
  { title: "first", text: ({ first }) => String(first), align: "right" },
  { title: "last", text: ({ last }) => String(last), align: "right" },
  {
    title: "read",
    text: ({ reads }) => reads,
    style: ({ reads }) => (reads === "no" ? "red" : "dim"),
  },
];
