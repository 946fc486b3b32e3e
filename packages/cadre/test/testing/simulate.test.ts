import assert from "node:assert/strict";
import { test } from "node:test";

import { type } from "cadre";
import { defineTask } from "cadre/agents";
import {
  simulate,
  simulateSeeds,
  SimulationError,
  type SimulationOptions,
  type SimulationResult,
} from "cadre/testing";

import { standardFaults, standardTeam } from "./sim-team.ts";

const Work = defineTask({ name: "work", input: type<number>(), output: type<number>() });
const run = (seed: number, more: Partial<SimulationOptions> = {}): Promise<SimulationResult> =>
  simulate({ ...standardTeam(), faults: standardFaults, seed, ...more });

test("a team without faults ends its work, and no process dies", async () => {
  const result = await run(1, { faults: {} });
  assert.equal(result.crashes, 0);
  assert.equal(result.leasesExpired, 0);
  assert.equal(result.tasksCreated, 14);
  assert.equal(result.tasksCompleted, 12);
});

test("equal seeds give equal runs, and other seeds give others", async () => {
  const first = await run(7);
  const again = await run(7);
  const other = await run(8);
  assert.deepEqual(again.trace, first.trace);
  assert.deepEqual(again.faults, first.faults);
  assert.notDeepEqual(other.trace, first.trace);
});

test("no seed loses a task, gives an epoch two owners, or a step two receipts", async (t) => {
  const seeds = Number(process.env["CADRE_SEEDS"] ?? 60);
  const sum = await simulateSeeds({ ...standardTeam(), seeds, faults: standardFaults });
  t.diagnostic(JSON.stringify(sum));
  assert.equal(sum.tasksLost, 0);
  assert.equal(sum.doubleOwners, 0);
  assert.equal(sum.duplicateReceipts, 0);
  assert.equal(sum.duplicateRecords, 0);
  assert.ok(sum.crashes > seeds, `only ${sum.crashes} crashes: the faults prove nothing`);
  assert.ok(sum.closes > seeds / 8, `only ${sum.closes} processes closed in order`);
  assert.ok(sum.leasesExpired > seeds, `only ${sum.leasesExpired} leases ran out`);
  assert.ok(sum.rejectedLateResults > seeds / 40, "no late result was rejected");
});

test("every kind of fault happens", async () => {
  const kinds = new Set<string>();
  for (let seed = 1; seed <= 8; seed += 1) {
    for (const { kind } of (await run(seed)).faults) kinds.add(kind);
  }
  const all =
    "crashAfter crashBefore duplicate fail full loseAnswer partition pauseAfter pauseBefore";
  assert.equal([...kinds].sort().join(" "), `${all} slow`);
});

test("an invariant that does not hold fails the run, with the seed and the faults", async () => {
  const broken = simulate({
    ...standardTeam(),
    seed: 3,
    faults: standardFaults,
    invariants: [async () => ["the moon is missing"]],
  });
  await assert.rejects(broken, (error: unknown) => {
    assert.ok(error instanceof SimulationError);
    assert.match(error.message, /CADRE_SEED=3/);
    assert.match(error.message, /the moon is missing/);
    return true;
  });
});

test("a team that never ends is found out", async () => {
  const stuck = simulate({
    seed: 1,
    agents: () => [],
    work: async (team) => void (await team.tasks.create(Work, 1)),
    maxVirtualMs: 60_000,
  });
  await assert.rejects(stuck, /no task lost: task .* is offered/);
});
