/**
 * Changes of a plan that runs: one commit, checked against everything that it was decided by.
 *
 * The commit names the version of the feature's stream, and of each task that is touched: a task
 * that is removed before it was made cannot be made meanwhile, one that waits to be claimed is
 * cancelled with the change, or neither happens.
 */
import type { Append } from "../../core/commit.ts";
import { CadreError, describeError, isCadreError } from "../../core/errors.ts";
import { priorities, type AgentEvent, type Priority } from "../../core/event.ts";
import { toFrozenJson } from "../../core/json.ts";
import {
  applyPatch,
  featureState,
  featureStream,
  taskIdOfItem,
  type FeatureProgress,
  type PatchPayload,
  type PlanItem,
} from "../feature-fold.ts";
import type { FeaturePatch, FeatureState, PlannedChange } from "../feature.ts";
import { endTask } from "../saga-events.ts";
import { loadTask, type BoardEntry } from "../task-board.ts";
import { taskReoffered } from "../task-events.ts";
import { isFinal, isOwned, taskStream } from "../task-fold.ts";
import { teamEvent, type TeamContext } from "../team-context.ts";
import { loadFeature } from "./feature-log.ts";
import { invalidPlan, planItem, planProblems } from "./plan-items.ts";

type Changing = Pick<TeamContext, "store" | "clock" | "random" | "name">;

/** A change as it was worked out against one reading of the log. */
interface Change {
  readonly tasks: PlanItem[];
  readonly remove: string[];
  readonly appends: Append[];
  readonly problems: string[];
}

/** See `FeatureHandle.patch`. */
export async function patchFeature(
  context: Changing,
  id: string,
  patch: FeaturePatch,
): Promise<FeatureState> {
  const { clock, random, store } = context;
  const patchId = patch.id ?? random.id(clock.now());
  for (;;) {
    const progress = await loadFeature(store, id);
    if (!progress) {
      throw new CadreError("NOT_FOUND", `There is no feature ${id}.`, { what: "feature", id });
    }
    if (progress.patches.has(patchId)) return featureState(progress);
    assertGoesOn(progress);
    const change = await workOut(context, progress, patch);
    const now = clock.now();
    const payload: PatchPayload = {
      patch: patchId,
      ...(change.tasks.length > 0 ? { tasks: change.tasks } : {}),
      ...(change.remove.length > 0 ? { remove: change.remove } : {}),
      ...(patch.deadlineMs === undefined ? {} : { deadlineAt: now + patch.deadlineMs }),
      ...(patch.budget === undefined ? {} : { budget: patch.budget }),
    };
    if (await commitPatch(context, progress, { payload, change, note: patch.note })) {
      return featureState((await loadFeature(store, id)) ?? progress);
    }
  }
}

/**
 * Commits a change that was worked out against `progress`. False when somebody was faster: then it
 * must be worked out anew.
 *
 * @throws {CadreError} INVALID_PLAN
 */
export async function commitPatch(
  context: Changing,
  progress: FeatureProgress,
  made: {
    readonly payload: PatchPayload;
    readonly change: Pick<Change, "appends" | "problems">;
    readonly note?: string | undefined;
  },
): Promise<boolean> {
  const { clock, store, name } = context;
  const { payload, change, note } = made;
  const before = progress.version;
  const wasBlocked = progress.feature === "blocked";
  const problems = [...change.problems];
  // What it comes to is worked out on the fold itself: it is not used after this.
  applyPatch(progress, payload);
  const leftMs = progress.deadlineAt === undefined ? undefined : progress.deadlineAt - clock.now();
  problems.push(...planProblems([...progress.items.values()], { budget: progress.budget, leftMs }));
  if (problems.length > 0) throw invalidPlan(progress.title, problems);
  const fields = { featureId: progress.id, title: progress.title };
  const patched = teamEvent(
    context,
    name,
    "feature.patched",
    { ...fields, ...payload, ...(note === undefined ? {} : { note }) },
    { id: `${featureStream(progress.id)}/${payload.patch}`, cause: progress.created },
  );
  const events: AgentEvent[] = [patched];
  const isLate = leftMs !== undefined && leftMs <= 0;
  if (wasBlocked && progress.failures.size === 0 && !isLate) {
    const reason = note ?? "its plan was changed";
    events.push(
      teamEvent(context, name, "feature.resumed", { ...fields, reason }, { cause: patched }),
    );
  }
  const stream = featureStream(progress.id);
  try {
    await store.commit({
      appends: [{ stream, expectedVersion: before, events }, ...change.appends],
    });
    return true;
  } catch (error) {
    if (isCadreError(error, "VERSION_CONFLICT") || isCadreError(error, "DUPLICATE_ID"))
      return false;
    throw error;
  }
}

function assertGoesOn({ id, feature }: FeatureProgress): void {
  if (feature !== "completed" && feature !== "cancelled") return;
  const message = `Feature ${id} is ${feature}: its plan can't be changed any more.`;
  throw new CadreError("WRONG_STATE", message, { what: `feature ${id}`, state: feature });
}

/** Works a patch out against the feature and its tasks as they are now. */
export async function workOut(
  context: Changing,
  progress: FeatureProgress,
  patch: FeaturePatch,
): Promise<Change> {
  const change: Change = { tasks: [], remove: [], appends: [], problems: [] };
  const { problems } = change;
  for (const task of patch.add ?? []) {
    if (progress.items.has(task.name)) problems.push(`it has a task "${task.name}" already`);
    else change.tasks.push(planItem(task, problems));
  }
  const touched = new Set<string>();
  const each = async (
    name: string,
    what: string,
    run: (item: PlanItem, entry: BoardEntry | undefined) => void,
  ): Promise<void> => {
    const item = progress.items.get(name);
    if (!item) problems.push(`it has no task "${name}" to ${what}`);
    else if (touched.has(name)) problems.push(`it changes "${name}" twice`);
    else run(item, await loadTask(context.store, taskIdOfItem(progress, item)));
    touched.add(name);
  };
  for (const name of patch.remove ?? []) {
    await each(name, "remove", (item, entry) => {
      if (withdraw(context, { progress, change, item, entry }, "removed")) change.remove.push(name);
    });
  }
  for (const replaced of patch.replace ?? []) {
    await each(replaced.name, "replace", (item, entry) => {
      if (!withdraw(context, { progress, change, item, entry }, "replaced")) return;
      change.tasks.push(replacement(item, replaced, entry !== undefined, problems));
    });
  }
  for (const name of patch.retry ?? []) {
    await each(name, "retry", (item, entry) => {
      const status = entry?.state.status;
      if (status === "failed" || status === "cancelled") {
        change.tasks.push({ ...item, round: (item.round ?? 1) + 1 });
      } else problems.push(`its task "${name}" is ${status ?? "planned"}, and has not failed`);
    });
  }
  for (const [name, priority] of Object.entries(patch.priorities ?? {})) {
    await each(name, "reprioritise", (item, entry) => {
      reprioritise(context, { progress, change, item, entry }, priority);
    });
  }
  return change;
}

interface Touched {
  readonly progress: FeatureProgress;
  readonly change: Change;
  readonly item: PlanItem;
  readonly entry: BoardEntry | undefined;
}

/** Sees to it that a task which has not started never will. False when it has. */
function withdraw(context: Changing, touched: Touched, how: string): boolean {
  const { progress, change, item, entry } = touched;
  const stream = taskStream(taskIdOfItem(progress, item));
  if (!entry) {
    change.appends.push({ stream, expectedVersion: 0, events: [] });
    return true;
  }
  const { status, owner, attempt } = entry.state;
  if (status === "failed" || status === "cancelled") return true;
  if (isFinal(status) || isOwned(status) || attempt > 0) {
    const by = owner ? `, by ${owner.agent}` : "";
    const state = isFinal(status) ? `is ${status}` : `has started${by}`;
    change.problems.push(`its task "${item.name}" ${state}, and can't be ${how}`);
    return false;
  }
  const reason = `its feature's plan was changed: it was ${how}`;
  const events = endTask(context, context.name, entry, { outcome: "cancelled", reason });
  change.appends.push({ stream, expectedVersion: entry.version, events });
  return true;
}

function replacement(
  item: PlanItem,
  change: PlannedChange,
  wasCreated: boolean,
  problems: string[],
): PlanItem {
  const { input, dependsOn, definition } = change;
  let kept = item.input;
  try {
    if ("input" in change)
      kept = toFrozenJson((definition ? definition.checkInput(input) : input) ?? null);
  } catch (error) {
    problems.push(`task "${item.name}": ${describeError(error).message}`);
  }
  return {
    ...item,
    input: kept,
    ...(dependsOn === undefined ? {} : { dependsOn }),
    ...(wasCreated ? { round: (item.round ?? 1) + 1 } : {}),
  };
}

function reprioritise(context: Changing, touched: Touched, priority: Priority): void {
  const { progress, change, item, entry } = touched;
  if (!priorities.includes(priority)) {
    change.problems.push(`priority "${priority}" of "${item.name}" is none`);
  }
  const stream = taskStream(taskIdOfItem(progress, item));
  const status = entry?.state.status;
  if (status !== undefined && (isFinal(status) || isOwned(status))) {
    change.problems.push(`its task "${item.name}" is ${status}, and keeps its priority`);
    return;
  }
  change.tasks.push({ ...item, priority });
  if (!entry) change.appends.push({ stream, expectedVersion: 0, events: [] });
  else {
    const events = [taskReoffered(context, context.name, entry, { priority })];
    change.appends.push({ stream, expectedVersion: entry.version, events });
  }
}

/** Ends a feature; its orchestrators cancel what is open of it. */
export async function cancelFeature(
  context: Changing,
  id: string,
  reason: string,
): Promise<boolean> {
  for (;;) {
    const progress = await loadFeature(context.store, id);
    if (!progress || progress.feature === "completed") return false;
    if (progress.feature === "cancelled") return true;
    const payload = { featureId: id, title: progress.title, reason };
    const cause = progress.created;
    const event = teamEvent(context, context.name, "feature.cancelled", payload, { cause });
    const stream = featureStream(id);
    try {
      await context.store.commit({
        appends: [{ stream, expectedVersion: progress.version, events: [event] }],
      });
      return true;
    } catch (error) {
      if (!isCadreError(error, "VERSION_CONFLICT")) throw error;
    }
  }
}
