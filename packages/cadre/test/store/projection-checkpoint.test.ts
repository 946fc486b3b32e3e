import assert from "node:assert/strict";
import { test } from "node:test";
import {
  CadreError,
  VirtualClock,
  defineProjection,
  foldProjection,
  isCadreError,
  memoryStore,
  startProjection,
} from "cadre";
import { clock, counter, created, write } from "./task-events.ts";
import { changed } from "../changed.ts";

test("a restart goes on from the checkpoint and folds nothing twice", async () => {
  const store = memoryStore();
  await write(store, created("a"), created("b"), created("c"));
  const first = await startProjection(store, counter, { clock, checkpointEvery: 2 });
  await first.caughtUp();
  await first.close();
  await write(store, created("d"));
  const reads: (number | undefined)[] = [];
  const seeing = changed(store, {
    read: (query) => {
      reads.push(query?.after);
      return store.read(query);
    },
  });
  await using second = await startProjection(seeing, counter, { clock });
  await second.caughtUp();
  assert.equal(second.state, 4);
  assert.deepEqual(reads, [3]);
});

test("checkpoints are kept by count, by age, and never without need", async () => {
  const store = memoryStore();
  const version = async (): Promise<number | undefined> =>
    (await store.slot("projection/counter"))?.version;
  const running = await startProjection(store, counter, {
    clock,
    checkpointEvery: 10,
    checkpointAfterMs: 1_000,
  });
  await write(store, ...Array.from({ length: 25 }, (_, index) => created(`${index}`)));
  await running.caughtUp();
  assert.equal(await version(), 2, "after 10 and after 20 events");
  await clock.advance(1_001);
  assert.equal(await version(), 3, "by age");
  await clock.advance(60_000);
  assert.equal(await version(), 3, "nothing new");
  await running.close();
  assert.equal(await version(), 3);
  assert.equal(clock.pending, 0);
});

test("a checkpoint that cannot be written loses nothing and stops nothing", async () => {
  const store = memoryStore();
  await write(store, created("a"), created("b"));
  let failing = true;
  const broken = changed(store, {
    commit: async (commit) => {
      if (failing) throw new CadreError("STORE_FULL", "full", { path: "/" });
      return store.commit(commit);
    },
  });
  const warnings: string[] = [];
  const logger = { debug() {}, info() {}, error() {}, warn: (text: string) => warnings.push(text) };
  const running = await startProjection(broken, counter, { clock, logger, checkpointEvery: 1 });
  await running.caughtUp();
  assert.equal(running.state, 2, "a full disk does not stop the fold");
  assert.ok(warnings.length > 0);
  failing = false;
  await write(store, created("c"));
  await running.close();
  await using again = await startProjection(store, counter, { clock });
  await again.caughtUp();
  assert.equal(again.state, 3);
});

test("a checkpoint that is corrupt, of another version or ahead is ignored", async () => {
  const store = memoryStore();
  await write(store, created("a"));
  const values = [
    "{",
    "null",
    '"text"',
    JSON.stringify({ version: 2, position: 1, state: 99 }),
    JSON.stringify({ version: 1, position: 50, state: 99 }),
    JSON.stringify({ version: 1, position: -1, state: 99 }),
    JSON.stringify({ version: 1, position: 1 }),
  ];
  for (const value of values) {
    await store.commit({
      slots: [{ name: "projection/counter", expectedVersion: "any", value }],
    });
    await using running = await startProjection(store, counter, { clock });
    await running.caughtUp();
    assert.equal(running.state, 1, value);
    assert.equal((await foldProjection(store, counter)).state, 1, value);
  }
});

test("a state that is no JSON is folded without checkpoints, and the status says so", async () => {
  const store = memoryStore();
  const map = defineProjection({
    name: "map",
    initial: () => new Map<string, string>(),
    apply: (state, { id, type }) => new Map(state).set(id, type),
  });
  await write(store, created("a"));
  const running = await startProjection(store, map, { clock, checkpointEvery: 1 });
  await running.caughtUp();
  assert.equal(running.state.size, 1);
  assert.ok(isCadreError((await running.status()).checkpointError, "NOT_JSON"));
  await running.close();
  assert.equal(await store.slot("projection/map"), undefined);
});

test("time travel folds as of a position and as of an instant", async () => {
  const storeClock = new VirtualClock(1_000);
  const store = memoryStore({ clock: storeClock });
  for (let index = 0; index < 10; index += 1) {
    await write(store, created(`${index}`));
    await storeClock.advance(100);
  }
  const check = async (): Promise<void> => {
    for (let upTo = 0; upTo <= 10; upTo += 1) {
      assert.deepEqual(await foldProjection(store, counter, { upTo }), {
        state: upTo,
        position: upTo,
      });
      // The first event was recorded at 1,000, the next one 100 ms later, and so on.
      const at = 1_000 + upTo * 100;
      assert.deepEqual(await foldProjection(store, counter, { upTo: new Date(at - 1) }), {
        state: upTo,
        position: upTo,
      });
    }
    assert.equal((await foldProjection(store, counter, { upTo: 99 })).position, 10);
  };
  await check();
  await store.commit({
    slots: [
      {
        name: "projection/counter",
        expectedVersion: 0,
        value: JSON.stringify({ version: 1, position: 6, state: 6 }),
      },
    ],
  });
  await check();
});
