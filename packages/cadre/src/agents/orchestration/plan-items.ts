/** Planned tasks as data, and what is wrong with a plan: all of it at once. */
import { CadreError, describeError } from "../../core/errors.ts";
import { priorities } from "../../core/event.ts";
import { toFrozenJson } from "../../core/json.ts";
import type { PlanItem } from "../feature-fold.ts";
import type { FeaturePlan, PlanDraft, PlannedTask } from "../feature.ts";
import { budgetUnits, checkBudget, type Budget } from "../models/budget.ts";
import { dependentsOf } from "../feature-fold.ts";

export const maxPlannedTasks = 10_000; // of one plan; it bounds the size of its event

/** The data of a planned task; what is wrong with it is added to `problems`. */
export function planItem(
  task: PlannedTask,
  problems: string[],
  leftMs: number = Infinity,
): PlanItem {
  const { definition, name } = task;
  // The definition's own is cut to what the feature has; one that was asked for here is a promise.
  if (task.deadlineMs !== undefined && task.deadlineMs > leftMs) {
    const has = `the feature has ${Math.floor(leftMs)} ms`;
    problems.push(`task "${name}" may take ${task.deadlineMs} ms, and ${has}`);
  }
  const dependsOn = task.dependsOn ?? [];
  const told = (check: () => unknown): unknown => {
    try {
      return check();
    } catch (error) {
      problems.push(`task "${name}": ${describeError(error).message}`);
      return null;
    }
  };
  if (task.budget !== undefined) told(() => checkBudget(`planned task "${name}"`, task.budget));
  const input = told(() =>
    // With dependencies the input is not whole yet: its owner checks it.
    toFrozenJson((dependsOn.length === 0 ? definition.checkInput(task.input) : task.input) ?? null),
  ) as PlanItem["input"];
  const deadlineMs = task.deadlineMs ?? definition.deadlineMs;
  return {
    name,
    task: definition.name,
    capability: definition.capability,
    version: definition.version,
    maxAttempts: definition.maxAttempts,
    ...(deadlineMs === undefined ? {} : { deadlineMs }),
    ...(task.estimateMs === undefined ? {} : { estimateMs: task.estimateMs }),
    input,
    dependsOn,
    ...(task.priority === undefined ? {} : { priority: task.priority }),
    ...(task.budget === undefined ? {} : { budget: task.budget }),
  };
}

/**
 * A planner's answer: planned tasks, as data that can be the result of a task.
 *
 * @throws {CadreError} INVALID_PLAN, when an input does not fit its task
 */
export function draftPlan(
  tasks: readonly PlannedTask[],
  changes: Pick<PlanDraft, "remove" | "retry"> = {},
): PlanDraft {
  const problems: string[] = [];
  const items = tasks.map((task) => planItem(task, problems));
  if (problems.length > 0) throw invalidPlan("a draft", problems);
  return { tasks: items, ...changes };
}

/** What a plan is checked against. */
export interface PlanBounds {
  readonly budget?: Budget | undefined;
  /** Until the feature's deadline. */
  readonly leftMs?: number | undefined;
}

/** Everything that keeps a whole plan from being carried out. */
export function planProblems(items: readonly PlanItem[], bounds: PlanBounds): readonly string[] {
  const problems: string[] = [];
  if (items.length > maxPlannedTasks) {
    problems.push(`it has ${items.length} tasks, and at most ${maxPlannedTasks} are taken`);
    return problems;
  }
  problems.push(...nameProblems(items));
  for (const item of items) problems.push(...itemProblems(item));
  problems.push(...budgetProblems(items, bounds.budget));
  const order = inOrder(items);
  if (order.stuck.length > 0) {
    problems.push(`it has a cycle among: ${order.stuck.slice(0, 5).join(", ")}`);
  } else problems.push(...pathProblems(order.items, bounds));
  return problems;
}

function nameProblems(items: readonly PlanItem[]): readonly string[] {
  const problems: string[] = [];
  const names = new Set<string>();
  for (const { name } of items) {
    if (typeof name !== "string" || name === "") problems.push("it has a task without a name");
    else if (name.startsWith("~") || /~\d+$/.test(name)) {
      problems.push(`it names a task "${name}": "~" and a number are kept for tasks done anew`);
    }
    if (names.has(name)) problems.push(`it has two tasks named "${name}"`);
    names.add(name);
  }
  for (const { name, dependsOn } of items) {
    for (const other of dependsOn) {
      if (!names.has(other))
        problems.push(`it lets "${name}" depend on "${other}", which it doesn't contain`);
    }
  }
  return problems;
}

function itemProblems(item: PlanItem): readonly string[] {
  const { name, deadlineMs, estimateMs, priority } = item;
  const problems: string[] = [];
  for (const [what, ms] of [
    ["deadlineMs", deadlineMs],
    ["estimateMs", estimateMs],
  ] as const) {
    if (ms === undefined || (Number.isInteger(ms) && ms >= 0)) continue;
    problems.push(`task "${name}" has ${what} ${ms}, and it must be whole milliseconds`);
  }
  if (priority !== undefined && !priorities.includes(priority)) {
    problems.push(`task "${name}" has priority "${priority}"`);
  }
  if (deadlineMs !== undefined && estimateMs !== undefined && estimateMs > deadlineMs) {
    problems.push(`task "${name}" is expected to take ${estimateMs} ms of its ${deadlineMs} ms`);
  }
  return problems;
}

function budgetProblems(items: readonly PlanItem[], budget: Budget = {}): readonly string[] {
  return budgetUnits.flatMap((unit) => {
    const declared = items.reduce((sum, item) => sum + (item.budget?.[unit] ?? 0), 0);
    const bound = budget[unit] ?? Infinity;
    return declared > bound
      ? [`its tasks may spend ${declared} ${unit} together, and the feature has ${bound}`]
      : [];
  });
}

/** The longest path of estimates must fit into the feature's time. */
function pathProblems(items: readonly PlanItem[], { leftMs }: PlanBounds): readonly string[] {
  if (leftMs === undefined) return [];
  const ends = new Map<string, { readonly ms: number; readonly path: readonly string[] }>();
  let longest: { readonly ms: number; readonly path: readonly string[] } = { ms: 0, path: [] };
  for (const { name, dependsOn, estimateMs = 0 } of items) {
    let before: typeof longest = { ms: 0, path: [] };
    for (const other of dependsOn) {
      const end = ends.get(other);
      if (end && end.ms > before.ms) before = end;
    }
    const path = estimateMs > 0 ? [...before.path.slice(-4), name] : before.path;
    const end = { ms: before.ms + estimateMs, path };
    ends.set(name, end);
    if (end.ms > longest.ms) longest = end;
  }
  if (longest.ms <= leftMs) return [];
  return [
    `its longest path (… ${longest.path.join(" → ")}) is expected to take ${longest.ms} ms, ` +
      `and the feature has ${Math.floor(leftMs)} ms`,
  ];
}

/** The items after those that they depend on, and the names of those in a cycle or behind one. */
function inOrder(items: readonly PlanItem[]): {
  readonly items: readonly PlanItem[];
  readonly stuck: readonly string[];
} {
  const byName = new Map(items.map((item) => [item.name, item]));
  const dependents = dependentsOf(items);
  const known = (name: string): boolean => byName.has(name);
  const missing = new Map(
    items.map((item) => [item.name, new Set(item.dependsOn.filter(known)).size]),
  );
  const free = [...missing].filter(([, open]) => open === 0).map(([name]) => name);
  for (const name of free) {
    missing.delete(name);
    for (const dependent of dependents.get(name) ?? []) {
      const left = (missing.get(dependent) ?? 0) - 1;
      missing.set(dependent, left);
      if (left === 0) free.push(dependent);
    }
  }
  return { items: free.map((name) => byName.get(name)!), stuck: [...missing.keys()] };
}

/** The error that names everything wrong at once. */
export function invalidPlan(
  title: string,
  problems: readonly string[],
): CadreError<"INVALID_PLAN"> {
  const shown = problems.slice(0, 10);
  const more = problems.length > shown.length ? `; and ${problems.length - shown.length} more` : "";
  return new CadreError(
    "INVALID_PLAN",
    `The plan of feature "${title}" cannot be carried out: ${shown.join("; ")}${more}.`,
    { feature: title, problems },
  );
}

/** What of a plan's own options is impossible. */
export function optionProblems(plan: FeaturePlan): readonly string[] {
  const problems: string[] = [];
  const { deadlineMs, maxPlanRounds, tasks, planner, budget } = plan;
  for (const [what, value] of Object.entries({ deadlineMs, maxPlanRounds })) {
    if (value !== undefined && !(Number.isInteger(value) && value >= 1)) {
      problems.push(`its ${what} is ${value}, and it must be a whole number of at least 1`);
    }
  }
  if (budget !== undefined) {
    try {
      checkBudget("the feature", budget);
    } catch (error) {
      problems.push(describeError(error).message);
    }
  }
  if (!planner && (tasks ?? []).length === 0) {
    problems.push("it has no task, and no planner that could make some");
  }
  if (planner && tasks) problems.push("it has tasks and a planner: give one of the two");
  return problems;
}
