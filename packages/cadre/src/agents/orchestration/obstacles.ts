/** Why a feature cannot go on, in words: what is missing, and who must do what. */
import type { Directory } from "../directory.ts";
import type { FeatureProgress, Obstacle } from "../feature-fold.ts";

/** What keeps the feature from going on, as far as its own log says. */
export function obstacleOf(progress: FeatureProgress, now: number): Obstacle | undefined {
  const { deadlineAt, failures, planner, planning, items } = progress;
  if (deadlineAt !== undefined && now >= deadlineAt) {
    return {
      kind: "deadline",
      reason: "it went over its deadline. Give it more time (patch: deadlineMs), or cancel it",
    };
  }
  const [name, failure] = [...failures][0] ?? [];
  const needs = items.size === 0 || failures.size > 0;
  if (planner && planning.failure !== undefined && needs) {
    return { kind: "plan", reason: `${planning.failure}. Patch the plan by hand, or cancel it` };
  }
  if (failure && name !== undefined)
    return { ...failure, reason: `${failure.reason}. ${cure(name, failure)}` };
  if (planner && items.size === 0 && planning.round >= planner.maxRounds) {
    const why = planning.problems.slice(0, 3).join("; ") || "it has no task";
    const tried = `its planner made no plan in ${planning.round} rounds`;
    return { kind: "plan", reason: `${tried}: ${why}. Add tasks by hand` };
  }
  return undefined;
}

function cure(name: string, { kind }: Obstacle): string {
  return kind === "budget"
    ? `Raise the budget and retry it (patch: budget, retry: ["${name}"])`
    : `Retry it (patch: retry: ["${name}"]), replace its input, or remove it`;
}

/** Whether what it is blocked by is in its way yet. An agent is looked for elsewhere. */
export function standsYet(progress: FeatureProgress, now: number): boolean {
  const { blocked, failures, deadlineAt } = progress;
  if (!blocked || blocked.kind === "agent") return false;
  if (blocked.kind === "deadline") return deadlineAt !== undefined && now >= deadlineAt;
  if (blocked.kind === "plan") return true;
  return [...failures.values()].some(({ taskId }) => taskId === blocked.taskId);
}

/** Whether anybody who may claim is there for the capability. */
export function isOffered(directory: Pick<Directory, "find">, capability: string): boolean {
  return directory
    .find({ capability })
    .some(
      ({ presence, card }) =>
        presence !== "dead" && presence !== "left" && card.state !== "stopped",
    );
}

/** No live agent offers what a task needs. */
export function missingAgent(
  directory: Pick<Directory, "find">,
  task: { readonly id: string; readonly capability: string },
): Obstacle {
  const { capability, id } = task;
  const gone = directory.find({ capability });
  const seen = gone.map(({ card, silentMs, presence }) =>
    presence === "dead"
      ? `${card.agent} was last seen ${Math.round(silentMs / 1_000)} s ago`
      : `${card.agent} is ${card.state}`,
  );
  const who = seen.length > 0 ? seen.slice(0, 3).join(", ") : "none that did is known here";
  const reason =
    `no live agent offers "${capability}", which its task ${id} waits for (${who}). ` +
    "Start one; it goes on by itself";
  return { kind: "agent", reason, taskId: id, capability };
}
