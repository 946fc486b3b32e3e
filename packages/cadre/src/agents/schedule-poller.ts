/**
 * Fires what is due: one loop a team, asleep until the next instant.
 *
 *   a commit of the store ─▶ soon: look what has changed ─┐
 *   the next instant ─────────────────────────────────────┼─▶ fire all that is due ─▶ sleep
 *   never longer than `longestSleepMs` ───────────────────┘
 *
 * Any number of pollers may run on one store. What one knows may be old: the expected version of
 * the schedule's stream decides, and whoever loses reads again.
 */
import { isCadreError } from "../core/errors.ts";
import type { LogPosition } from "../store/event-store.ts";
import { isPassing, throughTrouble } from "./passing-trouble.ts";
import { fireSchedule } from "./schedule-firing.ts";
import {
  dueFirst,
  loadSchedule,
  openSchedules,
  scheduleIdOf,
  schedulePrefix,
  type ScheduleRecord,
} from "./schedule-log.ts";
import type { TeamContext } from "./team-context.ts";

const lookDelayMs = 250; // changes of other processes may be seen so late; a busy store is spared
const longestSleepMs = 10_000; // wall time may jump, and no timer hears of it
const troubleMs = 5_000; // tries for one commit, then the others have their turn

type Host = Pick<TeamContext, "store" | "clock" | "random" | "name" | "logger">;

interface Entry {
  readonly record: ScheduleRecord;
  /** Monotonic; after a failure it waits. */
  readonly notBefore: number;
}

export class SchedulePoller {
  readonly #context: Host;
  readonly #open = new Map<string, Entry>();
  /** The log is read up to here; unknown until the slots were listed. */
  #position: LogPosition | undefined;
  /** Monotonic: when to look for changes. */
  #lookAt: number | undefined = 0;
  #running: Promise<void> | undefined;
  #closed = false;
  #cancelTimer: () => void = () => {};
  #unwatch: () => void = () => {};

  constructor(context: Host) {
    this.#context = context;
  }

  start(): void {
    this.#unwatch = this.#context.store.watch(() => {
      if (this.#lookAt !== undefined) return;
      this.#lookAt = this.#context.clock.monotonic() + lookDelayMs;
      this.#arm();
    });
    this.#run();
  }

  /** A change that was made in this process. */
  learn(id: string, record: ScheduleRecord | undefined): void {
    this.#set(id, record);
    this.#arm();
  }

  /** Waits for a firing that is on its way. */
  async close(): Promise<void> {
    this.#closed = true;
    this.#cancelTimer();
    this.#unwatch();
    await this.#running;
  }

  #set(id: string, record: ScheduleRecord | undefined, notBefore = 0): void {
    if (!record) this.#open.delete(id);
    else if ((this.#open.get(id)?.record.version ?? 0) <= record.version)
      this.#open.set(id, { record, notBefore });
  }

  #arm(): void {
    this.#cancelTimer();
    if (this.#closed || this.#running) return;
    const { clock } = this.#context;
    const monotonic = clock.monotonic();
    let waitMs = this.#lookAt === undefined ? Infinity : this.#lookAt - monotonic;
    if (this.#open.size > 0) waitMs = Math.min(waitMs, longestSleepMs);
    const now = clock.now();
    for (const { record, notBefore } of this.#open.values()) {
      waitMs = Math.min(waitMs, Math.max(record.nextAt - now, notBefore - monotonic));
    }
    if (waitMs === Infinity) return;
    this.#cancelTimer = clock.after(Math.max(0, waitMs), () => this.#run());
  }

  #run(): void {
    if (this.#closed || this.#running) return;
    this.#running = this.#pass()
      .catch((error: unknown) => {
        this.#lookAt = this.#context.clock.monotonic() + lookDelayMs;
        if (this.#closed) return;
        const level = isPassing(error) ? "warn" : "error";
        this.#context.logger[level]("Schedules could not be read; it is tried again.", { error });
      })
      .finally(() => {
        this.#running = undefined;
        this.#arm();
      });
  }

  async #pass(): Promise<void> {
    const { clock } = this.#context;
    if (this.#lookAt !== undefined && this.#lookAt <= clock.monotonic()) {
      this.#lookAt = undefined;
      await this.#look();
    }
    for (let due = this.#due(); due.length > 0 && !this.#closed; due = this.#due()) {
      for (const record of due) {
        if (this.#closed) return;
        if (this.#open.get(record.id)?.record === record) await this.#fire(record);
      }
      await clock.yield();
    }
  }

  #due(): readonly ScheduleRecord[] {
    const { clock } = this.#context;
    const [now, monotonic] = [clock.now(), clock.monotonic()];
    return [...this.#open.values()]
      .filter(({ record, notBefore }) => record.nextAt <= now && notBefore <= monotonic)
      .map(({ record }) => record)
      .toSorted(dueFirst);
  }

  /** Learns what others have changed. */
  async #look(): Promise<void> {
    const { store } = this.#context;
    const upTo = await store.head();
    if (this.#position === undefined) {
      for (const record of await openSchedules(store)) this.#set(record.id, record);
    } else if (this.#position < upTo) {
      const changed = new Set<string>();
      const query = { streamPrefix: schedulePrefix, after: this.#position, upTo };
      for await (const { stream = "", version = 0 } of store.read(query)) {
        const id = scheduleIdOf(stream);
        if ((this.#open.get(id)?.record.version ?? 0) < version) changed.add(id);
      }
      for (const id of changed) this.#set(id, await loadSchedule(store, id));
    }
    this.#position = upTo;
  }

  async #fire(record: ScheduleRecord): Promise<void> {
    const { clock, logger } = this.#context;
    try {
      if (!(await this.#commit(record, false))) await this.#afterConflict(record);
    } catch (error) {
      if (this.#closed) return;
      // The others go on. What became of this one is read again.
      const message = `Schedule ${record.id} could not be fired; it is tried again.`;
      logger[isPassing(error) ? "warn" : "error"](message, { error });
      this.#open.delete(record.id);
      this.#set(record.id, record, clock.monotonic() + longestSleepMs);
    }
  }

  /** False when somebody was faster, or what it is to fire is there already. */
  async #commit(record: ScheduleRecord, isThere: boolean): Promise<boolean> {
    const { store, clock } = this.#context;
    const { commit, next } = fireSchedule(this.#context, record, clock.now(), isThere);
    try {
      // The same events again: where only the answer was lost, they are not written twice.
      await throughTrouble(
        clock,
        troubleMs,
        () => store.commit(commit),
        () => !this.#closed,
      );
    } catch (error) {
      if (isCadreError(error, "VERSION_CONFLICT") || isCadreError(error, "DUPLICATE_ID"))
        return false;
      throw error;
    }
    this.#set(record.id, next);
    return true;
  }

  async #afterConflict(record: ScheduleRecord): Promise<void> {
    const { store, logger } = this.#context;
    const current = await loadSchedule(store, record.id);
    if (current?.version !== record.version) return this.#set(record.id, current);
    const message = `What schedule ${record.id} is to fire is in the store already.`;
    logger.warn(message, { dueAt: record.nextAt });
    if (await this.#commit(record, true)) return;
    this.#set(record.id, await loadSchedule(store, record.id));
  }
}
