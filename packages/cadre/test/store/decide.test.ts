import assert from "node:assert/strict";
import { test } from "node:test";
import {
  SeededRandom,
  VirtualClock,
  createEvent,
  decide,
  isCadreError,
  loadStream,
  memoryStore,
  storeUnitOfWork,
} from "cadre";
import type { AgentEvent, Fold } from "cadre";
import { streamSnapshots } from "#src/store/snapshot.ts";

const clock = new VirtualClock();
const random = new SeededRandom(2);
const event = (type: string, payload: unknown = {}): AgentEvent =>
  createEvent({ clock, random, source: "test" }, type, payload);

interface Claim {
  readonly owner?: string;
  readonly claims: number;
}

const claim: Fold<Claim> = {
  initial: { claims: 0 },
  apply: (state, { payload }) => ({
    claims: state.claims + 1,
    owner: (payload as { by: string }).by,
  }),
};

const claimed = (by: string): AgentEvent => event("task.claimed", { by });
const folds = (): { readonly fold: Fold<Claim>; count: number } => {
  const counting = {
    count: 0,
    fold: {
      ...claim,
      apply: (state: Claim, each: AgentEvent, stored: Parameters<typeof claim.apply>[2]) => {
        counting.count += 1;
        return claim.apply(state, each, stored);
      },
    },
  };
  return counting;
};

test("of many who decide on one state one commits; the others see the new state", async () => {
  const store = memoryStore();
  const outcomes = await Promise.all(
    Array.from({ length: 8 }, (_, index) =>
      decide(store, "task/1", claim, (state) =>
        state.owner === undefined ? [claimed(`agent-${index}`)] : undefined,
      ),
    ),
  );
  const winners = outcomes.filter(({ kind }) => kind === "committed");
  assert.equal(winners.length, 1);
  const owner = winners[0]?.state.owner;
  assert.ok(owner);
  for (const { state, version } of outcomes) {
    assert.deepEqual({ state, version }, { state: { claims: 1, owner }, version: 1 });
  }
  assert.equal(await store.version("task/1"), 1);
});

test("all who insist get through, one after the other, and attempts are bounded", async () => {
  const store = memoryStore();
  await Promise.all(
    Array.from({ length: 10 }, (_, index) =>
      decide(store, "count", claim, () => [claimed(`${index}`)]),
    ),
  );
  assert.equal((await loadStream(store, "count", claim)).state.claims, 10);
  let decisions = 0;
  const spoiled = decide(
    store,
    "count",
    claim,
    async () => {
      decisions += 1;
      await store.commit({
        appends: [{ stream: "count", expectedVersion: "any", events: [claimed("spoiler")] }],
      });
      return [claimed("unlucky")];
    },
    { maxAttempts: 3 },
  );
  await assert.rejects(spoiled, (error) => isCadreError(error, "VERSION_CONFLICT"));
  assert.equal(decisions, 3);
});

test("a decision writes slots, streams and outbox with its events, or nothing", async () => {
  const store = memoryStore();
  const outcome = await decide(store, "task/1", claim, (_, version) => ({
    events: [claimed("a")],
    private: true,
    appends: [{ stream: "log", expectedVersion: version, events: [event("noted")] }],
    slots: [{ name: "s", expectedVersion: 0, value: "v" }],
    outbox: [event("told")],
  }));
  assert.equal(outcome.kind, "committed");
  assert.equal(outcome.position, 3);
  assert.equal(outcome.events.length, 1);
  const privacy: (boolean | undefined)[] = [];
  for await (const stored of store.read()) privacy.push(stored.private);
  assert.deepEqual(privacy, [true, undefined, undefined]);
  const nothing = await decide(store, "task/1", claim, () => ({ events: [] }));
  assert.deepEqual([nothing.kind, nothing.version], ["unchanged", 1]);
  await assert.rejects(
    decide(store, "task/1", claim, () => {
      throw new TypeError("no");
    }),
    TypeError,
  );
  assert.equal(await store.head(), 3);
});

test("a snapshot spares the events before it, and may be deleted at any time", async () => {
  const store = memoryStore();
  for (let round = 0; round < 25; round += 1) {
    await decide(store, "s", claim, () => [claimed(`${round}`)], { snapshot: { everyEvents: 10 } });
  }
  const counting = folds();
  const loaded = await loadStream(store, "s", counting.fold, { snapshot: { everyEvents: 10 } });
  assert.deepEqual(loaded, { state: { claims: 25, owner: "24" }, version: 25 });
  assert.equal(counting.count, 5, "20 are in the snapshot");
  await store.commit({ slots: await streamSnapshots(store, "s").removal() });
  assert.deepEqual(
    await loadStream(store, "s", counting.fold, { snapshot: { everyEvents: 10 } }),
    loaded,
  );
  assert.equal(counting.count, 30);
});

test("a stream is loaded as of a version and as of an instant", async () => {
  const storeClock = new VirtualClock(1_000);
  const store = memoryStore({ clock: storeClock });
  for (let index = 1; index <= 5; index += 1) {
    await decide(store, "s", claim, () => [claimed(`${index}`)], { snapshot: { everyEvents: 2 } });
    await storeClock.advance(100);
  }
  for (let version = 0; version <= 5; version += 1) {
    const asOf = { snapshot: { everyEvents: 2 }, upToVersion: version };
    assert.deepEqual((await loadStream(store, "s", claim, asOf)).version, version);
    const then = await loadStream(store, "s", claim, { upTo: new Date(999 + version * 100) });
    assert.deepEqual([then.version, then.state.claims], [version, version]);
  }
});

test("effects, mark and held-back events commit once; a second owner has lost", async () => {
  const store = memoryStore();
  const unit = storeUnitOfWork(store);
  assert.equal(unit.settles, false);
  const work = (name: string) => ({
    lease: undefined,
    commit: {
      appends: [{ stream: name, expectedVersion: "any" as const, events: [event("effect")] }],
      inbox: [{ subscription: "group", eventId: "e1" }],
      outbox: [event("held.back")],
    },
  });
  const first = work("first");
  assert.equal(await unit.commit(first), "ok");
  assert.equal(await unit.commit(first), "ok", "the same work again, after a lost answer");
  assert.equal(await unit.commit(work("second")), "lost");
  assert.equal(await store.version("second"), 0);
  assert.equal(await store.head(), 2);
  const ids = ["e0", "e1", ...Array.from({ length: 1_200 }, (_, index) => `x${index}`)];
  assert.deepEqual([...(await unit.handled("group", ids))], ["e1"]);
  assert.deepEqual([...(await unit.handled("other", ids))], []);
});

test("a conflict of the effects is not taken for a lost delivery", async () => {
  const store = memoryStore();
  const unit = storeUnitOfWork(store);
  const conflicting = unit.commit({
    lease: undefined,
    commit: {
      appends: [{ stream: "s", expectedVersion: 3, events: [event("effect")] }],
      inbox: [{ subscription: "group", eventId: "e1" }],
    },
  });
  await assert.rejects(conflicting, (error) => isCadreError(error, "VERSION_CONFLICT"));
  assert.equal((await unit.handled("group", ["e1"])).size, 0);
});
