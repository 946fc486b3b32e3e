import { describeError, isCadreError } from "../../core/errors.ts";
import { isRefusedForEver } from "../../outbox/refusal.ts";
import { featureStream, type FeatureProgress, type Obstacle } from "../feature-fold.ts";
import type { TaskDesk, TaskRequest } from "../task-desk.ts";

/**
 * Creates tasks of a plan as it was read: none when it has `changed` meanwhile. One that can never
 * be made, because its input with the results that it needs is too large, say, is an obstacle.
 */
export async function createPlanned(
  desk: Pick<TaskDesk, "createAll">,
  progress: Pick<FeatureProgress, "id" | "version">,
  requests: readonly TaskRequest[],
): Promise<"made" | "changed" | Obstacle> {
  const guard = { stream: featureStream(progress.id), expectedVersion: progress.version };
  try {
    await desk.createAll(requests, guard);
    return "made";
  } catch (error) {
    if (isCadreError(error, "VERSION_CONFLICT") && error.details.stream === guard.stream) {
      return "changed";
    }
    if (!isRefusedForEver(error)) throw error;
    const [first, ...others] = requests;
    if (others.length === 0) return impossible(first?.options?.id ?? "", error);
  }
  // Not all of them are at fault.
  for (const request of requests) {
    const outcome = await createPlanned(desk, progress, [request]);
    if (outcome !== "made") return outcome;
  }
  return "made";
}

function impossible(taskId: string, error: unknown): Obstacle {
  const why = describeError(error).message.replace(/\.$/, "");
  const reason = `its task ${taskId} can't be made: ${why}. Patch the plan by hand, or cancel it`;
  return { kind: "plan", reason, taskId };
}
