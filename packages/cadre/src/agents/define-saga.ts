/** Declares sagas, and which events begin them. */
import type { AgentEvent } from "../core/event.ts";
import type { FilterDocument } from "../core/filter.ts";
import { assertPattern } from "../core/pattern.ts";
import type { TaskContext } from "./agent.ts";
import { defineTask, type TaskOptionsOf } from "./define-task.ts";
import { noSteps, runNodes, type NestedSaga, type SagaSteps } from "./saga-steps.ts";
import { hashInput } from "./input-hash.ts";

/** Events that begin an instance: one for each key, however often and wherever they are heard. */
export interface SagaStart<Input> {
  readonly pattern: string;
  readonly filter?: FilterDocument;
  /** What tells instances apart. */
  readonly key: (event: AgentEvent) => string | undefined;
  readonly input: (event: AgentEvent) => Input;
  /** For an event without a key: nothing, or a dead letter. @default "refuse" */
  readonly unknown?: "ignore" | "refuse";
}

/**
 * Events that only make sense to an instance. The instance hears them by `waitFor`; this is about
 * those that belong to none.
 */
export interface SagaExpectation {
  readonly pattern: string;
  readonly filter?: FilterDocument;
  readonly key: (event: AgentEvent) => string | undefined;
  /**
   * For an event whose instance was never started: nothing, or tries and then a dead letter. An
   * instance that has ended ignores what comes late. @default "refuse"
   */
  readonly unknown?: "ignore" | "refuse";
}

export interface SagaOptions<Input> extends Omit<TaskOptionsOf<Input, unknown>, "output"> {
  readonly starts?: readonly SagaStart<Input>[];
  readonly expects?: readonly SagaExpectation[];
}

/** A saga as declared. It is a task that whoever `does` it runs. */
export interface SagaDefinition<Input, Output> extends NestedSaga<Input, Output> {
  readonly isSaga: true;
  readonly starts: readonly SagaStart<Input>[];
  readonly expects: readonly SagaExpectation[];
}

/** The id of the instance of a saga that has this key: each has exactly one. */
export function sagaId(saga: { readonly name: string }, key: string): string {
  const isPlain = key.length <= longestKey && /^[\w:@+-]+$/.test(key);
  return `${saga.name}:${isPlain ? key : hashInput(key)}`;
}

// An id is a part of a stream's name; its children's ids go on with a dot.
const longestKey = 100;

/**
 * Declares a saga: steps in order, with undos that run backwards when it fails or is cancelled.
 *
 * @throws {CadreError} INVALID_OPTION, for an option of `defineTask` that is impossible, or two
 * steps of one name
 * @throws {CadreError} INVALID_PATTERN
 */
export function defineSaga<Input, Results, Output>(
  options: SagaOptions<Input>,
  build: (start: SagaSteps<Input, unknown>) => SagaSteps<Input, Results, Output>,
): SagaDefinition<Input, Output> {
  const { starts = [], expects = [], ...task } = options;
  for (const { pattern } of [...starts, ...expects]) assertPattern(pattern);
  const { nodes, finish } = build(noSteps<Input>());
  const definition = defineTask<Input, Output>(task);
  return Object.freeze({
    ...definition,
    isSaga: true as const,
    starts,
    expects,
    stepNames: nodes.flatMap(({ names }) => names),
    async runSteps(input: Input, ctx: TaskContext, prefix = ""): Promise<Output> {
      const frame = await runNodes(nodes, { input, results: {}, ctx, prefix });
      // Without `returns` the results are the output: that is what the builder's types say.
      return (finish ? finish(frame) : frame.results) as Output;
    },
  });
}
