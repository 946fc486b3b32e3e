/** What a handler says when it hands work on to several, and what it gets back. */

/** The same task for each of several inputs, or one input for each of several agents. */
export type ScatterTo<Input> =
  | { readonly inputs: readonly Input[] }
  | {
      /** Names; each is asked first, and another takes its part when it is not there. */
      readonly agents: readonly string[];
      readonly input: Input;
    };

export interface ScatterOptions {
  /** Results that are enough. @default all */
  readonly quorum?: number;
  /** Durable: after a crash only the rest is waited for. @default none */
  readonly timeoutMs?: number;
  /**
   * What becomes of those that are late: they are told to stop, or left alone. @default "cancel"
   */
  readonly onLate?: "cancel" | "keep";
}

/** One of the first results. */
export interface Gathered<Output> {
  /** Its place among the inputs, or the agents. */
  readonly index: number;
  /** The agent that was asked. */
  readonly agent?: string;
  readonly result: Output;
}

export interface MapOptions<Output = unknown, Sum = unknown> {
  /** Tasks at once. @default 16 */
  readonly concurrency?: number;
  /**
   * `fail-fast`: the first that fails fails the map, and those that run are cancelled. `collect`:
   * all are done, and each says how it ended. @default "fail-fast"
   */
  readonly onFailure?: "fail-fast" | "collect";
  /**
   * Folds the results in the order of the items, instead of keeping all of them. Pure: it runs
   * again in each attempt. With `collect`, failures are left out.
   */
  readonly reduce?: (sum: Sum, result: Output, index: number) => Sum;
  readonly initial?: Sum;
}

/** How one item of a map has ended. */
export type MapOutcome<Output> =
  | { readonly status: "completed"; readonly result: Output }
  | {
      readonly status: "failed";
      readonly error: { readonly message: string; readonly code: string };
    };
