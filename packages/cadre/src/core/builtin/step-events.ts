/** The journal of a handler's steps, and the sagas that are made of them. */
import {
  anyJson,
  fact,
  flag,
  instant,
  number,
  oneOf,
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
  /** Whether the step has an undo: it is owed one from here on. */
  readonly undo?: boolean;
  /** The handler only goes forward, unless the step is refused. */
  readonly pivot?: boolean;
}

export interface StepReceipt {
  readonly step: string;
  readonly key: string;
  readonly inputHash?: string;
  readonly attempt?: number;
  readonly result?: unknown;
  readonly undo?: boolean;
  readonly pivot?: boolean;
  /** Went on without the effect. */
  readonly skipped?: boolean;
}

export interface StepFailed {
  readonly step: string;
  readonly key: string;
  readonly inputHash?: string;
  readonly attempt?: number;
  readonly error?: PlainError;
  /** It certainly had no effect, and will not be tried again. */
  readonly refused?: boolean;
}

export interface StepInDoubt {
  readonly step: string;
  readonly key: string;
  readonly policy?: string;
  /** The epoch of the next owner, after a person has decided. */
  readonly nextEpoch?: number;
  /** Whether the step is to be undone, or to go on. */
  readonly phase?: "step" | "undo";
}

export interface StepDrift {
  readonly step: string;
  readonly key: string;
  /** Another input, or a recorded step that the handler does not ask for. */
  readonly kind: "input" | "missing";
  readonly expected?: string;
  readonly actual?: string;
  readonly policy?: string;
}

export interface StepResolved {
  readonly step: string;
  readonly key: string;
  readonly phase?: "step" | "undo";
  /** `retry`, `skip`, `done` or `fail`. */
  readonly action: string;
  readonly result?: unknown;
  readonly by?: string;
  readonly reason?: string;
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
  /** The event that was waited for. */
  readonly value?: unknown;
  readonly eventId?: string;
  /** It did not come in time. */
  readonly timedOut?: boolean;
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
  readonly taskId?: string;
  /** How it ends when all is undone. */
  readonly outcome?: "failed" | "cancelled";
  readonly reason?: string;
  /** Set when the owner loses the saga by it. */
  readonly nextEpoch?: number;
}

export type StepEvents = {
  "step.intent": StepIntent;
  "step.receipt": StepReceipt;
  "step.failed": StepFailed;
  "step.in_doubt": StepInDoubt;
  "step.drift": StepDrift;
  "step.resolved": StepResolved;
  "step.undo_intent": StepIntent;
  "step.undo_receipt": StepReceipt;
  "step.undo_failed": StepFailed;
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
  undo: optional(flag),
  pivot: optional(flag),
};
const done = {
  ...begun,
  result: optional(anyJson),
  skipped: optional(flag),
};
const failed = {
  step: word,
  key: word,
  inputHash: optional(text),
  attempt: optional(ordinal),
  error: optional(plainError),
  refused: optional(flag),
};
const phase = optional(oneOf("step", "undo"));
const undoing = {
  sagaId: word,
  name: optional(word),
  step: optional(word),
  error: optional(plainError),
  undone: optional(number),
  taskId: optional(word),
  outcome: optional(oneOf("failed", "cancelled")),
  reason: optional(text),
  nextEpoch: optional(ordinal),
};

export const stepEvents: BuiltinFamily<StepEvents> = {
  "step.intent": fact("A step is about to touch the world.", begun),
  "step.receipt": fact("A step is done; later attempts get this result.", done),
  "step.failed": fact("One attempt of a step has failed.", failed),
  "step.in_doubt": fact("A step has an intent and no receipt; its policy decides.", {
    step: word,
    key: word,
    policy: optional(text),
    nextEpoch: optional(ordinal),
    phase,
  }),
  "step.drift": fact("A handler asks for other steps than its journal holds.", {
    step: word,
    key: word,
    kind: oneOf("input", "missing"),
    expected: optional(text),
    actual: optional(text),
    policy: optional(text),
  }),
  "step.resolved": fact("A person has decided about a step in doubt, or a stuck undo.", {
    step: word,
    key: word,
    phase,
    action: word,
    result: optional(anyJson),
    by: optional(text),
    reason: optional(text),
  }),
  "step.undo_intent": fact("The undo of a step is about to touch the world.", begun),
  "step.undo_receipt": fact("A step has been undone.", done),
  "step.undo_failed": fact("One attempt of an undo has failed.", failed),
  "step.timer": fact("A durable sleep ends at this instant.", {
    step: word,
    key: word,
    dueAt: instant,
  }),
  "step.signal": fact("What a waiting step was told from outside.", {
    step: word,
    key: word,
    value: optional(anyJson),
    eventId: optional(word),
    timedOut: optional(flag),
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
