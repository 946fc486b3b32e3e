/** A feature as the log says it is now. */
import type { EventStore } from "../../store/event-store.ts";
import {
  applyFeature,
  applyPlannedTask,
  featureCreated,
  featureStream,
  planningName,
  plannedTaskId,
  taskIdOfItem,
  type FeatureProgress,
} from "../feature-fold.ts";
import { taskStream } from "../task-fold.ts";

/** Reads a feature's stream and how its tasks have ended. */
export async function loadFeature(
  store: EventStore,
  id: string,
): Promise<FeatureProgress | undefined> {
  let progress: FeatureProgress | undefined;
  for await (const { event, version = 1 } of store.read({ stream: featureStream(id) })) {
    if (progress) applyFeature(progress, event, version);
    else if (event.type === "feature.created") progress = featureCreated(event);
  }
  if (!progress) return undefined;
  for (const item of [...progress.items.values()]) {
    const stream = taskStream(taskIdOfItem(progress, item));
    for await (const { event } of store.read({ stream, backward: true })) {
      // What came after the task's end (a rejected late result) changes nothing.
      if (applyPlannedTask(progress, item.name, event)) break;
    }
  }
  if (progress.planner) {
    const stream = taskStream(plannedTaskId(id, planningName, progress.planning.round + 1));
    for await (const { event } of store.read({ stream }))
      applyPlannedTask(progress, planningName, event);
  }
  return progress;
}
