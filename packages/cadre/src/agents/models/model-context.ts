/** What every handler is given for models and tools. */
import type { StepOptions } from "../step-options.ts";
import type { LanguageModel } from "./language-model.ts";
import type { ModelOptions } from "./model-options.ts";

/** What a tool's function is told of its call, beside what the SDK says. */
export interface ToolCallInfo {
  /** The same in every attempt: an idempotency key for what it touches. */
  readonly stepKey: string;
  readonly signal: AbortSignal;
  readonly toolCallId?: string;
  readonly [member: string]: unknown;
}

export type ToolOptions<Output = unknown, Input = unknown> = Pick<
  StepOptions<Output, Input>,
  "undo" | "after" | "check" | "pivot" | "retry" | "undoRetry" | "timeoutMs"
>;

export interface ModelContext {
  /**
   * The model, each call of which is a step: an attempt that comes later gets the recorded answer,
   * usage and tool calls, and pays nothing. Goes wherever the AI SDK takes a model.
   *
   * Its calls are named by their place: `model#1`, `model#2` … Another prompt at the same place is
   * a drift. A call without a receipt is made again; what was reserved for it stays charged, for it
   * may have been paid.
   *
   * @throws {CadreError} INVALID_OPTION
   */
  model<Model extends LanguageModel>(model: Model, options?: ModelOptions): Model;
  /**
   * A function each call of which is a step, `name#` and the id of the model's tool call, or a
   * number. What it throws is its answer, and on record as such; a `RetryableError`, or trouble
   * that may pass, ends the attempt instead.
   */
  tool<Input, Output>(
    name: string,
    run: (input: Input, call: ToolCallInfo) => Promise<Output> | Output,
    options?: ToolOptions<Output, Input>,
  ): (input: Input, call?: object) => Promise<Output>;
  /** Tools of the AI SDK, the `execute` of each as a step. Those without one stay as they are. */
  tools<Tools extends Readonly<Record<string, object>>>(
    tools: Tools,
    options?: { readonly [Name in keyof Tools]?: ToolOptions },
  ): Tools;
}
