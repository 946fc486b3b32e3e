/**
 * Many seeds of each of the simulator's scenarios, shared by two processes, with everything going
 * wrong. Prints what they counted.
 *
 * CADRE_SEEDS sets the seeds of each scenario (200 unless set), CADRE_SEED runs one alone.
 */
import assert from "node:assert/strict";
import { fork } from "node:child_process";
import { once } from "node:events";
import { test } from "node:test";
import { fileURLToPath } from "node:url";

import { faultKinds, scenarios, type FaultKind, type SimulationSum } from "cadre/testing";

import type { SeedAnswer, SeedRange } from "./simulator-member.ts";

const member = fileURLToPath(new URL("simulator-member.ts", import.meta.url));
const seeds = process.env["CADRE_SEED"] ? 1 : Number(process.env["CADRE_SEEDS"] ?? 200);
const workers = Math.min(2, seeds);

async function run(range: SeedRange): Promise<Extract<SeedAnswer, { readonly ok: true }>> {
  const running = fork(member, [JSON.stringify(range)]);
  const ended = once(running, "exit");
  const [message] = await Promise.race([
    once(running, "message"),
    ended.then(([code]) => assert.fail(`a process of the simulator ended with ${code}`)),
  ]);
  await ended;
  const answer = message as SeedAnswer;
  return answer.ok ? answer : assert.fail(answer.message);
}

type Counts = Omit<SimulationSum, "faultCounts">;

function addUp(sums: readonly SimulationSum[]): {
  readonly counts: Counts;
  readonly faults: Readonly<Record<FaultKind, number>>;
} {
  const { faultCounts: _kinds, ...first } = sums[0]!;
  const keys = Object.keys(first) as (keyof Counts)[];
  const total = (of: (sum: SimulationSum) => number): number =>
    sums.reduce((all, sum) => all + of(sum), 0);
  return {
    counts: Object.fromEntries(keys.map((key) => [key, total((sum) => sum[key])])) as Counts,
    faults: Object.fromEntries(
      faultKinds.map((kind) => [kind, total((sum) => sum.faultCounts[kind])]),
    ) as Record<FaultKind, number>,
  };
}

for (const scenario of Object.keys(scenarios) as (keyof typeof scenarios)[]) {
  test(`${scenario}: no seed breaks an invariant`, async (t) => {
    const share = Math.ceil(seeds / workers);
    const ranges = Array.from({ length: workers }, (_, index) => {
      const from = 1 + index * share;
      return { scenario, from, seeds: Math.min(share, seeds + 1 - from) };
    });
    const answers = await Promise.all(ranges.map(run));
    const { counts, faults } = addUp(answers.map(({ sum }) => sum));
    const cpuMs = answers.reduce((all, answer) => all + answer.cpuMs, 0);
    const hours = Math.round(counts.virtualMs / cpuMs);
    t.diagnostic(JSON.stringify({ ...counts, hoursAnHourOfCpu: hours }));
    t.diagnostic(JSON.stringify(faults));
    assert.equal(counts.runs, seeds);
    assert.equal(counts.tasksLost, 0);
    assert.equal(counts.doubleOwners, 0);
    assert.equal(counts.duplicateReceipts, 0);
    assert.equal(counts.duplicateRecords, 0);
    assert.equal(counts.lateWrites, 0);
    assert.equal(counts.brokenSagas, 0);
    if (seeds > 50) assert.ok(counts.crashes > seeds, "too few crashes to show anything");
  });
}
