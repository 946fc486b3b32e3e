/** When schedules are due. Pure: all instants come in from outside. */
import { Cron } from "croner";

import { CadreError } from "../core/errors.ts";
import type { ScheduleTrigger } from "./schedule.ts";

const farthest = 8_640_000_000_000_000; // the last instant that a Date can hold
const mostCounted = 100; // instants: reading a cron expression that often takes milliseconds

/** @throws {CadreError} INVALID_OPTION, when it is no instant */
export function checkInstant(option: string, when: number | Date): number {
  const at = when instanceof Date ? when.getTime() : when;
  if (Number.isInteger(at) && at >= 0 && at <= farthest) return at;
  const message = `${option} is ${String(when)}. Give a Date or Unix milliseconds.`;
  throw new CadreError("INVALID_OPTION", message, { option, value: when });
}

/**
 * Checks an expression and its time zone.
 * @throws {CadreError} INVALID_OPTION, when one cannot be read
 */
export function checkCron(expression: string, timeZone: string): void {
  assertTimeZone(timeZone);
  const text = typeof expression === "string" ? expression.trim() : "";
  const fields = text.split(/\s+/).length;
  const isName = /^@[a-z]+$/i.test(text);
  let reason = "it has neither five fields, nor six with seconds in front";
  if (isName || fields === 5 || fields === 6) {
    try {
      readCron(text, timeZone);
      return;
    } catch (error) {
      reason = (error instanceof Error ? error.message : String(error)).replace(/^\w+: /, "");
    }
  }
  const message =
    `The cron expression "${expression}" can't be read: ${reason}. ` +
    'Give minute, hour, day of the month, month and day of the week: "0 9 * * 1-5".';
  throw new CadreError("INVALID_OPTION", message, { option: "expression", value: expression });
}

function assertTimeZone(timeZone: string): void {
  if (isTimeZone(timeZone)) return;
  const message = `There is no time zone "${timeZone}". Give an IANA name: Europe/Berlin, UTC.`;
  throw new CadreError("INVALID_OPTION", message, { option: "timeZone", value: timeZone });
}

function isTimeZone(name: string): boolean {
  try {
    const { timeZone } = new Intl.DateTimeFormat("en", { timeZone: name }).resolvedOptions();
    return /^[A-Za-z]/.test(timeZone); // an offset such as +02:00 is none
  } catch {
    return false;
  }
}

/** Only reads the expression: without a function, and paused, it runs nothing. */
function readCron(expression: string, timezone: string): Cron {
  return new Cron(expression, { timezone, paused: true, mode: "5-or-6-parts" });
}

/**
 * The first instant after `after` at which the trigger is due; `undefined` when there is none.
 *
 * @param base for an interval: an instant to count from, not after `after`
 */
export function instantAfter(
  trigger: ScheduleTrigger,
  base: number,
  after: number,
): number | undefined {
  if (trigger.kind === "at") return undefined;
  if (trigger.kind === "every") {
    const { everyMs } = trigger;
    return base + (Math.floor((after - base) / everyMs) + 1) * everyMs;
  }
  return readCron(trigger.expression, trigger.timeZone).nextRun(new Date(after))?.getTime();
}

/**
 * The first instant of a schedule that is made at `now`.
 * @throws {CadreError} INVALID_OPTION, when a cron expression is never due
 */
export function firstInstant(trigger: ScheduleTrigger, now: number): number {
  if (trigger.kind === "at") return trigger.at;
  if (trigger.kind === "every") {
    const { everyMs, startAt = now + everyMs } = trigger;
    return startAt > now ? startAt : (instantAfter(trigger, startAt, now) ?? startAt);
  }
  const first = instantAfter(trigger, now, now);
  if (first !== undefined) return first;
  const message = `The cron expression "${trigger.expression}" is never due. Give one that is.`;
  const details = { option: "expression", value: trigger.expression };
  throw new CadreError("INVALID_OPTION", message, details);
}

/** How many instants lie between two; counts no further than 100. */
export function instantsBetween(trigger: ScheduleTrigger, after: number, before: number): number {
  if (trigger.kind === "at") return 0;
  if (trigger.kind === "every") {
    return Math.min(mostCounted, Math.max(0, Math.ceil((before - after) / trigger.everyMs) - 1));
  }
  const cron = readCron(trigger.expression, trigger.timeZone);
  let count = 0;
  let next = cron.nextRun(new Date(after));
  while (next && next.getTime() < before && count < mostCounted) {
    count += 1;
    next = cron.nextRun(next);
  }
  return count;
}
