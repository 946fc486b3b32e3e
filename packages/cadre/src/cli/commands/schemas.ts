import type { Command } from "commander";

import { builtinEvents } from "../../core/builtin/registry.ts";
import { CadreError } from "../../core/errors.ts";
import { nearestName } from "../../core/options.ts";
import { compilePattern } from "../../core/pattern.ts";
import type { EventRegistry, EventTypeInfo } from "../../core/registry.ts";
import type { CommandContext } from "../command-context.ts";
import { loadConfig } from "../config.ts";
import { fieldLines } from "../field-lines.ts";
import { tableLines, type Column } from "../table.ts";
import { printing } from "./home-flags.ts";
import { addSchemaRelease } from "./schema-release.ts";

interface SchemaFlags {
  readonly json?: boolean;
}

/** `cadre schemas` */
export function addSchemas(program: Command, context: CommandContext): void {
  const command = program.command("schemas").summary("list event types, or show the schema of one");
  command
    .description(
      "Lists the event types of the configured registry, or of the built-in one, or shows the schema of one type.",
    )
    .argument("[type]", 'a type, or a pattern: "task.*"');
  printing(command, [
    "cadre schemas",
    'cadre schemas "task.*"',
    "cadre schemas task.created --json | jq .schema",
  ]);
  command.action((type: string | undefined, flags: SchemaFlags) => schemas(context, type, flags));
  addSchemaRelease(command, context);
}

async function schemas(
  context: CommandContext,
  type: string | undefined,
  flags: SchemaFlags,
): Promise<void> {
  const { output } = context;
  const { config } = await loadConfig({ cwd: context.cwd, env: context.env });
  const registry = config.events ?? builtinEvents;
  const isPattern = type !== undefined && /[*#]/.test(type);
  if (type !== undefined && !isPattern) return showSchema(context, registry, type, flags);
  const matches = isPattern ? compilePattern(type) : () => true;
  const found = registry.list().filter((info) => info.type === type || matches(info.type));
  const infos = found.toSorted((left, right) => (left.type < right.type ? -1 : 1));
  if (infos.length === 0) throw notFound(registry, type ?? "#");
  if (flags.json) for (const info of infos) await output.json(info);
  else await output.lines(tableLines(output, columns, infos));
}

const columns: readonly Column<EventTypeInfo>[] = [
  { title: "type", text: ({ type }) => type, least: 24, style: () => "cyan" },
  { title: "version", text: ({ version }) => version },
  { title: "meaning", text: ({ description }) => description ?? "", least: 10 },
];

async function showSchema(
  context: CommandContext,
  registry: EventRegistry,
  type: string,
  flags: SchemaFlags,
): Promise<void> {
  const { output } = context;
  const info = registry.find(type);
  if (!info) throw notFound(registry, type);
  if (flags.json) return output.json(info);
  await output.lines(
    fieldLines(output, [
      ["type", info.type === type ? type : `${type} (by ${info.type})`],
      ["version", info.version],
      ["reads", info.readable.join(", ")],
      ["compatibility", info.compatibility],
      ["meaning", info.description],
    ]),
  );
  await output.line("");
  const schema = info.schema === undefined ? undefined : JSON.stringify(info.schema, undefined, 2);
  if (schema === undefined)
    return output.text("It has no JSON Schema: any object, or checked by code.");
  await output.lines(schema.split("\n"));
}

function notFound(registry: EventRegistry, type: string): CadreError {
  const names = registry.list().map((info) => info.type);
  const closest = nearestName(type, names);
  const hint = closest === undefined ? ' "cadre schemas" lists them.' : ` Did you mean ${closest}?`;
  const message = `There is no event type ${type} in the registry.${hint}`;
  return new CadreError("NOT_FOUND", message, { what: "event type", id: type });
}
