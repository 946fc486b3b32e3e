/** The events by which a task ends, at once or by way of its undos. */
import type { AgentEvent } from "../core/event.ts";
import type { BoardEntry } from "./task-board.ts";
import { plainError, taskChanged, taskFailed } from "./task-events.ts";
import type { TaskState } from "./task.ts";
import { teamEvent, type TeamContext } from "./team-context.ts";

type Making = Pick<TeamContext, "clock" | "random">;

/** How a task is to end, and why. */
export type TaskEnd =
  | { readonly outcome: "failed"; readonly error: unknown }
  | { readonly outcome: "cancelled"; readonly reason: string };

/** Whether the task has effects that are to be taken back before it ends. */
function mustUndo(state: TaskState): boolean {
  return state.undoing === undefined && (state.undoable?.length ?? 0) > 0;
}

/**
 * What ends a task for good, or lets it go backwards first where it has steps to undo.
 *
 * @param byOwner whether its owner says so, and goes on with it; otherwise the owner loses it
 */
export function endTask(
  context: Making,
  source: string,
  entry: BoardEntry,
  end: TaskEnd & { readonly byOwner?: boolean; readonly state?: TaskState },
): readonly AgentEvent[] {
  const { state = entry.state } = end;
  const error = end.outcome === "failed" ? plainError(end.error) : undefined;
  const reason = end.outcome === "failed" ? (error?.message ?? "") : end.reason;
  const fields = {
    ...identity(state),
    outcome: end.outcome,
    reason,
    ...(error === undefined ? {} : { error }),
  };
  const cause = { cause: entry.last };
  const failed =
    state.isSaga && !state.undoing
      ? [teamEvent(context, source, "saga.failed", fields, cause)]
      : [];
  if (mustUndo(state)) {
    const lost = end.byOwner ? {} : { nextEpoch: state.epoch + 1 };
    return [
      ...failed,
      teamEvent(context, source, "saga.undo_started", { ...fields, ...lost }, cause),
    ];
  }
  const last =
    end.outcome === "failed"
      ? taskFailed(context, source, entry, end.error)
      : taskChanged(context, source, entry, { type: "task.cancelled", reason: end.reason });
  return [...failed, last];
}

/** The end of a task all of whose steps are undone. */
export function undoneTask(
  context: Making,
  source: string,
  entry: BoardEntry,
  undone: number,
): readonly AgentEvent[] {
  const { undoing } = entry.state;
  const { outcome = "failed", reason = "", error } = undoing ?? {};
  const fields = { ...identity(entry.state), outcome, reason, ...(error ? { error } : {}), undone };
  const finished = teamEvent(context, source, "saga.undone", fields, { cause: entry.last });
  const last =
    outcome === "failed"
      ? taskFailed(context, source, entry, Object.assign(new Error(reason), error))
      : taskChanged(context, source, entry, { type: "task.cancelled", reason });
  return [finished, last];
}

/** A person has to look at an undo; nobody owns the task until then. */
export function undoStuck(
  context: Making,
  source: string,
  entry: BoardEntry,
  stuck: { readonly step: string; readonly error: unknown },
): AgentEvent {
  const fields = {
    ...identity(entry.state),
    step: stuck.step,
    error: plainError(stuck.error),
    nextEpoch: entry.state.epoch + 1,
  };
  return teamEvent(context, source, "saga.undo_stuck", fields, { cause: entry.last });
}

/** A step's effect may have happened, and a person has to say; nobody owns the task until then. */
export function stepInDoubt(
  context: Making,
  source: string,
  entry: BoardEntry,
  step: string,
): AgentEvent {
  const { id, epoch, undoing } = entry.state;
  const fields = {
    taskId: id,
    step,
    key: `${id}/${step}`,
    policy: "ask",
    phase: undoing ? "undo" : "step",
    epoch,
    nextEpoch: epoch + 1,
  };
  return teamEvent(context, source, "step.in_doubt", fields, { cause: entry.last });
}

export function sagaStarted(context: Making, source: string, entry: BoardEntry): AgentEvent {
  const fields = { ...identity(entry.state), input: entry.state.input };
  return teamEvent(context, source, "saga.started", fields, { cause: entry.last });
}

export function sagaCompleted(
  context: Making,
  source: string,
  entry: BoardEntry,
  result: unknown,
): AgentEvent {
  const fields = { ...identity(entry.state), result };
  return teamEvent(context, source, "saga.completed", fields, { cause: entry.last });
}

function identity({ id, name, epoch }: TaskState): Readonly<Record<string, unknown>> {
  return { sagaId: id, taskId: id, name, epoch };
}
