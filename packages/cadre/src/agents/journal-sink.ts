/**
 * What the journal of a handler's steps is given: where it writes, and what the handler asks for.
 */
import type { Clock } from "../core/clock.ts";
import { CadreError } from "../core/errors.ts";
import type { AgentEvent } from "../core/event.ts";
import type { StepOptions } from "./step-options.ts";
import type { DriftPolicy } from "./task.ts";

/** Where the journal writes. */
export interface JournalSink {
  /** Stable over all attempts: the task's id, or the group and the event's id. */
  readonly key: string;
  readonly clock: Clock;
  readonly drift: DriftPolicy;
  /** Whether the handler can go backwards, and wait for a person. */
  readonly allowsUndo: boolean;
  /** The records of earlier attempts; asked for once, before the first step. */
  history(): Promise<readonly AgentEvent[]>;
  /** Throws when this attempt may have no effect any more: its lease is over, or it was aborted. */
  assertOwned(): void;
  makeEvent(type: string, payload: Readonly<Record<string, unknown>>): AgentEvent;
  /**
   * Appends to the handler's stream; rejects with LEASE_LOST when it is no longer this attempt's.
   */
  append(events: readonly AgentEvent[]): Promise<unknown>;
  /** Is called when a step has its receipt on record; the handler goes on when it resolves. */
  readonly afterReceipt?: (step: string) => Promise<void>;
}

/** What is written beside a receipt, in the same commit. */
export interface StepFact {
  readonly type: string;
  readonly payload: Readonly<Record<string, unknown>>;
}

/** One step as the handler asks for it. */
export interface StepCall<Result = unknown> {
  readonly name: string;
  readonly input: unknown;
  readonly run: (stepKey: string) => Promise<Result> | Result;
  readonly options: StepOptions<Result, unknown>;
  readonly facts?: (result: Result | undefined) => readonly StepFact[];
}

/**
 * @throws {CadreError} INVALID_OPTION, when the step is to be checked and says not how
 * @throws {CadreError} UNSUPPORTED, when the handler only goes forward and the step can't
 */
export function assertPossible<Result>(
  { name, options }: StepCall<Result>,
  allowsUndo: boolean,
): void {
  if (options.after === "check" && !options.check) {
    const message = `Step "${name}" has after: "check" and no check. Give it one.`;
    throw new CadreError("INVALID_OPTION", message, { option: "check" });
  }
  if (allowsUndo || !(options.undo || options.pivot)) return;
  const message =
    `Step "${name}" has ${options.undo ? "an undo" : "a pivot"}, and a handler of an event only ` +
    "goes forward. Start a saga from the event, or publish the event that takes this one back.";
  throw new CadreError("UNSUPPORTED", message, { feature: "undo", by: "on()" });
}

/** What a step in doubt comes to by its policy; nothing, when it is to run. */
export async function settleDoubt<Result>(
  { options, input }: StepCall<Result>,
  policy: string,
  key: string,
): Promise<{ readonly result: Result; readonly skipped?: true } | "ask" | undefined> {
  if (policy === "retry") return undefined;
  if (policy === "skip") return { result: null as Result, skipped: true };
  if (policy !== "check" || !options.check) return "ask";
  const found = await options.check(key, input);
  return found === undefined ? undefined : { result: found };
}
