/**
 * The feature: a goal that the orchestrator reaches by a DAG of tasks.
 *
 *   created ──▶ started ──▶ completed      every task completed
 *                   └─────▶ blocked        a task failed for good or was cancelled; says which
 *
 * A feature is the stream `feature/<id>`; its tasks carry its id. The orchestrator keeps nothing
 * beside its projection of the log: kill it, start another, it goes on.
 */
import type { Priority } from "../core/event.ts";
import type { Budget } from "./models/budget.ts";
import type { TaskDefinition, TaskState } from "./task.ts";

/** One task of a plan. Its input may be made from the results of those that it depends on. */
export interface PlannedTask {
  /** Unique in the plan. */
  readonly name: string;
  readonly definition: TaskDefinition;
  readonly input: unknown;
  /**
   * Names of planned tasks that must complete first; their results are added to the input as
   * `results`, by name.
   */
  readonly dependsOn?: readonly string[];
  readonly priority?: Priority;
  /** What this task may spend of the feature's budget. @default as much as the feature */
  readonly budget?: Budget;
}

export interface FeaturePlan {
  /** Makes creation idempotent. @default a UUIDv7 */
  readonly id?: string;
  readonly title: string;
  readonly tasks: readonly PlannedTask[];
  readonly priority?: Priority;
  /** For whom it is done; its tasks are too. @default none */
  readonly tenant?: string;
  /** What all its tasks together may spend. @default none */
  readonly budget?: Budget;
}

export type FeatureStatus = "created" | "started" | "completed" | "blocked";

export interface FeatureState {
  readonly id: string;
  readonly title: string;
  readonly status: FeatureStatus;
  readonly total: number;
  readonly completed: number;
  readonly tenant?: string;
  readonly budget?: Budget;
  /** Why it is blocked, in words. */
  readonly reason?: string;
}

export interface FeatureHandle {
  readonly id: string;
  state(): Promise<FeatureState>;
  tasks(): Promise<readonly TaskState[]>;
  /** Resolves when it is completed or blocked. */
  finished(options?: { readonly signal?: AbortSignal }): Promise<FeatureState>;
}
