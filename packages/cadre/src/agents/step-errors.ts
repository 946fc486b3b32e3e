/** What is wrong with a step, in words. */
import { CadreError, TerminalError } from "../core/errors.ts";
import type { JsonValue } from "../core/json.ts";
import { hashInput } from "./input-hash.ts";
import type { StepState } from "./step-fold.ts";

type Drift = CadreError<"STEP_DRIFT">;

interface DriftDetails {
  readonly step: string;
  readonly expected: string;
  readonly actual: string;
}

export function leftOut(details: DriftDetails): Drift {
  const message =
    `Step "${details.step}" is in the journal, and the handler ended without asking for it. ` +
    "Give changed code another version, or the task a drift policy of its own.";
  return new CadreError("STEP_DRIFT", message, details);
}

export function repeated(step: string): Drift {
  const message =
    `Step "${step}" ran already in this handler. ` +
    "Names are unique; in a loop, put the item's key into the name.";
  return new CadreError("STEP_DRIFT", message, { step, expected: "a new name", actual: step });
}

export function otherInput(details: DriftDetails): Drift {
  const message =
    `Step "${details.step}" was journaled with another input. ` +
    "Give the step another name, or the input it had.";
  return new CadreError("STEP_DRIFT", message, details);
}

/** @throws {CadreError} STEP_DRIFT, when an earlier attempt gave the child another input */
export function assertSameInput(child: string, was: JsonValue, is: JsonValue): void {
  const [expected, actual] = [hashInput(was), hashInput(is)];
  if (expected === actual) return;
  const message =
    `Task ${child} was made with another input, by an attempt before this one. ` +
    "Give the child another name, or the input it had.";
  throw new CadreError("STEP_DRIFT", message, { step: child, expected, actual });
}

/** A step that is to be undone, and the code knows no undo for it. */
export function unknownUndo(step: string, inputHash: string): Drift {
  const message =
    `Step "${step}" is to be undone, and the handler's code has no such step, or no undo for it. ` +
    "Start the code that has it and retry, or say that it is done.";
  const details = { step, expected: inputHash || step, actual: "no undo" };
  return new CadreError("STEP_DRIFT", message, details);
}

/** A step that is to be undone, and whose undo would be given another input than it had. */
export function otherUndo(details: DriftDetails): Drift {
  const message =
    `Step "${details.step}" is to be undone, and the handler's code gives it another input than ` +
    "it had. Start the code that gives it the same and retry, or say that it is done.";
  return new CadreError("STEP_DRIFT", message, details);
}

export function inDoubt(step: string): CadreError<"STEP_IN_DOUBT"> {
  const message =
    `Step "${step}" was begun and has no receipt: its effect may have happened. ` +
    'A person must decide, or give the step `after: "retry"`, "skip", or "check" with a check.';
  return new CadreError("STEP_IN_DOUBT", message, { step });
}

/** What the step threw, as far as it is on record. */
export function recordedError({ name, status, error }: StepState): Error {
  if (status === "refused") return new TerminalError(error?.message ?? `"${name}" was refused.`);
  return Object.assign(new Error(error?.message ?? `"${name}" failed.`), { name: error?.name });
}
