/**
 * The schedule: an event to publish or a task to create, at an instant, every so often, or by a
 * cron expression.
 *
 *                ┌──── moved ─────┐
 *                ▼                │
 *   created ──▶ waiting(nextAt) ──┴── due ──▶ fired | missed ──▶ over, without a next instant
 *                │        ▲                        │
 *                ▼        └──── the next instant ──┘
 *             cancelled
 *
 * A schedule is the stream `schedule/<id>` and a slot of that name, which holds the stream's fold
 * while the schedule is open. Each change is one commit: an append with the expected version, the
 * slot, and, where it fires, the event or the task. So of any number of pollers one fires, and
 * whatever crashes, the firing and the step to the next instant have both happened or neither.
 *
 * The instants at which one id is due only ever increase. The id of what is fired is made of the id
 * and the instant, so that it is the same however often it is tried.
 */
import type { Priority } from "../core/event.ts";
import type { JsonValue } from "../core/json.ts";
import type { TaskDefinition, TaskOptions } from "./task.ts";

/** When a schedule is due. Instants are Unix milliseconds. */
export type ScheduleTrigger =
  | { readonly kind: "at"; readonly at: number }
  | { readonly kind: "every"; readonly everyMs: number; readonly startAt?: number }
  | { readonly kind: "cron"; readonly expression: string; readonly timeZone: string };

/**
 * What becomes of instants that passed while nobody ran: one firing for all of them, one for each,
 * or none.
 */
export type MissedPolicy = "once" | "all" | "skip";

/** An event that a schedule publishes. */
export interface EventToPublish {
  readonly event: string;
  readonly payload: object;
  readonly key?: string;
  readonly target?: string;
  readonly priority?: Priority;
  /** Of the payload's schema. @default the registry's newest */
  readonly version?: string;
}

/** A task that a schedule creates. */
export interface TaskToCreate<Input = unknown> {
  readonly task: TaskDefinition<Input>;
  readonly input: NoInfer<Input>;
  readonly options?: Pick<
    TaskOptions,
    "priority" | "deadlineMs" | "maxAttempts" | "assignTo" | "feature"
  >;
}

export interface ScheduleOptions {
  /** @default "once" */
  readonly missed?: MissedPolicy;
  /** With `missed: "all"`, firings in a row to catch up; what is beyond passes. @default 100 */
  readonly maxMissed?: number;
  /** With `missed: "skip"`, how late it may still fire, in milliseconds. @default 60_000 */
  readonly graceMs?: number;
}

export interface AtOptions extends ScheduleOptions {
  /** For an instant that has passed already: an error, or fire at once. @default "refuse" */
  readonly past?: "refuse" | "fire";
}

export interface EveryOptions extends ScheduleOptions {
  /**
   * One of its instants: the first if it is to come, otherwise the others are counted from it.
   * @default one interval from now
   */
  readonly startAt?: number | Date;
}

export interface CronOptions extends ScheduleOptions {
  /** IANA name, such as `Europe/Berlin`. @default "UTC" */
  readonly timeZone?: string;
}

/** What a schedule fires, as it is kept. */
export type ScheduledWork =
  | {
      readonly kind: "event";
      readonly type: string;
      readonly payload: Readonly<Record<string, unknown>>;
      readonly options: Readonly<Record<string, JsonValue>>;
    }
  | {
      readonly kind: "task";
      readonly name: string;
      readonly capability: string;
      readonly version: string;
      readonly maxAttempts: number;
      readonly deadlineMs?: number;
      readonly isSaga?: boolean;
      readonly input: JsonValue;
      readonly options: NonNullable<TaskToCreate["options"]>;
    };

/** A schedule as it stands. */
export interface ScheduleState {
  readonly id: string;
  readonly trigger: ScheduleTrigger;
  readonly fires: ScheduledWork;
  readonly missed: MissedPolicy;
  readonly maxMissed: number;
  readonly graceMs: number;
  readonly createdAt: number;
  /** Absent when it is over. */
  readonly nextAt?: number;
  /** The last instant for which it fired, or that it missed. */
  readonly lastDueAt?: number;
  /** How often it has fired since it was made. */
  readonly fired: number;
}

/** `team.schedules` */
export interface Schedules {
  /**
   * Fires once, at an instant.
   *
   * A schedule that is there with the same definition stays as it is, also when it has fired; with
   * another definition it is replaced, and keeps its next instant if that is defined as before. So
   * every process of a team can declare its schedules when it starts.
   *
   * @throws {CadreError} INVALID_OPTION, for an id, an instant or an option that is impossible, or
   *   an instant that has passed
   * @throws {CadreError} UNKNOWN_TYPE | INVALID_TOPIC | INVALID_PAYLOAD | NOT_JSON, for what it is
   *   to fire
   */
  at<Input>(
    id: string,
    when: number | Date,
    what: EventToPublish | TaskToCreate<Input>,
    options?: AtOptions,
  ): Promise<ScheduleState>;
  /** Fires every `everyMs` milliseconds, without drift. Declared like {@link Schedules.at}. */
  every<Input>(
    id: string,
    everyMs: number,
    what: EventToPublish | TaskToCreate<Input>,
    options?: EveryOptions,
  ): Promise<ScheduleState>;
  /**
   * Fires by a cron expression of five fields, of six with seconds in front, or a name such as
   * `@daily`. Declared like {@link Schedules.at}.
   *
   * Where clocks go forward, a time of day that is left out is due right after the gap. Where they
   * go back, a time of day that comes twice is due the first time. Expressions with wildcards,
   * steps, lists or ranges in their times go by what the clock shows instead: nothing in the gap,
   * everything twice.
   */
  cron<Input>(
    id: string,
    expression: string,
    what: EventToPublish | TaskToCreate<Input>,
    options?: CronOptions,
  ): Promise<ScheduleState>;
  /** Open schedules; what is due next comes first. */
  list(): Promise<readonly ScheduleState[]>;
  /** An open schedule; `undefined` when there is none, or it is over. */
  get(id: string): Promise<ScheduleState | undefined>;
  /** False when there is no open schedule of that id. */
  cancel(id: string, reason?: string): Promise<boolean>;
  /**
   * Puts the next instant at `when`. A cron schedule then goes on behind the instant that was
   * moved, one with an interval counts from `when`.
   *
   * @throws {CadreError} NOT_FOUND, when there is no open schedule of that id
   * @throws {CadreError} INVALID_OPTION, when `when` has passed
   */
  move(id: string, when: number | Date): Promise<ScheduleState>;
}
