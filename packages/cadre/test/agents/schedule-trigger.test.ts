import assert from "node:assert/strict";
import { test } from "node:test";

import { isCadreError } from "cadre";
import {
  checkCron,
  checkInstant,
  firstInstant,
  instantAfter,
  instantsBetween,
} from "#src/agents/schedule-trigger.ts";

/** The next instants of a cron expression, as text. */
function nextOf(expression: string, timeZone: string, from: string, count: number): string[] {
  const trigger = { kind: "cron", expression, timeZone } as const;
  const found: string[] = [];
  for (let at: number | undefined = Date.parse(from); found.length < count;) {
    at = instantAfter(trigger, at, at);
    if (at === undefined) break;
    found.push(new Date(at).toISOString().slice(0, 16));
  }
  return found;
}

test("a time of day stays what it is when the clocks change", () => {
  assert.deepEqual(nextOf("0 9 * * 1-5", "Europe/Berlin", "2026-03-26T12:00:00Z", 3), [
    "2026-03-27T08:00", // Friday, in winter
    "2026-03-30T07:00", // Monday, in summer
    "2026-03-31T07:00",
  ]);
});

test("a time that the spring leaves out is due right after the gap, and once", () => {
  assert.deepEqual(nextOf("30 2 * * *", "Europe/Berlin", "2026-03-27T12:00:00Z", 3), [
    "2026-03-28T01:30",
    "2026-03-29T01:00", // 03:00 in summer: there is no 02:30
    "2026-03-30T00:30",
  ]);
});

test("a time that the autumn has twice is due once", () => {
  assert.deepEqual(nextOf("30 2 * * *", "Europe/Berlin", "2026-10-23T12:00:00Z", 3), [
    "2026-10-24T00:30",
    "2026-10-25T00:30", // the first of two
    "2026-10-26T01:30",
  ]);
});

test("an expression with steps goes by what the clock shows, in the gap and in the hour that comes twice", () => {
  assert.deepEqual(nextOf("*/30 2 * * *", "Europe/Berlin", "2026-03-28T12:00:00Z", 2), [
    "2026-03-30T00:00",
    "2026-03-30T00:30",
  ]);
  assert.deepEqual(nextOf("*/30 2 * * *", "Europe/Berlin", "2026-10-24T23:00:00Z", 4), [
    "2026-10-25T00:00",
    "2026-10-25T00:30",
    "2026-10-25T01:00",
    "2026-10-25T01:30",
  ]);
});

test("seconds may stand in front, and names stand for expressions", () => {
  const trigger = { kind: "cron", expression: "*/10 * * * * *", timeZone: "UTC" } as const;
  assert.equal(instantAfter(trigger, 0, 10_000), 20_000);
  assert.equal(instantAfter(trigger, 0, 10_001), 20_000);
  assert.deepEqual(nextOf("@daily", "UTC", "2026-03-06T00:00:00Z", 1), ["2026-03-07T00:00"]);
});

test("an interval keeps to its grid, however late it is asked", () => {
  const trigger = { kind: "every", everyMs: 1_000 } as const;
  assert.equal(instantAfter(trigger, 500, 500), 1_500);
  assert.equal(instantAfter(trigger, 500, 7_499), 7_500);
  assert.equal(instantAfter(trigger, 500, 7_500), 8_500);
  assert.equal(firstInstant({ ...trigger, startAt: 300 }, 9_000), 9_300);
  assert.equal(firstInstant({ ...trigger, startAt: 20_000 }, 9_000), 20_000);
  assert.equal(firstInstant(trigger, 9_000), 10_000);
});

test("instants between two are counted, up to a hundred", () => {
  const every = { kind: "every", everyMs: 1_000 } as const;
  assert.equal(instantsBetween(every, 0, 1_000), 0);
  assert.equal(instantsBetween(every, 0, 4_000), 3);
  assert.equal(instantsBetween(every, 0, 1_000_000), 100);
  const cron = { kind: "cron", expression: "* * * * *", timeZone: "UTC" } as const;
  assert.equal(instantsBetween(cron, 0, 240_000), 3);
  assert.equal(instantsBetween(cron, 0, 86_400_000), 100);
  assert.equal(instantsBetween({ kind: "at", at: 5 }, 0, 10), 0);
});

test("what cannot be read is refused, naming it", () => {
  const refused = (run: () => unknown, option: string, says: RegExp): void =>
    assert.throws(
      run,
      (error) =>
        isCadreError(error, "INVALID_OPTION") &&
        error.details.option === option &&
        says.test(error.message),
    );
  for (const expression of ["", "x", "* * *", "* * * * * * *", "2026-01-01T00:00:00", "@often"]) {
    refused(() => checkCron(expression, "UTC"), "expression", /can't be read/);
  }
  refused(() => checkCron("61 * * * *", "UTC"), "expression", /minute: 61/);
  refused(() => checkCron(7 as unknown as string, "UTC"), "expression", /"7"/);
  refused(() => checkCron("* * * * *", "Mars/Olympus"), "timeZone", /"Mars\/Olympus"/);
  refused(() => checkCron("* * * * *", "+02:00"), "timeZone", /IANA name/);
  const never = { kind: "cron", expression: "0 0 30 2 *", timeZone: "UTC" } as const;
  refused(() => firstInstant(never, 0), "expression", /never due/);
  for (const when of [NaN, -1, 1.5, Infinity, new Date("no"), "2026" as unknown as number]) {
    refused(() => checkInstant("when", when), "when", /Unix milliseconds/);
  }
  assert.equal(checkInstant("when", new Date(5)), 5);
});
