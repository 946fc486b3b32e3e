import type { Command } from "commander";

import { CadreError } from "../../core/errors.ts";
import type { AgentEvent } from "../../core/event.ts";
import type { EventStore } from "../../store/event-store.ts";
import {
  applyTask,
  isFinal,
  isParked,
  taskIdOf,
  taskStream,
  taskStreamPrefix,
} from "../../agents/task-fold.ts";
import type { TaskState, TaskStatus } from "../../agents/task.ts";
import { oneOfWords, wholeFrom } from "../arguments.ts";
import type { CommandContext } from "../command-context.ts";
import { eventLine } from "../event-line.ts";
import { exitCodes } from "../exit-code.ts";
import { withStore, type HomeFlags } from "../home.ts";
import type { Output } from "../output.ts";
import { fieldLines } from "../field-lines.ts";
import { isShortOf, someOf } from "../short-id.ts";
import { tableLines, type Column } from "../table.ts";
import { durationText } from "../time-text.ts";
import { homeFlags, printing, refuseWords, withExamples } from "./home-flags.ts";

const statuses = [
  "waiting",
  "offered",
  "assigned",
  "claimed",
  "running",
  "delayed",
  "in_doubt",
  "stuck",
  "completed",
  "failed",
  "cancelled",
] as const satisfies readonly TaskStatus[];

interface ListFlags extends HomeFlags {
  readonly status?: TaskStatus;
  readonly agent?: string;
  readonly capability?: string;
  readonly feature?: string;
  readonly limit: number;
  readonly json?: boolean;
}

interface ShowFlags extends HomeFlags {
  readonly json?: boolean;
}

/** A task, and what the listing says beside its state. */
interface TaskRow {
  readonly state: TaskState;
  /** The last agent that owned it, also when it has ended. */
  readonly agent: string;
  readonly changedAt: number;
}

const presetLimit = 50;

/** `cadre tasks` */
export function addTasks(program: Command, context: CommandContext): void {
  const tasks = program.command("tasks").summary("list tasks, or show one with its story");
  tasks.description("Lists tasks, or shows one with its story. Without a command it lists them.");
  withExamples(tasks, ["cadre tasks", "cadre tasks --status failed", "cadre tasks show chunk-12"]);
  const list = tasks.command("list", { isDefault: true }).summary("list tasks, the newest last");
  list
    .description("Lists tasks as the log says they are, the newest last.")
    .option("--status <status>", statuses.join(", "), oneOfWords(statuses))
    .option("--agent <name>", "tasks that this agent owns, or owned last")
    .option("--capability <name>", "tasks that need this capability")
    .option("--feature <id>", "tasks of one feature")
    .option("--limit <number>", "the newest so many", wholeFrom(1), presetLimit);
  printing(homeFlags(list), [
    "cadre tasks",
    "cadre tasks --status running",
    "cadre tasks list --agent reader --json",
  ]);
  list.allowExcessArguments().action((flags: ListFlags) => {
    refuseWords(list);
    return listTasks(context, flags);
  });
  const show = tasks.command("show").summary("show one task and all that happened to it");
  show
    .description("Shows one task and all that happened to it.")
    .argument("<id>", "its id, or as much of its beginning or end as is unique");
  printing(homeFlags(show), ["cadre tasks show chunk-12", "cadre tasks show 019a… --json"]);
  show.action((id: string, flags: ShowFlags) => showTask(context, id, flags));
}

async function listTasks(context: CommandContext, flags: ListFlags): Promise<void> {
  const { clock, output } = context;
  await withStore(context, flags, async (store) => {
    const fitting = (await foldTasks(context, store)).filter((row) => fits(row, flags));
    if (context.interrupt.hit) return context.exit(exitCodes.interrupted);
    const rows = fitting.slice(-flags.limit);
    if (flags.json) {
      for (const { state, agent, changedAt } of rows)
        await output.json({ ...state, agent, changedAt });
      return;
    }
    if (rows.length === 0) return output.note("No task matches.");
    await output.lines(tableLines(output, taskColumns(clock.now()), rows));
    if (rows.length < fitting.length) {
      output.note(`The newest ${rows.length} of ${fitting.length}; --limit shows more.`);
    }
  });
}

function fits({ state, agent }: TaskRow, flags: ListFlags): boolean {
  return (
    (flags.status === undefined || state.status === flags.status) &&
    (flags.agent === undefined || agent === flags.agent) &&
    (flags.capability === undefined || state.capability === flags.capability) &&
    (flags.feature === undefined || state.feature === flags.feature)
  );
}

/** Every task of the log, in the order of their creation. */
async function foldTasks(context: CommandContext, store: EventStore): Promise<TaskRow[]> {
  const rows = new Map<string, TaskRow>();
  for await (const { stream, event } of store.read({ streamPrefix: taskStreamPrefix })) {
    if (context.stop.aborted) break;
    const id = taskIdOf(stream ?? "");
    const known = rows.get(id);
    const state = applyTask(known?.state, event);
    if (!state) continue;
    const agent = state.owner?.agent ?? known?.agent ?? "";
    rows.set(id, { state, agent, changedAt: event.timestamp });
  }
  return [...rows.values()];
}

function taskColumns(now: number): readonly Column<TaskRow>[] {
  return [
    { title: "id", text: ({ state }) => state.id, keep: "end", least: 9 },
    { title: "task", text: ({ state }) => state.name, least: 8 },
    {
      title: "status",
      text: ({ state }) => state.status,
      least: 9,
      style: ({ state }) => styleOf(state.status),
    },
    { title: "agent", text: ({ agent }) => agent, least: 6 },
    { title: "try", text: ({ state }) => String(state.attempt), align: "right" },
    { title: "epoch", text: ({ state }) => String(state.epoch), align: "right", from: 80 },
    {
      title: "changed",
      text: ({ changedAt }) => durationText(now - changedAt),
      align: "right",
    },
  ];
}

function styleOf(status: TaskStatus): Parameters<Output["style"]>[0] {
  if (status === "completed") return "green";
  if (status === "failed" || isParked(status)) return "red";
  return isFinal(status) ? "dim" : "yellow";
}

async function showTask(context: CommandContext, id: string, flags: ShowFlags): Promise<void> {
  const { clock, output } = context;
  await withStore(context, flags, async (store) => {
    const found =
      (await storyOf(store, id)) ?? (await storyOf(store, await fullId(context, store, id)));
    if (!found) throw notFound(id);
    const { state, story } = found;
    if (flags.json) return output.json({ task: state, story });
    await output.lines(taskLines(output, state, clock.now()));
    await output.line("");
    for (const event of story) await output.line(eventLine(output, event, clock.now()));
  });
}

interface Story {
  readonly state: TaskState;
  readonly story: readonly AgentEvent[];
}

async function storyOf(store: EventStore, id: string): Promise<Story | undefined> {
  let state: TaskState | undefined;
  const story: AgentEvent[] = [];
  for await (const { event } of store.read({ stream: taskStream(id) })) {
    state = applyTask(state, event);
    story.push(event);
  }
  return state && { state, story };
}

/** The one id that begins or ends with `part`: a narrow table shows ids cut. */
async function fullId(context: CommandContext, store: EventStore, part: string): Promise<string> {
  const ids = (await foldTasks(context, store)).map(({ state }) => state.id);
  const matching = ids.filter((id) => isShortOf(part, id));
  if (matching.length < 2) return matching[0] ?? part;
  throw new CadreError(
    "INVALID_OPTION",
    `"${part}" stands for ${matching.length} tasks: ${someOf(matching)}. Give more of the id.`,
    { option: "id", value: part },
  );
}

function notFound(id: string): CadreError {
  const message = `There is no task "${id}" in this store. "cadre tasks" lists them.`;
  return new CadreError("NOT_FOUND", message, { what: "task", id });
}

function taskLines(output: Output, state: TaskState, now: number): string[] {
  const lines: [string, string | undefined][] = [
    ["task", `${state.name} (capability ${state.capability}, version ${state.version})`],
    ["id", state.id],
    ["status", state.status],
    ["owner", state.owner && `${state.owner.agent} (${state.owner.incarnation})`],
    [
      "attempt",
      `${state.attempt} of ${state.maxAttempts}, epoch ${state.epoch}, ${state.lost} lost`,
    ],
    ["priority", state.priority],
    ["created", `${durationText(now - state.createdAt)} ago by ${state.createdBy}`],
    ["feature", state.feature],
    ["depends on", state.dependsOn.length > 0 ? state.dependsOn.join(", ") : undefined],
    ["tried by", state.triedBy.length > 0 ? state.triedBy.join(", ") : undefined],
    ["input", JSON.stringify(state.input)],
    ["result", state.result === undefined ? undefined : JSON.stringify(state.result)],
    ["asks", state.question && `about step ${state.question.step}; see "cadre sagas"`],
    ["going back", state.undoing?.reason],
    ["error", state.error && `${state.error.name}: ${state.error.message}`],
    ["cancelled", state.cancelRequested],
  ];
  return fieldLines(output, lines);
}
