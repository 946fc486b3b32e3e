/** What a person decides about a step in doubt, or about an undo that is stuck. */
import { CadreError, isCadreError, TerminalError } from "../core/errors.ts";
import type { AgentEvent } from "../core/event.ts";
import { toFrozenJson } from "../core/json.ts";
import { checkOptions, anything, oneOf, someText } from "../core/options.ts";
import { StepStates, type StepState } from "./step-fold.ts";
import { endTask } from "./saga-events.ts";
import { loadTask, type BoardEntry } from "./task-board.ts";
import { applyTask, isParked, taskStream } from "./task-fold.ts";
import type { TaskState } from "./task.ts";
import { teamEvent, type TeamContext } from "./team-context.ts";

/**
 * - `retry`: runs it again; for a step in doubt that is to go on, or for an undo
 * - `done`: it has happened, with this result; an undo: the step is undone, by other means
 * - `skip`: it has not happened, and the task goes on without; an undo: the effect stays
 * - `fail`: it has not happened, and the task fails; only for a step that is to go on, and not
 *   behind a pivot
 */
export type StepAction = "retry" | "done" | "skip" | "fail";

export interface StepResolution {
  readonly action: StepAction;
  /** For `done` and `skip` of a step: what the handler gets. @default null */
  readonly result?: unknown;
  /** Who decided. */
  readonly by?: string;
  readonly reason?: string;
}

type Resolving = Pick<TeamContext, "store" | "clock" | "random" | "name">;

/**
 * Writes a person's decision; the task is offered again with it.
 *
 * @throws {CadreError} NOT_FOUND, when there is no such task
 * @throws {CadreError} WRONG_STATE, when it does not wait for a decision about this step, or the
 * action does not fit
 */
export async function resolveStep(
  context: Resolving,
  taskId: string,
  step: string,
  resolution: StepResolution,
): Promise<TaskState> {
  checkOptions("resolveStep", resolution, {
    action: oneOf("retry", "done", "skip", "fail"),
    result: anything,
    by: someText,
    reason: someText,
  });
  const { store, name } = context;
  for (;;) {
    const entry = await loadTask(store, taskId);
    if (!entry)
      throw new CadreError("NOT_FOUND", `There is no task ${taskId}.`, {
        what: "task",
        id: taskId,
      });
    const phase = assertFits(entry.state, step, resolution.action);
    const { action, result, by = name, reason } = resolution;
    const isAnswer = phase === "step" && (action === "done" || action === "skip");
    const fields = {
      taskId,
      step,
      key: `${taskId}/${step}`,
      phase,
      action,
      by,
      ...(isAnswer ? { result: toFrozenJson(result ?? null) } : {}),
      ...(reason === undefined ? {} : { reason }),
    };
    const event = teamEvent(context, name, "step.resolved", fields, { cause: entry.last });
    const resolved = applyTask(entry.state, event) ?? entry.state;
    const events =
      action === "fail" ? [event, ...failing(context, entry, resolved, fields)] : [event];
    try {
      await store.commit({
        appends: [{ stream: taskStream(taskId), expectedVersion: entry.version, events }],
      });
      return events.slice(1).reduce((state, next) => applyTask(state, next) ?? state, resolved);
    } catch (error) {
      if (!isCadreError(error, "VERSION_CONFLICT")) throw error;
    }
  }
}

/** The steps of one task, as its stream says, in the order of its way forward. */
export async function stepsOf(
  store: TeamContext["store"],
  taskId: string,
): Promise<readonly StepState[]> {
  const steps = new StepStates();
  for await (const { event } of store.read({ stream: taskStream(taskId) })) steps.apply(event);
  return steps.all();
}

/** The end of a task by a person's word, or its way back. */
function failing(
  context: Resolving,
  entry: BoardEntry,
  state: TaskState,
  { step, reason }: { readonly step: string; readonly reason?: string },
): readonly AgentEvent[] {
  const error = new TerminalError(reason ?? `a person failed step ${step}`);
  return endTask(context, context.name, { ...entry, state }, { outcome: "failed", error });
}

function assertFits(state: TaskState, step: string, action: StepAction): "step" | "undo" {
  const { id, status, question, undoing, pivot } = state;
  if (!isParked(status) || question?.step !== step) {
    const asked = question ? `it asks about step "${question.step}"` : `it is ${status}`;
    throw new CadreError("WRONG_STATE", `Task ${id} asks nothing about step "${step}": ${asked}.`, {
      what: `task ${id}`,
      state: status,
    });
  }
  const phase = status === "stuck" ? "undo" : "step";
  const isForward = phase === "step" && !undoing;
  if (isForward && action === "fail" && pivot !== undefined && pivot !== step) {
    const message = `Task ${id} is past its pivot: it only goes forward, and "${step}" with it.`;
    throw new CadreError("WRONG_STATE", message, { what: `task ${id}`, state: status });
  }
  if (action === "done" || action === "skip" || isForward) return phase;
  if (phase === "undo" && action === "retry") return phase;
  const message =
    `Task ${id} is going back: "${action}" is no answer about step "${step}". ` +
    (phase === "undo" ? 'Give "retry", "done" or "skip".' : 'Give "done" or "skip".');
  throw new CadreError("WRONG_STATE", message, { what: `task ${id}`, state: status });
}
