/** Processes that watch each other die, freeze and come back, under every fault. */
import assert from "node:assert/strict";
import { test } from "node:test";

import type { EventStore } from "cadre";
import { everyFault, scenarios, simulate, simulateSeeds, SimulationError } from "cadre/testing";
import { changed } from "../changed.ts";

const { detection } = scenarios;

test("nobody is taken for dead while its beats arrive, and the work of the dead is done", async () => {
  const seeds = Number(process.env["CADRE_SEEDS"] ?? 4);
  const sum = await simulateSeeds({ ...detection, from: 1, seeds, faults: everyFault });
  assert.ok(sum.crashes > 4 * seeds && sum.leasesExpired > 4 * seeds, JSON.stringify(sum));
  assert.equal(sum.tasksLost + sum.duplicateReceipts + sum.doubleOwners, 0);
});

test("a wrong verdict is found: an observer that looks at what it saw long ago", async () => {
  /** Answers every second look with what was there before. */
  const forgetful = (store: EventStore): EventStore => {
    let looks = 0;
    let old: Awaited<ReturnType<EventStore["slots"]>> | undefined;
    return changed(store, {
      slots: async (prefix) => {
        if (!prefix.startsWith("presence/")) return store.slots(prefix);
        looks += 1;
        if (looks % 10 === 1) old = await store.slots(prefix);
        return old ?? [];
      },
    });
  };
  const run = simulate({ ...detection, seed: 1, store: forgetful, shortenRuns: 0 });
  await assert.rejects(run, (error: unknown) => {
    assert.ok(error instanceof SimulationError);
    return /for dead \d+ ms after a beat/.test(error.message);
  });
});
