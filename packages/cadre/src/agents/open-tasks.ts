/** The tasks of a list as they were at a position of the log: what a board begins with. */
import type { EventStore, LogPosition } from "../store/event-store.ts";
import type { BoardEntry } from "./task-board.ts";
import { applyTask, isFinal, isOpen, taskStream } from "./task-fold.ts";
import type { TaskState } from "./task.ts";

export interface OpenTask {
  readonly entry: BoardEntry;
  /** Where it was created. */
  readonly createdAt: LogPosition;
  /** Where it became claimable last, with the capability and priority that it has. */
  readonly claimableAt: LogPosition;
}

const atOnce = 32; // streams read side by side: a store over a network is mostly waited for

/** Those of `ids` that were open at the position. */
export async function readOpenTasks(
  store: EventStore,
  ids: readonly string[],
  upTo: LogPosition,
): Promise<readonly OpenTask[]> {
  const tasks: OpenTask[] = [];
  for (let from = 0; from < ids.length; from += atOnce) {
    const some = ids.slice(from, from + atOnce);
    const read = await Promise.all(some.map((id) => readOpenTask(store, id, upTo)));
    for (const task of read) if (task) tasks.push(task);
  }
  return tasks;
}

async function readOpenTask(
  store: EventStore,
  id: string,
  upTo: LogPosition,
): Promise<OpenTask | undefined> {
  let entry: BoardEntry | undefined;
  let createdAt = 0;
  let claimableAt = 0;
  for await (const stored of store.read({ stream: taskStream(id), upTo })) {
    const { event, position, version = 0 } = stored;
    const before = entry?.state;
    const state = applyTask(before, event);
    if (!state) continue;
    createdAt ||= position;
    if (becomesClaimable(before, state)) claimableAt = position;
    entry = { state, version, last: event };
  }
  if (!entry || isFinal(entry.state.status)) return undefined;
  return { entry, createdAt, claimableAt };
}

function becomesClaimable(before: TaskState | undefined, state: TaskState): boolean {
  if (!isOpen(state.status)) return false;
  if (!before || !isOpen(before.status)) return true;
  return before.capability !== state.capability || before.priority !== state.priority;
}
