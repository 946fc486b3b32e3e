/** What must hold at the end of every simulated run, read from the log alone. */
import { applyTask, isFinal, taskIdOf, taskStreamPrefix } from "../agents/task-fold.ts";
import type { TaskState } from "../agents/task.ts";
import type { AgentEvent } from "../core/event.ts";
import type { EventStore, StoredEvent } from "../store/event-store.ts";

/** One thing that does not hold. */
export interface Violation {
  readonly invariant: string;
  readonly message: string;
  /** The stream that shows it. */
  readonly stream?: string;
}

/** What a run's log holds, counted. */
export interface LogCounts {
  readonly tasksCreated: number;
  readonly tasksLost: number;
  readonly doubleOwners: number;
  readonly duplicateReceipts: number;
  readonly duplicateRecords: number;
  readonly tasksCompleted: number;
  readonly tasksFailed: number;
  readonly tasksCancelled: number;
  readonly rejectedLateResults: number;
  readonly leasesExpired: number;
  readonly events: number;
}

export const emptyCounts: LogCounts = {
  tasksCreated: 0,
  tasksLost: 0,
  doubleOwners: 0,
  duplicateReceipts: 0,
  duplicateRecords: 0,
  tasksCompleted: 0,
  tasksFailed: 0,
  tasksCancelled: 0,
  rejectedLateResults: 0,
  leasesExpired: 0,
  events: 0,
};

interface Story {
  state: TaskState | undefined;
  readonly owners: Map<number, number>;
  readonly receipts: Map<string, number>;
  ends: number;
}

const ends = new Set(["task.completed", "task.failed", "task.cancelled"]);
const agentPrefix = "agent/";
const featurePrefix = "feature/";

/**
 * Reads the whole log and says what it breaks: no task lost, one owner an epoch, one receipt a key,
 * one end a task, one record a cause, features end.
 */
export async function checkLog(
  store: EventStore,
): Promise<{ readonly violations: readonly Violation[]; readonly counts: LogCounts }> {
  const reading = new LogReading();
  for await (const stored of store.read()) reading.add(stored);
  return reading.judge();
}

class LogReading {
  readonly #stories = new Map<string, Story>();
  readonly #features = new Map<string, string>();
  readonly #records = new Map<string, number>();
  readonly #types = new Map<string, number>();
  readonly #violations: Violation[] = [];
  #events = 0;

  add({ event, stream = "" }: StoredEvent): void {
    this.#events += 1;
    count(this.#types, event.type);
    if (stream.startsWith(featurePrefix)) this.#features.set(stream, event.type);
    if (stream.startsWith(taskStreamPrefix)) this.#note(stream, event);
    if (stream.startsWith(agentPrefix)) {
      // What one handling records twice must differ, or it looks like two handlings of one event.
      const cause = event.metadata.causationId ?? event.id;
      count(this.#records, [stream, cause, event.type, JSON.stringify(event.payload)].join(" "));
    }
  }

  judge(): { readonly violations: readonly Violation[]; readonly counts: LogCounts } {
    const found = { lost: 0, owners: 0, receipts: 0, records: 0 };
    for (const [stream, story] of this.#stories) this.#judgeTask(stream, story, found);
    for (const [record, times] of this.#records) {
      if (times === 1) continue;
      found.records += 1;
      const [stream = ""] = record.split(" ");
      const message = `recorded ${times} times: ${record}`;
      this.#violations.push({ invariant: "one record a cause", message, stream });
    }
    for (const [stream, last] of this.#features) {
      if (last === "feature.completed" || last === "feature.blocked") continue;
      const message = `${stream} ends with ${last}`;
      this.#violations.push({ invariant: "features end", message, stream });
    }
    const of = (type: string): number => this.#types.get(type) ?? 0;
    const counts = {
      tasksCreated: this.#stories.size,
      tasksLost: found.lost,
      doubleOwners: found.owners,
      duplicateReceipts: found.receipts,
      duplicateRecords: found.records,
      tasksCompleted: of("task.completed"),
      tasksFailed: of("task.failed"),
      tasksCancelled: of("task.cancelled"),
      rejectedLateResults: of("task.result_rejected"),
      leasesExpired: of("task.lease_expired"),
      events: this.#events,
    };
    return { violations: this.#violations, counts };
  }

  #note(stream: string, event: AgentEvent): void {
    let story = this.#stories.get(stream);
    if (!story) {
      story = { state: undefined, owners: new Map(), receipts: new Map(), ends: 0 };
      this.#stories.set(stream, story);
    }
    const fields = event.payload as { readonly epoch?: number; readonly key?: string };
    story.state = applyTask(story.state, event);
    if (ends.has(event.type)) story.ends += 1;
    if (event.type === "task.claimed") count(story.owners, fields.epoch ?? 0);
    if (event.type === "step.receipt") count(story.receipts, fields.key ?? "");
  }

  #judgeTask(
    stream: string,
    story: Story,
    found: { lost: number; owners: number; receipts: number },
  ): void {
    const id = taskIdOf(stream);
    const say = (invariant: string, message: string): void =>
      void this.#violations.push({ invariant, message, stream });
    if (!story.state || !isFinal(story.state.status)) {
      found.lost += 1;
      say("no task lost", `task ${id} is ${story.state?.status ?? "not there"}`);
    }
    if (story.ends > 1) say("one end a task", `task ${id} ended ${story.ends} times`);
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
