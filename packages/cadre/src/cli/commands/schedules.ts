import type { Command } from "commander";

import { cancelSchedule, moveSchedule } from "../../agents/schedule-desk.ts";
import {
  loadSchedule,
  openSchedules,
  scheduleState,
  type Scheduling,
} from "../../agents/schedule-log.ts";
import type { ScheduledWork, ScheduleState, ScheduleTrigger } from "../../agents/schedule.ts";
import { CadreError } from "../../core/errors.ts";
import { secureRandom } from "../../core/random.ts";
import type { EventStore } from "../../store/event-store.ts";
import { wholeFrom } from "../arguments.ts";
import type { CommandContext } from "../command-context.ts";
import { withStore, type HomeFlags } from "../home.ts";
import { isShortOf, someOf } from "../short-id.ts";
import { tableLines, type Column } from "../table.ts";
import { clockText, durationText, parseComing } from "../time-text.ts";
import { homeFlags, printing, refuseWords, withExamples } from "./home-flags.ts";

interface ListFlags extends HomeFlags {
  readonly limit: number;
  readonly json?: boolean;
}

interface ActFlags extends HomeFlags {
  readonly reason?: string;
  readonly json?: boolean;
}

const presetLimit = 50;

/** `cadre schedules` */
export function addSchedules(program: Command, context: CommandContext): void {
  const schedules = program.command("schedules").summary("list, cancel and move schedules");
  schedules.description(
    "What fires at an instant, every so often, or by a cron expression. Without a command it lists the open ones.",
  );
  withExamples(schedules, [
    "cadre schedules",
    "cadre schedules move report 30m",
    "cadre schedules cancel report",
  ]);
  const list = schedules
    .command("list", { isDefault: true })
    .summary("list open schedules, what is due next first");
  list
    .description("Lists open schedules; what is due next comes first.")
    .option("--limit <number>", "the next so many", wholeFrom(1), presetLimit);
  printing(homeFlags(list), ["cadre schedules", "cadre schedules list --json"]);
  list.allowExcessArguments().action((flags: ListFlags) => {
    refuseWords(list);
    return listSchedules(context, flags);
  });
  const cancel = schedules.command("cancel").summary("let one fire no more");
  cancel
    .description(
      "Ends a schedule. What a program declares at its start comes back with the next start.",
    )
    .argument("<id>", "its id, or as much of its beginning or end as is unique")
    .option("--reason <text>", "why");
  printing(homeFlags(cancel), ["cadre schedules cancel report --reason holidays"]);
  cancel.action((id: string, flags: ActFlags) => cancelOne(context, id, flags));
  const move = schedules.command("move").summary("put its next instant at another one");
  move
    .description("Puts the next instant of a schedule at another one.")
    .argument("<id>", "its id, or as much of its beginning or end as is unique")
    .argument("<when>", "a time from now (90s, 10m, 2h, 1d), an ISO time, or Unix milliseconds");
  printing(homeFlags(move), [
    "cadre schedules move report 2h",
    "cadre schedules move report 2027-01-04T09:00Z",
  ]);
  move.action((id: string, when: string, flags: ActFlags) => moveOne(context, id, when, flags));
}

async function listSchedules(context: CommandContext, flags: ListFlags): Promise<void> {
  const { clock, output } = context;
  await withStore(context, flags, async (store) => {
    const all = (await openSchedules(store)).map(scheduleState);
    const rows = all.slice(0, flags.limit);
    if (flags.json) {
      for (const state of rows) await output.json(state);
      return;
    }
    if (rows.length === 0) return output.note("No schedule is open.");
    await output.lines(tableLines(output, scheduleColumns(clock.now()), rows));
    if (rows.length < all.length) {
      output.note(`The next ${rows.length} of ${all.length}; --limit shows more.`);
    }
  });
}

function scheduleColumns(now: number): readonly Column<ScheduleState>[] {
  return [
    { title: "id", text: ({ id }) => id, least: 6 },
    { title: "due", text: ({ trigger }) => triggerText(trigger, now), least: 8 },
    { title: "fires", text: ({ fires }) => workText(fires), least: 8 },
    { title: "missed", text: ({ missed }) => missed, from: 80 },
    { title: "fired", text: ({ fired }) => String(fired), align: "right", from: 60 },
    {
      title: "next",
      text: ({ nextAt = now }) => nextText(nextAt, now),
      align: "right",
      style: ({ nextAt = now }) => (nextAt < now ? "yellow" : "dim"),
    },
  ];
}

function triggerText(trigger: ScheduleTrigger, now: number): string {
  if (trigger.kind === "at") return `at ${clockText(trigger.at, now, false)}`;
  if (trigger.kind === "every") return `every ${durationText(trigger.everyMs)}`;
  const { expression, timeZone } = trigger;
  return timeZone === "UTC" ? expression : `${expression} ${timeZone}`;
}

function workText(work: ScheduledWork): string {
  return work.kind === "event" ? work.type : `task ${work.name}`;
}

function nextText(nextAt: number, now: number): string {
  return nextAt < now ? `${durationText(now - nextAt)} late` : `in ${durationText(nextAt - now)}`;
}

async function cancelOne(context: CommandContext, part: string, flags: ActFlags): Promise<void> {
  const { output } = context;
  await withStore(context, flags, async (store) => {
    const id = await fullId(store, part);
    if (!(await cancelSchedule(acting(context, store), id, flags.reason))) throw notFound(part);
    if (flags.json) return output.json({ id, cancelled: true });
    await output.line(`${id} fires no more.`);
  });
}

async function moveOne(
  context: CommandContext,
  part: string,
  when: string,
  flags: ActFlags,
): Promise<void> {
  const { clock, output } = context;
  await withStore(context, flags, async (store) => {
    const id = await fullId(store, part);
    const now = clock.now();
    const at = parseComing("WHEN", when, now);
    const state = scheduleState(await moveSchedule(acting(context, store), id, at));
    if (flags.json) return output.json(state);
    const { nextAt = now } = state;
    await output.line(
      `${id} is due at ${clockText(nextAt, now, false)}, ${nextText(nextAt, now)}.`,
    );
  });
}

function acting({ clock }: CommandContext, store: EventStore): Scheduling {
  return { store, clock, random: secureRandom, name: "cli" };
}

/** The one open id that begins or ends with `part`: a narrow table shows ids cut. */
async function fullId(store: EventStore, part: string): Promise<string> {
  if (await loadSchedule(store, part)) return part;
  const ids = (await openSchedules(store)).map(({ id }) => id);
  const matching = ids.filter((id) => isShortOf(part, id));
  if (matching.length === 0) throw notFound(part);
  if (matching.length === 1) return matching[0]!;
  throw new CadreError(
    "INVALID_OPTION",
    `"${part}" stands for ${matching.length} schedules: ${someOf(matching)}. Give more of the id.`,
    { option: "id", value: part },
  );
}

function notFound(id: string): CadreError {
  const message = `There is no open schedule "${id}" in this store. "cadre schedules" lists them.`;
  return new CadreError("NOT_FOUND", message, { what: "schedule", id });
}
