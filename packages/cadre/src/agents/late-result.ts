import { loadTask, type BoardEntry } from "./task-board.ts";
import { resultRejected } from "./task-events.ts";
import { taskStream } from "./task-fold.ts";
import type { TeamContext } from "./team-context.ts";

/** Puts on record that an owner came with a result after its lease had ended. */
export async function recordLateResult(
  context: TeamContext,
  agent: string,
  entry: BoardEntry,
  outcome: string,
): Promise<void> {
  const { id, epoch } = entry.state;
  const current = await loadTask(context.store, id);
  if (!current) return;
  const { state } = current;
  // At its own epoch only this owner could complete it: it did, and was not told. And what ended
  // over its head, by time or by a cancellation, was told to stop: its failing is no news.
  if (state.epoch === epoch && (state.status === "completed" || outcome === "failed")) return;
  const owner = { agent, incarnation: context.incarnation };
  const rejected = resultRejected(context, owner, { entry, current: state, outcome });
  await context.store.commit({
    appends: [{ stream: taskStream(id), expectedVersion: "any", events: [rejected] }],
  });
}
