/** Orchestrators within orchestrators, with everything going wrong. */
import assert from "node:assert/strict";
import { test } from "node:test";

import { everyFault, scenarios, simulateSeeds } from "cadre/testing";

test("features in features lose nothing, whoever dies", async (t) => {
  const seeds = Number(process.env["CADRE_SEEDS"] ?? 20);
  const sum = await simulateSeeds({ ...scenarios.orchestration, faults: everyFault, seeds });
  t.diagnostic(JSON.stringify(sum));
  assert.equal(sum.tasksLost, 0);
  assert.equal(sum.doubleOwners, 0);
  assert.equal(sum.duplicateReceipts, 0);
  assert.equal(sum.lateWrites, 0);
  if (seeds > 5) assert.ok(sum.crashes > seeds / 2, `${sum.crashes} crashes`);
});
