/** The fold of a feature and its tasks into what the orchestrator decides by. Pure. */
import type { AgentEvent, Priority } from "../core/event.ts";
import type { JsonValue } from "../core/json.ts";
import type { Budget } from "./models/budget.ts";
import { text } from "./task-fold.ts";
import type { FeatureState, FeatureStatus, ObstacleKind } from "./feature.ts";

export const featureStreamPrefix = "feature/";
export const featureStream = (id: string): string => `${featureStreamPrefix}${id}`;

/** Stands for the task that makes the plan; no planned task begins with `~`. */
export const planningName = "~plan";

/**
 * Id of the task that stands for a planned one: the same for every orchestrator that creates it.
 * A task that is done anew has the next round, and so another id.
 */
export const plannedTaskId = (featureId: string, name: string, round: number = 1): string =>
  round === 1 ? `${featureId}.${name}` : `${featureId}.${name}~${round}`;

/** One task of the plan as the log keeps it: everything of the definition that is data. */
export interface PlanItem {
  readonly name: string;
  readonly task: string;
  readonly capability: string;
  readonly version: string;
  readonly maxAttempts: number;
  readonly deadlineMs?: number;
  readonly estimateMs?: number;
  readonly input: JsonValue;
  readonly dependsOn: readonly string[];
  readonly priority?: Priority;
  readonly budget?: Budget;
  /** How often it was given anew. @default 1 */
  readonly round?: number;
}

/** The planner of a feature, as data. */
export type PlannerItem = Pick<PlanItem, "task" | "capability" | "version" | "maxAttempts"> & {
  readonly maxRounds: number;
};

export type PlannedStatus = "planned" | "created" | "completed" | "failed";

/** Why a feature cannot go on. */
export interface Obstacle {
  readonly kind: ObstacleKind;
  readonly reason: string;
  readonly taskId?: string;
  readonly capability?: string;
}

/** How far the planner is. */
export interface Planning {
  /** Rounds whose answer is in the plan. */
  round: number;
  /** Of the next round. */
  answer: JsonValue | undefined;
  failure: string | undefined;
  asked: boolean;
  /** What was wrong with the last answer. */
  problems: readonly string[];
}

/**
 * A feature in work. It changes in place: one orchestrator owns it, and it is rebuilt from the log
 * at any time.
 */
export interface FeatureProgress {
  readonly id: string;
  readonly title: string;
  readonly priority: Priority | undefined;
  readonly tenant: string | undefined;
  readonly parent: string | undefined;
  readonly depth: number;
  readonly goal: JsonValue;
  readonly planner: PlannerItem | undefined;
  readonly planning: Planning;
  readonly created: AgentEvent;
  readonly items: Map<string, PlanItem>;
  readonly status: Map<string, PlannedStatus>;
  /** Why tasks failed, in words. */
  readonly failures: Map<string, Obstacle>;
  /** Results that tasks which are not created yet still need. */
  readonly results: Map<string, JsonValue>;
  /** How many items need a result and are not created. */
  readonly needs: Map<string, number>;
  /** How many dependencies of an item have not completed. */
  readonly missing: Map<string, number>;
  readonly dependents: Map<string, readonly string[]>;
  /** Planned items whose dependencies have all completed. */
  readonly ready: Set<string>;
  /** Ids of the changes that were made to the plan. */
  readonly patches: Set<string>;
  budget: Budget | undefined;
  deadlineAt: number | undefined;
  feature: FeatureStatus;
  version: number;
  completed: number;
  blocked: Obstacle | undefined;
  cancelled: string | undefined;
}

interface CreatedPayload {
  readonly featureId: string;
  readonly title: string;
  readonly tasks: readonly PlanItem[];
  readonly tenant?: string;
  readonly budget?: Budget;
  readonly deadlineAt?: number;
  readonly parent?: string;
  readonly depth?: number;
  readonly goal?: JsonValue;
  readonly planner?: PlannerItem;
}

/** The progress of a feature that has just been created. */
export function featureCreated(event: AgentEvent): FeatureProgress {
  const payload = event.payload as CreatedPayload;
  const progress: FeatureProgress = {
    id: payload.featureId,
    title: payload.title,
    priority: event.metadata.priority,
    tenant: payload.tenant,
    parent: payload.parent,
    depth: payload.depth ?? 1,
    goal: payload.goal ?? null,
    planner: payload.planner,
    planning: { round: 0, answer: undefined, failure: undefined, asked: false, problems: [] },
    created: event,
    items: new Map(payload.tasks.map((item) => [item.name, item])),
    status: new Map(payload.tasks.map((item) => [item.name, "planned"])),
    failures: new Map(),
    results: new Map(),
    needs: new Map(),
    missing: new Map(),
    dependents: new Map(),
    ready: new Set(),
    patches: new Set(),
    budget: payload.budget,
    deadlineAt: payload.deadlineAt,
    feature: "created",
    version: 1,
    completed: 0,
    blocked: undefined,
    cancelled: undefined,
  };
  index(progress);
  return progress;
}

/** Works out anew what follows from the plan and the status of its tasks. */
function index(progress: FeatureProgress): void {
  const { items, status, needs, missing, ready, dependents } = progress;
  needs.clear();
  missing.clear();
  ready.clear();
  dependents.clear();
  for (const [name, names] of dependentsOf([...items.values()])) dependents.set(name, names);
  progress.completed = 0;
  for (const { name, dependsOn } of items.values()) {
    const needed = [...new Set(dependsOn)];
    const open = needed.filter((other) => status.get(other) !== "completed").length;
    missing.set(name, open);
    if (status.get(name) === "completed") progress.completed += 1;
    if (status.get(name) !== "planned") continue;
    for (const other of needed) needs.set(other, (needs.get(other) ?? 0) + 1);
    if (open === 0) ready.add(name);
  }
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

/** What a change of the plan carries. */
export interface PatchPayload {
  readonly patch: string;
  readonly tasks?: readonly PlanItem[];
  readonly remove?: readonly string[];
  readonly deadlineAt?: number;
  readonly budget?: Budget;
  readonly round?: number;
  readonly problems?: readonly string[];
}

/** Applies a later event of the feature's own stream. */
export function applyFeature(progress: FeatureProgress, event: AgentEvent, version: number): void {
  progress.version = version;
  switch (event.type) {
    case "feature.started":
      progress.feature = "started";
      break;
    case "feature.completed":
      progress.feature = "completed";
      break;
    case "feature.blocked":
      progress.feature = "blocked";
      progress.blocked = obstacleOf(event);
      break;
    case "feature.resumed":
      progress.feature = "started";
      progress.blocked = undefined;
      break;
    case "feature.cancelled":
      progress.feature = "cancelled";
      progress.cancelled = text((event.payload as { readonly reason?: JsonValue }).reason);
      break;
    case "feature.patched":
      applyPatch(progress, event.payload as PatchPayload);
      break;
    default:
  }
}

function obstacleOf(event: AgentEvent): Obstacle {
  const { kind, reason, taskId, capability } = event.payload as Partial<Obstacle>;
  return {
    kind: kind ?? "task",
    reason: reason ?? "",
    ...(taskId === undefined ? {} : { taskId }),
    ...(capability === undefined ? {} : { capability }),
  };
}

/** Applies a change of the plan; also to find out what it would come to. */
export function applyPatch(progress: FeatureProgress, patch: PatchPayload): void {
  progress.patches.add(patch.patch);
  for (const name of patch.remove ?? []) forgetItem(progress, name);
  for (const item of patch.tasks ?? []) {
    const before = progress.items.get(item.name);
    if (before && (before.round ?? 1) !== (item.round ?? 1)) forgetItem(progress, item.name);
    progress.items.set(item.name, item);
    if (!progress.status.has(item.name)) progress.status.set(item.name, "planned");
  }
  progress.deadlineAt = patch.deadlineAt ?? progress.deadlineAt;
  progress.budget = patch.budget ?? progress.budget;
  if (patch.round !== undefined) {
    const { planning } = progress;
    planning.round = patch.round;
    planning.problems = patch.problems ?? [];
    planning.asked = false;
    planning.answer = undefined;
    planning.failure = undefined;
  }
  index(progress);
}

function forgetItem(progress: FeatureProgress, name: string): void {
  progress.items.delete(name);
  progress.status.delete(name);
  progress.failures.delete(name);
  progress.results.delete(name);
}

/**
 * Applies an event of one of the feature's tasks. Returns whether it changed what can be done next.
 */
export function applyPlannedTask(
  progress: FeatureProgress,
  name: string,
  event: AgentEvent,
): boolean {
  const fields = event.payload as Readonly<Record<string, JsonValue>>;
  if (name === planningName) return applyPlanning(progress, event.type, fields);
  const before = progress.status.get(name);
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
      if (before === "planned") markCreated(progress, name);
      progress.status.set(name, "failed");
      progress.failures.set(name, failureOf(name, event.type, fields));
      return true;
    default:
      return false;
  }
}

function applyPlanning(
  { planning }: FeatureProgress,
  type: string,
  fields: Readonly<Record<string, JsonValue>>,
): boolean {
  planning.asked = true;
  if (type === "task.completed") planning.answer = fields["result"] ?? null;
  else if (type === "task.failed" || type === "task.cancelled") {
    planning.failure = failureOf("", type, fields).reason;
  } else return false;
  return true;
}

function markCreated(progress: FeatureProgress, name: string): void {
  progress.status.set(name, "created");
  progress.ready.delete(name);
  for (const needed of new Set(progress.items.get(name)?.dependsOn)) {
    const left = (progress.needs.get(needed) ?? 1) - 1;
    progress.needs.set(needed, left);
    if (left === 0) progress.results.delete(needed);
  }
}

/** What a planned task's end means for its feature, and who must do what. */
function failureOf(
  name: string,
  type: string,
  fields: Readonly<Record<string, JsonValue>>,
): Obstacle {
  const { code } = (fields["error"] ?? {}) as { readonly code?: string };
  const kind = code === "BUDGET_EXHAUSTED" ? "budget" : "task";
  const happened = type === "task.failed" ? "failed" : "was cancelled";
  const why = typeof fields["reason"] === "string" ? `: ${fields["reason"]}` : "";
  const which = name === "" ? "its planner" : `its task "${name}"`;
  return { kind, reason: `${which} ${happened}${why}`, taskId: text(fields["taskId"]) };
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

/** Id of the task that stands for the item now. */
export function taskIdOfItem(progress: Pick<FeatureProgress, "id">, item: PlanItem): string {
  return plannedTaskId(progress.id, item.name, item.round);
}

/** What the feature's user is shown. */
export function featureState(progress: FeatureProgress): FeatureState {
  const { blocked, cancelled, tenant, budget, deadlineAt, parent } = progress;
  const reason = progress.feature === "cancelled" ? cancelled : blocked?.reason;
  return {
    id: progress.id,
    title: progress.title,
    status: progress.feature,
    total: progress.items.size,
    completed: progress.completed,
    ...(tenant === undefined ? {} : { tenant }),
    ...(budget === undefined ? {} : { budget }),
    ...(deadlineAt === undefined ? {} : { deadlineAt }),
    ...(parent === undefined ? {} : { parent }),
    ...(reason === undefined ? {} : { reason }),
    ...(progress.feature === "blocked" && blocked ? { lacks: blocked.kind } : {}),
  };
}
