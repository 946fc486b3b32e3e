import { documentsDone, workedMs, type DeskView } from "./desk-view.ts";
import { graphHash, topNamesByDecade } from "./graph.ts";
import type { Summary, SummaryDetails } from "./summary.ts";

/** What the log cannot know. */
export interface Measured {
  readonly peakMemoryMb: number;
  readonly diskMb: number;
}

const namesPerDecade = 6;

/** The figures of the whole job, from the fold of its whole log. */
export function figuresOf(
  view: DeskView,
  measured: Measured,
): { readonly summary: Summary; readonly details: SummaryDetails } {
  const elapsedMs = workedMs(view);
  const latencies = Float64Array.from(view.latencies).toSorted();
  const entities = [...view.graph.entities.values()];
  const summary: Summary = {
    documents: documentsDone(view) - view.skipped,
    chunks: view.chunks,
    entities: entities.length,
    events: view.events,
    eventsPerSecond: elapsedMs > 0 ? (view.events / elapsedMs) * 1_000 : 0,
    taskP50Ms: percentile(latencies, 0.5),
    taskP99Ms: percentile(latencies, 0.99),
    peakMemoryMb: Math.max(view.peakMemoryMb, measured.peakMemoryMb),
    diskMb: measured.diskMb,
    tasksLost: view.planned - view.completed,
    duplicateEffects: view.duplicates,
    kills: view.kills,
    rejectedLateResults: view.rejected,
    graphHash: graphHash(view.graph),
  };
  const details: SummaryDetails = {
    elapsedMs,
    mentions: entities.reduce((sum, entity) => sum + entity.mentions.length, 0),
    disagreements: view.graph.disagreements,
    skippedFiles: view.skipped,
    topNames: topNamesByDecade(view.graph, { perDecade: namesPerDecade, rank: "distinct" }),
  };
  return { summary, details };
}

function percentile(sorted: Float64Array, share: number): number {
  const index = Math.min(sorted.length - 1, Math.ceil(sorted.length * share) - 1);
  return sorted[Math.max(0, index)] ?? 0;
}
