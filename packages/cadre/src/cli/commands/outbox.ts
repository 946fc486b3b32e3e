import type { Command } from "commander";

import { CadreError } from "../../core/errors.ts";
import type { SqlDatabase } from "../../core/sql.ts";
import type { OutboxBacklog, OutboxEntry, OutboxQuery } from "../../outbox/outbox-backlog.ts";
import type { OutboxState } from "../../outbox/outbox-table.ts";
import { createOutbox, type Outbox } from "../../outbox/outbox.ts";
import { oneOfWords, wholeFrom } from "../arguments.ts";
import type { CommandContext } from "../command-context.ts";
import { databaseError, openOutboxDatabase } from "../outbox-database.ts";
import { tableLines, type Column } from "../table.ts";
import { durationText } from "../time-text.ts";
import { printing, refuseWords, withExamples } from "./home-flags.ts";

const states = ["waiting", "published", "aside", "skipped"] as const satisfies OutboxState[];
const page = 500;

interface OutboxFlags {
  readonly url?: string;
  readonly table?: string;
  readonly json?: boolean;
}

interface ListFlags extends OutboxFlags {
  readonly state?: OutboxState;
  readonly stuck?: boolean;
  readonly key?: string;
  readonly limit?: number;
}

interface ActFlags extends OutboxFlags {
  readonly all?: boolean;
}

/** `cadre outbox` */
export function addOutbox(program: Command, context: CommandContext): void {
  const outbox = program
    .command("outbox")
    .summary("list, retry and skip events that wait in an outbox");
  outbox.description(
    "Events in the outbox of your own database: what waits for a relay, is stuck, or was set aside. Without a command it lists what is not published.",
  );
  withExamples(outbox, [
    "cadre outbox --url postgres://localhost/shop",
    "cadre outbox stuck --json",
    "cadre outbox skip 4711",
  ]);
  const list = outbox.command("list", { isDefault: true }).summary("list rows, the oldest first");
  list.description("Lists rows, the oldest first: those that wait or were set aside.");
  list
    .option("--state <word>", `only these: ${states.join(", ")}`, oneOfWords(states))
    .option("--stuck", "only rows that wait and were refused at least five times")
    .option("--key <key>", "rows of one key")
    .option("--limit <number>", "at most so many (preset: 100)", wholeFrom(1));
  printing(databaseFlags(list), ["cadre outbox", "cadre outbox list --state aside --json"]);
  list.allowExcessArguments().action((flags: ListFlags) => {
    refuseWords(list);
    return listRows(context, flags);
  });

  const stuck = outbox.command("stuck").summary("list what is stuck or set aside, with its error");
  stuck.description("Lists rows that were refused at least five times, and those set aside.");
  printing(databaseFlags(stuck), ["cadre outbox stuck"]);
  stuck.action((flags: OutboxFlags) => listStuck(context, flags));

  const retry = outbox.command("retry").summary("publish rows now that wait for another attempt");
  retry
    .description("Makes rows due now: those that wait for another attempt, or were set aside.")
    .argument("[positions...]", "positions, as the list shows them")
    .option("--all", "all that are stuck or set aside");
  printing(databaseFlags(retry), ["cadre outbox retry 4711", "cadre outbox retry --all"]);
  retry.action((positions: string[], flags: ActFlags) => act(context, positions, flags, "retry"));

  const skip = outbox.command("skip").summary("give rows up, so that their keys go on");
  skip
    .description("Gives rows up: they are never published, and what waits behind them goes on.")
    .argument("[positions...]", "positions, as the list shows them")
    .option("--all", "all that are stuck or set aside");
  printing(databaseFlags(skip), ["cadre outbox skip 4711"]);
  skip.action((positions: string[], flags: ActFlags) => act(context, positions, flags, "skip"));
}

function databaseFlags(command: Command): Command {
  return command
    .option(
      "--url <url>",
      "the database: sqlite:PATH, postgres://…, mysql://… (preset: CADRE_OUTBOX)",
    )
    .option("--table <name>", "the outbox's table (preset: cadre_outbox)");
}

async function withOutbox(
  { cwd, env, clock }: CommandContext,
  { url = env["CADRE_OUTBOX"], table }: OutboxFlags,
  use: (outbox: Outbox, client: SqlDatabase) => Promise<void>,
): Promise<void> {
  if (url === undefined || url === "") {
    const message = "No database is named. Give --url, or set CADRE_OUTBOX.";
    throw new CadreError("INVALID_OPTION", message, { option: "url" });
  }
  const outbox = createOutbox({ clock, ...(table === undefined ? {} : { table }) });
  const opened = await openOutboxDatabase(url, cwd);
  try {
    await use(outbox, opened.client);
  } catch (error) {
    throw databaseError(error, url);
  } finally {
    await opened.close();
  }
}

async function listRows(context: CommandContext, flags: ListFlags): Promise<void> {
  const { state, stuck, key, limit = 100 } = flags;
  const query: OutboxQuery = {
    limit,
    ...(state === undefined ? {} : { state }),
    ...(stuck === undefined ? {} : { stuck }),
    ...(key === undefined ? {} : { key }),
  };
  await withOutbox(context, flags, async (outbox, client) => {
    const open = state === undefined && !stuck;
    const entries = open
      ? [
          ...(await outbox.list(client, { ...query, state: "aside" })),
          ...(await outbox.list(client, { ...query, state: "waiting" })),
        ].slice(0, limit)
      : await outbox.list(client, query);
    await show(context, flags, entries, await outbox.backlog(client));
  });
}

async function listStuck(context: CommandContext, flags: OutboxFlags): Promise<void> {
  await withOutbox(context, flags, async (outbox, client) => {
    await show(context, flags, await allStuck(outbox, client), await outbox.backlog(client));
  });
}

async function allStuck(outbox: Outbox, client: SqlDatabase): Promise<readonly OutboxEntry[]> {
  const found: OutboxEntry[] = [];
  for (const query of [{ stuck: true }, { state: "aside" }] as const) {
    let after = 0;
    for (;;) {
      const entries = await outbox.list(client, { ...query, after, limit: page });
      found.push(...entries);
      if (entries.length < page) break;
      after = entries.at(-1)!.position; // the page is full
    }
  }
  return found.toSorted((left, right) => left.position - right.position);
}

async function show(
  context: CommandContext,
  flags: OutboxFlags,
  entries: readonly OutboxEntry[],
  backlog: OutboxBacklog,
): Promise<void> {
  const { clock, output } = context;
  if (flags.json) {
    for (const { event, ...entry } of entries) {
      await output.json({ ...entry, event: readable(event) });
    }
    return;
  }
  const now = clock.now();
  if (entries.length > 0) await output.lines(tableLines(output, columns(now), entries));
  const { waiting, stuck, aside, published, skipped, oldestAddedAt } = backlog;
  const oldest =
    oldestAddedAt === undefined ? "" : `; the oldest waits ${durationText(now - oldestAddedAt)}`;
  output.note(
    `${waiting} waiting (${stuck} stuck), ${aside} set aside, ${published} published, ${skipped} skipped${oldest}.`,
  );
}

/** A row that somebody edited may hold no JSON any more; it is to be seen all the same. */
function readable(event: string): unknown {
  try {
    return JSON.parse(event) as unknown;
  } catch {
    return event;
  }
}

function columns(now: number): readonly Column<OutboxEntry>[] {
  return [
    { title: "position", text: ({ position }) => String(position), align: "right" },
    { title: "type", text: ({ type }) => type, least: 12, style: () => "cyan" },
    { title: "key", text: ({ key }) => key ?? "", least: 6, from: 60 },
    { title: "state", text: stateText, least: 10 },
    { title: "tries", text: ({ attempts }) => String(attempts), align: "right" },
    { title: "age", text: ({ addedAt }) => durationText(now - addedAt), align: "right" },
    { title: "error", text: ({ error }) => error ?? "", least: 8, style: () => "red" },
  ];
}

function stateText({ state, claimed }: OutboxEntry): string {
  return state === "waiting" && claimed ? "in hand" : state;
}

async function act(
  context: CommandContext,
  words: readonly string[],
  flags: ActFlags,
  doing: "retry" | "skip",
): Promise<void> {
  if (words.length === 0 && !flags.all) {
    const message = "Give the positions of rows, or --all for all that are stuck or set aside.";
    throw new CadreError("INVALID_OPTION", message, { option: "positions" });
  }
  if (words.length > 0 && flags.all) {
    const message = "Give either positions or --all.";
    throw new CadreError("INVALID_OPTION", message, { option: "all" });
  }
  const positions = words.map(wholeFrom(1));
  await withOutbox(context, flags, async (outbox, client) => {
    const targets = flags.all
      ? (await allStuck(outbox, client)).map(({ position }) => position)
      : positions;
    let count = 0;
    for (const position of targets) {
      const changed = await outbox[doing](client, [position]);
      count += changed;
      if (changed === 0 && !flags.all) throw unchanged(position);
      if (flags.json && changed > 0) await context.output.json({ position, [done[doing]]: true });
    }
    const what = count === 1 ? "row" : "rows";
    if (!flags.json) await context.output.text(`${count} ${what} ${done[doing]}.`);
  });
}

const done = { retry: "retried", skip: "skipped" } as const;

function unchanged(position: number): CadreError {
  const id = String(position);
  const message =
    `There is no row ${id} that waits or was set aside, or a relay has it in hand just now. ` +
    `"cadre outbox" lists them.`;
  return new CadreError("NOT_FOUND", message, { what: "outbox row", id });
}
