/** Where sagas are begun and looked at. */
import type { TaskDesk } from "./task-desk.ts";
import { sagaId, type SagaDefinition } from "./define-saga.ts";
import type { StepState } from "./step-fold.ts";
import { stepsOf } from "./step-resolution.ts";
import { isFinal } from "./task-fold.ts";
import type { TaskHandle, TaskOptions, TaskState } from "./task.ts";
import type { TeamContext } from "./team-context.ts";

/** Where a saga stands, in one word. */
export type SagaPhase =
  | "forward"
  | "past_pivot" // it only goes forward
  | "in_doubt" // a person must say whether a step has happened
  | "undoing"
  | "stuck" // a person must look at an undo
  | "completed"
  | "undone"; // failed or cancelled, and nothing of it stands

/** One saga, or a task with undos. */
export interface SagaState {
  readonly task: TaskState;
  readonly phase: SagaPhase;
  /** In the order of the way forward. */
  readonly steps: readonly StepState[];
}

export interface SagaQuery {
  readonly name?: string;
  readonly phase?: SagaPhase;
  readonly limit?: number;
}

export interface StartSagaOptions extends Omit<TaskOptions, "id"> {
  /** What tells instances of the saga apart: the same key is the same instance. */
  readonly key: string;
}

export class SagaDesk {
  readonly #context: Pick<TeamContext, "store">;
  readonly #desk: TaskDesk;

  constructor(context: Pick<TeamContext, "store">, desk: TaskDesk) {
    this.#context = context;
    this.#desk = desk;
  }

  start<Input, Output>(
    saga: SagaDefinition<Input, Output>,
    input: Input,
    options: StartSagaOptions,
  ): Promise<TaskHandle<Output>> {
    const { key, ...rest } = options;
    return this.#desk.create(saga, input, { ...rest, id: sagaId(saga, key) });
  }

  async list(query: SagaQuery = {}): Promise<readonly TaskState[]> {
    const { name, phase, limit = Infinity } = query;
    const fits = (state: TaskState): boolean =>
      isSaga(state) &&
      (name === undefined || state.name === name) &&
      (phase === undefined || sagaPhase(state) === phase);
    return (await this.#desk.list()).filter(fits).slice(0, limit);
  }

  async get(id: string): Promise<SagaState | undefined> {
    const task = await this.#desk.get(id);
    if (!task) return undefined;
    return { task, phase: sagaPhase(task), steps: await stepsOf(this.#context.store, id) };
  }
}

/** Whether a task is to be listed as a saga: it was declared as one, or it can go backwards. */
export function isSaga(state: TaskState): boolean {
  return (
    state.isSaga === true ||
    state.undoable !== undefined ||
    state.pivot !== undefined ||
    state.undoing !== undefined
  );
}

export function sagaPhase(state: TaskState): SagaPhase {
  const { status, undoing, pivot } = state;
  if (status === "completed") return "completed";
  if (isFinal(status)) return "undone";
  if (status === "in_doubt" || status === "stuck") return status;
  if (undoing) return "undoing";
  return pivot === undefined ? "forward" : "past_pivot";
}
