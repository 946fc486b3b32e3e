/** A goal that an orchestrator reaches by a graph of tasks. */
import {
  count,
  fact,
  list,
  object,
  optional,
  plainBudget,
  text,
  word,
  anyJson,
  type BuiltinFamily,
  type PlainBudget,
} from "./payload-schema.ts";

/** One task of a feature's plan. */
export interface FeatureTask {
  /** Unique in the plan. */
  readonly name: string;
  readonly taskId?: string;
  readonly capability?: string;
  readonly input?: unknown;
  /** Names of planned tasks that must complete first. */
  readonly dependsOn?: readonly string[];
  readonly budget?: PlainBudget;
}

export interface FeatureCreated {
  readonly featureId: string;
  readonly title?: string;
  readonly description?: string;
  readonly tasks?: readonly FeatureTask[];
  /** For whom it is done. */
  readonly tenant?: string;
  /** What all its tasks together may spend. */
  readonly budget?: PlainBudget;
}

export interface FeatureStarted {
  readonly featureId: string;
  readonly total?: number;
}

export interface FeatureCompleted {
  readonly featureId: string;
  readonly total?: number;
  readonly completed?: number;
}

export interface FeatureBlocked {
  readonly featureId: string;
  /** The task that cannot be done. */
  readonly taskId?: string;
  readonly reason?: string;
}

export type FeatureEvents = {
  "feature.created": FeatureCreated;
  "feature.started": FeatureStarted;
  "feature.completed": FeatureCompleted;
  "feature.blocked": FeatureBlocked;
};

export const featureEvents: BuiltinFamily<FeatureEvents> = {
  "feature.created": fact("Somebody asks for a goal; its plan is a graph of tasks.", {
    featureId: word,
    title: optional(text),
    description: optional(text),
    tasks: optional(
      list(
        object<FeatureTask>({
          name: word,
          taskId: optional(word),
          capability: optional(word),
          input: optional(anyJson),
          dependsOn: optional(list(word)),
          budget: optional(plainBudget),
        }),
      ),
    ),
    tenant: optional(word),
    budget: optional(plainBudget),
  }),
  "feature.started": fact("The first tasks of the goal exist.", {
    featureId: word,
    total: optional(count),
  }),
  "feature.completed": fact("Every task of the goal is completed.", {
    featureId: word,
    total: optional(count),
    completed: optional(count),
  }),
  "feature.blocked": fact("A task of the goal failed for good or was cancelled.", {
    featureId: word,
    taskId: optional(word),
    reason: optional(text),
  }),
};
