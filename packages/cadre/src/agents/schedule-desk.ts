/** Where schedules are declared, listed, cancelled and moved. */
import { CadreError } from "../core/errors.ts";
import { priorities, type AgentEvent } from "../core/event.ts";
import { toFrozenJson, type JsonValue } from "../core/json.ts";
import {
  anything,
  checkOptions,
  oneOf,
  someObject,
  someText,
  wholeNumber,
} from "../core/options.ts";
import type { EventRegistry } from "../core/registry.ts";
import { stableJson } from "../core/stable-json.ts";
import { assertTopic } from "../core/topic.ts";
import { hashInput } from "./input-hash.ts";
import {
  changeSchedule,
  loadSchedule,
  openSchedules,
  scheduleState,
  type ScheduleBefore,
  type ScheduleChange,
  type ScheduleRecord,
  type Scheduling,
} from "./schedule-log.ts";
import { checkCron, checkInstant, firstInstant } from "./schedule-trigger.ts";
import type {
  AtOptions,
  CronOptions,
  EventToPublish,
  EveryOptions,
  ScheduledWork,
  ScheduleOptions,
  Schedules,
  ScheduleState,
  ScheduleTrigger,
  TaskToCreate,
} from "./schedule.ts";

const defaults = { missed: "once", maxMissed: 100, graceMs: 60_000 } as const;

const sharedRules = {
  missed: oneOf("once", "all", "skip"),
  maxMissed: wholeNumber(1, 10_000), // each is a commit of its own
  graceMs: wholeNumber(0),
};

const longestIntervalMs = 3_155_760_000_000; // a hundred years: its instants are dates

const idPattern = /^[A-Za-z0-9][\w.:-]{0,127}$/; // a part of names of streams, tasks and events

/** Is told of a change that was made here: it need not come by way of the log. */
export type ScheduleListener = (id: string, record: ScheduleRecord | undefined) => void;

export class ScheduleDesk implements Schedules {
  readonly #context: Scheduling;
  readonly #registry: EventRegistry | undefined;
  readonly #onChange: ScheduleListener;

  constructor(
    context: Scheduling,
    registry: EventRegistry | undefined,
    onChange: ScheduleListener = () => {},
  ) {
    this.#context = context;
    this.#registry = registry;
    this.#onChange = onChange;
  }

  async at<Input>(
    id: string,
    when: number | Date,
    what: EventToPublish | TaskToCreate<Input>,
    options: AtOptions = {},
  ): Promise<ScheduleState> {
    checkOptions(`schedule "${id}"`, options, { ...sharedRules, past: oneOf("refuse", "fire") });
    const { past = "refuse", ...rest } = options;
    const trigger = { kind: "at", at: checkInstant("when", when) } as const;
    return this.#declare(id, trigger, what, rest, past === "refuse");
  }

  async every<Input>(
    id: string,
    everyMs: number,
    what: EventToPublish | TaskToCreate<Input>,
    options: EveryOptions = {},
  ): Promise<ScheduleState> {
    checkOptions(
      `schedule "${id}"`,
      { everyMs, ...options },
      {
        ...sharedRules,
        everyMs: wholeNumber(1, longestIntervalMs),
        startAt: anything,
      },
    );
    const { startAt, ...rest } = options;
    const start = startAt === undefined ? {} : { startAt: checkInstant("startAt", startAt) };
    return this.#declare(id, { kind: "every", everyMs, ...start }, what, rest);
  }

  async cron<Input>(
    id: string,
    expression: string,
    what: EventToPublish | TaskToCreate<Input>,
    options: CronOptions = {},
  ): Promise<ScheduleState> {
    checkOptions(`schedule "${id}"`, options, { ...sharedRules, timeZone: someText });
    const { timeZone = "UTC", ...rest } = options;
    checkCron(expression, timeZone);
    const trigger = { kind: "cron", expression: expression.trim(), timeZone } as const;
    return this.#declare(id, trigger, what, rest);
  }

  async list(): Promise<readonly ScheduleState[]> {
    return (await openSchedules(this.#context.store)).map(scheduleState);
  }

  async get(id: string): Promise<ScheduleState | undefined> {
    const record = await loadSchedule(this.#context.store, id);
    return record && scheduleState(record);
  }

  async cancel(id: string, reason?: string): Promise<boolean> {
    if (!(await cancelSchedule(this.#context, id, reason))) return false;
    this.#onChange(id, undefined);
    return true;
  }

  async move(id: string, when: number | Date): Promise<ScheduleState> {
    const record = await moveSchedule(this.#context, id, when);
    this.#onChange(id, record);
    return scheduleState(record);
  }

  async #declare(
    id: string,
    trigger: ScheduleTrigger,
    what: EventToPublish | TaskToCreate,
    options: ScheduleOptions,
    refusesPast = false,
  ): Promise<ScheduleState> {
    assertId(id);
    const now = this.#context.clock.now();
    const fires = "task" in what ? taskWork(id, what) : this.#eventWork(id, what);
    const { missed, maxMissed, graceMs } = { ...defaults, ...withoutUndefined(options) };
    const declared = { trigger, fires, missed, maxMissed, graceMs };
    const definition = hashInput(declared);
    let over: ScheduleState | undefined;
    const record = await changeSchedule(this.#context, id, (before) => {
      over = undefined;
      if (before.current?.definition === definition) return undefined;
      const lastDueAt = lastDue(before);
      if (before.last && isOver(before.last, definition)) {
        over = {
          ...declared,
          id,
          createdAt: before.last.timestamp,
          lastDueAt: lastDueAt!,
          fired: 0,
        };
        return undefined;
      }
      const next = {
        ...declared,
        id,
        definition,
        createdAt: now,
        ...progress(before, trigger, now),
      };
      if (refusesPast && next.nextAt < now) throw hasPassed(id, next.nextAt, now);
      return createdChange(next, before);
    });
    if (over) return Object.freeze(over);
    this.#onChange(id, record);
    return scheduleState(record!);
  }

  #eventWork(id: string, what: EventToPublish): ScheduledWork {
    checkOptions(`the event of schedule "${id}"`, what, {
      event: someText,
      payload: someObject,
      key: someText,
      target: someText,
      priority: oneOf(...priorities),
      version: someText,
    });
    const { event: type, payload, ...options } = what;
    assertTopic(type);
    const kept = toFrozenJson(payload);
    const checked = this.#registry?.validate(type, kept, options.version) ?? kept;
    const version = options.version ?? this.#registry?.find(type)?.version;
    return {
      kind: "event",
      type,
      payload: checked as Readonly<Record<string, unknown>>, // an object, by the rule above
      options: withoutUndefined({ ...options, ...(version === undefined ? {} : { version }) }),
    };
  }
}

/** Ends a schedule. False when there is no open one of that id. */
export async function cancelSchedule(
  context: Scheduling,
  id: string,
  reason?: string,
): Promise<boolean> {
  let found = false;
  await changeSchedule(context, id, ({ current }) => {
    found = current !== undefined;
    if (!current) return undefined;
    const { lastDueAt } = current;
    const payload = withoutUndefined({ scheduleId: id, reason, lastDueAt });
    return { type: "schedule.cancelled", payload };
  });
  return found;
}

/**
 * Puts the next instant of a schedule at another one.
 * @throws {CadreError} NOT_FOUND | INVALID_OPTION
 */
export async function moveSchedule(
  context: Scheduling,
  id: string,
  when: number | Date,
): Promise<ScheduleRecord> {
  const asked = checkInstant("when", when);
  const now = context.clock.now();
  if (asked < now) throw hasPassed(id, asked, now);
  const moved = await changeSchedule(context, id, ({ current }) => {
    if (!current) return undefined;
    const nextAt = later(asked, current.lastDueAt);
    if (nextAt === current.nextAt) return undefined;
    const { version: _version, movedFrom = 0, ...rest } = current;
    const payload = { scheduleId: id, nextAt, previousAt: current.nextAt };
    const next = { ...rest, nextAt, movedFrom: Math.max(movedFrom, current.nextAt) };
    return { type: "schedule.moved", payload, next };
  });
  if (moved) return moved;
  const message = `There is no open schedule "${id}".`;
  throw new CadreError("NOT_FOUND", message, { what: "schedule", id });
}

/** What is kept of an open schedule that is declared anew, or a fresh start. */
function progress(
  { current, last }: ScheduleBefore,
  trigger: ScheduleTrigger,
  now: number,
): Pick<ScheduleRecord, "nextAt" | "fired" | "behind" | "movedFrom" | "lastDueAt"> {
  const lastDueAt = lastDue({ current, last });
  const due = lastDueAt === undefined ? {} : { lastDueAt };
  if (current && stableJson(toFrozenJson(current.trigger)) === stableJson(toFrozenJson(trigger))) {
    const { nextAt, fired, behind, movedFrom } = current;
    return { nextAt, fired, behind, ...(movedFrom === undefined ? {} : { movedFrom }), ...due };
  }
  // A clock that was set back must not make an instant due again.
  const from = Math.max(now, lastDueAt ?? 0);
  return { nextAt: later(firstInstant(trigger, from), lastDueAt), fired: 0, behind: 0, ...due };
}

function createdChange(
  next: NonNullable<ScheduleChange["next"]>,
  { current }: ScheduleBefore,
): ScheduleChange {
  const { id: scheduleId, definition, trigger, fires, missed, nextAt } = next;
  const payload = {
    scheduleId,
    definition,
    trigger,
    fires: fires.kind,
    name: fires.kind === "event" ? fires.type : fires.name,
    missed,
    nextAt,
    ...(current ? { replaces: true } : {}),
  };
  return { type: "schedule.created", payload, next };
}

function taskWork(id: string, what: TaskToCreate): ScheduledWork {
  checkOptions(`the task of schedule "${id}"`, what, {
    task: someObject,
    input: anything,
    options: someObject,
  });
  const { task, options = {} } = what;
  checkOptions(`the task of schedule "${id}"`, options, {
    priority: oneOf(...priorities),
    deadlineMs: wholeNumber(1),
    maxAttempts: wholeNumber(1),
    assignTo: someText,
    feature: someText,
  });
  const { name, capability, version, maxAttempts, deadlineMs, isSaga } = task;
  return {
    kind: "task",
    name,
    capability,
    version,
    maxAttempts,
    ...(deadlineMs === undefined ? {} : { deadlineMs }),
    ...(isSaga ? { isSaga } : {}),
    input: toFrozenJson(task.checkInput(what.input) ?? null),
    options: withoutUndefined(options),
  };
}

function assertId(id: string): void {
  if (typeof id === "string" && idPattern.test(id)) return;
  const message =
    `"${id}" is no id of a schedule. ` +
    "Give 1 to 128 of the characters [A-Za-z0-9_.:-], a letter or a digit first.";
  throw new CadreError("INVALID_OPTION", message, { option: "id", value: id });
}

function hasPassed(id: string, when: number, now: number): CadreError {
  const message =
    `The instant of schedule "${id}" passed ${now - when} ms ago. ` +
    'Give one that is to come; for a new schedule, { past: "fire" } fires it at once.';
  return new CadreError("INVALID_OPTION", message, { option: "when", value: when });
}

type Fields = Readonly<Record<string, JsonValue | undefined>>;

/** Whether a schedule of this definition came to its end. */
function isOver(last: AgentEvent, definition: string): boolean {
  const fields = last.payload as Fields;
  const isEnd = last.type === "schedule.fired" || last.type === "schedule.missed";
  return isEnd && fields["nextAt"] === undefined && fields["definition"] === definition;
}

function lastDue({ current, last }: Pick<ScheduleBefore, "current" | "last">): number | undefined {
  if (current) return current.lastDueAt;
  const fields = (last?.payload ?? {}) as Fields;
  const at = fields["dueAt"] ?? fields["lastDueAt"];
  return typeof at === "number" ? at : undefined;
}

/** Behind the last instant that was due: two firings never have one id. */
function later(at: number, lastDueAt: number | undefined): number {
  return lastDueAt === undefined ? at : Math.max(at, lastDueAt + 1);
}

function withoutUndefined<Fields extends object>(fields: Fields): Fields {
  const entries = Object.entries(fields).filter(([, value]) => value !== undefined);
  return Object.fromEntries(entries) as Fields; // what is undefined counts as left out
}
