/**
 * What must hold of sagas: each ends completed, or everything that it has done is undone.
 *
 * Read from the records alone and not with the runtime's own fold, which may have the same mistake.
 */
import { taskIdOf, taskStreamPrefix } from "../agents/task-fold.ts";
import type { AgentEvent } from "../core/event.ts";
import type { Violation } from "./sim-options.ts";

interface Saga {
  /** Steps whose effect stands and can be taken back. */
  readonly owed: Set<string>;
  readonly undone: Map<string, number>;
  end: string | undefined;
  isBackwards: boolean;
}

/** What the saga's own events end with; absent for one that is a task. */
type Last = { readonly type: string; readonly stream: string };

const taskEnds = new Set(["task.completed", "task.failed", "task.cancelled"]);
const sagaEnds = new Set(["saga.completed", "saga.undone"]);
const begins = new Set(["saga.started", "saga.undo_started"]);
const invariant = "sagas end completed or undone";

export class SagaReading {
  readonly #tasks = new Map<string, Saga>();
  readonly #others = new Map<string, Last>();

  add(stream: string, event: AgentEvent): void {
    const isTask = stream.startsWith(taskStreamPrefix);
    if (isTask) this.#note(stream, event);
    if (isTask || !event.type.startsWith("saga.")) return;
    const { sagaId } = event.payload as { readonly sagaId: string };
    const last = this.#others.get(sagaId);
    if (last || begins.has(event.type)) this.#others.set(sagaId, { type: event.type, stream });
  }

  judge(): readonly Violation[] {
    const found: Violation[] = [];
    for (const [stream, saga] of this.#tasks) {
      const say = (message: string): void => void found.push({ invariant, message, stream });
      const id = taskIdOf(stream);
      if (saga.end !== undefined && saga.end !== "task.completed" && saga.owed.size > 0) {
        say(`task ${id} ended with ${saga.end}, and ${[...saga.owed].join(", ")} is not undone`);
      }
      if (saga.end === "task.completed" && (saga.isBackwards || saga.undone.size > 0)) {
        say(`task ${id} completed after it had gone backwards`);
      }
      for (const [step, times] of saga.undone) {
        if (times > 1) say(`step ${step} of task ${id} has ${times} receipts of its undo`);
      }
    }
    for (const [id, { type, stream }] of this.#others) {
      if (sagaEnds.has(type)) continue;
      found.push({ invariant, message: `saga ${id} ends with ${type}`, stream });
    }
    return found;
  }

  #note(stream: string, event: AgentEvent): void {
    const { type } = event;
    if (!type.startsWith("step.") && !taskEnds.has(type) && type !== "saga.undo_started") return;
    let saga = this.#tasks.get(stream);
    if (!saga) {
      saga = { owed: new Set(), undone: new Map(), end: undefined, isBackwards: false };
      this.#tasks.set(stream, saga);
    }
    if (taskEnds.has(type)) saga.end ??= type;
    else if (type === "saga.undo_started") saga.isBackwards = true;
    else noteStep(saga, event);
  }
}

function noteStep(saga: Saga, { type, payload }: AgentEvent): void {
  const fields = payload as Readonly<Record<string, unknown>>;
  const step = String(fields["step"]);
  if (type === "step.intent" || type === "step.receipt") {
    if (fields["skipped"] === true) saga.owed.delete(step);
    else if (fields["undo"] === true) saga.owed.add(step);
  } else if (type === "step.undo_receipt") {
    saga.owed.delete(step);
    saga.undone.set(step, (saga.undone.get(step) ?? 0) + 1);
  } else if (type === "step.failed" && fields["refused"] === true) {
    saga.owed.delete(step);
  } else if (type === "step.resolved" && lets(fields)) {
    saga.owed.delete(step);
  }
}

/** Whether a person has said that nothing is to be undone of the step. */
function lets({ phase, action }: Readonly<Record<string, unknown>>): boolean {
  if (phase === "undo") return action === "skip" || action === "done";
  return action === "skip" || action === "fail";
}
