/** What one firing writes: the event or the task, its record, and the next instant. Pure. */
import type { Commit } from "../core/commit.ts";
import { CadreError } from "../core/errors.ts";
import type { AgentEvent, EventOptions } from "../core/event.ts";
import { sagaStarted } from "./saga-events.ts";
import { changeCommit, type ScheduleRecord, type Scheduling } from "./schedule-log.ts";
import { instantAfter, instantsBetween } from "./schedule-trigger.ts";
import type { ScheduledWork } from "./schedule.ts";
import type { BoardEntry } from "./task-board.ts";
import { taskAssigned, taskCreated } from "./task-events.ts";
import { applyTask, taskStream } from "./task-fold.ts";
import type { TaskDefinition } from "./task.ts";
import { teamEvent } from "./team-context.ts";

export interface Firing {
  readonly commit: Commit;
  /** How the schedule stands after it; `undefined` when it is over. */
  readonly next: ScheduleRecord | undefined;
}

/** The id of what is fired: the same however often it is tried, and by whomever. */
export function firingId(id: string, dueAt: number): string {
  return `${id}@${new Date(dueAt).toISOString()}`;
}

/**
 * What is to be written for a schedule that is due.
 *
 * @param isThere whether an event or a task of the firing's id is in the store already: then it is
 *   not written again
 */
export function fireSchedule(
  context: Omit<Scheduling, "store">,
  record: ScheduleRecord,
  now: number,
  isThere = false,
): Firing {
  const { id, version, definition, nextAt: dueAt } = record;
  const { kind, nextAt, passedOver, behind } = plan(record, now);
  const fires = record.fires.kind === "event" ? "eventId" : "taskId";
  const payload = {
    scheduleId: id,
    definition,
    dueAt,
    lateMs: Math.max(0, now - dueAt),
    passedOver,
    ...(kind === "fired" ? { [fires]: firingId(id, dueAt) } : {}),
    ...(nextAt === undefined ? {} : { nextAt }),
  };
  const event = teamEvent(context, context.name, `schedule.${kind}`, payload);
  const { movedFrom: _, ...rest } = record;
  const next: ScheduleRecord | undefined =
    nextAt === undefined
      ? undefined
      : {
          ...rest,
          nextAt,
          lastDueAt: dueAt,
          fired: record.fired + (kind === "fired" ? 1 : 0),
          behind,
          version: version + 1,
        };
  const change = changeCommit(id, version, event, next);
  if (kind === "missed" || isThere) return { commit: change, next };
  return { commit: withWork(context, record.fires, firingId(id, dueAt), event, change), next };
}

interface Plan {
  readonly kind: "fired" | "missed";
  readonly nextAt: number | undefined;
  readonly passedOver: number;
  readonly behind: number;
}

function plan(record: ScheduleRecord, now: number): Plan {
  const { trigger, missed, nextAt: dueAt, graceMs, maxMissed } = record;
  const stoodFor = Math.max(dueAt, trigger.kind === "cron" ? (record.movedFrom ?? 0) : 0);
  const until = (after: number, kind: Plan["kind"]): Plan => {
    const nextAt = instantAfter(trigger, dueAt, Math.max(stoodFor, after));
    const passedOver = instantsBetween(trigger, stoodFor, nextAt ?? after);
    return { kind, nextAt, passedOver, behind: 0 };
  };
  // The first that is not too late for its grace is next: it fires at once if it has passed.
  if (missed === "skip" && now - dueAt > graceMs) return until(now - graceMs - 1, "missed");
  if (missed !== "all") return until(now, "fired");
  const following = instantAfter(trigger, dueAt, stoodFor);
  const behind = following !== undefined && following <= now ? record.behind + 1 : 0;
  if (behind >= maxMissed) return until(now, "fired");
  return { kind: "fired", nextAt: following, passedOver: 0, behind };
}

function withWork(
  context: Omit<Scheduling, "store">,
  work: ScheduledWork,
  id: string,
  cause: AgentEvent,
  change: Required<Pick<Commit, "appends" | "slots">>,
): Commit {
  if (work.kind === "event") {
    const options: EventOptions = { ...(work.options as EventOptions), id, cause };
    return {
      ...change,
      outbox: [teamEvent(context, context.name, work.type, work.payload, options)],
    };
  }
  const created = createdBy(context, work, id, cause);
  const task = { stream: taskStream(id), expectedVersion: 0, events: created };
  return { ...change, appends: [...change.appends, task] };
}

type TaskWork = Extract<ScheduledWork, { readonly kind: "task" }>;

function createdBy(
  context: Omit<Scheduling, "store">,
  work: TaskWork,
  id: string,
  cause: AgentEvent,
): readonly AgentEvent[] {
  const { name: source } = context;
  const { input, options } = work;
  // Its input was checked when the schedule was declared.
  const same = (value: unknown): unknown => value;
  const definition: TaskDefinition = { ...work, checkInput: same, checkOutput: same };
  const created = taskCreated(context, { id, definition, input, options, source, cause });
  const state = applyTask(undefined, created);
  if (!state) throw new CadreError("INTERNAL", "A task without events.", { what: "schedule" });
  const entry: BoardEntry = { state, version: 1, last: created };
  const events = [created];
  if (work.isSaga) events.push(sagaStarted(context, source, entry));
  if (options.assignTo !== undefined)
    events.push(taskAssigned(context, source, entry, options.assignTo));
  return events;
}
