/** What must hold at the end of every simulated run, read from the log alone. */
import { applyTask, isFinal, taskIdOf, taskStreamPrefix } from "../agents/task-fold.ts";
import type { TaskState } from "../agents/task.ts";
import type { AgentEvent } from "../core/event.ts";
import type { EventStore } from "../store/event-store.ts";

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
  readonly rejectedLateResults: number;
  readonly leasesExpired: number;
  readonly events: number;
}

interface Story {
  state: TaskState | undefined;
  readonly owners: Map<number, number>;
  readonly receipts: Map<string, number>;
  ends: number;
}

const ends = new Set(["task.completed", "task.failed", "task.cancelled"]);

/**
 * Reads the whole log and says what it breaks: no task lost, one owner an epoch, one receipt a key,
 * one end a task, features end.
 */
export async function checkLog(
  store: EventStore,
): Promise<{ readonly violations: readonly Violation[]; readonly counts: LogCounts }> {
  const stories = new Map<string, Story>();
  const features = new Map<string, string>();
  const tally = { rejected: 0, expired: 0, events: 0 };
  for await (const { event, stream = "" } of store.read()) {
    tally.events += 1;
    if (event.type === "task.result_rejected") tally.rejected += 1;
    if (event.type === "task.lease_expired") tally.expired += 1;
    if (stream.startsWith("feature/")) features.set(stream, event.type);
    if (stream.startsWith(taskStreamPrefix)) note(storyOf(stories, stream), event);
  }
  const violations: Violation[] = [];
  const found = { lost: 0, owners: 0, receipts: 0 };
  for (const [stream, story] of stories) judge(stream, story, violations, found);
  for (const [stream, last] of features) {
    if (last === "feature.completed" || last === "feature.blocked") continue;
    violations.push({ invariant: "features end", message: `${stream} ends with ${last}`, stream });
  }
  const counts = {
    tasksCreated: stories.size,
    tasksLost: found.lost,
    doubleOwners: found.owners,
    duplicateReceipts: found.receipts,
    rejectedLateResults: tally.rejected,
    leasesExpired: tally.expired,
    events: tally.events,
  };
  return { violations, counts };
}

function storyOf(stories: Map<string, Story>, stream: string): Story {
  let story = stories.get(stream);
  if (!story) {
    story = { state: undefined, owners: new Map(), receipts: new Map(), ends: 0 };
    stories.set(stream, story);
  }
  return story;
}

function note(story: Story, event: AgentEvent): void {
  const fields = event.payload as { readonly epoch?: number; readonly key?: string };
  story.state = applyTask(story.state, event);
  if (ends.has(event.type)) story.ends += 1;
  if (event.type === "task.claimed") count(story.owners, fields.epoch ?? 0);
  if (event.type === "step.receipt") count(story.receipts, fields.key ?? "");
}

function count<Key>(counts: Map<Key, number>, key: Key): void {
  counts.set(key, (counts.get(key) ?? 0) + 1);
}

function judge(
  stream: string,
  story: Story,
  violations: Violation[],
  found: { lost: number; owners: number; receipts: number },
): void {
  const id = taskIdOf(stream);
  const say = (invariant: string, message: string): void =>
    void violations.push({ invariant, message, stream });
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
