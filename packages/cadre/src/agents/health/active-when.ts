/**
 * The hours of an agent: from each instant of one cron expression until the next of another.
 *
 *   asleep ──from──▶ active ──until──▶ asleep
 */
import { CadreError } from "../../core/errors.ts";
import { checkOptions, someText } from "../../core/options.ts";
import { checkCron, firstInstant, instantAfter } from "../schedule-trigger.ts";

/** When an agent takes work and hears events; at other times it sleeps. */
export interface ActiveWhen {
  /** Cron expression of the instants at which it begins: `0 9 * * 1-5`. */
  readonly from: string;
  /** Cron expression of the instants at which it ends: `0 17 * * 1-5`. */
  readonly until: string;
  /** IANA name. @default "UTC" */
  readonly timeZone?: string;
}

const defaultZone = "UTC";

/** @throws {CadreError} INVALID_OPTION */
export function checkActiveWhen(hours: ActiveWhen): void {
  checkOptions("activeWhen", hours, { from: someText, until: someText, timeZone: someText });
  const { from, until, timeZone = defaultZone } = hours;
  for (const expression of [from, until]) {
    checkCron(expression, timeZone);
    firstInstant({ kind: "cron", expression, timeZone }, 0);
  }
  if (from.trim() !== until.trim()) return;
  const message = `activeWhen begins and ends at "${from}". Give two different expressions.`;
  throw new CadreError("INVALID_OPTION", message, { option: "activeWhen", value: from });
}

/** Whether these are its hours, and when that changes: whichever comes first says what was last. */
export function hoursAt(
  { from, until, timeZone = defaultZone }: ActiveWhen,
  now: number,
): { readonly isActive: boolean; readonly changesAt: number | undefined } {
  const next = (expression: string): number =>
    instantAfter({ kind: "cron", expression, timeZone }, now, now) ?? Infinity;
  const [opensAt, closesAt] = [next(from), next(until)];
  const changesAt = Math.min(opensAt, closesAt);
  return {
    isActive: closesAt < opensAt,
    changesAt: Number.isFinite(changesAt) ? changesAt : undefined,
  };
}
