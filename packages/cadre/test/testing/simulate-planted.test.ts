/** Three mistakes that look harmless are planted; the simulator finds each in few seeds. */
import assert from "node:assert/strict";
import { test } from "node:test";

import {
  everyFault,
  scenarios,
  simulate,
  SimulationError,
  type SimulationOptions,
} from "cadre/testing";

import { acksBeforeTheEffect, checkpointsApart, leasesWithoutFencing } from "./sim-planted.ts";

const maxVirtualMs = 300_000; // what is lost never comes: no need to wait for it for long
const shortenRuns = 150;

/** The first seed that fails, and how. */
async function find<World>(
  options: SimulationOptions<World>,
  maxSeeds: number,
): Promise<SimulationError> {
  for (let seed = 1; seed <= maxSeeds; seed += 1) {
    try {
      await simulate({ ...options, faults: everyFault, seed, maxVirtualMs, shortenRuns });
    } catch (error) {
      if (error instanceof SimulationError) return error;
      throw error;
    }
  }
  return assert.fail(`not found in ${maxSeeds} seeds`);
}

/** Plays the short schedule again: it breaks the same invariant, without any chance. */
async function assertPlaysAgain<World>(
  options: SimulationOptions<World>,
  { seed, schedule, violations }: SimulationError,
): Promise<void> {
  const { clockSkewMs = 0, clockDrift = 0 } = everyFault;
  const again = simulate({
    ...options,
    faults: { clockSkewMs, clockDrift },
    schedule,
    seed,
    shortenRuns: 0,
    maxVirtualMs,
  });
  await assert.rejects(again, (error: unknown) => {
    assert.ok(error instanceof SimulationError);
    const before = violations.map(({ invariant }) => invariant);
    assert.ok(error.violations.some(({ invariant }) => before.includes(invariant)));
    return true;
  });
}

test("an ack before the effect is found: an event is lost", async (t) => {
  const options = { ...scenarios.relay, transport: acksBeforeTheEffect };
  const found = await find(options, 20);
  t.diagnostic(`seed ${found.seed}: ${found.schedule.length} of ${found.faults.length} faults`);
  assert.match(found.message, /sentence \d+ was \w+ 0 times/);
  assert.ok(found.schedule.length <= 8, found.message);
  await assertPlaysAgain(options, found);
});

test("a lease without fencing is found: two owners write", async (t) => {
  const options = { ...scenarios.steps, store: leasesWithoutFencing };
  const found = await find(options, 200);
  t.diagnostic(`seed ${found.seed}: ${found.schedule.length} of ${found.faults.length} faults`);
  assert.match(found.message, /only the owner writes/);
  assert.ok(found.schedule.length <= 8, found.message);
  await assertPlaysAgain(options, found);
});

test("a checkpoint apart from its rows is found: a sale is counted twice", async (t) => {
  // With several processes it takes no fault at all: they get in each other's way.
  const options = { ...scenarios.projection, processes: ["a"], store: checkpointsApart };
  const found = await find(options, 20);
  t.diagnostic(`seed ${found.seed}: ${found.schedule.length} of ${found.faults.length} faults`);
  assert.match(found.message, /the row of \w+ says \d+, and \d+ were sold/);
  assert.ok(found.schedule.length <= 8, found.message);
  await assertPlaysAgain(options, found);
});
