import type { Command } from "commander";

import type { Bus } from "../../bus/bus.ts";
import type { DeadLetter, DeadLetterQuery } from "../../bus/transport.ts";
import { CadreError } from "../../core/errors.ts";
import { assertPattern } from "../../core/pattern.ts";
import { oneOfWords, parseJson, wholeFrom } from "../arguments.ts";
import type { CommandContext } from "../command-context.ts";
import { exitCodes } from "../exit-code.ts";
import { fieldLines } from "../field-lines.ts";
import { withBus, type HomeFlags } from "../home.ts";
import { isShortOf, someOf } from "../short-id.ts";
import { tableLines, type Column } from "../table.ts";
import { durationText } from "../time-text.ts";
import { homeFlags, printing, refuseWords, withExamples } from "./home-flags.ts";

const reasons = [
  "terminal",
  "attempts",
  "undecodable",
  "invalid",
  "expired",
  "rejected",
] as const satisfies readonly DeadLetter["reason"][];

interface ChoiceFlags extends HomeFlags {
  readonly group?: string;
  readonly type?: string;
  readonly reason?: DeadLetter["reason"];
  readonly limit?: number;
  readonly json?: boolean;
}

interface ActFlags extends ChoiceFlags {
  readonly all?: boolean;
  readonly payload?: string;
}

/** `cadre dead-letters` */
export function addDeadLetters(program: Command, context: CommandContext): void {
  const letters = program
    .command("dead-letters")
    .summary("list, show, redrive and purge dead letters");
  letters.description(
    "Dead letters: deliveries that a group gave up, with their reasons. Without a command it lists them.",
  );
  withExamples(letters, ["cadre dead-letters", "cadre dead-letters redrive --all --group billing"]);
  const list = letters.command("list", { isDefault: true }).summary("list them, the oldest first");
  list.description("Lists dead letters, the oldest first.");
  printing(homeFlags(choosing(list)), [
    "cadre dead-letters",
    "cadre dead-letters list --group billing --json",
  ]);
  list.allowExcessArguments().action((flags: ChoiceFlags) => {
    refuseWords(list);
    return listLetters(context, flags);
  });

  const show = letters.command("show").summary("show one with its event and its error");
  show
    .description("Shows one dead letter with its event and its error.")
    .argument("<id>", "GROUP/EVENT-ID");
  printing(homeFlags(show), ["cadre dead-letters show billing/019a…"]);
  show.action((id: string, flags: ChoiceFlags) => showLetter(context, id, flags));

  const redrive = letters.command("redrive").summary("hand events to their groups again");
  redrive
    .description("Hands events to their groups again, as attempt 1; the letters are gone then.")
    .argument("[ids...]", "GROUP/EVENT-ID")
    .option("--all", "all that the other flags choose")
    .option("--payload <json>", "with another payload, as a new event; for one letter");
  printing(homeFlags(choosing(redrive)), [
    "cadre dead-letters redrive billing/019a…",
    `cadre dead-letters redrive billing/019a… --payload '{"amount":1}'`,
    "cadre dead-letters redrive --all --group billing",
  ]);
  redrive.action((ids: string[], flags: ActFlags) => redriveLetters(context, ids, flags));

  const purge = letters.command("purge").summary("throw letters away");
  purge
    .description("Throws dead letters away. Their events stay in the history.")
    .argument("[ids...]", "GROUP/EVENT-ID")
    .option("--all", "all that the other flags choose");
  printing(homeFlags(choosing(purge)), [
    "cadre dead-letters purge billing/019a…",
    "cadre dead-letters purge --all --reason expired",
  ]);
  purge.action((ids: string[], flags: ActFlags) =>
    act(context, ids, flags, { done: "purged", one: (bus, id) => bus.deadLetters.purge(id) }),
  );
}

function choosing(command: Command): Command {
  return command
    .option("--group <name>", "letters of one group")
    .option("--type <pattern>", "letters whose event's type matches")
    .option("--reason <word>", reasons.join(", "), oneOfWords(reasons))
    .option("--limit <number>", "at most so many", wholeFrom(1));
}

function chosen(flags: ChoiceFlags): DeadLetterQuery {
  const { group, type, reason, limit } = flags;
  if (type !== undefined) assertPattern(type);
  return {
    ...(group === undefined ? {} : { group }),
    ...(type === undefined ? {} : { type }),
    ...(reason === undefined ? {} : { reason }),
    ...(limit === undefined ? {} : { limit }),
  };
}

async function listLetters(context: CommandContext, flags: ChoiceFlags): Promise<void> {
  const { clock, output, stop } = context;
  await withBus(context, flags, async (bus) => {
    const letters: DeadLetter[] = [];
    for await (const letter of bus.deadLetters.list(chosen(flags))) {
      if (stop.aborted) break;
      if (flags.json) await output.json(letter);
      else letters.push(letter);
    }
    if (context.interrupt.hit) context.exit(exitCodes.interrupted);
    if (flags.json) return;
    if (letters.length === 0) return output.note("No dead letters.");
    await output.lines(tableLines(output, letterColumns(clock.now()), letters));
  });
}

function letterColumns(now: number): readonly Column<DeadLetter>[] {
  return [
    { title: "group", text: ({ group }) => group, keep: "end", least: 12 },
    { title: "event", text: ({ id, group }) => id.slice(group.length + 1), keep: "end", least: 10 },
    { title: "type", text: ({ event }) => event?.type ?? "", least: 8, from: 80 },
    { title: "reason", text: reasonText, least: 12, style: () => "red" },
    {
      title: "failed",
      text: ({ lastFailedAt }) => durationText(now - lastFailedAt),
      align: "right",
    },
    { title: "error", text: ({ error }) => error.message, least: 8 },
  ];
}

function reasonText({ reason, attempts }: DeadLetter): string {
  return `${reason} (${attempts})`;
}

async function showLetter(context: CommandContext, id: string, flags: ChoiceFlags): Promise<void> {
  const { clock, output } = context;
  await withBus(context, flags, async (bus) => {
    const letter = await bus.deadLetters.get(await fullId(bus, id));
    if (!letter) throw notFound(id);
    if (flags.json) return output.json(letter);
    const now = clock.now();
    const { event, error } = letter;
    await output.lines(
      fieldLines(output, [
        ["id", letter.id],
        ["group", letter.group],
        ["reason", `${letter.reason}, at attempt ${letter.attempts}`],
        [
          "error",
          `${error.name}: ${error.message}${error.code === undefined ? "" : ` (${error.code})`}`,
        ],
        ["first failed", `${durationText(now - letter.firstFailedAt)} ago`],
        ["last failed", `${durationText(now - letter.lastFailedAt)} ago`],
        ["holds back", letter.parksKey && `later events of the key ${letter.parksKey}`],
        ["type", event?.type],
        ["event", event?.id],
        ["source", event?.source],
        ["flow", event?.metadata.correlationId],
        ["payload", event && JSON.stringify(event.payload)],
        ["bytes", letter.bytes],
        ["stack", error.stack],
      ]),
    );
  });
}

async function redriveLetters(
  context: CommandContext,
  ids: readonly string[],
  flags: ActFlags,
): Promise<void> {
  if (flags.payload !== undefined && (flags.all || ids.length !== 1)) {
    const message = "--payload is for one dead letter. Give its id.";
    throw new CadreError("INVALID_OPTION", message, { option: "payload" });
  }
  const edit =
    flags.payload === undefined ? {} : { payload: parseJson("--payload", flags.payload) };
  await act(context, ids, flags, {
    done: "redriven",
    one: (bus, id) => bus.deadLetters.redrive(id, edit),
  });
}

interface Action {
  readonly done: "redriven" | "purged";
  readonly one: (bus: Bus, id: string) => Promise<boolean>;
}

async function act(
  context: CommandContext,
  ids: readonly string[],
  flags: ActFlags,
  { done, one }: Action,
): Promise<void> {
  const { output, stop } = context;
  if (ids.length === 0 && !flags.all) {
    const message = "Give the ids of dead letters, or --all for all that the other flags choose.";
    throw new CadreError("INVALID_OPTION", message, { option: "ids" });
  }
  if (ids.length > 0 && flags.all) {
    const message = "Give either ids or --all.";
    throw new CadreError("INVALID_OPTION", message, { option: "all" });
  }
  await withBus(context, flags, async (bus) => {
    const targets = flags.all ? await idsOf(bus, chosen(flags)) : ids;
    let count = 0;
    for (const id of targets) {
      if (stop.aborted) break;
      const full = await fullId(bus, id);
      if (await one(bus, full)) {
        count += 1;
        if (flags.json) await output.json({ id: full, [done]: true });
      } else if (!flags.all) throw notFound(id);
    }
    if (context.interrupt.hit) context.exit(exitCodes.interrupted);
    const what = count === 1 ? "dead letter" : "dead letters";
    if (!flags.json) await output.text(`${count} ${what} ${done}.`);
  });
}

async function idsOf(bus: Bus, query: DeadLetterQuery): Promise<string[]> {
  const ids: string[] = [];
  for await (const { id } of bus.deadLetters.list(query)) ids.push(id);
  return ids;
}

/** The one id that `part` stands for. */
async function fullId(bus: Bus, part: string): Promise<string> {
  if (await bus.deadLetters.get(part)) return part;
  const matching = (await idsOf(bus, {})).filter((id) => isShortOf(part, id));
  if (matching.length < 2) return matching[0] ?? part;
  throw new CadreError(
    "INVALID_OPTION",
    `"${part}" stands for ${matching.length} dead letters: ${someOf(matching)}. Give one of them.`,
    { option: "id", value: part },
  );
}

function notFound(id: string): CadreError {
  const message = `There is no dead letter "${id}". "cadre dead-letters" lists them.`;
  return new CadreError("NOT_FOUND", message, { what: "dead letter", id });
}
