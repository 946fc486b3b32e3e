/** The journal of a handler's steps, and the sagas that are made of them. */
import {
  anyJson,
  fact,
  instant,
  number,
  optional,
  ordinal,
  plainError,
  text,
  word,
  type BuiltinFamily,
  type PlainError,
} from "./payload-schema.ts";

export interface StepIntent {
  /** Unique in its handler. */
  readonly step: string;
  /** Stable over all attempts; an effect's idempotency key. */
  readonly key: string;
  /** Hash of the step's input. */
  readonly inputHash?: string;
  readonly attempt?: number;
}

export interface StepReceipt {
  readonly step: string;
  readonly key: string;
  readonly inputHash?: string;
  readonly attempt?: number;
  readonly result?: unknown;
}

export interface StepFailed {
  readonly step: string;
  readonly key: string;
  readonly inputHash?: string;
  readonly attempt?: number;
  readonly error?: PlainError;
}

export interface StepInDoubt {
  readonly step: string;
  readonly key: string;
  readonly policy?: string;
}

export interface StepTimer {
  readonly step: string;
  readonly key: string;
  /** Unix milliseconds. */
  readonly dueAt: number;
}

export interface StepSignal {
  readonly step: string;
  readonly key: string;
  readonly value?: unknown;
}

export interface SagaStarted {
  readonly sagaId: string;
  readonly name?: string;
  readonly taskId?: string;
  readonly input?: unknown;
}

export interface SagaCompleted {
  readonly sagaId: string;
  readonly name?: string;
  readonly result?: unknown;
}

export interface SagaFailed {
  readonly sagaId: string;
  readonly name?: string;
  /** The step at which it failed. */
  readonly step?: string;
  readonly error?: PlainError;
  /** Undos that have run. */
  readonly undone?: number;
}

export type StepEvents = {
  "step.intent": StepIntent;
  "step.receipt": StepReceipt;
  "step.failed": StepFailed;
  "step.in_doubt": StepInDoubt;
  "step.undo_intent": StepIntent;
  "step.undo_receipt": StepReceipt;
  "step.timer": StepTimer;
  "step.signal": StepSignal;
  "saga.started": SagaStarted;
  "saga.completed": SagaCompleted;
  "saga.failed": SagaFailed;
  "saga.undo_started": SagaFailed;
  "saga.undone": SagaFailed;
  "saga.undo_stuck": SagaFailed;
};

const begun = {
  step: word,
  key: word,
  inputHash: optional(text),
  attempt: optional(ordinal),
};
const done = { ...begun, result: optional(anyJson) };
const undoing = {
  sagaId: word,
  name: optional(word),
  step: optional(word),
  error: optional(plainError),
  undone: optional(number),
};

export const stepEvents: BuiltinFamily<StepEvents> = {
  "step.intent": fact("A step is about to touch the world.", begun),
  "step.receipt": fact("A step is done; later attempts get this result.", done),
  "step.failed": fact("One attempt of a step has failed.", {
    ...begun,
    error: optional(plainError),
  }),
  "step.in_doubt": fact("A step has an intent and no receipt; its policy decides.", {
    step: word,
    key: word,
    policy: optional(text),
  }),
  "step.undo_intent": fact("The undo of a step is about to touch the world.", begun),
  "step.undo_receipt": fact("A step has been undone.", done),
  "step.timer": fact("A durable sleep ends at this instant.", {
    step: word,
    key: word,
    dueAt: instant,
  }),
  "step.signal": fact("What a waiting step was told from outside.", {
    step: word,
    key: word,
    value: optional(anyJson),
  }),
  "saga.started": fact("A sequence of steps with undos has begun.", {
    sagaId: word,
    name: optional(word),
    taskId: optional(word),
    input: optional(anyJson),
  }),
  "saga.completed": fact("Every step of a saga is done.", {
    sagaId: word,
    name: optional(word),
    result: optional(anyJson),
  }),
  "saga.failed": fact("A step of a saga has failed for good.", undoing),
  "saga.undo_started": fact("The undos of a saga run, last step first.", undoing),
  "saga.undone": fact("Every finished step of a failed saga is undone.", undoing),
  "saga.undo_stuck": fact("An undo fails again and again; a person has to look.", undoing),
};
