/** What an audit must not believe, and what a run of retention leaves when it is cut off. */
import assert from "node:assert/strict";
import { join } from "node:path";
import { test } from "node:test";
import {
  claimCheckStore,
  exportLog,
  folderBlobs,
  memoryStore,
  readAnchor,
  runRetention,
  startSealer,
  verifyLog,
  VirtualClock,
} from "cadre";
import type { EventStore } from "cadre";
import { createEvent, type AgentEvent } from "#src/core/event.ts";
import { SeededRandom } from "#src/core/random.ts";
import { changed } from "../changed.ts";
import { temporaryFolder } from "../drivers/sqlite/temporary-file.ts";

const random = new SeededRandom(3);

function bench() {
  const clock = new VirtualClock();
  const store = memoryStore({ clock });
  const event = (payload: unknown = {}): AgentEvent =>
    createEvent({ clock, random, source: "test" }, "test.noted", payload);
  const add = async (count: number): Promise<void> => {
    await store.commit({ outbox: Array.from({ length: count }, (_, index) => event({ index })) });
  };
  const seal = (of: EventStore = store): Promise<void> =>
    startSealer({ store: of, clock, random, blockRows: 4 }).close();
  return { clock, store, event, add, seal };
}

test("an anchor is not outdone by a later one of its number, as a forged log's sealer notes", async () => {
  const genuine = bench();
  await genuine.add(8);
  await genuine.seal();
  const forged = bench();
  await forged.add(8);
  await forged.seal();
  const anchors = [await readAnchor(genuine.store), await readAnchor(forged.store)];
  for (const order of [anchors, anchors.toReversed()]) {
    const { ok, problem } = await verifyLog(forged.store, { anchors: order.map((each) => each!) });
    assert.deepEqual([ok, problem?.kind, problem?.position], [false, "seal", 5]);
  }
  const twice = [anchors[1]!, anchors[1]!];
  assert.equal((await verifyLog(forged.store, { anchors: twice })).ok, true);
});

test("an end of the chain that names another place than its seal is found", async () => {
  for (const to of [3, 900]) {
    const { store, add, seal } = bench();
    await add(4);
    await seal();
    const value = JSON.stringify({ ...(await readAnchor(store)), to });
    await store.commit({ slots: [{ name: "audit/head", expectedVersion: "any", value }] });
    const { ok, problem } = await verifyLog(store);
    assert.deepEqual([ok, problem?.kind, problem?.seal], [false, "seal", 1]);
  }
});

test("a log whose large payloads lie elsewhere is sealed, verified and exported as its rows are", async () => {
  const { store, event, seal } = bench();
  const blobs = folderBlobs(join(temporaryFolder(), "blobs"));
  const checked = claimCheckStore(store, { blobs, overBytes: 100 });
  await checked.commit({ outbox: [event({ text: "long".repeat(100) }), event()] });
  await seal(checked);
  assert.deepEqual((await verifyLog(checked)).problem, undefined);
  assert.deepEqual((await verifyLog(store)).problem, undefined);
  const [one, other] = await Promise.all([
    Array.fromAsync(exportLog(checked)),
    Array.fromAsync(exportLog(store)),
  ]);
  assert.deepEqual(one, other);
});

test("a run that is cut off between two commits leaves no part of a guarded stream", async () => {
  const { clock, store, event } = bench();
  const streams = Array.from({ length: 50 }, (_, index) => `whole/${index}`);
  for (let round = 0; round < 7; round += 1) {
    for (const stream of streams) {
      await store.commit({ appends: [{ stream, expectedVersion: round, events: [event()] }] });
    }
  }
  let left = 1;
  const failing = changed(store, {
    commit: (commit) => {
      if (commit.removals && left-- === 0) return Promise.reject(new Error("crash"));
      return store.commit(commit);
    },
  });
  const guards = [{ prefix: "whole/", isFinished: () => Promise.resolve(true) }];
  const rules = [{ maxEvents: 0 }];
  const run = runRetention({ store: failing, rules, guards, clock, random });
  await assert.rejects(run, /crash/);
  const sizes = await Promise.all(
    streams.map(async (stream) => (await Array.fromAsync(store.read({ stream }))).length),
  );
  assert.deepEqual(new Set(sizes), new Set([0, 7]));
});
