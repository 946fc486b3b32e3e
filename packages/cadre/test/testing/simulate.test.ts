import assert from "node:assert/strict";
import { test } from "node:test";

import { isCadreError, type } from "cadre";
import { defineAgent, defineTask } from "cadre/agents";
import {
  everyFault,
  faultKinds,
  scenarios,
  simulate,
  simulateSeeds,
  SimulationError,
  type Scenario,
  type SimulationOptions,
  type SimulationSum,
} from "cadre/testing";

const Work = defineTask({ name: "work", input: type<number>(), output: type<number>() });
const faults = everyFault;
const { tasks, featureDag, steps, sagas, relay, projection } = scenarios;

/** Runs `work` with `CADRE_SEED` set, then sets it back. */
async function withSeed<Value>(seed: string, work: () => Promise<Value>): Promise<Value> {
  const before = process.env["CADRE_SEED"];
  process.env["CADRE_SEED"] = seed;
  try {
    return await work();
  } finally {
    if (before === undefined) delete process.env["CADRE_SEED"];
    else process.env["CADRE_SEED"] = before;
  }
}

/** The error of a simulation that must fail. */
async function failureOf<World>(options: SimulationOptions<World>): Promise<SimulationError> {
  try {
    await simulate(options);
  } catch (error) {
    if (error instanceof SimulationError) return error;
    throw error;
  }
  return assert.fail("nothing was found");
}

test("a team without faults ends its work, and no process dies", async () => {
  const result = await simulate({ ...tasks, seed: 1 });
  assert.equal(result.crashes, 0);
  assert.equal(result.leasesExpired, 0);
  assert.equal(result.tasksCreated, 8);
  assert.equal(result.tasksCompleted, 6);
  assert.deepEqual(result.faults, []);
});

async function assertRepeats<World>(scenario: Scenario<World>): Promise<void> {
  const first = await simulate({ ...scenario, faults, seed: 7 });
  const again = await simulate({ ...scenario, faults, seed: 7 });
  const other = await simulate({ ...scenario, faults, seed: 8 });
  assert.deepEqual(again.trace, first.trace);
  assert.deepEqual(again.faults, first.faults);
  assert.equal(again.hash, first.hash);
  assert.notEqual(other.hash, first.hash);
}

test("equal seeds give equal runs, down to the ids, and other seeds give others", async () => {
  await assertRepeats(tasks);
  await assertRepeats(featureDag);
  await assertRepeats(steps);
  await assertRepeats(sagas);
  await assertRepeats(relay);
  await assertRepeats(projection);
});

test("the faults of a run, played as its schedule without any chance, are the same run", async () => {
  const { clockSkewMs = 0, clockDrift = 0 } = faults;
  const first = await simulate({ ...steps, faults, seed: 11 });
  const again = await simulate({
    ...steps,
    faults: { clockSkewMs, clockDrift },
    schedule: first.faults,
    seed: 11,
  });
  assert.ok(first.faults.length > 5, "too few faults to show anything");
  assert.deepEqual(again.faults, first.faults);
  assert.equal(again.hash, first.hash);
});

test("the seed is CADRE_SEED unless it is given, and many seeds are that one", async () => {
  const run = { ...featureDag, faults };
  const nineteen = await simulate({ ...run, seed: 19 });
  const { hash } = await withSeed("19", () => simulate(run));
  assert.equal(hash, nineteen.hash);
  const sum = await withSeed("19", () => simulateSeeds({ ...run, seeds: 50 }));
  assert.equal(sum.runs, 1);
  assert.equal(sum.events, nineteen.events);
  assert.equal((await withSeed("3", () => simulate({ ...run, seed: 19 }))).hash, hash);
  const isRefused = (error: unknown): boolean => isCadreError(error, "INVALID_OPTION");
  await assert.rejects(() => withSeed("x", () => simulate(run)), isRefused);
  await assert.rejects(() => simulateSeeds({ ...run, seeds: 0 }), isRefused);
});

function assertSound(sum: SimulationSum): void {
  assert.equal(sum.tasksLost, 0);
  assert.equal(sum.doubleOwners, 0);
  assert.equal(sum.duplicateReceipts, 0);
  assert.equal(sum.duplicateRecords, 0);
  assert.equal(sum.lateWrites, 0);
  assert.equal(sum.brokenSagas, 0);
}

test("no seed breaks an invariant, and every kind of fault happens", async (t) => {
  const seeds = Number(process.env["CADRE_SEEDS"] ?? 10);
  const range = { faults, seeds };
  const sums = [
    await simulateSeeds({ ...tasks, ...range }),
    await simulateSeeds({ ...featureDag, ...range }),
    await simulateSeeds({ ...steps, ...range }),
    await simulateSeeds({ ...sagas, ...range }),
    await simulateSeeds({ ...relay, ...range }),
    await simulateSeeds({ ...projection, ...range }),
  ];
  sums.forEach(assertSound);
  const counts = faultKinds.map(
    (kind) => [kind, sums.reduce((all, sum) => all + sum.faultCounts[kind], 0)] as const,
  );
  t.diagnostic(JSON.stringify(Object.fromEntries(counts)));
  if (process.env["CADRE_SEED"]) return;
  for (const [kind, times] of counts) assert.ok(times > 0, `${kind} never happened`);
  const total = (key: "crashes" | "closes" | "leasesExpired"): number =>
    sums.reduce((all, sum) => all + sum[key], 0);
  assert.ok(total("crashes") > 5 * seeds, "too few crashes to show anything");
  assert.ok(total("closes") > seeds, "too few processes closed in order");
  assert.ok(total("leasesExpired") > seeds, "too few leases ran out");
});

test("an owner that freezes within its lease leaves no effect behind what was undone over it", async () => {
  // Between an intent and its effect, at one of these calls, a task is cancelled.
  for (const process of ["a", "b"]) {
    for (let nth = 3; nth <= 8; nth += 1) {
      const freeze = { kind: "pauseAfter", process, call: "store.commit", nth, ms: 7_000 } as const;
      await simulate({ ...sagas, seed: 1, schedule: [freeze] });
    }
  }
});

test("each run has a world of its own, and work is given the world and the clock", async () => {
  const worlds: { calls: number }[] = [];
  const scenario: Scenario<{ calls: number }> = {
    world: () => {
      const world = { calls: 0 };
      worlds.push(world);
      return world;
    },
    agents: (_process, world) => [
      defineAgent({ name: "worker" }).does(Work, (n) => {
        world.calls += 1;
        return n;
      }),
    ],
    work: async (team, _world, clock) => {
      await clock.sleep(5_000);
      await (await team.tasks.create(Work, 1)).result();
    },
    invariants: [async (_store, world) => (world.calls === 1 ? [] : [`${world.calls} calls`])],
  };
  const result = await simulate({ ...scenario, seed: 1 });
  await simulate({ ...scenario, seed: 2 });
  assert.ok(result.virtualMs > 5_000);
  assert.deepEqual(worlds, [{ calls: 1 }, { calls: 1 }]);
});

test("what does not hold fails the run with the seed, a short schedule, and the story", async () => {
  const {
    message,
    seed,
    violations,
    faults: all,
    schedule,
    story,
  } = await failureOf({
    ...tasks,
    processes: ["a"],
    seed: 3,
    schedule: [
      { kind: "duplicate", process: "a", nth: 1 },
      { kind: "slow", process: "a", call: "store.slots", life: 2, ms: 1_000 },
      { kind: "crashBefore", process: "a", call: "store.commit", afterMs: 250 },
      { kind: "fail", process: "a", life: 2 },
      { kind: "clockJump", process: "a", life: 2, ms: 500 },
    ],
    invariants: [
      // Only the crash has to do with it.
      async (store) => {
        for await (const { stream = "" } of store.read({ type: "task.lease_expired" })) {
          return [{ invariant: "no lease is lost", message: "one was", stream }];
        }
        return [];
      },
    ],
  });
  assert.equal(seed, 3);
  assert.deepEqual(violations[0]?.invariant, "no lease is lost");
  assert.equal(all.length, 5);
  assert.deepEqual(
    schedule.map(({ kind }) => kind),
    ["crashBefore"],
    message,
  );
  assert.match(message, /Run it again with CADRE_SEED=3/);
  assert.match(message, /"kind":"\w+"/);
  const told = story.join("\n");
  assert.match(told, /at \d+\.\d{3} s hands in a claimed task .+ \(epoch 1\)/);
  assert.match(told, /took the lease away from task .+ of hands \(epoch 1\)/);
  assert.match(told, /at 0\.\d{3} s a crashed before store\.commit\n/);
});

test("a failure can be left as long as it is", async () => {
  const { schedule, faults: all } = await failureOf({
    ...tasks,
    seed: 3,
    faults,
    shortenRuns: 0,
    invariants: [async () => ["the moon is missing"]],
  });
  assert.deepEqual(schedule, all);
});

test("what fails without any fault has an empty schedule", async () => {
  const { schedule, story } = await failureOf({
    ...tasks,
    seed: 3,
    faults,
    invariants: [async () => ["the moon is missing"]],
  });
  assert.deepEqual(schedule, []);
  assert.deepEqual(story, []);
});
