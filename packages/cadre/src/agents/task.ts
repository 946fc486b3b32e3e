/**
 * The task: a typed request that exactly one agent owns at a time.
 *
 *                      ┌──────────── lease_expired, retry (epoch + 1) ───────────┐
 *                      ▼                                                          │
 *   created ──▶ offered / assigned ──▶ claimed(agent, incarnation, epoch) ──▶ started ──▶ completed
 *                      │                        │                               │  ├────▶ failed
 *                      └──── cancelled ◀────────┴──── cancel requested ◀────────┘  └────▶ cancelled
 *
 * Where a step is in doubt and its policy is to ask, the owner parks the task (in_doubt) until a
 * person decides; then it is offered again. A task that would fail or be cancelled, and has steps
 * with undos, goes backwards first:
 *
 *   running ──▶ undoing (saga.undo_started) ──undos, last step first──▶ failed | cancelled
 *                  │ ▲
 *                  ▼ │ a person: retry, skip, done
 *                 stuck
 *
 * `undoing` is no status: a task that goes backwards is offered, claimed and lost like any other.
 * After a step that is its pivot it only goes forward: nothing fails or cancels it any more.
 *
 * A task is the stream `task/<id>`. Every transition is an append with the expected version:
 * whoever loses reads again. Step records live in the same stream, so that a write of an owner
 * whose lease has ended conflicts by itself. Renewals are no events: the owner's presence slot,
 * written at each heartbeat, renews all its tasks at once.
 */
import type { Priority } from "../core/event.ts";
import type { JsonValue } from "../core/json.ts";
import type { Budget } from "./models/budget.ts";

export type TaskStatus =
  | "waiting" // depends on tasks that are not done
  | "offered" // any capable agent may claim it
  | "assigned" // one agent is asked to claim it
  | "claimed"
  | "running"
  | "delayed" // will be offered again after a backoff
  | "in_doubt" // a person must say whether a step has happened
  | "stuck" // an undo fails again and again; a person must look
  | "completed"
  | "failed"
  | "cancelled";

/**
 * Declares a kind of task: its name, the capability that it needs, and the types of what goes in
 * and comes out.
 */
export interface TaskDefinition<Input = unknown, Output = unknown> {
  readonly name: string;
  /** The capability that an agent must offer. @default the name */
  readonly capability: string;
  readonly version: string;
  /** Attempts in all. @default 3 */
  readonly maxAttempts: number;
  /** From creation to result, over all attempts, in milliseconds. @default none */
  readonly deadlineMs?: number;
  /** One attempt, in milliseconds. @default none: the lease and the deadline bound it */
  readonly timeoutMs?: number;
  /** Other versions whose running work this code can go on with. @default none */
  readonly resumes?: readonly string[];
  /** What a handler that asks for other steps than its journal holds comes to. @default "fail" */
  readonly drift?: DriftPolicy;
  /** Whether its instances are listed as sagas. */
  readonly isSaga?: boolean;
  /** @throws {CadreError} INVALID_PAYLOAD */
  readonly checkInput: (input: unknown) => Input;
  readonly checkOutput: (output: unknown) => Output;
}

/**
 * `fail`: the task fails, and what it has done is undone. `warn`: a step of that name keeps its
 * recorded result, whatever its input is now; a recorded step may be left out.
 */
export type DriftPolicy = "fail" | "warn";

/** Why and to which end a task goes backwards. */
export interface TaskUndoing {
  readonly outcome: "failed" | "cancelled";
  readonly reason: string;
  readonly error?: TaskState["error"];
}

/** What a person is asked: whether a step has happened, or what is to become of an undo. */
export interface TaskQuestion {
  readonly step: string;
  readonly phase: "step" | "undo";
}

/** One owner gave the task to another; what was done stays done. */
export interface TaskHandoff {
  readonly from: string;
  /** The agent that was asked. */
  readonly to?: string;
  /** The capability that it needs since. */
  readonly capability?: string;
  readonly note?: string;
}

export interface TaskOwner {
  readonly agent: string;
  /** Of the agent's process: two runs of one agent never share it. */
  readonly incarnation: string;
}

/** The fold of one task's stream. */
export interface TaskState {
  readonly id: string;
  readonly name: string;
  readonly capability: string;
  readonly version: string;
  readonly input: JsonValue;
  readonly status: TaskStatus;
  /** Raised by each offer after the first; a result that names an older one is rejected. */
  readonly epoch: number;
  /**
   * From 1 with the first claim. A lease that ran out or was given back does not use an attempt up.
   */
  readonly attempt: number;
  /**
   * Leases that ran out since it last got on: by a step that was done, or by a wait that it came
   * to. A task that has lost too many owners so fails: it may be what kills them.
   */
  readonly lost: number;
  readonly maxAttempts: number;
  readonly priority: Priority;
  readonly owner?: TaskOwner;
  /** The agent that is asked first. */
  readonly assignedTo?: string;
  /** Agents that failed at it or lost it; they are asked last. */
  readonly triedBy: readonly string[];
  readonly feature?: string;
  readonly parent?: string;
  /** For whom it is done. Its children and what it publishes are for the same one. */
  readonly tenant?: string;
  /** What it may spend, its children included. */
  readonly budget?: Budget;
  readonly dependsOn: readonly string[];
  /** How many features it is nested in. */
  readonly depth?: number;
  /** Who gave it to whom, the first one first. */
  readonly handoffs?: readonly TaskHandoff[];
  readonly key?: string;
  /** Unix milliseconds. */
  readonly createdAt: number;
  readonly deadlineAt?: number;
  readonly notBefore?: number;
  readonly cancelRequested?: string;
  readonly result?: JsonValue;
  readonly error?: { readonly name: string; readonly message: string; readonly code?: string };
  readonly isSaga?: boolean;
  /** Steps that may have to be undone, the oldest first; absent when there are none. */
  readonly undoable?: readonly string[];
  /** The step after which it only goes forward. */
  readonly pivot?: string;
  readonly undoing?: TaskUndoing;
  /** With status `in_doubt` or `stuck`. */
  readonly question?: TaskQuestion;
  readonly correlationId: string;
  readonly createdBy: string;
}

export interface TaskOptions {
  /** Makes creation idempotent: a second task of this id is the first one. @default a UUIDv7 */
  readonly id?: string;
  readonly priority?: Priority;
  readonly deadlineMs?: number;
  readonly maxAttempts?: number;
  /** Ids of tasks that must complete first. */
  readonly dependsOn?: readonly string[];
  /** Asks this agent first. */
  readonly assignTo?: string;
  readonly feature?: string;
  /** For whom it is done. A child's is its parent's. @default none */
  readonly tenant?: string;
  /**
   * What it may spend, its children included. A child's is never more than its parent's.
   * @default none
   */
  readonly budget?: Budget;
}

/** A task as its requester holds it. */
export interface TaskHandle<Output = unknown> {
  readonly id: string;
  /**
   * The result, once there is one, also when another process finds it.
   * @throws {CadreError} REQUEST_FAILED, when the task failed; CANCELLED, when it was cancelled
   */
  result(options?: { readonly signal?: AbortSignal; readonly timeoutMs?: number }): Promise<Output>;
  state(): Promise<TaskState>;
  /**
   * Why nobody takes it, in words: no live agent offers its capability, or those that do are
   * paused. Nothing, when it is taken, has ended, or may be taken.
   */
  noAgent(): Promise<string | undefined>;
  /**
   * Two-phase: the owner is told and has until its next heartbeat to stop; then the task is
   * cancelled over its head.
   */
  cancel(reason: string): Promise<void>;
}
