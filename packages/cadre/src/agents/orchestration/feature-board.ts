/** The features that have not ended, as far as the log was read: what orchestrators decide by. */
import type { AgentEvent } from "../../core/event.ts";
import type { StoredEvent } from "../../store/event-store.ts";
import {
  applyFeature,
  applyPlannedTask,
  featureCreated,
  featureStreamPrefix,
  planningName,
  plannedTaskId,
  taskIdOfItem,
  type FeatureProgress,
} from "../feature-fold.ts";
import { taskIdOf, taskStreamPrefix } from "../task-fold.ts";

/** What an event of the log means for features. */
export interface FeatureNews {
  /** There may be something to decide about them. */
  readonly changed: readonly FeatureProgress[];
  /** The tasks that waited for them have ended otherwise, and why. */
  readonly orphans: readonly (readonly [FeatureProgress, string])[];
}

const nothing: FeatureNews = { changed: [], orphans: [] };

export class FeatureBoard {
  readonly #features = new Map<string, FeatureProgress>();
  /** Features of the tasks that wait for them. */
  readonly #nested = new Map<string, Set<FeatureProgress>>();

  get(id: string): FeatureProgress | undefined {
    return this.#features.get(id);
  }

  all(): IterableIterator<FeatureProgress> {
    return this.#features.values();
  }

  forget(progress: FeatureProgress): void {
    this.#features.delete(progress.id);
    const { parent = "" } = progress;
    const same = this.#nested.get(parent);
    if (same?.delete(progress) && same.size === 0) this.#nested.delete(parent);
  }

  apply({ event, stream, version = 0 }: StoredEvent): FeatureNews {
    if (stream?.startsWith(featureStreamPrefix)) {
      const id = stream.slice(featureStreamPrefix.length);
      return this.#applyFeature(id, event, version);
    }
    if (stream?.startsWith(taskStreamPrefix)) return this.#applyTask(taskIdOf(stream), event);
    return nothing;
  }

  #applyFeature(id: string, event: AgentEvent, version: number): FeatureNews {
    const known = this.#features.get(id);
    // What comes after the end that this one wrote itself is of a feature that it has forgotten.
    if (!known && event.type !== "feature.created") return nothing;
    if (!known) {
      const progress = featureCreated(event);
      this.#remember(progress);
      return { changed: [progress], orphans: [] };
    }
    // Its orchestrator's own words are applied already.
    if (version > known.version) applyFeature(known, event, version);
    return { changed: [known], orphans: [] };
  }

  #applyTask(taskId: string, event: AgentEvent): FeatureNews {
    const planned = this.#plannedOf(taskId);
    const isNews = planned && applyPlannedTask(planned.progress, planned.name, event);
    const changed = isNews ? [planned.progress] : [];
    if (event.type !== "task.failed" && event.type !== "task.cancelled") {
      return isNews ? { changed, orphans: [] } : nothing;
    }
    const { reason = "" } = event.payload as { readonly reason?: string };
    const what = event.type === "task.failed" ? "failed" : "was cancelled";
    const why = `the task that waits for it ${what}: ${reason}`;
    const nested = [...(this.#nested.get(taskId) ?? [])];
    return {
      changed: [...changed, ...nested],
      orphans: nested.map((progress) => [progress, why]),
    };
  }

  #plannedOf(taskId: string): { progress: FeatureProgress; name: string } | undefined {
    for (let dot = taskId.indexOf("."); dot > 0; dot = taskId.indexOf(".", dot + 1)) {
      const progress = this.#features.get(taskId.slice(0, dot));
      if (!progress) continue;
      const name = taskId.slice(dot + 1).replace(/~\d+$/, "");
      if (name === planningName) {
        const next = plannedTaskId(progress.id, planningName, progress.planning.round + 1);
        if (next === taskId) return { progress, name };
      }
      // A round that is over is none of the plan's any more.
      const item = progress.items.get(name);
      if (item && taskIdOfItem(progress, item) === taskId) return { progress, name };
    }
    return undefined;
  }

  /** Takes over a feature as it was read from its own stream and those of its tasks. */
  put(progress: FeatureProgress): void {
    if (!this.#features.has(progress.id)) this.#remember(progress);
  }

  #remember(progress: FeatureProgress): void {
    this.#features.set(progress.id, progress);
    if (progress.parent === undefined) return;
    const same = this.#nested.get(progress.parent);
    if (same) same.add(progress);
    else this.#nested.set(progress.parent, new Set([progress]));
  }
}
