/** The fold of a feature and its tasks into what the orchestrator decides by. Pure. */
import type { AgentEvent, Priority } from "../core/event.ts";
import type { JsonValue } from "../core/json.ts";
import type { Budget } from "./models/budget.ts";
import { text } from "./task-fold.ts";
import type { FeatureState, FeatureStatus } from "./feature.ts";

export const featureStreamPrefix = "feature/";
export const featureStream = (id: string): string => `${featureStreamPrefix}${id}`;

/**
 * Id of the task that stands for a planned one: the same for every orchestrator that creates it.
 */
export const plannedTaskId = (featureId: string, name: string): string => `${featureId}.${name}`;

/** One task of the plan as the log keeps it: everything of the definition that is data. */
export interface PlanItem {
  readonly name: string;
  readonly task: string;
  readonly capability: string;
  readonly version: string;
  readonly maxAttempts: number;
  readonly deadlineMs?: number;
  readonly input: JsonValue;
  readonly dependsOn: readonly string[];
  readonly priority?: Priority;
  readonly budget?: Budget;
}

export type PlannedStatus = "planned" | "created" | "completed" | "failed";

/**
 * A feature in work. It changes in place: one orchestrator owns it, and it is rebuilt from the log
 * at any time.
 */
export interface FeatureProgress {
  readonly id: string;
  readonly title: string;
  readonly priority: Priority | undefined;
  readonly tenant: string | undefined;
  readonly budget: Budget | undefined;
  readonly items: ReadonlyMap<string, PlanItem>;
  readonly created: AgentEvent;
  readonly status: Map<string, PlannedStatus>;
  /** Results that tasks which are not created yet still need. */
  readonly results: Map<string, JsonValue>;
  /** How many items need a result and are not created. */
  readonly needs: Map<string, number>;
  /** How many dependencies of an item have not completed. */
  readonly missing: Map<string, number>;
  readonly dependents: ReadonlyMap<string, readonly string[]>;
  /** Planned items whose dependencies have all completed. */
  readonly ready: Set<string>;
  feature: FeatureStatus;
  version: number;
  completed: number;
  reason: string | undefined;
}

/** The progress of a feature that has just been created. */
export function featureCreated(event: AgentEvent): FeatureProgress {
  const payload = event.payload as {
    readonly featureId: string;
    readonly title: string;
    readonly tasks: readonly PlanItem[];
    readonly tenant?: string;
    readonly budget?: Budget;
  };
  const needs = new Map<string, number>();
  const missing = new Map<string, number>();
  for (const item of payload.tasks) {
    missing.set(item.name, new Set(item.dependsOn).size);
    for (const name of item.dependsOn) needs.set(name, (needs.get(name) ?? 0) + 1);
  }
  const isReady = ({ dependsOn }: PlanItem): boolean => dependsOn.length === 0;
  return {
    id: payload.featureId,
    title: payload.title,
    priority: event.metadata.priority,
    tenant: payload.tenant,
    budget: payload.budget,
    items: new Map(payload.tasks.map((item) => [item.name, item])),
    created: event,
    status: new Map(payload.tasks.map((item) => [item.name, "planned"])),
    results: new Map(),
    needs,
    missing,
    dependents: dependentsOf(payload.tasks),
    ready: new Set(payload.tasks.filter(isReady).map(({ name }) => name)),
    feature: "created",
    version: 1,
    completed: 0,
    reason: undefined,
  };
}

/** Which items depend on each. */
export function dependentsOf(items: readonly PlanItem[]): ReadonlyMap<string, readonly string[]> {
  const dependents = new Map<string, string[]>();
  for (const item of items) {
    for (const name of new Set(item.dependsOn)) {
      const same = dependents.get(name);
      if (same) same.push(item.name);
      else dependents.set(name, [item.name]);
    }
  }
  return dependents;
}

/** Applies a later event of the feature's own stream. */
export function applyFeature(progress: FeatureProgress, event: AgentEvent, version: number): void {
  progress.version = version;
  if (event.type === "feature.started") progress.feature = "started";
  if (event.type === "feature.completed") progress.feature = "completed";
  if (event.type !== "feature.blocked") return;
  progress.feature = "blocked";
  progress.reason = text((event.payload as { readonly reason?: JsonValue }).reason);
}

/**
 * Applies an event of one of the feature's tasks. Returns whether it changed what can be done next.
 */
export function applyPlannedTask(
  progress: FeatureProgress,
  name: string,
  event: AgentEvent,
): boolean {
  const before = progress.status.get(name);
  const fields = event.payload as Readonly<Record<string, JsonValue>>;
  if (before === undefined || before === "completed" || before === "failed") return false;
  switch (event.type) {
    case "task.created":
      if (before === "planned") markCreated(progress, name);
      return false;
    case "task.completed":
      if (before === "planned") markCreated(progress, name);
      progress.status.set(name, "completed");
      progress.completed += 1;
      releaseDependents(progress, name);
      if ((progress.needs.get(name) ?? 0) > 0) progress.results.set(name, fields["result"] ?? null);
      return true;
    case "task.failed":
    case "task.cancelled":
      progress.status.set(name, "failed");
      progress.ready.delete(name);
      progress.reason ??= reasonOf(name, event.type, fields);
      return true;
    default:
      return false;
  }
}

function markCreated(progress: FeatureProgress, name: string): void {
  progress.status.set(name, "created");
  progress.ready.delete(name);
  for (const needed of progress.items.get(name)?.dependsOn ?? []) {
    const left = (progress.needs.get(needed) ?? 1) - 1;
    progress.needs.set(needed, left);
    if (left === 0) progress.results.delete(needed);
  }
}

function reasonOf(name: string, type: string, fields: Readonly<Record<string, JsonValue>>): string {
  const happened = type === "task.failed" ? "failed" : "was cancelled";
  const why = typeof fields["reason"] === "string" ? `: ${fields["reason"]}` : "";
  return `its task "${name}" ${happened}${why}`;
}

function releaseDependents(progress: FeatureProgress, name: string): void {
  for (const dependent of progress.dependents.get(name) ?? []) {
    const missing = (progress.missing.get(dependent) ?? 0) - 1;
    progress.missing.set(dependent, missing);
    if (missing === 0 && progress.status.get(dependent) === "planned")
      progress.ready.add(dependent);
  }
}

/** Planned tasks whose dependencies have all completed. */
export function readyItems(progress: FeatureProgress): readonly PlanItem[] {
  return [...progress.ready].map((name) => progress.items.get(name)!);
}

/** What the feature's user is shown. */
export function featureState(progress: FeatureProgress): FeatureState {
  return {
    id: progress.id,
    title: progress.title,
    status: progress.feature,
    total: progress.items.size,
    completed: progress.completed,
    ...(progress.tenant === undefined ? {} : { tenant: progress.tenant }),
    ...(progress.budget === undefined ? {} : { budget: progress.budget }),
    ...(progress.reason === undefined ? {} : { reason: progress.reason }),
  };
}
