/** What becomes of schedules. What they fire are events and tasks of their own. */
import {
  count,
  durationMs,
  fact,
  flag,
  instant,
  object,
  oneOf,
  optional,
  text,
  word,
  type BuiltinFamily,
} from "./payload-schema.ts";

/** When a schedule is due, as it was declared. */
export interface ScheduleTriggerFields {
  readonly kind: "at" | "every" | "cron";
  readonly at?: number;
  readonly everyMs?: number;
  readonly startAt?: number;
  readonly expression?: string;
  readonly timeZone?: string;
}

export interface ScheduleCreated {
  readonly scheduleId: string;
  /** Hash of all that was declared. */
  readonly definition: string;
  readonly trigger: ScheduleTriggerFields;
  readonly fires: "event" | "task";
  /** The event's type, or the task's name. */
  readonly name: string;
  readonly missed: "once" | "all" | "skip";
  readonly nextAt: number;
  /** Whether an open schedule of that id had another definition until now. */
  readonly replaces?: boolean;
}

export interface ScheduleMoved {
  readonly scheduleId: string;
  readonly nextAt: number;
  readonly previousAt: number;
}

export interface ScheduleCancelled {
  readonly scheduleId: string;
  readonly reason?: string;
  /** The last instant that was due. */
  readonly lastDueAt?: number;
}

export interface ScheduleFired {
  readonly scheduleId: string;
  readonly definition: string;
  readonly dueAt: number;
  readonly lateMs: number;
  /** Instants after it that have passed and do not fire; at most 100 are counted. */
  readonly passedOver: number;
  readonly eventId?: string;
  readonly taskId?: string;
  /** Absent when the schedule is over. */
  readonly nextAt?: number;
}

export type ScheduleMissed = Omit<ScheduleFired, "eventId" | "taskId">;

export type ScheduleEvents = {
  "schedule.created": ScheduleCreated;
  "schedule.moved": ScheduleMoved;
  "schedule.cancelled": ScheduleCancelled;
  "schedule.fired": ScheduleFired;
  "schedule.missed": ScheduleMissed;
};

const due = {
  scheduleId: word,
  definition: word,
  dueAt: instant,
  lateMs: durationMs,
  passedOver: count,
  nextAt: optional(instant),
};

export const scheduleEvents: BuiltinFamily<ScheduleEvents> = {
  "schedule.created": fact("A schedule is made, or declared anew with another definition.", {
    scheduleId: word,
    definition: word,
    trigger: object<ScheduleTriggerFields>({
      kind: oneOf("at", "every", "cron"),
      at: optional(instant),
      everyMs: optional(durationMs),
      startAt: optional(instant),
      expression: optional(word),
      timeZone: optional(word),
    }),
    fires: oneOf("event", "task"),
    name: word,
    missed: oneOf("once", "all", "skip"),
    nextAt: instant,
    replaces: optional(flag),
  }),
  "schedule.moved": fact("The next instant of a schedule is another one.", {
    scheduleId: word,
    nextAt: instant,
    previousAt: instant,
  }),
  "schedule.cancelled": fact("A schedule fires no more.", {
    scheduleId: word,
    reason: optional(text),
    lastDueAt: optional(instant),
  }),
  "schedule.fired": fact("A schedule was due: its event is published, or its task exists.", {
    ...due,
    eventId: optional(word),
    taskId: optional(word),
  }),
  "schedule.missed": fact("A schedule was due while nobody could fire it, and it skips that.", due),
};
