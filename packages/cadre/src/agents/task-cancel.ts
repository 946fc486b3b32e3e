import { isCadreError } from "../core/errors.ts";
import { endTask } from "./saga-events.ts";
import { loadTask } from "./task-board.ts";
import { taskChanged } from "./task-events.ts";
import { isFinal, isOwned, taskStream } from "./task-fold.ts";
import type { TeamContext } from "./team-context.ts";

/**
 * Asks the owner of a task to stop, or ends a task that nobody owns: by way of its undos, where it
 * has any. False when there is no such task, when it has ended, or when it only goes forward.
 */
export async function cancelTask(
  context: Pick<TeamContext, "store" | "clock" | "random" | "name">,
  id: string,
  reason: string,
): Promise<boolean> {
  const { store, name } = context;
  for (;;) {
    const entry = await loadTask(store, id);
    if (!entry || isFinal(entry.state.status) || entry.state.pivot !== undefined) return false;
    const { undoing, status, cancelRequested } = entry.state;
    if (undoing) return undoing.outcome === "cancelled";
    if (isOwned(status) && cancelRequested !== undefined) return true;
    const events = isOwned(status)
      ? [taskChanged(context, name, entry, { type: "task.cancel_requested", reason })]
      : endTask(context, name, entry, { outcome: "cancelled", reason });
    try {
      await store.commit({
        appends: [{ stream: taskStream(id), expectedVersion: entry.version, events }],
      });
      return true;
    } catch (error) {
      if (!isCadreError(error, "VERSION_CONFLICT")) throw error;
    }
  }
}
