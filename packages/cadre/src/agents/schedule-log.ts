/** Schedules in the store: the slot that says how one stands, and the changes of its stream. */
import type { Commit } from "../core/commit.ts";
import { CadreError, isCadreError } from "../core/errors.ts";
import type { AgentEvent } from "../core/event.ts";
import { toFrozenJson } from "../core/json.ts";
import type { EventStore } from "../store/event-store.ts";
import type { ScheduleState } from "./schedule.ts";
import { teamEvent, type TeamContext } from "./team-context.ts";

/** Prefix of the streams and of the slots. */
export const schedulePrefix = "schedule/";
export const scheduleStream = (id: string): string => `${schedulePrefix}${id}`;
export const scheduleIdOf = (stream: string): string => stream.slice(schedulePrefix.length);

/** A schedule as its slot holds it. */
export interface ScheduleRecord extends ScheduleState {
  readonly nextAt: number;
  /** Of the stream. */
  readonly version: number;
  /** Hash of all that was declared. */
  readonly definition: string;
  /** The instant that the next one stands for, where it was moved to an earlier one. */
  readonly movedFrom?: number;
  /** Firings in a row that had another due behind them. */
  readonly behind: number;
}

/** What a change may use of a team; the command line brings its own. */
export type Scheduling = Pick<TeamContext, "store" | "clock" | "random" | "name">;

export async function loadSchedule(
  store: EventStore,
  id: string,
): Promise<ScheduleRecord | undefined> {
  const slot = await store.slot(scheduleStream(id));
  return slot && readRecord(slot.value);
}

/** All that are open; what is due next comes first. */
export async function openSchedules(store: EventStore): Promise<ScheduleRecord[]> {
  const slots = await store.slots(schedulePrefix);
  return slots.map(({ value }) => readRecord(value)).toSorted(dueFirst);
}

export function dueFirst(left: ScheduleRecord, right: ScheduleRecord): number {
  return left.nextAt - right.nextAt || (left.id < right.id ? -1 : 1);
}

function readRecord(value: string): ScheduleRecord {
  return toFrozenJson(JSON.parse(value)) as unknown as ScheduleRecord; // written by changeCommit
}

/** What users see of it. */
export function scheduleState(record: ScheduleRecord): ScheduleState {
  const {
    version: _version,
    definition: _definition,
    movedFrom: _from,
    behind: _,
    ...state
  } = record;
  return Object.freeze(state);
}

/**
 * The commit of one change.
 * @param next how the schedule stands after it; `undefined` when it is not open any more
 */
export function changeCommit(
  id: string,
  version: number,
  event: AgentEvent,
  next: ScheduleRecord | undefined,
): Required<Pick<Commit, "appends" | "slots">> {
  const name = scheduleStream(id);
  const value = next && JSON.stringify(next);
  return {
    appends: [{ stream: name, expectedVersion: version, events: [event] }],
    // The stream is the lock: whoever writes the slot has won it.
    slots: [{ name, expectedVersion: "any", value }],
  };
}

/** What there is of an id when a change is decided. */
export interface ScheduleBefore {
  readonly current: ScheduleRecord | undefined;
  readonly version: number;
  /** The last event of the stream, where the schedule is not open. */
  readonly last: AgentEvent | undefined;
}

export interface ScheduleChange {
  readonly type: string;
  readonly payload: Readonly<Record<string, unknown>>;
  /** How it stands then, `version` aside; absent when it is not open any more. */
  readonly next?: Omit<ScheduleRecord, "version">;
}

const maxTries = 32; // each one that fails lost to a change that got through

/**
 * Decides on a schedule as it stands and writes the change, so that nothing came in between.
 *
 * @param decider may run several times; nothing leaves the schedule as it is
 * @throws {CadreError} VERSION_CONFLICT, when every try lost
 */
export async function changeSchedule(
  context: Scheduling,
  id: string,
  decider: (before: ScheduleBefore) => ScheduleChange | undefined,
): Promise<ScheduleRecord | undefined> {
  const { store, name } = context;
  for (let tries = 1; ; tries += 1) {
    const before = await readBefore(store, id);
    const change = decider(before);
    if (!change) return before.current;
    const { version } = before;
    const next = change.next && { ...change.next, version: version + 1 };
    const event = teamEvent(context, name, change.type, change.payload);
    try {
      await store.commit(changeCommit(id, version, event, next));
      return next;
    } catch (error) {
      if (!isCadreError(error, "VERSION_CONFLICT") || tries >= maxTries) throw error;
    }
  }
}

async function readBefore(store: EventStore, id: string): Promise<ScheduleBefore> {
  const stream = scheduleStream(id);
  for (let tries = 1; ; tries += 1) {
    const version = await store.version(stream);
    const current = await loadSchedule(store, id);
    if (current && current.version !== version) {
      if (tries < maxTries) continue; // changed between the two questions
      const message = `Schedule ${id} changes too often to be read.`;
      const details = { stream, expected: current.version, actual: version };
      throw new CadreError("VERSION_CONFLICT", message, details);
    }
    let last: AgentEvent | undefined;
    if (!current && version > 0) {
      for await (const { event } of store.read({ stream, backward: true, limit: 1 })) last = event;
    }
    return { current, version, last };
  }
}
