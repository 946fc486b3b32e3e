/**
 * The feature: a goal that the orchestrator reaches by a DAG of tasks.
 *
 *   created ──▶ started ──▶ completed      every task completed
 *                │  ▲ ▲
 *                ▼  │ │  patched: the failed task is retried, replaced or removed
 *              blocked ┘  resumed: the agent that was missing is there
 *      └─────────┴───────▶ cancelled      its open tasks are cancelled
 *
 * A feature is the stream `feature/<id>`; its tasks carry its id. The orchestrator keeps nothing
 * beside its projection of the log: kill it, start another, it goes on. Whoever creates tasks of a
 * plan, or changes it, names the version of the stream that he has read: a task is never made from
 * a plan that was changed meanwhile.
 */
import type { Priority } from "../core/event.ts";
import type { JsonValue } from "../core/json.ts";
import type { Budget } from "./models/budget.ts";
import type { PlanItem } from "./feature-fold.ts";
import type { TaskDefinition, TaskState } from "./task.ts";

/** One task of a plan. Its input may be made from the results of those that it depends on. */
export interface PlannedTask {
  /** Unique in the plan. It does not begin with `~`, nor end with one and a number. */
  readonly name: string;
  readonly definition: TaskDefinition;
  readonly input: unknown;
  /**
   * Names of planned tasks that must complete first; their results are added to the input as
   * `results`, by name.
   */
  readonly dependsOn?: readonly string[];
  readonly priority?: Priority;
  /** From its creation to its result, in milliseconds. @default the definition's */
  readonly deadlineMs?: number;
  /** How long it is expected to take: a plan whose longest path is too long is refused. */
  readonly estimateMs?: number;
  /** What this task may spend of the feature's budget. @default as much as the feature */
  readonly budget?: Budget;
}

/** What a planner is asked. */
export interface PlanRequest {
  readonly feature: string;
  readonly title: string;
  readonly goal: JsonValue;
  /** From 1. */
  readonly round: number;
  /** Why there is another round, in words. */
  readonly blocked?: string;
  /** What was wrong with the plan of the round before. */
  readonly problems?: readonly string[];
  /** What there is of a plan. */
  readonly tasks: readonly {
    readonly name: string;
    readonly status: "planned" | "created" | "completed" | "failed";
    readonly error?: string;
  }[];
}

/** A planner's answer, as data: made by `draftPlan`. */
export interface PlanDraft {
  readonly tasks: readonly PlanItem[];
  readonly remove?: readonly string[];
  readonly retry?: readonly string[];
}

/** Makes a plan of a goal, before there is a feature: it runs once. */
export type PlanFunction = (
  goal: JsonValue,
) => readonly PlannedTask[] | Promise<readonly PlannedTask[]>;

/**
 * A function plans once, where the feature is asked for. A task plans wherever an agent does it,
 * and again when the feature is blocked.
 */
export type Planner = PlanFunction | TaskDefinition<PlanRequest, PlanDraft>;

export interface FeaturePlan {
  /** Makes creation idempotent. @default a UUIDv7 */
  readonly id?: string;
  readonly title: string;
  /** Left out where a planner makes them. */
  readonly tasks?: readonly PlannedTask[];
  /** What the planner is to make a plan of. */
  readonly goal?: unknown;
  readonly planner?: Planner;
  /** Plans in all that a planner which is a task may make. @default 3 */
  readonly maxPlanRounds?: number;
  readonly priority?: Priority;
  /** For whom it is done; its tasks are too. @default none */
  readonly tenant?: string;
  /** What all its tasks together may spend. @default none */
  readonly budget?: Budget;
  /** From its creation to its end, in milliseconds. @default none */
  readonly deadlineMs?: number;
  /** What a capability that no known agent offers comes to. @default "warn" */
  readonly unknownCapabilities?: "warn" | "refuse";
}

/** A change of a plan that runs. All of it holds, or nothing. */
export interface FeaturePatch {
  /** Makes the change idempotent: a second one of this id is the first one. @default a UUIDv7 */
  readonly id?: string;
  readonly add?: readonly PlannedTask[];
  /** Names of tasks that have not started: those that were offered already are cancelled. */
  readonly remove?: readonly string[];
  /** What tasks that have not started, or have failed, are given instead. */
  readonly replace?: readonly PlannedChange[];
  /** Names of tasks that have failed or were cancelled: they are done anew. */
  readonly retry?: readonly string[];
  /** By name; for tasks that have not started. */
  readonly priorities?: Readonly<Record<string, Priority>>;
  /** The feature's time from now on, in milliseconds; tasks that run keep theirs. */
  readonly deadlineMs?: number;
  readonly budget?: Budget;
  /** Why. */
  readonly note?: string;
}

export interface PlannedChange {
  readonly name: string;
  readonly input?: unknown;
  readonly dependsOn?: readonly string[];
  /** Checks the input. */
  readonly definition?: TaskDefinition;
}

export type FeatureStatus = "created" | "started" | "completed" | "blocked" | "cancelled";

/** What a feature lacks. */
export type ObstacleKind = "task" | "agent" | "deadline" | "budget" | "plan";

export interface FeatureState {
  readonly id: string;
  readonly title: string;
  readonly status: FeatureStatus;
  readonly total: number;
  readonly completed: number;
  readonly tenant?: string;
  readonly budget?: Budget;
  /** Unix milliseconds. */
  readonly deadlineAt?: number;
  /** The task that waits for it. */
  readonly parent?: string;
  /** Why it is blocked or was cancelled, in words. */
  readonly reason?: string;
  /** What it lacks, when it is blocked. */
  readonly lacks?: ObstacleKind;
}

export interface FeatureHandle {
  readonly id: string;
  state(): Promise<FeatureState>;
  tasks(): Promise<readonly TaskState[]>;
  /** Results of the tasks that have completed, by their names in the plan. */
  results(): Promise<Readonly<Record<string, JsonValue>>>;
  /**
   * Resolves when it is completed, cancelled, or blocked by what does not go by itself: a feature
   * that lacks nothing but an agent is waited for.
   */
  finished(options?: { readonly signal?: AbortSignal }): Promise<FeatureState>;
  /**
   * Changes the plan while it runs.
   * @throws {CadreError} INVALID_PLAN, naming all that is wrong
   * @throws {CadreError} WRONG_STATE, when the feature has ended
   */
  patch(change: FeaturePatch): Promise<FeatureState>;
  /** Its open tasks are cancelled. False when it has ended. */
  cancel(reason: string): Promise<boolean>;
}
