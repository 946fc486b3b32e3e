/** What must hold at the end of every simulated run, read from the log alone. */
import { applyTask, isFinal, taskIdOf, taskStreamPrefix } from "../agents/task-fold.ts";
import type { TaskState } from "../agents/task.ts";
import type { AgentEvent } from "../core/event.ts";
import type { StoredEvent } from "../store/event-store.ts";
import type { Violation } from "./sim-options.ts";
import { ProposalReading } from "./sim-proposals.ts";
import { SagaReading } from "./sim-sagas.ts";
import type { Author } from "./sim-story.ts";

/** What a run's log holds, counted. */
export interface LogCounts {
  readonly tasksCreated: number;
  readonly tasksLost: number;
  readonly doubleOwners: number;
  readonly duplicateReceipts: number;
  readonly duplicateRecords: number;
  readonly lateWrites: number;
  readonly brokenSagas: number;
  readonly tasksCompleted: number;
  readonly tasksFailed: number;
  readonly tasksCancelled: number;
  readonly rejectedLateResults: number;
  readonly leasesExpired: number;
  readonly stepsDone: number;
  readonly stepsUndone: number;
  readonly events: number;
}

export const emptyCounts: LogCounts = {
  tasksCreated: 0,
  tasksLost: 0,
  doubleOwners: 0,
  duplicateReceipts: 0,
  duplicateRecords: 0,
  lateWrites: 0,
  brokenSagas: 0,
  tasksCompleted: 0,
  tasksFailed: 0,
  tasksCancelled: 0,
  rejectedLateResults: 0,
  leasesExpired: 0,
  stepsDone: 0,
  stepsUndone: 0,
  events: 0,
};

interface Story {
  state: TaskState | undefined;
  readonly owners: Map<number, number>;
  readonly receipts: Map<string, number>;
  /** Who may write as the owner now. */
  owner: Author | undefined;
  readonly strangers: string[];
  ends: number;
}

const ends = new Set(["task.completed", "task.failed", "task.cancelled"]);
/** What nobody but the owner of the epoch writes. */
const ownersWords = new Set([
  "task.acknowledged",
  "task.started",
  "task.progress",
  "task.completed",
  "step.intent",
  "step.receipt",
  "step.failed",
  "step.timer",
  "step.undo_intent",
  "step.undo_receipt",
]);
const releases = new Set(["task.lease_expired", "task.retry", ...ends]);
const endOfFeature = new Set(["feature.completed", "feature.blocked", "feature.cancelled"]);
const agentPrefix = "agent/";
const featurePrefix = "feature/";

/** What a reading of the log says. */
export interface LogJudgement {
  readonly violations: readonly Violation[];
  readonly counts: LogCounts;
}

/**
 * Says what a log breaks: no task lost, one owner an epoch, only the owner writes, one receipt a
 * key, one end a task, sagas end completed or undone, one record a cause, features end.
 *
 * @param authors which process wrote an event, by the event's id; an event without was written by
 * nobody that owns tasks
 */
export function checkLog(
  log: Iterable<StoredEvent>,
  authors: ReadonlyMap<string, Author> = new Map(),
): LogJudgement {
  const reading = new LogReading(authors);
  for (const stored of log) reading.add(stored);
  return reading.judge();
}

class LogReading {
  readonly #authors: ReadonlyMap<string, Author>;
  readonly #stories = new Map<string, Story>();
  readonly #sagas = new SagaReading();
  readonly #proposals = new ProposalReading();
  readonly #features = new Map<string, string>();
  readonly #records = new Map<string, number>();
  readonly #types = new Map<string, number>();
  readonly #violations: Violation[] = [];
  readonly #found = { lost: 0, owners: 0, receipts: 0, records: 0, late: 0, sagas: 0 };
  #events = 0;

  constructor(authors: ReadonlyMap<string, Author>) {
    this.#authors = authors;
  }

  add({ event, stream = "" }: StoredEvent): void {
    this.#events += 1;
    count(this.#types, event.type);
    this.#sagas.add(stream, event);
    this.#proposals.add(stream, event);
    if (stream.startsWith(featurePrefix)) this.#features.set(stream, event.type);
    if (stream.startsWith(taskStreamPrefix)) this.#note(stream, event);
    if (stream.startsWith(agentPrefix)) {
      // What one handling records twice must differ, or it looks like two handlings of one event.
      const cause = event.metadata.causationId ?? event.id;
      count(this.#records, [stream, cause, event.type, JSON.stringify(event.payload)].join(" "));
    }
  }

  judge(): LogJudgement {
    const found = this.#found;
    for (const [stream, story] of this.#stories) this.#judgeTask(stream, story);
    const sagas = this.#sagas.judge();
    found.sagas = sagas.length;
    this.#violations.push(...sagas, ...this.#proposals.judge());
    for (const [record, times] of this.#records) {
      if (times === 1) continue;
      found.records += 1;
      const [stream = ""] = record.split(" ");
      const message = `recorded ${times} times: ${record}`;
      this.#violations.push({ invariant: "one record a cause", message, stream });
    }
    for (const [stream, last] of this.#features) {
      if (endOfFeature.has(last)) continue;
      const message = `${stream} ends with ${last}`;
      this.#violations.push({ invariant: "features end", message, stream });
    }
    return { violations: this.#violations, counts: this.#counts() };
  }

  #counts(): LogCounts {
    const of = (type: string): number => this.#types.get(type) ?? 0;
    return {
      tasksCreated: this.#stories.size,
      tasksLost: this.#found.lost,
      doubleOwners: this.#found.owners,
      duplicateReceipts: this.#found.receipts,
      duplicateRecords: this.#found.records,
      lateWrites: this.#found.late,
      brokenSagas: this.#found.sagas,
      tasksCompleted: of("task.completed"),
      tasksFailed: of("task.failed"),
      tasksCancelled: of("task.cancelled"),
      rejectedLateResults: of("task.result_rejected"),
      leasesExpired: of("task.lease_expired"),
      stepsDone: of("step.receipt"),
      stepsUndone: of("step.undo_receipt"),
      events: this.#events,
    };
  }

  #note(stream: string, event: AgentEvent): void {
    let story = this.#stories.get(stream);
    if (!story) {
      story = {
        state: undefined,
        owners: new Map(),
        receipts: new Map(),
        owner: undefined,
        strangers: [],
        ends: 0,
      };
      this.#stories.set(stream, story);
    }
    const { epoch = 0, key = "" } = event.payload as {
      readonly epoch?: number;
      readonly key?: string;
    };
    story.state = applyTask(story.state, event);
    if (event.type === "step.receipt") count(story.receipts, key);
    if (event.type === "task.claimed") {
      count(story.owners, epoch);
      story.owner = this.#authors.get(event.id);
    } else if (ownersWords.has(event.type)) {
      const author = this.#authors.get(event.id);
      if (author !== story.owner && this.#authors.size > 0) {
        const who = author ? `${author.process} (life ${author.life})` : "a client";
        story.strangers.push(`${event.type} by ${who}`);
      }
    }
    if (releases.has(event.type)) story.owner = undefined;
    if (ends.has(event.type)) story.ends += 1;
  }

  #judgeTask(stream: string, story: Story): void {
    const found = this.#found;
    const id = taskIdOf(stream);
    const say = (invariant: string, message: string): void =>
      void this.#violations.push({ invariant, message, stream });
    if (!story.state || !isFinal(story.state.status)) {
      found.lost += 1;
      say("no task lost", `task ${id} is ${story.state?.status ?? "not there"}`);
    }
    if (story.ends > 1) say("one end a task", `task ${id} ended ${story.ends} times`);
    if (story.strangers.length > 0) {
      found.late += story.strangers.length;
      say("only the owner writes", `task ${id} has ${story.strangers.join(", ")}`);
    }
    for (const [epoch, owners] of story.owners) {
      if (owners === 1) continue;
      found.owners += 1;
      say("one owner an epoch", `epoch ${epoch} of task ${id} had ${owners} owners`);
    }
    for (const [key, receipts] of story.receipts) {
      if (receipts === 1) continue;
      found.receipts += 1;
      say("one receipt a key", `step ${key} has ${receipts} receipts`);
    }
  }
}

function count<Key>(counts: Map<Key, number>, key: Key): void {
  counts.set(key, (counts.get(key) ?? 0) + 1);
}
