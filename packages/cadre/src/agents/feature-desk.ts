/** Where features are asked for, changed and watched. */
import { CadreError, isCadreError } from "../core/errors.ts";
import type { AgentEvent } from "../core/event.ts";
import { toFrozenJson, type JsonValue } from "../core/json.ts";
import type { Directory } from "./directory.ts";
import {
  featureState,
  featureStream,
  taskIdOfItem,
  type FeatureProgress,
  type PlanItem,
} from "./feature-fold.ts";
import type { FeatureHandle, FeaturePatch, FeaturePlan, FeatureState } from "./feature.ts";
import { narrowerBudget } from "./models/budget.ts";
import { cancelFeature, patchFeature } from "./orchestration/feature-changes.ts";
import { FeatureEnds, mayEnd } from "./orchestration/feature-ends.ts";
import { loadFeature } from "./orchestration/feature-log.ts";
import { invalidPlan, optionProblems, planItem, planProblems } from "./orchestration/plan-items.ts";
import { throughTrouble } from "./passing-trouble.ts";
import type { TaskDesk } from "./task-desk.ts";
import type { TaskState } from "./task.ts";
import { teamEvent, type TeamContext } from "./team-context.ts";

/** The task that asks for a feature: it hands its time, its budget and its tenant on. */
export interface FeatureOrigin {
  readonly parent: TaskState;
  readonly cause: AgentEvent;
  readonly agent: string;
}

const defaultPlanRounds = 3;

export class FeatureDesk {
  readonly #context: TeamContext;
  readonly #tasks: TaskDesk;
  readonly #directory: Pick<Directory, "find">;
  readonly #ends: FeatureEnds;
  readonly #closing = new AbortController();

  constructor(context: TeamContext, tasks: TaskDesk, directory: Pick<Directory, "find">) {
    this.#context = context;
    this.#tasks = tasks;
    this.#directory = directory;
    this.#ends = new FeatureEnds(context);
  }

  /**
   * @param planned what a function has planned, when that is on record elsewhere
   */
  async create(
    plan: FeaturePlan,
    origin?: FeatureOrigin,
    planned?: readonly PlanItem[],
  ): Promise<FeatureHandle> {
    const { clock, random, store, name } = this.#context;
    const id = plan.id ?? random.id(clock.now());
    // A plan that was made is not made again.
    if (!planned && plan.id !== undefined && typeof plan.planner === "function") {
      const known = await this.get(id);
      if (known) return known;
    }
    const payload = await this.#checked({ id, plan, origin, planned });
    const source = origin?.agent ?? name;
    const event = teamEvent(this.#context, source, "feature.created", payload, {
      ...(origin === undefined ? {} : { cause: origin.cause }),
      ...(plan.priority === undefined ? {} : { priority: plan.priority }),
      ...(payload.tenant === undefined ? {} : { tenant: payload.tenant }),
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
    return (await loadFeature(this.#context.store, id)) ? this.#handle(id) : undefined;
  }

  /** The plan as data. @throws {CadreError} INVALID_PLAN */
  async #checked(asked: {
    readonly id: string;
    readonly plan: FeaturePlan;
    readonly origin: FeatureOrigin | undefined;
    readonly planned: readonly PlanItem[] | undefined;
  }) {
    const { id, plan, origin, planned } = asked;
    const problems = [...optionProblems(plan)];
    const goal = toFrozenJson(plan.goal ?? null);
    const { planner, title } = plan;
    let { tasks = [] } = plan;
    const plansHere = typeof planner === "function" && !planned && problems.length === 0;
    if (plansHere) tasks = await planner(goal);
    const now = this.#context.clock.now();
    const own = plan.deadlineMs === undefined ? Infinity : now + plan.deadlineMs;
    const deadlineAt = Math.min(own, origin?.parent.deadlineAt ?? Infinity);
    const budget = narrowerBudget(plan.budget, origin?.parent.budget);
    const tenant = origin?.parent.tenant ?? plan.tenant;
    const items = planned ?? tasks.map((task) => planItem(task, problems, deadlineAt - now));
    const leftMs = Number.isFinite(deadlineAt) ? deadlineAt - now : undefined;
    problems.push(...planProblems(items, { budget, leftMs }));
    problems.push(...this.#capabilityProblems(plan, items));
    if (problems.length > 0) throw invalidPlan(title, problems);
    return {
      featureId: id,
      title,
      tasks: items,
      depth: (origin?.parent.depth ?? 0) + 1,
      ...(plan.goal === undefined ? {} : { goal }),
      ...(tenant === undefined ? {} : { tenant }),
      ...(budget === undefined ? {} : { budget }),
      ...(Number.isFinite(deadlineAt) ? { deadlineAt } : {}),
      ...(origin === undefined ? {} : { parent: origin.parent.id }),
      ...(planner === undefined || typeof planner === "function"
        ? {}
        : {
            planner: {
              task: planner.name,
              capability: planner.capability,
              version: planner.version,
              maxAttempts: planner.maxAttempts,
              maxRounds: plan.maxPlanRounds ?? defaultPlanRounds,
            },
          }),
    };
  }

  /** Capabilities that no known agent offers: told, or refused. */
  #capabilityProblems(plan: FeaturePlan, items: readonly PlanItem[]): readonly string[] {
    const asked = new Set(items.map(({ capability }) => capability));
    const { planner } = plan;
    if (planner && typeof planner !== "function") asked.add(planner.capability);
    const unknown = [...asked].filter(
      (capability) => this.#directory.find({ capability }).length === 0,
    );
    if (plan.unknownCapabilities === "refuse") {
      return unknown.map((name) => `no known agent offers "${name}"`);
    }
    if (unknown.length > 0) {
      const message = `Feature "${plan.title}" needs what no known agent offers yet.`;
      this.#context.logger.warn(message, { capabilities: unknown });
    }
    return [];
  }

  #handle(id: string): FeatureHandle {
    return {
      id,
      state: async () => featureState(await this.#load(id)),
      tasks: () => this.#tasksOf(id),
      results: () => this.#results(id),
      finished: ({ signal } = {}) => {
        const closing = this.#closing.signal;
        return this.#finished(id, signal ? AbortSignal.any([signal, closing]) : closing);
      },
      patch: (change: FeaturePatch) => patchFeature(this.#context, id, change),
      cancel: (reason) => cancelFeature(this.#context, id, reason),
    };
  }

  async #load(id: string): Promise<FeatureProgress> {
    const progress = await loadFeature(this.#context.store, id);
    if (progress) return progress;
    throw new CadreError("NOT_FOUND", `There is no feature ${id}.`, { what: "feature", id });
  }

  async #tasksOf(id: string): Promise<readonly TaskState[]> {
    const progress = await this.#load(id);
    const states: TaskState[] = [];
    for (const item of progress.items.values()) {
      const state = await this.#tasks.get(taskIdOfItem(progress, item));
      if (state) states.push(state);
    }
    return states;
  }

  async #results(id: string): Promise<Readonly<Record<string, JsonValue>>> {
    const progress = await this.#load(id);
    const results: Record<string, JsonValue> = {};
    for (const item of progress.items.values()) {
      const state = await this.#tasks.get(taskIdOfItem(progress, item));
      if (state?.status === "completed") results[item.name] = state.result ?? null;
    }
    return results;
  }

  #finished(id: string, signal: AbortSignal): Promise<FeatureState> {
    const { clock, store } = this.#context;
    return new Promise((resolve, reject) => {
      let unwatch = (): void => {};
      const onAbort = (): void => end(() => reject(signal.reason));
      const end = (settle: () => void): void => {
        unwatch();
        signal.removeEventListener("abort", onAbort);
        settle();
      };
      const look = (): void => {
        const load = (): Promise<FeatureProgress> => this.#load(id);
        throughTrouble(clock, Infinity, load, () => !signal.aborted).then(
          (progress) => {
            const state = featureState(progress);
            if (isOver(state)) end(() => resolve(state));
          },
          (error: unknown) => end(() => reject(error)),
        );
      };
      if (signal.aborted) return onAbort();
      signal.addEventListener("abort", onAbort, { once: true });
      const failed = (error: unknown): void => end(() => reject(error));
      unwatch = this.#ends.watch(id, {
        look: () => {
          lastEventType(store, clock, id, signal).then((last) => {
            if (last === undefined || mayEnd(last)) look();
          }, failed);
        },
        ended: look,
        failed,
      });
    });
  }
}

/** Whether nothing more comes of it by itself. */
function isOver({ status, lacks }: FeatureState): boolean {
  if (status === "blocked") return lacks !== "agent";
  return status === "completed" || status === "cancelled";
}

function lastEventType(
  store: TeamContext["store"],
  clock: TeamContext["clock"],
  id: string,
  signal: AbortSignal,
): Promise<string | undefined> {
  const read = async (): Promise<string | undefined> => {
    const query = { stream: featureStream(id), backward: true, limit: 1 };
    for await (const { event } of store.read(query)) return event.type;
    return undefined;
  };
  return throughTrouble(clock, Infinity, read, () => !signal.aborted);
}
