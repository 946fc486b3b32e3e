/** Which budgets bound a piece of work: its own, and those of all that it is a part of. */
import type { EventStore } from "../../store/event-store.ts";
import {
  applyFeature,
  featureCreated,
  featureStream,
  type FeatureProgress,
} from "../feature-fold.ts";
import { loadTask } from "../task-board.ts";
import type { TaskState } from "../task.ts";
import { budgetUnits, type Budget } from "./budget.ts";
import type { BudgetScope } from "./budget-ledger.ts";

/** Whose call it is. */
export interface ChargedWork {
  readonly task?: TaskState;
  readonly tenant?: string;
}

/** Budgets that no single piece of work declares. */
export interface TeamBudgets {
  /** By the tenant's name; `*` is each tenant that isn't named. */
  readonly tenant?: Readonly<Record<string, Budget>>;
}

/** The nearest first. */
export async function scopesOf(
  store: EventStore,
  { task, tenant }: ChargedWork,
  budgets: TeamBudgets,
): Promise<readonly BudgetScope[]> {
  const scopes: BudgetScope[] = [];
  const seen = new Set<string>();
  const visitTask = async (state: TaskState): Promise<void> => {
    const id = `task:${state.id}`;
    if (seen.has(id)) return;
    seen.add(id);
    const above = await aboveOf(store, state);
    const own = ownPart(
      state.budget,
      above.map(({ budget }) => budget),
    );
    if (own) scopes.push({ id, budget: own });
    for (const part of above) await part.visit(visitTask, scopes, seen);
  };
  if (task) await visitTask(task);
  const allowed = tenant === undefined ? undefined : tenantBudget(budgets, tenant);
  if (allowed) scopes.push({ id: `tenant:${tenant}`, budget: allowed });
  return scopes;
}

interface Above {
  readonly budget: Budget | undefined;
  visit(
    visitTask: (state: TaskState) => Promise<void>,
    scopes: BudgetScope[],
    seen: Set<string>,
  ): Promise<void>;
}

/** What the task is a part of: the task that called it, and its feature. */
async function aboveOf(store: EventStore, state: TaskState): Promise<readonly Above[]> {
  const above: Above[] = [];
  const parent = state.parent === undefined ? undefined : await loadTask(store, state.parent);
  if (parent) above.push({ budget: parent.state.budget, visit: (visit) => visit(parent.state) });
  const feature = state.feature === undefined ? undefined : await budgetOf(store, state.feature);
  if (feature) {
    above.push({
      budget: feature.budget,
      visit: async (visit, scopes, seen) => {
        const id = `feature:${feature.id}`;
        if (seen.has(id)) return;
        seen.add(id);
        const caller =
          feature.parent === undefined ? undefined : await loadTask(store, feature.parent);
        const own = ownPart(feature.budget, [caller?.state.budget]);
        if (own) scopes.push({ id, budget: own });
        if (caller) await visit(caller.state);
      },
    });
  }
  return above;
}

/**
 * Bounds that are stricter than those of the whole. What is the same is the whole's, which counts
 * this part too: and where the whole may spend more one day, its parts may.
 */
function ownPart(
  budget: Budget | undefined,
  whole: readonly (Budget | undefined)[],
): Budget | undefined {
  const own = budgetUnits.flatMap((unit) => {
    const bound = budget?.[unit];
    const isWholes = whole.some((above) => above?.[unit] === bound);
    return bound === undefined || isWholes ? [] : [[unit, bound] as const];
  });
  return own.length === 0 ? undefined : Object.fromEntries(own);
}

/** Only what the feature's own stream says: how its tasks fare is of no interest here. */
async function budgetOf(store: EventStore, id: string): Promise<FeatureProgress | undefined> {
  let progress: FeatureProgress | undefined;
  for await (const { event, version = 1 } of store.read({ stream: featureStream(id) })) {
    if (progress) applyFeature(progress, event, version);
    else if (event.type === "feature.created") progress = featureCreated(event);
  }
  return progress;
}

function tenantBudget({ tenant: budgets = {} }: TeamBudgets, tenant: string): Budget | undefined {
  if (Object.hasOwn(budgets, tenant)) return budgets[tenant];
  return Object.hasOwn(budgets, "*") ? budgets["*"] : undefined;
}
