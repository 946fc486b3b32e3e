/** What a handler says of a step: its tries, its undo, and what is done when it is in doubt. */

/**
 * How an effect that may or may not have happened is resolved after a crash between intent and
 * receipt.
 */
export type DoubtPolicy = "retry" | "check" | "ask" | "skip";

/** Tries of a step, or of its undo, within one attempt of its handler. */
export interface StepRetry {
  readonly maxAttempts?: number;
  /** Before the second try; doubles with each. @default 100, for an undo 200 */
  readonly delayMs?: number;
  /** @default 60_000 */
  readonly maxDelayMs?: number;
}

/** What an undo is given. */
export interface StepToUndo<Result, Input = undefined> {
  /** The key that the step had. */
  readonly key: string;
  readonly input: Input;
  /**
   * `undefined` where the step was in doubt and its policy is "retry": it may not have happened,
   * and the undo must find out by the key.
   */
  readonly result: Result | undefined;
}

export interface StepOptions<Result, Input = undefined> {
  /**
   * Takes the step's effect back when the task fails or is cancelled. Runs at least once, so it
   * must be idempotent by the key; its presence changes the preset of `after` to "ask". Its result
   * is of no use.
   */
  readonly undo?: (step: StepToUndo<Result, Input>) => unknown;
  /**
   * What to do about a step that has an intent and no receipt. @default "retry", with an undo "ask"
   */
  readonly after?: DoubtPolicy;
  /** For `after: "check"`: the result, if the effect has happened, or `undefined`. */
  readonly check?: (
    stepKey: string,
    input: Input,
  ) => Promise<Result | undefined> | Result | undefined;
  /** When it is done, the task only goes forward: it is tried again until it succeeds. */
  readonly pivot?: boolean;
  /** @default one try */
  readonly retry?: StepRetry;
  /** Then the undo is stuck. @default 10 tries */
  readonly undoRetry?: StepRetry;
  /** Bounds each try of the step, and each of its undo. */
  readonly timeoutMs?: number;
}
