import assert from "node:assert/strict";
import { test } from "node:test";

import type { ScheduledFault } from "cadre/testing";
import { shorten, shortSchedule } from "#src/testing/sim-shorten.ts";

const numbers = Array.from({ length: 60 }, (_, index) => index);

for (const needed of [[7], [3, 41], [0, 29, 30, 59], numbers]) {
  test(`of sixty things the ${needed.length} that it takes are found`, async () => {
    let runs = 0;
    const fails = async (part: readonly number[]): Promise<boolean> => {
      runs += 1;
      return needed.every((number) => part.includes(number));
    };
    assert.deepEqual(await shorten(numbers, fails, 1_000), needed);
    assert.ok(runs < 200, `${runs} runs`);
  });
}

test("what fails with nothing needs nothing, and nothing is asked of nothing", async () => {
  assert.deepEqual(await shorten(numbers, async () => true, 10), []);
  assert.deepEqual(await shorten([], () => assert.fail("asked"), 10), []);
});

test("it stops at the number of runs that it was given, with something that fails", async () => {
  let runs = 0;
  const fails = async (part: readonly number[]): Promise<boolean> => {
    runs += 1;
    return part.includes(5) && part.includes(50);
  };
  const left = await shorten(numbers, fails, 8);
  assert.equal(runs, 8);
  assert.ok(left.includes(5) && left.includes(50) && left.length < 60);
});

const crash = (nth: number): ScheduledFault => ({
  kind: "crashAfter",
  process: "a",
  call: "store.commit",
  life: 1,
  nth,
});

test("where faults only lead up to a crash, the crash alone is looked for at another call", async () => {
  const refused: ScheduledFault = {
    kind: "fail",
    process: "a",
    call: "store.head",
    nth: 1,
    life: 1,
  };
  const fails = async (schedule: readonly ScheduledFault[]): Promise<boolean> =>
    schedule.some(({ kind, nth }) => kind === "crashAfter" && nth === 9) ||
    (schedule.some(({ kind }) => kind === "fail") && schedule.some(({ nth }) => nth === 12));
  assert.deepEqual(await shortSchedule([refused, crash(12)], fails, 200), [crash(9)]);
  assert.deepEqual(await shortSchedule([refused, crash(12)], fails, 0), [refused, crash(12)]);
});
