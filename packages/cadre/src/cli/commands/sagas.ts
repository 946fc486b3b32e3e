import type { Command } from "commander";

import { isSaga, sagaPhase, type SagaPhase } from "../../agents/saga-desk.ts";
import type { StepState } from "../../agents/step-fold.ts";
import { resolveStep, stepsOf, type StepAction } from "../../agents/step-resolution.ts";
import { loadTask } from "../../agents/task-board.ts";
import { cancelTask } from "../../agents/task-cancel.ts";
import { applyTask, taskIdOf, taskStreamPrefix } from "../../agents/task-fold.ts";
import type { TaskState } from "../../agents/task.ts";
import { CadreError } from "../../core/errors.ts";
import { secureRandom } from "../../core/random.ts";
import type { EventStore } from "../../store/event-store.ts";
import { oneOfWords, parseJson, wholeFrom } from "../arguments.ts";
import type { CommandContext } from "../command-context.ts";
import { exitCodes } from "../exit-code.ts";
import { fieldLines } from "../field-lines.ts";
import { withStore, type HomeFlags } from "../home.ts";
import type { Output } from "../output.ts";
import { isShortOf, someOf } from "../short-id.ts";
import { tableLines, type Column } from "../table.ts";
import { durationText } from "../time-text.ts";
import { homeFlags, printing, refuseWords, withExamples } from "./home-flags.ts";

const phases = [
  "forward",
  "past_pivot",
  "in_doubt",
  "undoing",
  "stuck",
  "completed",
  "undone",
] as const satisfies readonly SagaPhase[];

interface ListFlags extends HomeFlags {
  readonly name?: string;
  readonly phase?: SagaPhase;
  readonly limit: number;
  readonly json?: boolean;
}

interface ActFlags extends HomeFlags {
  readonly json?: boolean;
  readonly result?: string;
  readonly reason?: string;
  readonly by?: string;
}

const presetLimit = 50;

/** What a person can decide about a step, by the command's name. */
const decisions: Readonly<Record<string, { readonly action: StepAction; readonly what: string }>> =
  {
    retry: { action: "retry", what: "run a step in doubt, or a stuck undo, again" },
    "mark-done": { action: "done", what: "say that a step, or an undo, has happened" },
    skip: { action: "skip", what: "go on without a step, or leave its effect as it is" },
    fail: { action: "fail", what: "say that a step in doubt has not happened, and fail the saga" },
  };

/** `cadre sagas` */
export function addSagas(program: Command, context: CommandContext): void {
  const sagas = program.command("sagas").summary("list, show, decide about and cancel sagas");
  sagas.description(
    "Sagas, and tasks whose steps can be undone. Without a command it lists them. What is in doubt or stuck waits for a decision: retry, mark-done, skip or fail.",
  );
  withExamples(sagas, ["cadre sagas --phase stuck", "cadre sagas mark-done order:17 charge"]);
  const list = sagas
    .command("list", { isDefault: true })
    .summary("list them, in order of creation");
  list
    .description("Lists sagas in the order of their creation.")
    .option("--name <name>", "sagas of this name")
    .option("--phase <phase>", phases.join(", "), oneOfWords(phases))
    .option("--limit <number>", "the newest so many", wholeFrom(1), presetLimit);
  printing(homeFlags(list), ["cadre sagas", "cadre sagas list --phase in_doubt --json"]);
  list.allowExcessArguments().action((flags: ListFlags) => {
    refuseWords(list);
    return listSagas(context, flags);
  });
  const show = sagas.command("show").summary("show one with its steps");
  show
    .description("Shows one saga and the lane of its steps.")
    .argument("<id>", "its id, or as much of its beginning or end as is unique");
  printing(homeFlags(show), ["cadre sagas show order:17"]);
  show.action((id: string, flags: ActFlags) => showSaga(context, id, flags));
  for (const [name, { action, what }] of Object.entries(decisions)) {
    const decide = sagas.command(name).summary(what);
    decide
      .description(`Decides about the step that a saga asks about: ${what}.`)
      .argument("<id>", "the saga's id")
      .argument("<step>", "the step's name");
    if (action === "done" || action === "skip") {
      decide.option("--result <json>", "the step's result; - reads it from standard input");
    }
    decide.option("--by <name>", "who decides").option("--reason <text>", "why");
    printing(homeFlags(decide), [`cadre sagas ${name} order:17 charge --by ada`]);
    decide.action((id: string, step: string, flags: ActFlags) =>
      decideStep(context, id, step, action, flags),
    );
  }
  const cancel = sagas.command("cancel").summary("cancel one: what it has done is undone");
  cancel
    .description("Cancels a saga. What it has done is undone, unless it is past its pivot.")
    .argument("<id>", "the saga's id")
    .option("--reason <text>", "why", "cancelled from the command line");
  printing(homeFlags(cancel), ["cadre sagas cancel order:17"]);
  cancel.action((id: string, flags: ActFlags) => cancelSaga(context, id, flags));
}

async function listSagas(context: CommandContext, flags: ListFlags): Promise<void> {
  const { clock, output } = context;
  await withStore(context, flags, async (store) => {
    const all = await foldSagas(context, store);
    if (context.interrupt.hit) return context.exit(exitCodes.interrupted);
    const fitting = all.filter(
      (state) =>
        (flags.name === undefined || state.name === flags.name) &&
        (flags.phase === undefined || sagaPhase(state) === flags.phase),
    );
    const rows = fitting.slice(-flags.limit);
    if (flags.json) {
      for (const state of rows) await output.json({ ...state, phase: sagaPhase(state) });
      return;
    }
    if (rows.length === 0) return output.note("No saga matches.");
    await output.lines(tableLines(output, sagaColumns(clock.now()), rows));
    if (rows.length < fitting.length) {
      output.note(`The newest ${rows.length} of ${fitting.length}; --limit shows more.`);
    }
  });
}

/** Every saga of the log, in the order of their creation. */
async function foldSagas(context: CommandContext, store: EventStore): Promise<TaskState[]> {
  const states = new Map<string, TaskState>();
  for await (const { stream, event } of store.read({ streamPrefix: taskStreamPrefix })) {
    if (context.stop.aborted) break;
    const id = taskIdOf(stream ?? "");
    const state = applyTask(states.get(id), event);
    if (state) states.set(id, state);
  }
  return [...states.values()].filter(isSaga);
}

function sagaColumns(now: number): readonly Column<TaskState>[] {
  return [
    { title: "id", text: ({ id }) => id, keep: "end", least: 9 },
    { title: "saga", text: ({ name }) => name, least: 6 },
    {
      title: "phase",
      text: (state) => sagaPhase(state),
      least: 9,
      style: (state) => styleOf(sagaPhase(state)),
    },
    { title: "asks about", text: ({ question }) => question?.step ?? "", least: 8 },
    { title: "version", text: ({ version }) => version, from: 100 },
    { title: "try", text: ({ attempt }) => String(attempt), align: "right" },
    { title: "age", text: ({ createdAt }) => durationText(now - createdAt), align: "right" },
  ];
}

function styleOf(phase: SagaPhase): Parameters<Output["style"]>[0] {
  if (phase === "completed") return "green";
  if (phase === "in_doubt" || phase === "stuck") return "red";
  return phase === "undone" ? "dim" : "yellow";
}

async function showSaga(context: CommandContext, part: string, flags: ActFlags): Promise<void> {
  const { clock, output } = context;
  await withStore(context, flags, async (store) => {
    const id = await fullId(context, store, part);
    const task = (await loadTask(store, id))?.state;
    if (!task) throw notFound(part);
    const steps = await stepsOf(store, id);
    const phase = sagaPhase(task);
    if (flags.json) return output.json({ task, phase, steps });
    await output.lines(
      fieldLines(output, [
        ["saga", `${task.name} (version ${task.version})`],
        ["id", task.id],
        ["phase", phase],
        ["asks", task.question && `about step ${task.question.step}`],
        ["pivot", task.pivot],
        ["going back", task.undoing?.reason],
        ["input", JSON.stringify(task.input)],
        ["result", task.result === undefined ? undefined : JSON.stringify(task.result)],
        ["error", task.error && `${task.error.name}: ${task.error.message}`],
      ]),
    );
    if (steps.length === 0) return;
    await output.line("");
    await output.lines(tableLines(output, stepColumns(clock.now()), [...steps]));
  });
}

function stepColumns(now: number): readonly Column<StepState>[] {
  return [
    { title: "step", text: ({ name }) => name, least: 6 },
    { title: "status", text: ({ status }) => status, least: 7 },
    {
      title: "back",
      text: ({ isPivot, hasUndo }) => (isPivot ? "pivot" : hasUndo ? "undo" : ""),
    },
    { title: "undo tries", text: ({ undoTries }) => String(undoTries), align: "right", from: 80 },
    { title: "result", text: ({ result }) => JSON.stringify(result) ?? "", least: 6, from: 60 },
    { title: "error", text: ({ error }) => error?.message ?? "", least: 6, from: 60 },
    { title: "changed", text: ({ changedAt }) => durationText(now - changedAt), align: "right" },
  ];
}

async function decideStep(
  context: CommandContext,
  part: string,
  step: string,
  action: StepAction,
  flags: ActFlags,
): Promise<void> {
  const { clock, output } = context;
  await withStore(context, flags, async (store) => {
    const id = await fullId(context, store, part);
    const { result, by, reason } = flags;
    const acting = { store, clock, random: secureRandom, name: "cli" };
    const state = await resolveStep(acting, id, step, {
      action,
      ...(result === undefined ? {} : { result: parseJson("--result", result) }),
      ...(by === undefined ? {} : { by }),
      ...(reason === undefined ? {} : { reason }),
    });
    if (flags.json) return output.json(state);
    await output.line(`${id} goes on: step ${step}, ${action}.`);
  });
}

async function cancelSaga(context: CommandContext, part: string, flags: ActFlags): Promise<void> {
  const { clock, output } = context;
  await withStore(context, flags, async (store) => {
    const id = await fullId(context, store, part);
    const acting = { store, clock, random: secureRandom, name: "cli" };
    const cancelled = await cancelTask(acting, id, flags.reason ?? "");
    const state = (await loadTask(store, id))?.state;
    if (!state) throw notFound(part);
    if (!cancelled) {
      const phase = sagaPhase(state);
      const message = `Saga ${id} can't be cancelled: it is ${phase}.`;
      throw new CadreError("WRONG_STATE", message, { what: `saga ${id}`, state: phase });
    }
    if (flags.json) return output.json(state);
    await output.line(`${id} is told to stop; what it has done is undone.`);
  });
}

/** The one id that begins or ends with `part`: a narrow table shows ids cut. */
async function fullId(context: CommandContext, store: EventStore, part: string): Promise<string> {
  if (await loadTask(store, part)) return part;
  const ids = (await foldSagas(context, store)).map(({ id }) => id);
  const matching = ids.filter((id) => isShortOf(part, id));
  if (matching.length < 2) return matching[0] ?? part;
  throw new CadreError(
    "INVALID_OPTION",
    `"${part}" stands for ${matching.length} sagas: ${someOf(matching)}. Give more of the id.`,
    { option: "id", value: part },
  );
}

function notFound(id: string): CadreError {
  const message = `There is no saga "${id}" in this store. "cadre sagas" lists them.`;
  return new CadreError("NOT_FOUND", message, { what: "saga", id });
}
