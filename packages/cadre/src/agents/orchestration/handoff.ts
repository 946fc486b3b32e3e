/** One owner gives its task to another: what it has done stays done, and no attempt is used up. */
import { CadreError, TerminalError } from "../../core/errors.ts";
import type { AgentEvent } from "../../core/event.ts";
import type { BoardEntry } from "../task-board.ts";
import type { TaskState } from "../task.ts";
import { teamEvent, type TeamContext } from "../team-context.ts";

/** An agent by its name, or any that offers a capability. */
export type HandoffTarget = { readonly agent: string } | { readonly capability: string };

const maxHandoffs = 32; // more is two agents that give each other the same task for ever

/** Ends the handler that hands its task off. */
export class Handoff extends Error {
  readonly to: HandoffTarget;
  readonly note: string | undefined;

  constructor(to: HandoffTarget, note: string | undefined) {
    super("The task was handed off.");
    this.name = "Handoff";
    this.to = to;
    this.note = note;
  }
}

/**
 * @throws {CadreError} INVALID_OPTION, when it says neither who nor what
 * @throws {TerminalError} when the task was handed off too often
 */
export function checkHandoff({ id, handoffs = [] }: TaskState, to: HandoffTarget): void {
  const target = Object.values(to ?? {});
  if (target.length !== 1 || typeof target[0] !== "string" || target[0] === "") {
    const message = `Task ${id}: hand it off to { agent } or to { capability }.`;
    throw new CadreError("INVALID_OPTION", message, { option: "to", value: to });
  }
  if (handoffs.length < maxHandoffs) return;
  const last = handoffs.slice(-3).map(({ from }) => from);
  throw new TerminalError(
    `Task ${id} was handed off ${maxHandoffs} times, last by ${last.join(", ")}: nobody does it.`,
  );
}

/**
 * Whether an agent may take a task that was handed off. For a while it is only for whom it was
 * given to, and not for who gave it.
 */
export function mayTakeOver(
  { handoffs, assignedTo }: Pick<TaskState, "handoffs" | "assignedTo">,
  agent: string,
  times: { readonly waitedMs: number; readonly patienceMs: number },
): boolean {
  const last = handoffs?.at(-1);
  if (!last || times.waitedMs >= times.patienceMs) return true;
  // A later offer is to all again.
  if (last.to !== undefined) return agent === last.to || assignedTo !== last.to;
  return agent !== last.from;
}

/** `task.handed_off`. */
export function taskHandedOff(
  context: Pick<TeamContext, "clock" | "random">,
  agent: string,
  entry: BoardEntry,
  { to, note }: Handoff,
): AgentEvent {
  const { id, epoch } = entry.state;
  const fields = {
    taskId: id,
    agent,
    epoch,
    nextEpoch: epoch + 1,
    ...("agent" in to ? { to: to.agent } : { capability: to.capability }),
    ...(note === undefined ? {} : { note }),
  };
  return teamEvent(context, agent, "task.handed_off", fields, { cause: entry.last });
}
