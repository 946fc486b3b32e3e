/** A goal that an orchestrator reaches by a graph of tasks. */
import {
  count,
  fact,
  instant,
  list,
  object,
  oneOf,
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
  /** Unix milliseconds; over all its tasks. */
  readonly deadlineAt?: number;
  /** The task that waits for it. */
  readonly parent?: string;
  /** How many features it is nested in, itself included. */
  readonly depth?: number;
  readonly goal?: unknown;
  readonly planner?: FeaturePlanner;
}

/** Who makes the plan: a task whose result is one. */
export interface FeaturePlanner {
  readonly task: string;
  readonly capability?: string;
}

/** A change of a plan that runs. */
export interface FeaturePatched {
  readonly featureId: string;
  /** Names the change: the same one is made once. */
  readonly patch?: string;
  /** Planned tasks that are new or changed, whole. */
  readonly tasks?: readonly FeatureTask[];
  /** Names of tasks that are not done any more. */
  readonly remove?: readonly string[];
  readonly deadlineAt?: number;
  readonly budget?: PlainBudget;
  /** The planner's round that it comes from. */
  readonly round?: number;
  /** Why the planner's answer could not be taken. */
  readonly problems?: readonly string[];
  readonly note?: string;
}

export interface FeatureCancelled {
  readonly featureId: string;
  readonly reason?: string;
}

export interface FeatureResumed {
  readonly featureId: string;
  readonly reason?: string;
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
  /** What it lacks: a task that is done, an agent, time, budget, or a plan. */
  readonly kind?: "task" | "agent" | "deadline" | "budget" | "plan";
  readonly capability?: string;
}

export type FeatureEvents = {
  "feature.created": FeatureCreated;
  "feature.started": FeatureStarted;
  "feature.patched": FeaturePatched;
  "feature.completed": FeatureCompleted;
  "feature.blocked": FeatureBlocked;
  "feature.resumed": FeatureResumed;
  "feature.cancelled": FeatureCancelled;
};

const featureTask = object<FeatureTask>({
  name: word,
  taskId: optional(word),
  capability: optional(word),
  input: optional(anyJson),
  dependsOn: optional(list(word)),
  budget: optional(plainBudget),
});

export const featureEvents: BuiltinFamily<FeatureEvents> = {
  "feature.created": fact("Somebody asks for a goal; its plan is a graph of tasks.", {
    featureId: word,
    title: optional(text),
    description: optional(text),
    tasks: optional(list(featureTask)),
    tenant: optional(word),
    budget: optional(plainBudget),
    deadlineAt: optional(instant),
    parent: optional(word),
    depth: optional(count),
    goal: optional(anyJson),
    planner: optional(object<FeaturePlanner>({ task: word, capability: optional(word) })),
  }),
  "feature.patched": fact("The plan of a goal has changed while it runs.", {
    featureId: word,
    patch: optional(word),
    tasks: optional(list(featureTask)),
    remove: optional(list(word)),
    deadlineAt: optional(instant),
    budget: optional(plainBudget),
    round: optional(count),
    problems: optional(list(text)),
    note: optional(text),
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
  "feature.blocked": fact("The goal cannot be reached as things are; the reason says why.", {
    featureId: word,
    taskId: optional(word),
    reason: optional(text),
    kind: optional(oneOf("task", "agent", "deadline", "budget", "plan")),
    capability: optional(word),
  }),
  "feature.resumed": fact("What the goal lacked is there: it goes on.", {
    featureId: word,
    reason: optional(text),
  }),
  "feature.cancelled": fact("The goal will not be reached; its open tasks are cancelled.", {
    featureId: word,
    reason: optional(text),
  }),
};
