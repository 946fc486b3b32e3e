import assert from "node:assert/strict";
import { test } from "node:test";

import { createEvent, SeededRandom, systemClock, type, type EventStore } from "cadre";
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

// Each of these seeds breaks an invariant when the mending of its mistake is taken away.
for (const [seed, fact] of [
  [13, "a process that freezes between an intent and its effect has no effect after its lease"],
  [209, "a task that ended before the answer to its creation came leaves the board"],
  [636, "a claim whose answer comes after the task's end runs nothing"],
] as const) {
  test(`seed ${seed}: ${fact}`, async () => {
    const result = await run(seed);
    assert.equal(result.tasksLost, 0);
  });
}

/** Fails unless one of the first seeds breaks `invariant`. */
async function assertFound(
  invariant: string,
  options: Partial<SimulationOptions>,
  seeds = 10,
): Promise<void> {
  const found = new Set<string>();
  for (let seed = 1; seed <= seeds && !found.has(invariant); seed += 1) {
    await run(seed, { maxVirtualMs: 300_000, ...options }).catch((error: unknown) => {
      if (!(error instanceof SimulationError)) throw error;
      for (const violation of error.violations) found.add(violation.invariant);
    });
  }
  assert.ok(found.has(invariant), `found only: ${[...found].join(", ") || "nothing"}`);
}

const changed = (store: EventStore, changes: Partial<EventStore>): EventStore => ({
  name: store.name,
  commit: (commit) => store.commit(commit),
  read: (query) => store.read(query),
  version: (stream) => store.version(stream),
  head: () => store.head(),
  watch: (wake) => store.watch(wake),
  slot: (name) => store.slot(name),
  slots: (prefix) => store.slots(prefix),
  marked: (marks) => store.marked(marks),
  pruneInbox: (olderThanMs) => store.pruneInbox(olderThanMs),
  close: () => store.close(),
  ...changes,
});

/** The mistake that everything is built against: a writer does not notice that it is late. */
const withoutVersions = (store: EventStore): EventStore =>
  changed(store, {
    commit: ({ appends = [], ...rest }) => {
      const blind = appends.map((append) => ({ ...append, expectedVersion: "any" as const }));
      return store.commit({ ...rest, appends: blind });
    },
  });

for (const invariant of ["one owner an epoch", "one end a task", "one receipt a key"]) {
  test(`a store that ignores expected versions is found out: ${invariant}`, async () => {
    await assertFound(invariant, { store: withoutVersions });
  });
}

test("a store that forgets what was handled is found out: one record a cause", async () => {
  const store = (inner: EventStore): EventStore =>
    changed(inner, {
      commit: ({ inbox: _inbox, ...commit }) => inner.commit(commit),
      marked: async () => [],
    });
  const faults = { ...standardFaults, duplicate: 1 };
  await assertFound("one record a cause", { store, faults });
});

test("a reader that misses events is found out: live projection = rebuilt projection", async () => {
  const store = (inner: EventStore): EventStore =>
    changed(inner, {
      async *read(query) {
        for await (const stored of inner.read(query)) {
          if (stored.event.type !== "task.failed") yield stored;
        }
      },
    });
  await assertFound("live projection = rebuilt projection", { store });
});

test("a feature that nobody ends is found out", async () => {
  const task = { name: "work", definition: Work, input: 1 };
  const work: SimulationOptions["work"] = (team) =>
    team.features.create({ id: "feature", title: "Never", tasks: [task] });
  await assertFound("features end", { processes: [], work, invariants: [] }, 1);
});

const ghost = { source: "ghost", clock: systemClock, random: new SeededRandom(1) };

test("a process that writes when all is done is found out: quiescence", async () => {
  let writes = 0;
  const store = (inner: EventStore): EventStore =>
    changed(inner, {
      slots: async (prefix) => {
        const event = createEvent(ghost, "custom.ghost", { writes });
        if (prefix === "presence/" && (writes += 1) % 5 === 0)
          await inner.commit({ outbox: [event] });
        return inner.slots(prefix);
      },
    });
  await assertFound("quiescence", { store, faults: {} }, 1);
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
