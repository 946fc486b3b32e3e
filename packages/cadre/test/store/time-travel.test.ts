import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import {
  SeededRandom,
  VirtualClock,
  createEvent,
  defineEvents,
  defineProjection,
  differenceOf,
  diffProjection,
  foldProjection,
  isCadreError,
  loadStream,
  memoryStore,
  startProjection,
  type,
} from "cadre";
import type { AgentEvent, EventStore, StateChange } from "cadre";

const seed = process.env["CADRE_SEED"];
const runs = { numRuns: 60, ...(seed === undefined ? {} : { seed: Number(seed) }) };

interface Stock {
  readonly [item: string]: number;
}

const stock = defineProjection<Stock>({
  name: "stock",
  patterns: ["stock.#"],
  initial: {},
  apply: (state, { payload }) => {
    const { item, change } = payload as { item: string; change: number };
    return { ...state, [item]: (state[item] ?? 0) + change };
  },
});

/** A log of `size` events, in commits of some, a few milliseconds apart. */
async function grow(
  store: EventStore,
  clock: VirtualClock,
  random: SeededRandom,
  size: number,
): Promise<void> {
  const context = { clock, random, source: "test" };
  let left = size;
  while (left > 0) {
    const count = Math.min(left, 1 + random.integer(5));
    left -= count;
    const events = Array.from({ length: count }, (): AgentEvent => {
      const payload = { item: `i${random.integer(6)}`, change: random.integer(9) - 4 };
      return createEvent(context, random.integer(5) === 0 ? "note" : "stock.changed", payload);
    });
    await store.commit({ appends: [{ stream: "stock/1", expectedVersion: "any", events }] });
    if (random.integer(3) > 0) await clock.advance(random.integer(50));
  }
}

/** What is right: everything up to the point, one by one. */
async function foldedByHand(
  store: EventStore,
  point: number | Date,
): Promise<{ readonly state: Stock; readonly events: number }> {
  let state: Stock = {};
  let events = 0;
  for await (const stored of store.read()) {
    const late =
      point instanceof Date ? stored.recordedAt > point.getTime() : stored.position > point;
    if (late) break;
    events += 1;
    if (stock.wants(stored)) state = stock.apply(state, stored.event, stored);
  }
  return { state, events };
}

test("any point, with any snapshots kept or deleted, equals a fold from the start", async () => {
  await fc.assert(
    fc.asyncProperty(
      fc.record({
        chance: fc.integer(),
        size: fc.integer({ min: 0, max: 300 }),
        everyEvents: fc.integer({ min: 1, max: 60 }),
        keep: fc.integer({ min: 1, max: 9 }),
        points: fc.array(fc.nat(1_000), { minLength: 4, maxLength: 12 }),
      }),
      async ({ chance, size, everyEvents, keep, points }) => {
        const random = new SeededRandom(chance);
        const clock = new VirtualClock(1_000);
        const store = memoryStore({ clock });
        const snapshot = { everyEvents, keep };
        const running = await startProjection(store, stock, {
          clock,
          checkpointEvery: 20,
          snapshot,
        });
        for (let part = 0; part < 3; part += 1) {
          await grow(store, clock, random, Math.ceil(size / 3));
          await loadStream(store, "stock/1", stock, { snapshot });
          await running.caughtUp();
        }
        const before = JSON.stringify(running.state);
        await running.close();
        const head = await store.head();
        const elapsed = clock.now() - 1_000;
        for (const each of points) {
          await deleteSome(store, random);
          const at = Math.floor((each / 1_000) * (head + 2));
          const point =
            each % 2 === 0
              ? at
              : new Date(1_000 - 10 + Math.floor((each / 1_000) * (elapsed + 20)));
          const right = await foldedByHand(store, point);
          const folded = await foldProjection(store, stock, { upTo: point });
          assert.deepEqual(folded.state, right.state);
          const stream = await loadStream(store, "stock/1", stockOfStream, {
            upTo: point,
            snapshot,
          });
          assert.equal(stream.version, right.events);
        }
        assert.equal(JSON.stringify((await foldProjection(store, stock)).state), before);
      },
    ),
    runs,
  );
});

/** The stream has notes too, which this fold counts. */
const stockOfStream = { initial: 0, apply: (count: number) => count + 1 };

/** Snapshots, and the checkpoint, are caches. */
async function deleteSome(store: EventStore, random: SeededRandom): Promise<void> {
  const slots = [...(await store.slots("snapshot")), ...(await store.slots("projection/"))];
  for (const { name } of slots) {
    const roll = random.integer(8);
    if (roll > 1) continue;
    const value = roll === 0 ? undefined : '{"fold":1';
    await store.commit({ slots: [{ name, expectedVersion: "any", value }] });
  }
}

test("snapshots are bounded in number, and spread over the whole past", async () => {
  const clock = new VirtualClock(1_000);
  const store = memoryStore({ clock });
  const snapshot = { everyEvents: 10, keep: 8 };
  await using running = await startProjection(store, stock, { clock, snapshot });
  await grow(store, clock, new SeededRandom(3), 2_000);
  await running.caughtUp();
  await clock.settle();
  const kept = (await store.slots("snapshot-")).map(
    ({ value }) => (JSON.parse(value) as { at: number }).at,
  );
  assert.equal(kept.length, 8);
  const sorted = [0, ...kept.toSorted((left, right) => left - right)];
  for (const [index, at] of sorted.slice(1).entries()) {
    assert.ok(at - sorted[index]! <= 600, `${sorted.join(", ")}: no gap is a third of the log`);
  }
  assert.equal((await store.slots("snapshot/")).length, 1);
});

test("a snapshot is taken by count, by age in the log, or by size; a large one is not kept", async () => {
  const clock = new VirtualClock(1_000);
  const cases = [
    [{ everyEvents: 50 }, 4],
    [{ everyMs: 9_000 }, 2],
    [{ everyBytes: 4_000 }, 1],
    [{ everyEvents: 50, everyMs: 10_000 }, 4],
    [{ everyEvents: 50, maxBytes: 10 }, 0],
  ] as const;
  for (const [policy, expected] of cases) {
    const store = memoryStore({ clock });
    const context = { clock, random: new SeededRandom(1), source: "test" };
    const options = { clock, snapshot: policy };
    await using running = await startProjection(store, stock, options);
    for (let index = 0; index < 200; index += 1) {
      const payload = { item: "x", change: 1 };
      await store.commit({ outbox: [createEvent(context, "stock.changed", payload)] });
      await clock.advance(100);
    }
    await running.caughtUp();
    await clock.settle();
    const kept = await store.slots("snapshot-");
    const what = JSON.stringify(policy);
    if (expected === 1) assert.ok(kept.length >= 1, what);
    else assert.equal(kept.length, expected, what);
  }
});

test("rebuild keeps nothing of the fold that was wrong, and shows the old state meanwhile", async () => {
  const clock = new VirtualClock(1_000);
  const store = memoryStore({ clock, pageSize: 16 });
  await grow(store, clock, new SeededRandom(5), 200);
  let factor = 7;
  const mended = defineProjection<number>({
    name: "mended",
    patterns: ["stock.#"],
    initial: 0,
    apply: (sum) => sum + factor,
  });
  const snapshot = { everyEvents: 20 };
  await using running = await startProjection(store, mended, { clock, snapshot });
  await running.caughtUp();
  const wrong = running.state;
  factor = 1;
  const rebuilding = running.rebuild();
  const seen = new Set([running.state]);
  const watching = (async () => {
    for (let turn = 0; turn < 50; turn += 1) {
      seen.add(running.state);
      await Promise.resolve();
    }
  })();
  await rebuilding;
  await watching;
  assert.equal(running.state, wrong / 7);
  assert.deepEqual(
    [...seen].filter((state) => state !== wrong && state !== wrong / 7),
    [],
  );
  for (const upTo of [0, 50, 120, 200]) {
    const { state } = await foldProjection(store, mended, { upTo });
    const right = await foldProjection(store, mended, { upTo, fromStart: true });
    assert.equal(state, right.state);
  }
});

test("a rebuild that fails leaves everything as it was", async () => {
  const clock = new VirtualClock();
  const store = memoryStore({ clock });
  await grow(store, clock, new SeededRandom(5), 50);
  let broken = false;
  const fragile = defineProjection<number>({
    name: "fragile",
    initial: 0,
    apply: (count) => {
      if (broken) throw new Error("not any more");
      return count + 1;
    },
  });
  await using running = await startProjection(store, fragile, { clock });
  await running.caughtUp();
  broken = true;
  await assert.rejects(running.rebuild(), (error) => isCadreError(error, "PROJECTION_FAILED"));
  assert.equal(running.state, 50);
  assert.equal((await running.status()).phase, "live");
});

test("the status tells head, lag and rate", async () => {
  const clock = new VirtualClock();
  const store = memoryStore({ clock });
  await using running = await startProjection(store, stock, { clock });
  const random = new SeededRandom(9);
  for (let second = 0; second < 20; second += 1) {
    await grow(store, new VirtualClock(), random, 30);
    await clock.advance(1_000);
  }
  await running.caughtUp();
  const { position, head, lag, perSecond } = await running.status();
  assert.deepEqual([position, head, lag], [600, 600, 0]);
  assert.ok(perSecond > 25 && perSecond < 35, String(perSecond));
  await clock.advance(60_000);
  assert.ok((await running.status()).perSecond < 1);
});

test("folds see old payloads in their current version, everywhere", async () => {
  const clock = new VirtualClock(1_000);
  const store = memoryStore({ clock });
  const events = defineEvents({
    "stock.changed": {
      ...type<{ item: string; change: number }>(),
      version: "2.0.0",
      upcast: { "1.0.0": (old: { name: string }) => ({ item: old.name, change: 1 }) },
    },
  });
  const context = { clock, random: new SeededRandom(1), source: "test" };
  const old = createEvent(context, "stock.changed", { name: "tea" });
  await store.commit({ appends: [{ stream: "stock/1", expectedVersion: 0, events: [old] }] });
  const current = defineProjection<Stock>({ ...stock, name: "current", events });
  const expected = { tea: 1 };
  assert.deepEqual((await foldProjection(store, current)).state, expected);
  assert.deepEqual((await foldProjection(store, current, { upTo: 1 })).state, expected);
  assert.deepEqual((await loadStream(store, "stock/1", current)).state, expected);
  await using running = await startProjection(store, current, { clock });
  await running.caughtUp();
  assert.deepEqual(running.state, expected);
  const unreadable = createEvent(context, "stock.changed", {}, { version: "3.0.0" });
  await store.commit({ outbox: [unreadable] });
  await assert.rejects(running.caughtUp(), (error) => {
    assert.ok(isCadreError(error, "PROJECTION_FAILED"));
    return isCadreError(error.cause, "UNKNOWN_VERSION");
  });
});

test("what is no point in the log is refused", async () => {
  const store = memoryStore();
  for (const upTo of [-1, 1.5, NaN, new Date(NaN)]) {
    await assert.rejects(foldProjection(store, stock, { upTo }), (error) =>
      isCadreError(error, "INVALID_OPTION"),
    );
  }
  for (const snapshot of [{}, { keep: 3 }, { everyEvents: 0 }, { everyEvents: 1, keep: 1_000 }]) {
    await assert.rejects(loadStream(store, "s", stock, { snapshot }), (error) =>
      isCadreError(error, "INVALID_OPTION"),
    );
  }
});

test("the difference of two points names each place that changed", async () => {
  const clock = new VirtualClock(1_000);
  const store = memoryStore({ clock });
  const context = { clock, random: new SeededRandom(1), source: "test" };
  const write = (item: string, change: number) =>
    store.commit({ outbox: [createEvent(context, "stock.changed", { item, change })] });
  await write("tea", 3);
  await write("a/b~c", 1);
  await clock.advance(1_000);
  await write("tea", 2);
  await write("rice", 9);
  const { from, to, changes } = await diffProjection(store, stock, { from: new Date(1_500) });
  assert.deepEqual([from.position, to.position], [2, 4]);
  assert.deepEqual(changes, [
    { kind: "changed", path: "/tea", before: 3, after: 5 },
    { kind: "added", path: "/rice", after: 9 },
  ]);
  const back = await diffProjection(store, stock, { from: 2, to: 1 });
  assert.deepEqual(back.changes, [{ kind: "removed", path: "/a~1b~0c", before: 1 }]);
});

test("what the difference says, done to the one state, makes the other", () => {
  fc.assert(
    fc.property(fc.jsonValue(), fc.jsonValue(), (left, right) => {
      const [before, after] = [JSON.parse(JSON.stringify(left)), JSON.parse(JSON.stringify(right))];
      assert.deepEqual(applied(before, differenceOf(before, after)), after);
      assert.deepEqual(differenceOf(before, structuredClone(before)), []);
    }),
    { ...runs, numRuns: 500 },
  );
});

function applied(state: unknown, changes: readonly StateChange[]): unknown {
  const root: Record<string, unknown> = { "": structuredClone(state) };
  for (const { kind, path, after } of changes) {
    const names = ["", ...path.split("/").slice(1)].map((name) =>
      name.replaceAll("~1", "/").replaceAll("~0", "~"),
    );
    const last = names.pop()!;
    let target: unknown = root;
    for (const name of names) target = (target as Record<string, unknown>)[name];
    if (kind !== "removed") {
      // not by assignment: a member may be named __proto__
      const member = { value: after, writable: true, enumerable: true, configurable: true };
      Object.defineProperty(target, last, member);
    } else if (Array.isArray(target)) target.splice(Number(last), 1);
    else delete (target as Record<string, unknown>)[last];
  }
  return root[""];
}
