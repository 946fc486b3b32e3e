import { defineEvents, type } from "cadre";
import type { EventRegistry } from "cadre";
import type { CheckedChunk } from "./graph.ts";
import type { Summary, SummaryDetails } from "./summary.ts";

/** A run is one stretch of the supervisor's life; a job that was interrupted has several. */
export interface RunStarted {
  readonly documents: number;
  readonly readers: number;
  readonly chaos: boolean;
}

export interface RunStopped {
  readonly reason: "interrupted" | "failed";
  readonly peakMemoryMb: number;
}

/** What the finished job is remembered by: started again, it only prints this. */
export interface RunFinished {
  readonly peakMemoryMb: number;
  readonly summary: Summary;
  readonly details: SummaryDetails;
}

/** What the supervisor did to one of its workers, or saw happen to it. */
export interface WorkerFate {
  readonly worker: string;
  readonly pid: number;
}

/** A type, not an interface: a registry's map has an index of all its keys. */
export type DeskEvents = {
  readonly "desk.chunk.checked": CheckedChunk;
  readonly "desk.run.started": RunStarted;
  readonly "desk.run.stopped": RunStopped;
  readonly "desk.run.finished": RunFinished;
  readonly "desk.worker.killed": WorkerFate;
  readonly "desk.worker.frozen": WorkerFate;
  readonly "desk.worker.thawed": WorkerFate;
};

const fate = {
  type: "object",
  required: ["worker", "pid"],
  properties: { worker: { type: "string" }, pid: { type: "integer" } },
};
const checked = {
  type: "object",
  required: ["documentId", "title", "start", "hash", "disagreements", "sentences"],
  properties: {
    documentId: { type: "string" },
    start: { type: "integer", minimum: 0 },
    hash: { type: "string" },
    disagreements: { type: "integer", minimum: 0 },
    sentences: { type: "array" },
  },
};

/** The desk's own facts. Those of tasks, features and agents are in the built-in registry. */
export const deskEvents: EventRegistry<DeskEvents> = defineEvents({
  "desk.chunk.checked": type<CheckedChunk>(checked),
  "desk.run.started": type<RunStarted>(),
  "desk.run.stopped": type<RunStopped>(),
  "desk.run.finished": type<RunFinished>(),
  "desk.worker.killed": type<WorkerFate>(fate),
  "desk.worker.frozen": type<WorkerFate>(fate),
  "desk.worker.thawed": type<WorkerFate>(fate),
});
