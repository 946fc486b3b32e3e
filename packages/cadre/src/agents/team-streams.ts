/** The streams of a team that are of use only whole, for retention. */
import type { EventStore } from "../store/event-store.ts";
import type { StreamGuard } from "../store/retention-plan.ts";
import { featureStream, featureStreamPrefix } from "./feature-fold.ts";
import { mayEnd } from "./orchestration/feature-ends.ts";
import { isDecided, proposalIdOf, proposalPrefix } from "./proposals/proposal.ts";
import { loadProposal } from "./proposals/proposal-log.ts";
import { loadTask } from "./task-board.ts";
import { isFinal, taskIdOf, taskStreamPrefix } from "./task-fold.ts";

/**
 * Guards of a team's tasks, sagas, features and proposals. A task is finished when it has ended,
 * and so has the task or feature that it is a part of, which may still ask for its result.
 */
export const teamStreams: readonly StreamGuard[] = [
  {
    prefix: taskStreamPrefix,
    isFinished: async (store, stream) => {
      const task = await loadTask(store, taskIdOf(stream));
      if (!task || !isFinal(task.state.status)) return false;
      const { parent, feature } = task.state;
      if (parent !== undefined) {
        const above = await loadTask(store, parent);
        if (above && !isFinal(above.state.status)) return false;
      }
      return feature === undefined || isFeatureOver(store, featureStream(feature));
    },
  },
  {
    prefix: featureStreamPrefix,
    isFinished: async (store, stream) => {
      if (!(await isFeatureOver(store, stream))) return false;
      for await (const { event } of store.read({ stream, limit: 1 })) {
        // Its next attempt would ask for the feature again.
        const { parent } = event.payload as { readonly parent?: string };
        const above = parent === undefined ? undefined : await loadTask(store, parent);
        if (above && !isFinal(above.state.status)) return false;
      }
      return true;
    },
  },
  {
    prefix: proposalPrefix,
    isFinished: async (store, stream) => {
      const proposal = await loadProposal(store, proposalIdOf(stream));
      if (!proposal) return true;
      const { status, taskId } = proposal.state;
      if (!isDecided(status)) return false;
      if (taskId === undefined) return true;
      // Its next attempt would ask what was decided.
      const task = await loadTask(store, taskId);
      return !task || isFinal(task.state.status);
    },
  },
];

async function isFeatureOver(store: EventStore, stream: string): Promise<boolean> {
  for await (const { event } of store.read({ stream, backward: true, limit: 1 })) {
    return mayEnd(event.type);
  }
  return true; // removed before its tasks
}
