import type { Command } from "commander";

import type { StoreUsage, TypeUsage } from "../../store/event-store.ts";
import type { CommandContext } from "../command-context.ts";
import { fieldLines } from "../field-lines.ts";
import { withStore } from "../home.ts";
import { sizeText } from "../size-text.ts";
import { tableLines, type Column } from "../table.ts";
import { printing } from "./home-flags.ts";
import { storeFlags, storeHome, type StoreFlags } from "./store-flags.ts";

interface UsageFlags extends StoreFlags {
  readonly types?: boolean;
  readonly json?: boolean;
}

/** `cadre usage` */
export function addUsage(program: Command, context: CommandContext): void {
  const command = program.command("usage").summary("show what the store holds and takes");
  command
    .description("Shows how much the store holds, and what it takes on disk.")
    .option("--types", "by event type as well; reads the whole log");
  printing(storeFlags(command), ["cadre usage", "cadre usage --types --json | jq .types"]);
  command.action((flags: UsageFlags) => usage(context, flags));
}

const number = (count: number): string => count.toLocaleString("en-US");

const columns: readonly Column<TypeUsage>[] = [
  { title: "type", text: ({ type }) => type, least: 12, style: () => "cyan" },
  { title: "events", text: ({ events }) => number(events), align: "right" },
  { title: "payloads", text: ({ payloadBytes }) => sizeText(payloadBytes), align: "right" },
];

async function usage(context: CommandContext, flags: UsageFlags): Promise<void> {
  const { output } = context;
  await withStore(context, storeHome(flags, context.cwd), async (store) => {
    const found = await store.usage({ byType: flags.types ?? false });
    if (flags.json) return output.json(found);
    await output.lines(fieldLines(output, fieldsOf(found)));
    if (!found.types) return;
    await output.line("");
    await output.lines(tableLines(output, columns, found.types));
  });
}

function fieldsOf(found: StoreUsage): readonly (readonly [string, string | undefined])[] {
  const size = (bytes: number | undefined): string | undefined =>
    bytes === undefined ? undefined : sizeText(bytes);
  return [
    ["on disk", size(found.bytes)],
    ["write-ahead log", size(found.walBytes)],
    ["free inside", size(found.freeBytes)],
    ["events", number(found.events)],
    ["last position", number(found.head)],
    ["streams", number(found.streams)],
    ["slots", number(found.slots)],
  ];
}
