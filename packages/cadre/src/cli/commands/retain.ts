import { readFileSync } from "node:fs";
import { resolve } from "node:path";
import type { Command } from "commander";

import { teamStreams } from "../../agents/team-streams.ts";
import { CadreError } from "../../core/errors.ts";
import type { EventStore } from "../../store/event-store.ts";
import { runRetention, type RetentionReport, type RuleReport } from "../../store/retention.ts";
import type { RetentionRule } from "../../store/retention-rule.ts";
import { parseJson, wholeFrom } from "../arguments.ts";
import type { CommandContext } from "../command-context.ts";
import { withStore } from "../home.ts";
import { countText, sizeText } from "../size-text.ts";
import { tableLines, type Column } from "../table.ts";
import { parseInstant } from "../time-text.ts";
import { printing } from "./home-flags.ts";
import { storeFlags, storeHome, type StoreFlags } from "./store-flags.ts";

interface RetainFlags extends StoreFlags {
  readonly type?: string;
  readonly stream?: string;
  readonly olderThan?: string;
  readonly maxEvents?: number;
  readonly maxBytes?: number;
  readonly rules?: string;
  readonly limit?: number;
  readonly compact?: boolean;
  readonly dryRun?: boolean;
  readonly yes?: boolean;
  readonly json?: boolean;
}

/** `cadre retain` */
export function addRetain(program: Command, context: CommandContext): void {
  const command = program.command("retain").summary("remove old events that nobody needs");
  command
    .description(
      "Removes events by a rule, or by a file of rules, and leaves what a group, a relay, a " +
        "projection, the audit or unfinished work still needs. Each removal is recorded in the " +
        "log. What is removed cannot be brought back.",
    )
    .option("--type <pattern>", 'events whose type matches: "note.*"')
    .option("--stream <prefix>", "events of streams that begin so: task/")
    .option("--older-than <time>", "recorded longer ago: 12h, 30d")
    .option("--max-events <number>", "the oldest beyond so many", wholeFrom(0))
    .option("--max-bytes <number>", "the oldest beyond so many bytes of payload", wholeFrom(0))
    .option("--rules <file>", "a JSON list of rules instead")
    .option("--limit <number>", "remove at most so many rows", wholeFrom(1))
    .option("--compact", "give the room back to the disk; nobody can write meanwhile")
    .option("--dry-run", "only say what would go")
    .option("--yes", "really remove");
  printing(storeFlags(command), [
    'cadre retain --type "note.*" --older-than 30d --dry-run',
    "cadre retain --stream task/ --older-than 90d --yes",
    "cadre retain --rules retention.json --yes --compact",
  ]);
  command.action((flags: RetainFlags) => retain(context, flags));
}

async function retain(context: CommandContext, flags: RetainFlags): Promise<void> {
  const { output, clock } = context;
  const rules = rulesOf(context, flags);
  const dryRun = flags.dryRun ?? false;
  if (!dryRun && !flags.yes) {
    const message = "What is removed is gone. Look with --dry-run first, then add --yes.";
    throw new CadreError("INVALID_OPTION", message, { option: "yes" });
  }
  await withStore(context, storeHome(flags, context.cwd), async (store) => {
    const report = await runRetention({
      store,
      rules,
      guards: teamStreams,
      dryRun,
      maxRows: flags.limit ?? Number.MAX_SAFE_INTEGER,
      clock,
    });
    const freed = flags.compact && !dryRun ? await compact(store) : undefined;
    if (flags.json) {
      return output.json({ ...report, dryRun, ...(freed === undefined ? {} : { freed }) });
    }
    await output.lines(tableLines(output, columns(dryRun), report.rules));
    await output.line("");
    await output.text(summary(report, dryRun));
    if (freed !== undefined) await output.text(`${sizeText(freed)} were given back to the disk.`);
  });
}

/** How many bytes the disk has got back. */
async function compact(store: EventStore): Promise<number> {
  if (!store.compact) {
    const message = `${store.name} gives room back by itself: leave --compact out.`;
    throw new CadreError("UNSUPPORTED", message, { feature: "compact", by: store.name });
  }
  const before = (await store.usage()).bytes ?? 0;
  await store.compact();
  return Math.max(0, before - ((await store.usage()).bytes ?? 0));
}

/** @throws {CadreError} INVALID_OPTION | NOT_FOUND */
function rulesOf({ clock, cwd }: CommandContext, flags: RetainFlags): readonly RetentionRule[] {
  const { type, stream, olderThan, maxEvents, maxBytes } = flags;
  if (flags.rules !== undefined) {
    const rules = parseJson("--rules", readRules(flags.rules, cwd));
    if (Array.isArray(rules)) return rules as readonly RetentionRule[]; // checked by runRetention
    const message = 'A file of rules holds a JSON list: [{"type":"note.*","maxAgeMs":86400000}]';
    throw new CadreError("INVALID_OPTION", message, { option: "rules", value: flags.rules });
  }
  const now = clock.now();
  return [
    {
      ...(type === undefined ? {} : { type }),
      ...(stream === undefined ? {} : { streamPrefix: stream }),
      ...(olderThan === undefined
        ? {}
        : { maxAgeMs: now - parseInstant("--older-than", olderThan, now) }),
      ...(maxEvents === undefined ? {} : { maxEvents }),
      ...(maxBytes === undefined ? {} : { maxBytes }),
    },
  ];
}

function readRules(file: string, cwd: string): string {
  try {
    return readFileSync(resolve(cwd, file), "utf8");
  } catch (error) {
    const message = `The rules in ${file} cannot be read.`;
    throw new CadreError("NOT_FOUND", message, { what: "file", id: file }, error);
  }
}

function columns(dryRun: boolean): readonly Column<RuleReport>[] {
  const number = (count: number): string => count.toLocaleString("en-US");
  return [
    { title: "rule", text: ({ rule }) => rule, least: 12 },
    { title: "events", text: ({ matched }) => number(matched), align: "right" },
    {
      title: dryRun ? "would go" : "removed",
      text: ({ removed }) => number(removed),
      align: "right",
    },
    { title: "needed", text: ({ held }) => number(held), align: "right" },
  ];
}

function summary({ removed, isCutShort, holds }: RetentionReport, dryRun: boolean): string {
  const lowest = holds.reduce<(typeof holds)[number] | undefined>(
    (least, each) => (least && least.after <= each.after ? least : each),
    undefined,
  );
  return [
    `${countText(removed, "event")} ${dryRun ? "would be removed" : "removed"}.`,
    ...(isCutShort ? ["There is more: run it again."] : []),
    ...(lowest ? [`Everything after position ${lowest.after} is needed by ${lowest.by}.`] : []),
  ].join(" ");
}
