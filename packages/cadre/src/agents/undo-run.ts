/**
 * The way back of one task: the undos of its steps, the last step first, each a durable step of its
 * own.
 *
 *   done ──intent──▶ undoing ──receipt──▶ undone
 *     ▲                 └──fails──▶ again after a backoff ──▶ stuck: a person decides
 *   in doubt, by its policy: retry: undone by its key; check: asked; skip: left; ask: a person
 *
 * An undo runs at least once: a crash between its effect and its receipt runs it again.
 */
import type { Clock } from "../core/clock.ts";
import { CadreError, isCadreError } from "../core/errors.ts";
import type { AgentEvent } from "../core/event.ts";
import { toFrozenJson } from "../core/json.ts";
import type { StepState } from "./step-fold.ts";
import type { StepCall } from "./journal-sink.ts";
import type { StepJournal } from "./step-journal.ts";
import { hashInput } from "./input-hash.ts";
import { otherUndo, unknownUndo } from "./step-errors.ts";
import { plainError } from "./task-events.ts";
import { withinTime } from "./within-time.ts";

export interface UndoPort {
  /** Knows the steps, and what the handler's code says of each. */
  readonly journal: StepJournal;
  /** Whether the code may still show an undo that the journal does not know. */
  readonly mayGetFurther: boolean;
  readonly clock: Clock;
  /** Aborted when the task is no longer this owner's, or the runtime closes. */
  readonly signal: AbortSignal;
  append(events: readonly AgentEvent[]): Promise<unknown>;
  /** Throws when the owner's lease may have ended. */
  assertOwned(): void;
  withoutSlot<Result>(wait: () => Promise<Result>): Promise<Result>;
}

/** What the way back has come to, and the records that are to be written with it. */
export type UndoOutcome = { readonly records: readonly AgentEvent[] } & (
  | { readonly kind: "undone"; readonly undone: number }
  | { readonly kind: "stuck"; readonly step: string; readonly error: unknown }
  | { readonly kind: "in_doubt"; readonly step: string }
);

const defaults = { maxAttempts: 10, delayMs: 200, maxDelayMs: 60_000 } as const;

export class UndoRun {
  readonly #port: UndoPort;
  #records: AgentEvent[] = [];

  constructor(port: UndoPort) {
    this.#port = port;
  }

  /** Rejects with the signal's reason when it is aborted; what is undone by then is on record. */
  async run(): Promise<UndoOutcome> {
    try {
      return await this.#run();
    } catch (error) {
      // Who cannot write it any more undoes it once more, elsewhere.
      if (!isCadreError(error, "LEASE_LOST")) await this.#write().catch(() => undefined);
      throw error;
    }
  }

  async #run(): Promise<UndoOutcome> {
    const { journal, signal } = this.#port;
    for (;;) {
      signal.throwIfAborted();
      const step = journal.lastToUndo();
      if (!step) {
        return { kind: "undone", undone: journal.count("undone"), records: this.#records };
      }
      const call = journal.callOf(step.name);
      if (!call?.options.undo) return await this.#unknown(step);
      if (!journal.asksAsRecorded(step)) return this.#stuck(step, otherUndoOf(step, call));
      try {
        const goesOn = step.status !== "begun" || (await this.#settleDoubt(step, call));
        if (goesOn === "ask") return { kind: "in_doubt", step: step.name, records: this.#records };
        if (goesOn) await this.#undo(journal.stateOf(step.name) ?? step, call);
      } catch (error) {
        if (signal.aborted) throw signal.reason;
        if (isCadreError(error, "LEASE_LOST")) throw error;
        if (await this.#failed(step, call, error)) return this.#stuck(step, error);
      }
    }
  }

  /** The code has no such undo; or it was held up on its way to it, and is asked again. */
  async #unknown(step: StepState): Promise<UndoOutcome> {
    const { mayGetFurther, journal } = this.#port;
    if (!mayGetFurther) return this.#stuck(step, unknownUndo(step.name, step.inputHash));
    const what = `the handler, on its way to step ${step.name}`;
    const error = new CadreError("TIMEOUT", `It took too long: ${what}.`, { what, timeoutMs: 0 });
    const attempt = step.undoTries + 1;
    const fields = { step: step.name, key: step.key, attempt, error: plainError(error) };
    this.#records.push(journal.make("step.undo_failed", fields));
    if (attempt >= defaults.maxAttempts) return this.#stuck(step, error);
    await this.#write();
    throw error;
  }

  async #undo(step: StepState, { input, options }: StepCall): Promise<void> {
    const { journal, clock } = this.#port;
    await this.#backOff(step, options);
    const fields = { step: step.name, key: step.key, attempt: step.undoTries + 1 };
    if (step.status !== "undoing") this.#records.push(journal.make("step.undo_intent", fields));
    await this.#write();
    // Asked last before each effect: a process that froze, or is to close, must not go on.
    this.#port.signal.throwIfAborted();
    this.#port.assertOwned();
    const { key, result } = step;
    await this.#untilAborted(
      withinTime(clock, options.timeoutMs, `the undo of step ${step.name}`, async () =>
        options.undo?.({ key, input, result }),
      ),
    );
    // Its effect came only now: there is something to undo, maybe since after the undo looked.
    if (journal.stateOf(step.name)?.status === "done") return;
    this.#records.push(journal.make("step.undo_receipt", fields));
  }

  /** Whether there is something to undo, in a step that has no receipt. */
  async #settleDoubt(step: StepState, { input, options }: StepCall): Promise<boolean | "ask"> {
    const { journal, clock } = this.#port;
    const { name, key, inputHash } = step;
    switch (options.after ?? "ask") {
      case "retry":
        return true;
      case "check": {
        const found = await this.#untilAborted(
          withinTime(clock, options.timeoutMs, `the check of step ${name}`, async () =>
            options.check?.(key, input),
          ),
        );
        const fields = { step: name, key, inputHash };
        if (found === undefined) {
          const error = { name: "NotDone", message: "Its check found no effect." };
          this.#records.push(journal.make("step.failed", { ...fields, error, refused: true }));
          return false;
        }
        const receipt = { ...fields, undo: true, result: toFrozenJson(found) };
        this.#records.push(journal.make("step.receipt", receipt));
        return true;
      }
      case "skip": {
        const receipt = { step: name, key, inputHash, undo: true, skipped: true };
        this.#records.push(journal.make("step.receipt", receipt));
        return false;
      }
      default:
        return "ask";
    }
  }

  /** Records a failed try. Whether there is no other. */
  async #failed({ name, key }: StepState, call: StepCall, error: unknown): Promise<boolean> {
    const { journal } = this.#port;
    const attempt = (journal.stateOf(name)?.undoTries ?? 0) + 1;
    const fields = { step: name, key, attempt, error: plainError(error) };
    this.#records.push(journal.make("step.undo_failed", fields));
    const { maxAttempts } = { ...defaults, ...call.options.undoRetry };
    if (attempt >= maxAttempts || isCadreError(error, "TERMINAL")) return true;
    await this.#write();
    return false;
  }

  /** Waits for what is left of the time between two tries; the first may have been elsewhere. */
  async #backOff({ undoTries, changedAt }: StepState, options: StepCall["options"]): Promise<void> {
    if (undoTries === 0) return;
    const { clock, signal } = this.#port;
    const { delayMs, maxDelayMs } = { ...defaults, ...options.undoRetry };
    const waitMs = Math.min(maxDelayMs, delayMs * 2 ** (undoTries - 1));
    const leftMs = Math.min(waitMs, changedAt + waitMs - clock.now());
    if (leftMs > 0) await this.#port.withoutSlot(() => clock.sleep(leftMs, signal));
  }

  #stuck({ name }: StepState, error: unknown): UndoOutcome {
    return { kind: "stuck", step: name, error, records: this.#records };
  }

  async #write(): Promise<void> {
    const records = this.#records;
    if (records.length === 0) return;
    this.#records = [];
    await this.#port.append(records);
  }

  /** An undo or a check that does not end is left behind when it has to: it will run again. */
  #untilAborted<Result>(undo: Promise<Result>): Promise<Result> {
    const { signal } = this.#port;
    return new Promise((resolve, reject) => {
      const onAbort = (): void => reject(signal.reason);
      signal.addEventListener("abort", onAbort, { once: true });
      const end = (): void => signal.removeEventListener("abort", onAbort);
      undo.finally(end).then(resolve, reject);
    });
  }
}

function otherUndoOf({ name, inputHash }: StepState, { input }: StepCall): CadreError {
  return otherUndo({ step: name, expected: inputHash || "no input", actual: hashInput(input) });
}
