/**
 * Proposals, validations and debates under the simulator: whatever crashes, freezes or is cut off,
 * each has one outcome, and no action happens without it.
 *
 * CADRE_PROPOSAL_SEEDS sets the number of seeds (30 unless set); CADRE_SEED runs one alone.
 */
import assert from "node:assert/strict";
import { test } from "node:test";

import { everyFault, scenarios, simulateSeeds } from "cadre/testing";

const seeds = Number(process.env["CADRE_PROPOSAL_SEEDS"] ?? 30);
const isAlone = process.env["CADRE_SEED"] !== undefined;

test("no seed gives a proposal two outcomes, or an action without one", async (t) => {
  const sum = await simulateSeeds({ ...scenarios.proposals, faults: everyFault, seeds });
  t.diagnostic(JSON.stringify({ runs: sum.runs, crashes: sum.crashes, virtualMs: sum.virtualMs }));
  assert.equal(sum.runs, isAlone ? 1 : seeds);
  assert.ok(isAlone || sum.crashes > seeds, "something must have gone wrong");
});
