/**
 * A feature whose plan is made by an agent: a task asks for it, and its result is a change of the
 * plan like any other.
 *
 *   (no plan, or blocked) ──task ~plan──▶ answer ──fits──▶ feature.patched, round + 1
 *                                           └──does not──▶ feature.patched with the problems, and
 *                                                          another round while there are some left
 */
import { isCadreError } from "../../core/errors.ts";
import type { JsonValue } from "../../core/json.ts";
import {
  planningName,
  plannedTaskId,
  type FeatureProgress,
  type PatchPayload,
  type PlanItem,
} from "../feature-fold.ts";
import type { PlanRequest } from "../feature.ts";
import type { TaskRequest } from "../task-desk.ts";
import type { TeamContext } from "../team-context.ts";
import { commitPatch, workOut } from "./feature-changes.ts";
import { loadFeature } from "./feature-log.ts";

/** Whether the planner has to be asked, or its answer taken. */
export function needsPlan(progress: FeatureProgress): boolean {
  const { planner, planning, items, failures, feature } = progress;
  if (!planner || planning.failure !== undefined || planning.round >= planner.maxRounds) {
    return false;
  }
  if (feature === "completed" || feature === "cancelled") return false;
  return items.size === 0 || failures.size > 0;
}

/** The task that asks for the next plan. */
export function planningTask(progress: FeatureProgress): TaskRequest {
  const { planner, planning, id, title, goal, failures, tenant, budget, deadlineAt } = progress;
  const { task, ...rest } = planner!;
  const round = planning.round + 1;
  const blocked = [...failures.values()].map(({ reason }) => reason).join("; ");
  const input: PlanRequest = {
    feature: id,
    title,
    goal,
    round,
    ...(blocked === "" ? {} : { blocked }),
    ...(planning.problems.length === 0 ? {} : { problems: planning.problems }),
    tasks: [...progress.status].map(([name, status]) => {
      const error = failures.get(name)?.reason;
      return { name, status, ...(error === undefined ? {} : { error }) };
    }),
  };
  const same = (value: unknown): unknown => value;
  return {
    definition: { name: task, ...rest, checkInput: same, checkOutput: same },
    input,
    options: {
      id: plannedTaskId(id, planningName, round),
      feature: id,
      cause: progress.created,
      depth: progress.depth,
      ...(tenant === undefined ? {} : { tenant }),
      ...(budget === undefined ? {} : { parentBudget: budget }),
      ...(deadlineAt === undefined ? {} : { parentDeadlineAt: deadlineAt }),
    },
  };
}

/** Takes the planner's answer into the plan, or what is wrong with it: that ends a round too. */
export async function takePlan(context: TeamContext, featureId: string): Promise<void> {
  const progress = await loadFeature(context.store, featureId);
  const answer = progress?.planning.answer;
  if (!progress || answer === undefined || !needsPlan(progress)) return;
  const round = progress.planning.round + 1;
  const patch = `plan-${round}`;
  const note = `round ${round} of its planner`;
  const problems: string[] = [];
  const draft = readDraft(answer, problems);
  const known = draft.tasks.filter(({ name }) => progress.items.has(name));
  const added = draft.tasks.filter(({ name }) => !progress.items.has(name));
  const change = await workOut(context, progress, {
    replace: known.map(({ name, input, dependsOn }) => ({ name, input, dependsOn })),
    remove: draft.remove,
    retry: draft.retry,
  });
  problems.push(...change.problems);
  const tasks = [...change.tasks, ...added];
  const { remove } = change;
  if (problems.length === 0 && tasks.length + remove.length === 0) {
    problems.push("it changes nothing");
  }
  try {
    if (problems.length === 0) {
      const payload: PatchPayload = { patch, round, tasks, remove };
      await commitPatch(context, progress, { payload, change, note });
      return;
    }
  } catch (error) {
    if (!isCadreError(error, "INVALID_PLAN")) throw error;
    problems.push(...error.details.problems);
  }
  // The first reading was changed on trial.
  const asItIs = await loadFeature(context.store, featureId);
  if (asItIs?.planning.round !== round - 1) return;
  const payload: PatchPayload = { patch, round, problems };
  const nothing = { appends: [], problems: [] };
  await commitPatch(context, asItIs, { payload, change: nothing, note });
}

interface Draft {
  readonly tasks: readonly PlanItem[];
  readonly remove: readonly string[];
  readonly retry: readonly string[];
}

/** What another process's planner has answered: data, and not to be trusted in its form. */
function readDraft(answer: JsonValue | undefined, problems: string[]): Draft {
  const { tasks, remove, retry } = (isRecord(answer) ? answer : {}) as Record<string, JsonValue>;
  if (!Array.isArray(tasks)) problems.push("its planner's answer has no tasks: use draftPlan");
  const items = (Array.isArray(tasks) ? tasks : []).filter((item): item is never => {
    const isItem =
      isRecord(item) &&
      ["name", "task", "capability", "version"].every((key) => typeof item[key] === "string") &&
      isNames(item["dependsOn"]) &&
      Number.isInteger(item["maxAttempts"]);
    if (!isItem) problems.push("its planner's answer has a task without its parts: use draftPlan");
    return isItem;
  });
  return {
    tasks: items,
    remove: isNames(remove) ? remove : [],
    retry: isNames(retry) ? retry : [],
  };
}

function isNames(value: JsonValue | undefined): value is readonly string[] {
  return Array.isArray(value) && value.every((name) => typeof name === "string");
}

function isRecord(value: unknown): value is Readonly<Record<string, JsonValue>> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}
