/** Schedules when processes die between any two calls of the store, and when changes race. */
import assert from "node:assert/strict";
import { test } from "node:test";

import { CadreError, isCadreError, type, type EventStore } from "cadre";
import { defineTask, type Cadre } from "cadre/agents";
import { testTeam } from "cadre/testing";
import { changed } from "../changed.ts";

const tick = { event: "custom.tick", payload: {} };
const Report = defineTask({ name: "report", input: type<string>(), output: type<string>() });
const alone = { orchestrator: false, relay: false };

type Moment = "before" | "after";

/** A store as one process has it: at its call number `dieAt` the process is gone, with its answer. */
function mortalStore(
  store: EventStore,
  dieAt: number,
  moment: Moment,
): { readonly store: EventStore; readonly calls: () => number; kill(): void } {
  let calls = 0;
  let isDead = false;
  const gone = (): never => {
    isDead = true;
    throw new CadreError("STORE_UNAVAILABLE", "The process is gone.", {
      path: "mortal",
      reason: "dead",
    });
  };
  const call = async <Value>(run: () => Promise<Value>): Promise<Value> => {
    if (isDead) return gone();
    calls += 1;
    const isLast = calls === dieAt;
    if (isLast && moment === "before") return gone();
    const value = await run();
    return isLast ? gone() : value;
  };
  const mortal = changed(store, {
    commit: (commit) => call(() => store.commit(commit)),
    version: (stream) => call(() => store.version(stream)),
    head: () => call(() => store.head()),
    slot: (name) => call(() => store.slot(name)),
    slots: (prefix) => call(() => store.slots(prefix)),
    async *read(query) {
      await call(() => Promise.resolve());
      yield* store.read(query);
    },
    close: () => Promise.resolve(),
  });
  const kill = (): void => {
    isDead = true;
  };
  return { store: mortal, calls: () => calls, kill };
}

async function idsOf(store: EventStore, pattern: string): Promise<string[]> {
  const ids: string[] = [];
  for await (const { event } of store.read({ type: pattern })) ids.push(event.id);
  return ids;
}

async function declareAll({ schedules }: Cadre, startAt: number): Promise<void> {
  const all = { missed: "all" } as const;
  await schedules.every("beat", 1_000, tick, { ...all, startAt: startAt + 1_000 });
  await schedules.every(
    "work",
    1_000,
    { task: Report, input: "x" },
    { ...all, startAt: startAt + 1_000 },
  );
  await schedules.at("once", startAt + 1_500, { event: "custom.once", payload: {} });
}

/**
 * One process that declares, fires, and dies at its call number `dieAt`; then another that goes on.
 * Returns how many calls the first made.
 */
async function dieAndGoOn(dieAt: number, moment: Moment): Promise<number> {
  const bench = testTeam();
  const startAt = bench.clock.now();
  const mortal = mortalStore(bench.store, dieAt, moment);
  const starting = bench.start({ ...alone, store: mortal.store });
  const living = starting.then((first) => declareAll(first, startAt));
  living.catch(() => undefined); // it may die at any moment of this
  await bench.clock.advance(2_600);
  mortal.kill();
  const second = await bench.start(alone);
  await bench.until(declareAll(second, startAt).catch(assertPast));
  await bench.clock.advance(startAt + 4_500 - bench.clock.now());
  const at = (ms: number): string => new Date(startAt + ms).toISOString();
  const instants = [1_000, 2_000, 3_000, 4_000];
  const where = `died ${moment} call ${dieAt}`;
  const beats = await idsOf(bench.store, "custom.tick");
  const tasks = (await second.tasks.list()).map(({ id }) => id);
  const once = await idsOf(bench.store, "custom.once");
  // What was declared before the end, or by the second, fires from its next instant on.
  assertTail(
    beats,
    instants.map((ms) => `beat@${at(ms)}`),
    where,
  );
  assertTail(
    tasks,
    instants.map((ms) => `work@${at(ms)}`),
    where,
  );
  assertTail(once, [`once@${at(1_500)}`], where);
  const fired = await idsOf(bench.store, "schedule.fired");
  assert.equal(fired.length, beats.length + tasks.length + once.length, where);
  await bench.close().catch(() => undefined); // the dead one can't say goodbye
  return mortal.calls();
}

/** A single instant that no dead process had declared is refused by the second: it has passed. */
function assertPast(error: unknown): void {
  if (!isCadreError(error, "INVALID_OPTION")) throw error;
}

/** Each once, in order, and none left out between the first that fired and the last. */
function assertTail(actual: readonly string[], all: readonly string[], where: string): void {
  assert.deepEqual(actual, all.slice(all.length - actual.length), where);
  if (all.length > 1) assert.ok(actual.length >= 2, `${where}: ${actual.join(" ")}`);
}

test("whatever call of the store a process dies at, each instant fires once", async () => {
  const calls = await dieAndGoOn(Infinity, "before");
  assert.ok(calls > 20, `${calls} calls`);
  for (const moment of ["before", "after"] as const) {
    for (let dieAt = 1; dieAt <= calls; dieAt += 1) await dieAndGoOn(dieAt, moment);
  }
});

test("a commit whose answer is lost is not repeated", async () => {
  const bench = testTeam();
  const startAt = bench.clock.now();
  let losses = 0;
  const lossy: EventStore = changed(bench.store, {
    commit: async (commit) => {
      const result = await bench.store.commit(commit);
      const isFiring = commit.outbox?.length === 1 && commit.slots?.length === 1;
      if (!isFiring || losses >= 3) return result;
      losses += 1;
      throw new CadreError("STORE_UNAVAILABLE", "The answer is lost.", {
        path: "lossy",
        reason: "lost",
      });
    },
  });
  const team = await bench.start({ ...alone, store: lossy });
  await team.schedules.every("beat", 1_000, tick);
  await bench.clock.advance(3_500);
  assert.equal(losses, 3);
  assert.deepEqual(
    await idsOf(bench.store, "custom.tick"),
    [1_000, 2_000, 3_000].map((ms) => `beat@${new Date(startAt + ms).toISOString()}`),
  );
  await bench.close();
});

test("one schedule whose commit is refused does not hold up the others, and is tried again", async () => {
  const bench = testTeam();
  const startAt = bench.clock.now();
  let isRefusing = true;
  const picky: EventStore = changed(bench.store, {
    commit: (commit) => {
      const isBad = commit.outbox?.some(({ type: name }) => name === "custom.bad") ?? false;
      if (!isBad || !isRefusing) return bench.store.commit(commit);
      const message = "The store does not take it.";
      return Promise.reject(new CadreError("INTERNAL", message, { what: "picky" }));
    },
  });
  const errors: string[] = [];
  const logger = {
    debug: () => {},
    info: () => {},
    warn: () => {},
    error: (message: string) => void errors.push(message),
  };
  const team = await bench.start({ ...alone, store: picky, logger });
  await team.schedules.at("bad", startAt + 900, { event: "custom.bad", payload: {} });
  await team.schedules.every("beat", 1_000, tick);
  await bench.clock.advance(3_500);
  assert.equal((await idsOf(bench.store, "custom.tick")).length, 3);
  assert.match(errors[0] ?? "", /Schedule bad could not be fired/);
  isRefusing = false;
  await bench.clock.advance(10_000);
  const bad = `bad@${new Date(startAt + 900).toISOString()}`;
  assert.deepEqual(await idsOf(bench.store, "custom.bad"), [bad]);
  await bench.close();
});

test("a task of the firing's id that is there already is not made again, and the schedule goes on", async () => {
  const bench = testTeam();
  const startAt = bench.clock.now();
  const team = await bench.start(alone);
  const id = `work@${new Date(startAt + 1_000).toISOString()}`;
  await team.tasks.create(Report, "by hand", { id });
  await team.schedules.every("work", 1_000, { task: Report, input: "x" });
  await bench.clock.advance(2_500);
  const tasks = (await team.tasks.list()).map((task) => [task.id, task.input]);
  const second = `work@${new Date(startAt + 2_000).toISOString()}`;
  assert.deepEqual(tasks, [
    [id, "by hand"],
    [second, "x"],
  ]);
  await bench.close();
});

/** A store in which `race` runs first when the first firing is to be committed. */
function racedStore(store: EventStore, race: () => Promise<unknown>): EventStore {
  let isFirst = true;
  return changed(store, {
    commit: async (commit) => {
      if (isFirst && commit.outbox?.length === 1 && commit.slots?.length === 1) {
        isFirst = false;
        await race();
      }
      return store.commit(commit);
    },
  });
}

test("a cancellation that comes before the firing's commit wins; one after it comes too late", async () => {
  const bench = testTeam();
  const startAt = bench.clock.now();
  const canceller: { schedules?: Cadre["schedules"] } = {};
  const cancelled: unknown[] = [];
  const store = racedStore(bench.store, async () => {
    cancelled.push(await canceller.schedules?.cancel("launch"));
  });
  const team = await bench.start({ ...alone, store });
  canceller.schedules = team.schedules;
  await team.schedules.at("launch", startAt + 1_000, tick);
  await bench.clock.advance(3_000);
  assert.deepEqual(cancelled, [true]);
  assert.deepEqual(await idsOf(bench.store, "custom.tick"), []);
  await team.schedules.at("launch", startAt + 4_000, tick);
  await bench.clock.advance(2_000);
  assert.equal(await team.schedules.cancel("launch"), false);
  assert.equal((await idsOf(bench.store, "custom.tick")).length, 1);
  await bench.close();
});

test("a move that comes before the firing's commit wins: it fires at the other instant alone", async () => {
  const bench = testTeam();
  const startAt = bench.clock.now();
  const mover: { schedules?: Cadre["schedules"] } = {};
  const store = racedStore(bench.store, async () =>
    mover.schedules?.move("launch", startAt + 4_000),
  );
  const team = await bench.start({ ...alone, store });
  mover.schedules = team.schedules;
  await team.schedules.at("launch", startAt + 1_000, tick);
  await bench.clock.advance(3_500);
  assert.deepEqual(await idsOf(bench.store, "custom.tick"), []);
  await bench.clock.advance(1_000);
  assert.deepEqual(await idsOf(bench.store, "custom.tick"), [
    `launch@${new Date(startAt + 4_000).toISOString()}`,
  ]);
  await bench.close();
});

test("of eight who declare, move and cancel one schedule at once, each change is whole", async () => {
  const bench = testTeam();
  const now = bench.clock.now();
  const team = await bench.start(alone);
  const declared = await Promise.all(
    Array.from({ length: 8 }, () => team.schedules.at("launch", now + 5_000, tick)),
  );
  assert.equal(new Set(declared.map((state) => JSON.stringify(state))).size, 1);
  assert.equal((await idsOf(bench.store, "schedule.created")).length, 1);
  await Promise.all(
    Array.from({ length: 8 }, (_, index) => team.schedules.move("launch", now + 6_000 + index)),
  );
  const moves = await idsOf(bench.store, "schedule.moved");
  assert.equal(moves.length, 8);
  const cancels = await Promise.all(
    Array.from({ length: 8 }, () => team.schedules.cancel("launch")),
  );
  assert.equal(cancels.filter(Boolean).length, 1);
  await bench.clock.advance(10_000);
  assert.deepEqual(await idsOf(bench.store, "custom.tick"), []);
  await bench.close();
});
