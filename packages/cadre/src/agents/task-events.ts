/**
 * The events of a task's stream, made in one place: who writes which is said in
 * `docs/reference/tasks.md`.
 */
import { describeError } from "../core/errors.ts";
import type { AgentEvent, Priority } from "../core/event.ts";
import { narrowerBudget, type Budget } from "./models/budget.ts";
import type { BoardEntry } from "./task-board.ts";
import { taskStream } from "./task-fold.ts";
import type { TaskDefinition, TaskOptions, TaskState } from "./task.ts";
import { teamEvent, type TeamContext } from "./team-context.ts";

type Making = Pick<TeamContext, "clock" | "random">;

export interface NewTask {
  readonly id: string;
  readonly definition: TaskDefinition;
  readonly input: unknown;
  readonly options: TaskOptions;
  readonly source: string;
  readonly parent?: string;
  readonly cause?: AgentEvent;
  readonly parentDeadlineAt?: number;
  readonly parentBudget?: Budget;
  readonly depth?: number;
}

/** `task.created`. The deadline is never later than the parent's, the budget never larger. */
export function taskCreated(context: Making, task: NewTask): AgentEvent {
  const { definition, options } = task;
  const deadlineMs = options.deadlineMs ?? definition.deadlineMs;
  const own = deadlineMs === undefined ? Infinity : context.clock.now() + deadlineMs;
  const deadlineAt = Math.min(own, task.parentDeadlineAt ?? Infinity);
  const budget = narrowerBudget(options.budget, task.parentBudget);
  const tenant = options.tenant ?? task.cause?.metadata.tenant;
  return teamEvent(
    context,
    task.source,
    "task.created",
    {
      taskId: task.id,
      name: definition.name,
      title: definition.name,
      capability: definition.capability,
      version: definition.version,
      input: task.input,
      maxAttempts: options.maxAttempts ?? definition.maxAttempts,
      ...(definition.isSaga ? { saga: true } : {}),
      ...(options.dependsOn?.length ? { dependsOn: options.dependsOn } : {}),
      ...(options.feature === undefined ? {} : { feature: options.feature }),
      ...(task.parent === undefined ? {} : { parent: task.parent }),
      ...(Number.isFinite(deadlineAt) ? { deadlineAt } : {}),
      ...(tenant === undefined ? {} : { tenant }),
      ...(budget === undefined ? {} : { budget }),
      ...(task.depth === undefined ? {} : { depth: task.depth }),
    },
    {
      // The same task created again is the same event: the store takes only one of that id.
      id: taskStream(task.id),
      ...(task.cause === undefined ? {} : { cause: task.cause }),
      ...(options.priority === undefined ? {} : { priority: options.priority }),
      ...(tenant === undefined ? {} : { tenant }),
    },
  );
}

/** Offers an open task again, otherwise urgent or with another end of its time. */
export function taskReoffered(
  context: Making,
  source: string,
  entry: BoardEntry,
  change: { readonly priority?: Priority; readonly deadlineAt?: number },
): AgentEvent {
  const { id, epoch, capability } = entry.state;
  return next(context, source, "task.offered", entry.last, {
    taskId: id,
    epoch,
    capability,
    ...change,
  });
}

/** `task.assigned.<agent>`: asks that agent first. */
export function taskAssigned(
  context: Making,
  source: string,
  entry: BoardEntry,
  agent: string,
): AgentEvent {
  const { id, epoch, capability } = entry.state;
  return next(
    context,
    source,
    `task.assigned.${agent}`,
    entry.last,
    { taskId: id, agent, epoch, capability },
    agent,
  );
}

/**
 * The claim, and with it the start. An assigned task is acknowledged in between, as the older
 * systems do.
 */
export function taskClaimed(
  context: Making & Pick<TeamContext, "leaseMs">,
  owner: { readonly agent: string; readonly incarnation: string },
  entry: BoardEntry,
): readonly AgentEvent[] {
  const { id, epoch, assignedTo } = entry.state;
  const attempt = entry.state.attempt + 1;
  const { agent, incarnation } = owner;
  const claimed = next(context, agent, "task.claimed", entry.last, {
    taskId: id,
    agent,
    incarnation,
    epoch,
    attempt,
    leaseMs: context.leaseMs,
  });
  const acknowledged =
    assignedTo === agent
      ? [next(context, agent, "task.acknowledged", claimed, { taskId: id, agent, epoch })]
      : [];
  const started = next(context, agent, "task.started", claimed, {
    taskId: id,
    agent,
    epoch,
    attempt,
  });
  return [claimed, ...acknowledged, started];
}

export function taskProgress(
  context: Making,
  entry: BoardEntry,
  fraction: number,
  note: string | undefined,
): AgentEvent {
  const { id, epoch, owner } = entry.state;
  return next(context, owner?.agent ?? "", "task.progress", entry.last, {
    taskId: id,
    epoch,
    progress: fraction,
    ...(note === undefined ? {} : { note }),
  });
}

/** It has come as far as a wait: the owners that it lost before are not laid to it. */
export function taskWaits(context: Making, entry: BoardEntry): AgentEvent {
  const { id, epoch, owner } = entry.state;
  const fields = { taskId: id, epoch, waiting: true };
  return next(context, owner?.agent ?? "", "task.progress", entry.last, fields);
}

export function taskCompleted(context: Making, entry: BoardEntry, result: unknown): AgentEvent {
  const { id, epoch, attempt, owner } = entry.state;
  const agent = owner?.agent ?? "";
  return next(context, agent, "task.completed", entry.last, {
    taskId: id,
    agent,
    epoch,
    attempt,
    result,
  });
}

export function taskFailed(
  context: Making,
  source: string,
  entry: BoardEntry,
  error: unknown,
): AgentEvent {
  const { id, epoch, attempt } = entry.state;
  return next(context, source, "task.failed", entry.last, {
    taskId: id,
    agent: entry.state.owner?.agent ?? source,
    epoch,
    attempt,
    final: true,
    error: plainError(error),
    reason: plainError(error).message,
  });
}

export function taskRetry(
  context: Making,
  entry: BoardEntry,
  error: unknown,
  notBefore: number,
): AgentEvent {
  const { id, epoch, attempt, owner } = entry.state;
  const agent = owner?.agent ?? "";
  return next(context, agent, "task.retry", entry.last, {
    taskId: id,
    agent,
    epoch,
    nextEpoch: epoch + 1,
    attempt,
    notBefore,
    error: plainError(error),
  });
}

/**
 * `silent`: the owner's lease ran out; `released`: it gave the task back; `abandoned`: it owns it
 * and does not run it.
 */
export type LeaseEnd = "silent" | "released" | "abandoned";

export function leaseExpired(
  context: Making,
  source: string,
  entry: BoardEntry,
  reason: LeaseEnd,
): AgentEvent {
  const { id, epoch, owner } = entry.state;
  return next(context, source, "task.lease_expired", entry.last, {
    taskId: id,
    agent: owner?.agent ?? "",
    incarnation: owner?.incarnation ?? "",
    epoch,
    nextEpoch: epoch + 1,
    reason,
  });
}

export function resultRejected(
  context: Making,
  owner: { readonly agent: string; readonly incarnation: string },
  late: { readonly entry: BoardEntry; readonly current: TaskState; readonly outcome: string },
): AgentEvent {
  const { id, epoch } = late.entry.state;
  return next(context, owner.agent, "task.result_rejected", late.entry.last, {
    taskId: id,
    ...owner,
    epoch,
    currentEpoch: late.current.epoch,
    outcome: late.outcome,
    reason: `the lease of epoch ${epoch} has ended`,
  });
}

/** A transition that carries nothing but its reason: offered, cancel_requested, cancelled. */
export function taskChanged(
  context: Making,
  source: string,
  entry: BoardEntry,
  change: { readonly type: string; readonly reason?: string },
): AgentEvent {
  const { id, epoch, capability } = entry.state;
  const reason = change.reason === undefined ? {} : { reason: change.reason };
  return next(context, source, change.type, entry.last, {
    taskId: id,
    epoch,
    capability,
    ...reason,
  });
}

/** What is kept of an error. */
export function plainError(error: unknown): {
  readonly name: string;
  readonly message: string;
  readonly code?: string;
} {
  const { name, message, code } = describeError(error);
  return { name, message, ...(code === undefined ? {} : { code }) };
}

function next(
  context: Making,
  source: string,
  type: string,
  cause: AgentEvent,
  payload: Readonly<Record<string, unknown>>,
  target?: string,
): AgentEvent {
  const options = target === undefined ? { cause } : { cause, target };
  return teamEvent(context, source, type, payload, options);
}
