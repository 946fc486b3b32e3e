/** What an item of a plan asks for, when it is due. */
import type { JsonValue } from "../../core/json.ts";
import { taskIdOfItem, type FeatureProgress, type PlanItem } from "../feature-fold.ts";
import type { TaskRequest } from "../task-desk.ts";
import type { TaskState } from "../task.ts";

/** The item's input, with the results of those that it depends on. */
export async function inputOf(
  progress: FeatureProgress,
  item: PlanItem,
  load: (taskId: string) => Promise<TaskState | undefined>,
): Promise<JsonValue> {
  if (item.dependsOn.length === 0) return item.input;
  const results: Record<string, JsonValue> = {};
  for (const name of item.dependsOn) {
    const known = progress.results.get(name);
    results[name] = known === undefined ? await resultOf(progress, name, load) : known;
  }
  const input = isRecord(item.input) ? item.input : { value: item.input };
  return { ...input, results };
}

/** Of a task that had completed before anything in the plan needed its result. */
async function resultOf(
  progress: FeatureProgress,
  name: string,
  load: (taskId: string) => Promise<TaskState | undefined>,
): Promise<JsonValue> {
  const item = progress.items.get(name);
  const state = item && (await load(taskIdOfItem(progress, item)));
  return state?.result ?? null;
}

/** The task that an item of a plan comes to. */
export function plannedRequest(
  progress: FeatureProgress,
  item: PlanItem,
  input: JsonValue,
  assignTo: string | undefined,
): TaskRequest {
  const { tenant, budget, deadlineAt, depth } = progress;
  const priority = item.priority ?? progress.priority;
  // The plan was checked when it was made; results of other tasks are checked by the task's owner.
  const same = (value: unknown): unknown => value;
  return {
    definition: {
      name: item.task,
      capability: item.capability,
      version: item.version,
      maxAttempts: item.maxAttempts,
      ...(item.deadlineMs === undefined ? {} : { deadlineMs: item.deadlineMs }),
      checkInput: same,
      checkOutput: same,
    },
    input,
    options: {
      id: taskIdOfItem(progress, item),
      feature: progress.id,
      cause: progress.created,
      depth,
      ...(priority === undefined ? {} : { priority }),
      ...(item.budget === undefined ? {} : { budget: item.budget }),
      ...(tenant === undefined ? {} : { tenant }),
      ...(budget === undefined ? {} : { parentBudget: budget }),
      ...(deadlineAt === undefined ? {} : { parentDeadlineAt: deadlineAt }),
      ...(assignTo === undefined ? {} : { assignTo }),
    },
  };
}

function isRecord(value: JsonValue): value is Readonly<Record<string, JsonValue>> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}
