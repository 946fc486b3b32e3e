/** Where features are asked for and watched. */
import { CadreError, isCadreError } from "../core/errors.ts";
import { toFrozenJson } from "../core/json.ts";
import {
  applyFeature,
  applyPlannedTask,
  dependentsOf,
  featureCreated,
  featureState,
  featureStream,
  plannedTaskId,
  type FeatureProgress,
  type PlanItem,
} from "./feature-fold.ts";
import type { FeatureHandle, FeaturePlan, FeatureState, PlannedTask } from "./feature.ts";
import { checkBudget } from "./models/budget.ts";
import { throughTrouble } from "./passing-trouble.ts";
import type { TaskDesk } from "./task-desk.ts";
import { taskStream } from "./task-fold.ts";
import type { TaskState } from "./task.ts";
import { teamEvent, type TeamContext } from "./team-context.ts";

const maxTasks = 10_000; // of one plan; it bounds the size of its event

export class FeatureDesk {
  readonly #context: TeamContext;
  readonly #tasks: TaskDesk;
  readonly #closing = new AbortController();

  constructor(context: TeamContext, tasks: TaskDesk) {
    this.#context = context;
    this.#tasks = tasks;
  }

  async create(plan: FeaturePlan): Promise<FeatureHandle> {
    if (plan.budget !== undefined) checkBudget(`the feature "${plan.title}"`, plan.budget);
    const items = plan.tasks.map(planItem);
    checkPlan(plan.title, items);
    const { clock, random, name, store } = this.#context;
    const id = plan.id ?? random.id(clock.now());
    const { tenant, budget } = plan;
    const payload = {
      featureId: id,
      title: plan.title,
      tasks: items,
      ...(tenant === undefined ? {} : { tenant }),
      ...(budget === undefined ? {} : { budget }),
    };
    const event = teamEvent(this.#context, name, "feature.created", payload, {
      ...(plan.priority === undefined ? {} : { priority: plan.priority }),
      ...(tenant === undefined ? {} : { tenant }),
    });
    try {
      await store.commit({
        appends: [{ stream: featureStream(id), expectedVersion: 0, events: [event] }],
      });
    } catch (error) {
      // It was created before: the plan of then holds.
      if (!isCadreError(error, "VERSION_CONFLICT")) throw error;
    }
    return this.#handle(id);
  }

  /** Nobody will learn of an end any more: who waits for one is told. */
  close(): void {
    this.#closing.abort(
      new CadreError("CLOSED", "The runtime was closed while the feature went on.", {
        what: "runtime",
      }),
    );
  }

  async get(id: string): Promise<FeatureHandle | undefined> {
    return (await this.#load(id)) ? this.#handle(id) : undefined;
  }

  #handle(id: string): FeatureHandle {
    return {
      id,
      state: () => this.#state(id),
      tasks: () => this.#tasksOf(id),
      finished: ({ signal } = {}) => {
        const closing = this.#closing.signal;
        return this.#finished(id, signal ? AbortSignal.any([signal, closing]) : closing);
      },
    };
  }

  async #state(id: string): Promise<FeatureState> {
    const progress = await this.#load(id);
    if (progress) return featureState(progress);
    throw new CadreError("NOT_FOUND", `There is no feature ${id}.`, { what: "feature", id });
  }

  async #tasksOf(id: string): Promise<readonly TaskState[]> {
    const progress = await this.#load(id);
    const states: TaskState[] = [];
    for (const name of progress?.items.keys() ?? []) {
      const state = await this.#tasks.get(plannedTaskId(id, name));
      if (state) states.push(state);
    }
    return states;
  }

  async #load(id: string): Promise<FeatureProgress | undefined> {
    const { store } = this.#context;
    let progress: FeatureProgress | undefined;
    for await (const { event, version = 1 } of store.read({ stream: featureStream(id) })) {
      if (progress) applyFeature(progress, event, version);
      else progress = featureCreated(event);
    }
    if (!progress) return undefined;
    for (const name of progress.items.keys()) {
      const stream = taskStream(plannedTaskId(id, name));
      for await (const { event } of store.read({ stream, backward: true })) {
        // What came after the task's end (a rejected late result) changes nothing.
        if (applyPlannedTask(progress, name, event)) break;
      }
    }
    return progress;
  }

  /** Watches the feature's own stream; its end is its last event. */
  #finished(id: string, signal: AbortSignal): Promise<FeatureState> {
    const { clock, store } = this.#context;
    return new Promise((resolve, reject) => {
      let looking = false;
      let again = false;
      const look = async (): Promise<void> => {
        const last = await lastEventType(store, featureStream(id));
        if (last === "feature.completed" || last === "feature.blocked")
          end(resolve, await this.#state(id));
      };
      const onWake = (): void => {
        if (looking) {
          again = true;
          return;
        }
        looking = true;
        // A store in trouble is no answer: the question is asked again while somebody waits.
        throughTrouble(clock, Infinity, look, () => !signal.aborted)
          .catch((error: unknown) => end(reject, error))
          .finally(() => {
            looking = false;
            if (!again) return;
            again = false;
            onWake();
          });
      };
      const unwatch = store.watch(onWake);
      const onAbort = (): void => end(reject, signal.reason);
      const end = <Value>(settle: (value: Value) => void, value: Value): void => {
        unwatch();
        signal.removeEventListener("abort", onAbort);
        settle(value);
      };
      if (signal.aborted) return onAbort();
      signal.addEventListener("abort", onAbort, { once: true });
      onWake();
    });
  }
}

async function lastEventType(
  store: TeamContext["store"],
  stream: string,
): Promise<string | undefined> {
  for await (const { event } of store.read({ stream, backward: true, limit: 1 })) return event.type;
  return undefined;
}

function planItem(task: PlannedTask): PlanItem {
  const { definition } = task;
  const dependsOn = task.dependsOn ?? [];
  if (task.budget !== undefined) checkBudget(`the planned task "${task.name}"`, task.budget);
  // With dependencies the input is not whole yet: its owner checks it.
  const input = dependsOn.length === 0 ? definition.checkInput(task.input) : task.input;
  return {
    name: task.name,
    task: definition.name,
    capability: definition.capability,
    version: definition.version,
    maxAttempts: definition.maxAttempts,
    ...(definition.deadlineMs === undefined ? {} : { deadlineMs: definition.deadlineMs }),
    input: toFrozenJson(input ?? null),
    dependsOn,
    ...(task.priority === undefined ? {} : { priority: task.priority }),
    ...(task.budget === undefined ? {} : { budget: task.budget }),
  };
}

/** Refuses a plan that could never end. */
function checkPlan(title: string, items: readonly PlanItem[]): void {
  const refuse = (value: unknown, why: string): never => {
    throw new CadreError("INVALID_OPTION", `The plan of feature "${title}" ${why}`, {
      option: "tasks",
      value,
    });
  };
  if (items.length === 0 || items.length > maxTasks) {
    refuse(items.length, `has ${items.length} tasks. Give 1 to ${maxTasks}.`);
  }
  const byName = new Map<string, PlanItem>();
  for (const item of items) {
    if (item.name === "") refuse(item.name, "has a task without a name.");
    if (byName.has(item.name)) refuse(item.name, `has two tasks named "${item.name}".`);
    byName.set(item.name, item);
  }
  for (const item of items) {
    const unknown = item.dependsOn.find((name) => !byName.has(name));
    if (unknown !== undefined)
      refuse(unknown, `lets "${item.name}" depend on "${unknown}", which it doesn't contain.`);
  }
  const dependents = dependentsOf(items);
  const missing = new Map(items.map((item) => [item.name, new Set(item.dependsOn).size]));
  const free = items.filter((item) => item.dependsOn.length === 0).map((item) => item.name);
  for (const name of free) {
    missing.delete(name);
    for (const dependent of dependents.get(name) ?? []) {
      const left = missing.get(dependent)! - 1;
      missing.set(dependent, left);
      if (left === 0) free.push(dependent);
    }
  }
  if (missing.size === 0) return;
  const stuck = [...missing.keys()];
  refuse(stuck, `has a cycle among: ${stuck.slice(0, 5).join(", ")}.`);
}
