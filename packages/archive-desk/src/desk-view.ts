/**
 * What the log says about the desk: how far it is, who does what, and whether anything was lost or
 * done twice. The supervisor's live view and the figures of the summary are this one fold.
 */
import { defineProjection } from "cadre";
import type { AgentEvent, Projection } from "cadre";
import type { RunFinished, RunStopped } from "./desk-events.ts";
import { cutTask, type ChunkReference, type CutResult } from "./desk-tasks.ts";
import { createGraph, foldChunk, type CheckedChunk, type Graph } from "./graph.ts";

interface OpenTask {
  readonly name: string;
  readonly label: string;
  agent?: string;
  claimedAt?: number;
}

/** One stretch of work: from a start of the desk to the last event before the next start. */
interface Stretch {
  readonly from: number;
  to: number;
}

/** An agent as the log sees it. */
export interface AgentRecord {
  done: number;
  /** Results that came after the lease had ended. */
  rejected: number;
  /** Leases that ended because nobody heard of it. */
  lost: number;
  /** The tasks that it holds, by id, and what they are about. */
  readonly holds: Map<string, string>;
}

/** The state of the fold. It changes in place: it holds the graph. */
export interface DeskView {
  readonly graph: Graph;
  readonly tasks: Map<string, OpenTask>;
  readonly agents: Map<string, AgentRecord>;
  /** Features that the cuts ask for, until they have come to their end. */
  readonly openFeatures: Set<string>;
  readonly endedFeatures: Set<string>;
  /** Why features came to a bad end. */
  readonly blocked: string[];
  readonly cuts: Set<string>;
  /** Chunks of each document that are not checked yet. */
  readonly chunksLeft: Map<string, number>;
  readonly receipts: Set<string>;
  /** From claim to completion, in milliseconds. */
  readonly latencies: number[];
  readonly stretches: Stretch[];
  events: number;
  chunks: number;
  skipped: number;
  planned: number;
  completed: number;
  failed: number;
  duplicates: number;
  rejected: number;
  kills: number;
  peakMemoryMb: number;
  finished: RunFinished | undefined;
}

export const deskProjection: Projection<DeskView> = defineProjection<DeskView>({
  name: "desk-view",
  inPlace: true,
  initial: emptyView,
  apply: (view, event, stored) => {
    view.events += 1;
    const stretch = view.stretches.at(-1);
    if (event.type === "desk.run.started" || stretch === undefined) {
      view.stretches.push({ from: stored.recordedAt, to: stored.recordedAt });
    } else {
      stretch.to = stored.recordedAt;
    }
    reactions[event.type]?.(view, event);
    return view;
  },
});

function emptyView(): DeskView {
  return {
    graph: createGraph(),
    tasks: new Map(),
    agents: new Map(),
    openFeatures: new Set(),
    endedFeatures: new Set(),
    blocked: [],
    cuts: new Set(),
    chunksLeft: new Map(),
    receipts: new Set(),
    latencies: [],
    stretches: [],
    events: 0,
    chunks: 0,
    skipped: 0,
    planned: 0,
    completed: 0,
    failed: 0,
    duplicates: 0,
    rejected: 0,
    kills: 0,
    peakMemoryMb: 0,
    finished: undefined,
  };
}

type Reaction = (view: DeskView, event: AgentEvent) => void;

const reactions: Readonly<Record<string, Reaction>> = {
  "task.created": (view, { payload }) => {
    const { taskId, name, input } = payload as Created;
    const label = input.title ?? taskId;
    if (name === cutTask.name) view.planned += 1; // all others are in the plan of a feature
    view.tasks.set(taskId, { name, label });
  },
  "task.claimed": (view, { payload, timestamp }) => {
    const { taskId, agent } = payload as Owned;
    const task = view.tasks.get(taskId);
    if (task === undefined) return;
    task.agent = agent;
    task.claimedAt = timestamp;
    recordOf(view, agent).holds.set(taskId, task.label);
  },
  "task.completed": completeTask,
  "task.failed": failTask,
  "task.cancelled": failTask,
  "task.retry": (view, { payload }) => letGo(view, (payload as Owned).taskId),
  "task.lease_expired": (view, { payload }) => {
    const { taskId, reason } = payload as Owned;
    const agent = letGo(view, taskId);
    if (agent !== undefined && reason === "silent") recordOf(view, agent).lost += 1;
  },
  "task.result_rejected": (view, { payload }) => {
    view.rejected += 1;
    recordOf(view, (payload as Owned).agent).rejected += 1;
  },
  "step.receipt": (view, { payload }) => {
    const { key } = payload as { readonly key: string };
    if (view.receipts.has(key)) view.duplicates += 1;
    view.receipts.add(key);
  },
  "feature.created": (view, { payload }) => {
    const { featureId, tasks } = payload as FeatureFact;
    view.planned += tasks.length;
    if (!view.endedFeatures.has(featureId)) view.openFeatures.add(featureId);
  },
  "feature.completed": endFeature,
  "feature.blocked": (view, event) => {
    const { reason, kind } = event.payload as FeatureFact;
    if (kind === "agent") return; // it goes on by itself when a reader has started
    view.blocked.push(reason);
    endFeature(view, event);
  },
  "desk.chunk.checked": (view, { id, payload }) => {
    const chunk = payload as CheckedChunk;
    if (!foldChunk(view.graph, chunk, id)) {
      view.duplicates += 1;
      return;
    }
    const left = view.chunksLeft.get(chunk.documentId) ?? 0;
    view.chunksLeft.set(chunk.documentId, left - 1);
  },
  "desk.worker.killed": (view) => {
    view.kills += 1;
  },
  "desk.run.stopped": (view, { payload }) => {
    const { peakMemoryMb } = payload as RunStopped;
    view.peakMemoryMb = Math.max(view.peakMemoryMb, peakMemoryMb);
  },
  "desk.run.finished": (view, { payload }) => {
    view.finished = payload as RunFinished;
  },
};

interface Created {
  readonly taskId: string;
  readonly name: string;
  readonly input: { readonly title?: string };
}

interface Owned {
  readonly taskId: string;
  readonly agent: string;
  readonly reason?: string;
}

interface FeatureFact {
  readonly featureId: string;
  readonly tasks: readonly unknown[];
  readonly reason: string;
  readonly kind?: string;
}

function completeTask(view: DeskView, { payload, timestamp }: AgentEvent): void {
  const { taskId, agent, result } = payload as Owned & { readonly result: unknown };
  const task = view.tasks.get(taskId);
  if (task === undefined) return;
  letGo(view, taskId);
  view.tasks.delete(taskId);
  view.completed += 1;
  recordOf(view, agent).done += 1;
  if (task.claimedAt !== undefined) view.latencies.push(timestamp - task.claimedAt);
  if (task.name === cutTask.name) noteCut(view, taskId, result as CutResult);
}

function noteCut(view: DeskView, taskId: string, { features, skipped }: CutResult): void {
  view.cuts.add(taskId);
  view.skipped += skipped.length;
  for (const { id, chunks } of features) {
    view.chunks += chunks.length;
    if (!view.endedFeatures.has(id)) view.openFeatures.add(id);
    for (const chunk of chunks) countChunk(view, chunk);
  }
}

function countChunk({ chunksLeft }: DeskView, { documentId }: ChunkReference): void {
  chunksLeft.set(documentId, (chunksLeft.get(documentId) ?? 0) + 1);
}

function failTask(view: DeskView, { payload }: AgentEvent): void {
  const { taskId } = payload as Owned;
  letGo(view, taskId);
  if (view.tasks.delete(taskId)) view.failed += 1;
}

function endFeature(view: DeskView, { payload }: AgentEvent): void {
  const { featureId } = payload as FeatureFact;
  view.openFeatures.delete(featureId);
  view.endedFeatures.add(featureId);
}

/** Who held the task until now. */
function letGo(view: DeskView, taskId: string): string | undefined {
  const task = view.tasks.get(taskId);
  if (task?.agent === undefined) return undefined;
  const { agent } = task;
  view.agents.get(agent)?.holds.delete(taskId);
  delete task.agent;
  return agent;
}

function recordOf(view: DeskView, agent: string): AgentRecord {
  const known = view.agents.get(agent);
  if (known !== undefined) return known;
  const record: AgentRecord = { done: 0, rejected: 0, lost: 0, holds: new Map() };
  view.agents.set(agent, record);
  return record;
}

/** Whether all batches have been cut and all that they asked for has come to its end. */
export function isDone(view: DeskView, batches: number): boolean {
  return view.cuts.size >= batches && view.openFeatures.size === 0;
}

/** Documents all of whose chunks are checked, and those that were skipped. */
export function documentsDone(view: DeskView): number {
  let done = view.skipped;
  for (const left of view.chunksLeft.values()) if (left <= 0) done += 1;
  return done;
}

/** Milliseconds in which the desk worked, pauses between its runs left out. */
export function workedMs(view: DeskView): number {
  return view.stretches.reduce((sum, { from, to }) => sum + (to - from), 0);
}
