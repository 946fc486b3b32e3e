/** A typed request that exactly one agent owns at a time, by a lease with an epoch. */
import {
  anyJson,
  count,
  durationMs,
  fact,
  flag,
  instant,
  list,
  oneOf,
  optional,
  ordinal,
  plainBudget,
  plainError,
  share,
  text,
  word,
  type BuiltinFamily,
  type PlainBudget,
  type PlainError,
} from "./payload-schema.ts";

export interface TaskCreated {
  readonly taskId: string;
  /** Name of the kind of task. */
  readonly name?: string;
  readonly title?: string;
  readonly description?: string;
  /** What an agent must be able to do to take it. */
  readonly capability?: string;
  /** Version of the task's definition. */
  readonly version?: string;
  readonly input?: unknown;
  readonly maxAttempts?: number;
  /** Ids of tasks that must complete first. */
  readonly dependsOn?: readonly string[];
  readonly feature?: string;
  /** The task that asked for this one. */
  readonly parent?: string;
  /** Unix milliseconds; over all attempts. */
  readonly deadlineAt?: number;
  /** For whom it is done. */
  readonly tenant?: string;
  /** What it may spend, its children included. */
  readonly budget?: PlainBudget;
  readonly saga?: boolean;
  /** How many features it is nested in. */
  readonly depth?: number;
}

export interface TaskOffered {
  readonly taskId: string;
  readonly epoch?: number;
  readonly capability?: string;
  readonly reason?: string;
  /** How urgent it is from here on. */
  readonly priority?: "low" | "normal" | "high" | "critical";
  /** Unix milliseconds; the new end of its time. */
  readonly deadlineAt?: number;
}

export interface TaskAssigned {
  readonly taskId: string;
  readonly agent?: string;
  readonly epoch?: number;
  readonly capability?: string;
  readonly input?: unknown;
}

export interface TaskHandedOff {
  readonly taskId: string;
  /** The owner that gives it away. */
  readonly agent: string;
  /** The agent that is asked to go on; absent for any with the capability. */
  readonly to?: string;
  /** The capability that is needed from here on. */
  readonly capability?: string;
  readonly epoch: number;
  readonly nextEpoch: number;
  readonly note?: string;
}

export interface TaskReceived {
  readonly taskId: string;
  readonly agent?: string;
}

export interface TaskAcknowledged {
  readonly taskId: string;
  readonly agent?: string;
  readonly epoch?: number;
}

export interface TaskClaimed {
  readonly taskId: string;
  readonly agent: string;
  /** Of the agent's process: two runs of one agent never share it. */
  readonly incarnation: string;
  readonly epoch: number;
  readonly attempt?: number;
  readonly leaseMs?: number;
  /** Unix milliseconds by the store's clock, where leases end by it. */
  readonly until?: number;
}

export interface TaskStarted {
  readonly taskId: string;
  readonly agent?: string;
  readonly epoch?: number;
  readonly attempt?: number;
}

export interface TaskProgress {
  readonly taskId: string;
  readonly epoch?: number;
  /** 0 to 1. */
  readonly progress?: number;
  readonly note?: string;
  /** It waits for something: the owners that it lost before are not laid to it. */
  readonly waiting?: boolean;
}

export interface TaskCompleted {
  readonly taskId: string;
  readonly agent?: string;
  readonly epoch?: number;
  readonly attempt?: number;
  readonly result?: unknown;
  readonly durationMs?: number;
}

export interface TaskFailed {
  readonly taskId: string;
  readonly agent?: string;
  readonly epoch?: number;
  readonly attempt?: number;
  readonly reason?: string;
  readonly error?: PlainError;
  /** Whether no attempt follows. */
  readonly final?: boolean;
}

export interface TaskRetry {
  readonly taskId: string;
  readonly agent?: string;
  readonly epoch?: number;
  readonly nextEpoch?: number;
  /** The attempt that failed. */
  readonly attempt?: number;
  /** Unix milliseconds before which nobody takes it again. */
  readonly notBefore?: number;
  readonly reason?: string;
  readonly error?: PlainError;
}

export interface TaskLeaseExpired {
  readonly taskId: string;
  readonly agent: string;
  readonly incarnation?: string;
  readonly epoch: number;
  readonly nextEpoch: number;
  /** The owner fell silent, gave the task back, or owned it without running it. */
  readonly reason?: "silent" | "released" | "abandoned";
}

export interface TaskResultRejected {
  readonly taskId: string;
  readonly agent: string;
  readonly incarnation?: string;
  /** The epoch that the late owner named. */
  readonly epoch: number;
  readonly currentEpoch?: number;
  readonly outcome?: string;
  readonly reason?: string;
}

export interface TaskCancelled {
  readonly taskId: string;
  readonly epoch?: number;
  readonly capability?: string;
  readonly reason?: string;
}

export interface StatusUpdated {
  readonly status: string;
  readonly taskId?: string;
  readonly agent?: string;
  readonly previous?: string;
  readonly note?: string;
}

export type TaskEvents = {
  "task.created": TaskCreated;
  "task.offered": TaskOffered;
  "task.handed_off": TaskHandedOff;
  "task.assigned": TaskAssigned;
  "task.assigned.*": TaskAssigned;
  "task.received": TaskReceived;
  "task.acknowledged": TaskAcknowledged;
  "task.claimed": TaskClaimed;
  "task.started": TaskStarted;
  "task.progress": TaskProgress;
  "task.completed": TaskCompleted;
  "task.failed": TaskFailed;
  "task.retry": TaskRetry;
  "task.lease_expired": TaskLeaseExpired;
  "task.result_rejected": TaskResultRejected;
  "task.cancel_requested": TaskCancelled;
  "task.cancelled": TaskCancelled;
  "status.updated": StatusUpdated;
};

const owned = {
  taskId: word,
  agent: optional(word),
  epoch: optional(ordinal),
  attempt: optional(ordinal),
};
const assigned = {
  taskId: word,
  agent: optional(word),
  epoch: optional(ordinal),
  capability: optional(word),
  input: optional(anyJson),
};
const changed = {
  taskId: word,
  epoch: optional(ordinal),
  capability: optional(word),
  reason: optional(text),
};

export const taskEvents: BuiltinFamily<TaskEvents> = {
  "task.created": fact("Somebody asks for a piece of work.", {
    taskId: word,
    name: optional(word),
    title: optional(text),
    description: optional(text),
    capability: optional(word),
    version: optional(word),
    input: optional(anyJson),
    maxAttempts: optional(ordinal),
    dependsOn: optional(list(word)),
    feature: optional(word),
    parent: optional(word),
    deadlineAt: optional(instant),
    tenant: optional(word),
    budget: optional(plainBudget),
    saga: optional(flag),
    depth: optional(count),
  }),
  "task.offered": fact("Any agent that can do the task may claim it.", {
    ...changed,
    priority: optional(oneOf("low", "normal", "high", "critical")),
    deadlineAt: optional(instant),
  }),
  "task.handed_off": fact("The owner gives the task to another; what it has done stays done.", {
    taskId: word,
    agent: word,
    to: optional(word),
    capability: optional(word),
    epoch: ordinal,
    nextEpoch: ordinal,
    note: optional(text),
  }),
  "task.assigned": fact("One agent is asked to do the task.", assigned),
  "task.assigned.*": fact("The agent named by the last word is asked to do the task.", assigned),
  "task.received": fact("An agent has seen the task.", { taskId: word, agent: optional(word) }),
  "task.acknowledged": fact("The asked agent accepts the task.", {
    taskId: word,
    agent: optional(word),
    epoch: optional(ordinal),
  }),
  "task.claimed": fact("An agent owns the task, by a lease with this epoch.", {
    taskId: word,
    agent: word,
    incarnation: word,
    epoch: ordinal,
    attempt: optional(ordinal),
    leaseMs: optional(durationMs),
    until: optional(instant),
  }),
  "task.started": fact("The owner has begun to work.", owned),
  "task.progress": fact("How far the owner has come.", {
    taskId: word,
    epoch: optional(ordinal),
    progress: optional(share),
    note: optional(text),
    waiting: optional(flag),
  }),
  "task.completed": fact("The task is done; this is its result.", {
    ...owned,
    result: optional(anyJson),
    durationMs: optional(durationMs),
  }),
  "task.failed": fact("The task has failed; `final` says whether for good.", {
    ...owned,
    reason: optional(text),
    error: optional(plainError),
    final: optional(flag),
  }),
  "task.retry": fact("An attempt has failed and another follows.", {
    ...owned,
    nextEpoch: optional(ordinal),
    notBefore: optional(instant),
    reason: optional(text),
    error: optional(plainError),
  }),
  "task.lease_expired": fact("The owner has lost the task; it is offered with the next epoch.", {
    taskId: word,
    agent: text,
    incarnation: optional(text),
    epoch: ordinal,
    nextEpoch: ordinal,
    reason: optional(oneOf("silent", "released", "abandoned")),
  }),
  "task.result_rejected": fact("A result came from an owner whose lease had ended.", {
    taskId: word,
    agent: text,
    incarnation: optional(text),
    epoch: ordinal,
    currentEpoch: optional(ordinal),
    outcome: optional(text),
    reason: optional(text),
  }),
  "task.cancel_requested": fact(
    "Somebody wants the task cancelled; its owner is to stop.",
    changed,
  ),
  "task.cancelled": fact("The task will not be done.", changed),
  "status.updated": fact("The status of a task or an agent has changed.", {
    status: word,
    taskId: optional(word),
    agent: optional(word),
    previous: optional(text),
    note: optional(text),
  }),
};
