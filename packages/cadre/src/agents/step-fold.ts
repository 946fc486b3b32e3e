/**
 * The fold of a handler's step records into the state of each of its steps. Pure; the journal, the
 * undos and whoever looks at a saga use this one.
 *
 *   begun ──receipt──▶ done ──undo intent──▶ undoing ──▶ undone
 *     ├──refused by the world──▶ refused        └─ a person: kept
 *     └──gone on without──▶ skipped
 */
import type { AgentEvent } from "../core/event.ts";
import type { JsonValue } from "../core/json.ts";
import { text } from "./task-fold.ts";

export type StepStatus =
  | "begun" // an intent without a receipt: it runs, or is in doubt
  | "done"
  | "refused" // it certainly had no effect
  | "skipped" // the handler went on without it
  | "undoing"
  | "undone"
  | "kept"; // a person let its effect stand

/** One step of a handler, as its records say. */
export interface StepState {
  readonly name: string;
  /** Stable over all attempts; what an effect takes as its idempotency key. */
  readonly key: string;
  readonly inputHash: string;
  readonly status: StepStatus;
  readonly result?: JsonValue;
  readonly hasUndo: boolean;
  readonly isPivot: boolean;
  /** In doubt, and a person said that it may run again. */
  readonly mayRepeat?: boolean;
  /** Failed tries of its undo since a person last asked for another. */
  readonly undoTries: number;
  readonly error?: { readonly name: string; readonly message: string };
  /** Unix milliseconds of the last record. */
  readonly changedAt: number;
}

type Fields = Readonly<Record<string, JsonValue | undefined>>;

/** The steps of one handler, in the order in which they were begun or, if done, ended. */
export class StepStates {
  readonly #byName = new Map<string, StepState>();

  get(name: string): StepState | undefined {
    return this.#byName.get(name);
  }

  all(): readonly StepState[] {
    return [...this.#byName.values()];
  }

  /** The next step to undo: the last that was done, or may have been. */
  lastToUndo(): StepState | undefined {
    let last: StepState | undefined;
    for (const step of this.#byName.values()) if (isOwedUndo(step)) last = step;
    return last;
  }

  /** Whether a step is done behind which nothing is undone. */
  isPastPivot(): boolean {
    for (const { isPivot, status } of this.#byName.values()) {
      if (isPivot && status === "done") return true;
    }
    return false;
  }

  apply(event: AgentEvent): void {
    const fields = event.payload as Fields;
    const name = text(fields["step"]);
    const known = this.#byName.get(name);
    const next = changeOf(event, fields, known);
    if (next === known) return;
    // What is done later is undone sooner, also where steps ran side by side.
    if (known && (event.type === "step.receipt" || next === undefined)) this.#byName.delete(name);
    if (next) this.#byName.set(name, next);
  }
}

/** Whether the step's effect stands, or may stand, and can be taken back. */
export function isOwedUndo(step: StepState): boolean {
  const { hasUndo, status } = step;
  return hasUndo && (status === "done" || status === "begun" || status === "undoing");
}

function changeOf(
  event: AgentEvent,
  fields: Fields,
  known: StepState | undefined,
): StepState | undefined {
  const changedAt = event.timestamp;
  switch (event.type) {
    case "step.intent":
      return { ...fresh(fields, known), status: "begun", changedAt };
    case "step.receipt": {
      const status = fields["skipped"] === true ? "skipped" : "done";
      if (!known) return { ...fresh(fields, known), ...resultOf(fields), status, changedAt };
      const { error: _error, ...rest } = fresh(fields, known);
      return { ...rest, ...resultOf(fields), status, changedAt };
    }
    case "step.failed": {
      const error = errorOf(fields);
      if (fields["refused"] !== true) {
        // Without an intent its policy is to run it again.
        const begun = known ?? { ...fresh(fields, known), mayRepeat: true };
        return { ...begun, error, changedAt };
      }
      return { ...fresh(fields, known), status: "refused", error, changedAt };
    }
    case "step.undo_intent":
      return known && { ...known, status: "undoing", changedAt };
    case "step.undo_receipt":
      return known && { ...known, status: "undone", changedAt };
    case "step.undo_failed":
      return known && { ...known, ...failedUndo(known, fields), changedAt };
    case "step.resolved":
      return known && resolved(known, fields, changedAt);
    default:
      return known;
  }
}

function fresh(fields: Fields, known: StepState | undefined): StepState {
  return {
    name: text(fields["step"]),
    key: text(fields["key"]),
    inputHash: text(fields["inputHash"]) || (known?.inputHash ?? ""),
    status: "begun",
    hasUndo: fields["undo"] === true || known?.hasUndo === true,
    isPivot: fields["pivot"] === true || known?.isPivot === true,
    undoTries: known?.undoTries ?? 0,
    ...(known?.error === undefined ? {} : { error: known.error }),
    changedAt: 0,
  };
}

function failedUndo(known: StepState, fields: Fields): Pick<StepState, "undoTries" | "error"> {
  return { undoTries: known.undoTries + 1, error: errorOf(fields) };
}

/** What a person has decided; `undefined` when the step is as if it had never begun. */
function resolved(known: StepState, fields: Fields, changedAt: number): StepState | undefined {
  const action = text(fields["action"]);
  if (fields["phase"] === "undo") {
    if (action === "retry") return { ...known, undoTries: 0, changedAt };
    return { ...known, status: action === "done" ? "undone" : "kept", changedAt };
  }
  if (action === "retry") {
    // A step that may have happened is still to be undone, until it has run again.
    return known.hasUndo ? { ...known, mayRepeat: true, changedAt } : undefined;
  }
  if (action === "fail") return { ...known, status: "refused", changedAt };
  const status = action === "done" ? "done" : "skipped";
  return { ...known, ...resultOf(fields), status, changedAt };
}

function resultOf(fields: Fields): Pick<StepState, "result"> {
  return fields["result"] === undefined ? {} : { result: fields["result"] };
}

function errorOf(fields: Fields): { readonly name: string; readonly message: string } {
  const error = (fields["error"] ?? {}) as Fields;
  return { name: text(error["name"]) || "Error", message: text(error["message"]) };
}
