/** Each kind of fault, scheduled to happen at one call, and what it does there. */
import assert from "node:assert/strict";
import { test } from "node:test";

import { createEvent, isCadreError, memory, memoryStore, type EventStore } from "cadre";
import {
  scenarios,
  SeededRandom,
  simulate,
  type Fault,
  type FaultRates,
  type ScheduledFault,
} from "cadre/testing";
import { ProcessClock, SimClock } from "#src/testing/sim-clock.ts";
import { FaultPlan } from "#src/testing/sim-faults.ts";
import { simulatedStore, simulatedTransport } from "#src/testing/sim-ports.ts";
import { SimProcess, type LifeEnd } from "#src/testing/sim-process.ts";

/** One process on a store, a bus and a clock of its own. */
function setUp(schedule: readonly ScheduledFault[], rates: FaultRates = {}) {
  const clock = new SimClock(new SeededRandom(1));
  const faults: Fault[] = [];
  const ends: LifeEnd[] = [];
  const asked: string[] = [];
  const disk = { fullUntil: 0 };
  const process: SimProcess = new SimProcess({
    name: "a",
    life: 1,
    clock,
    random: new SeededRandom(2),
    rates,
    plan: new FaultPlan(rates, new SeededRandom(3), [...schedule]),
    disk,
    onFault: (fault) => void faults.push(fault),
    onEnd: (how) => void ends.push(how),
    onPowerCut: () => process.kill(),
    onLeave: () => void asked.push("leave"),
    onClockJump: (byMs) => own.jump(byMs),
  });
  const own = new ProcessClock(clock, process, { skewMs: 0, drift: 0, origin: 0 });
  const inner = memoryStore({ clock });
  const carrier = memory({ clock });
  const store = simulatedStore(process, inner, () => {});
  const transport = simulatedTransport(process, carrier, new Map(), () => {});
  return { clock, own, process, disk, inner, carrier, store, transport, faults, ends, asked };
}

/** What becomes of a promise within so much virtual time. */
async function outcome(
  clock: SimClock,
  promise: Promise<unknown>,
  withinMs = 60_000,
): Promise<{ readonly what: string; readonly afterMs: number }> {
  let what = "nothing";
  const startedAt = clock.monotonic();
  promise.then(
    () => (what = "done"),
    (error: unknown) => (what = isCadreError(error) ? error.code : String(error)),
  );
  while (what === "nothing" && clock.monotonic() - startedAt < withinMs && (await clock.step()));
  return { what, afterMs: clock.monotonic() - startedAt };
}

const source = { source: "test", random: new SeededRandom(9) };
const commitTo = (store: EventStore, clock: SimClock): Promise<unknown> =>
  store.commit({ outbox: [createEvent({ ...source, clock }, "custom.said", {})] });

for (const [kind, what, written] of [
  ["crashBefore", "nothing", 0],
  ["crashAfter", "nothing", 1],
  ["powerCut", "nothing", 0],
  ["loseAnswer", "STORE_UNAVAILABLE", 1],
  ["fail", "STORE_UNAVAILABLE", 0],
  ["partition", "STORE_UNAVAILABLE", 0],
  ["partitionStore", "STORE_UNAVAILABLE", 0],
  ["partitionBus", "done", 1],
  ["full", "STORE_FULL", 0],
  ["leave", "done", 1],
] as const) {
  test(`${kind}: a commit comes to ${what}, and ${written} of its events are there`, async () => {
    const { clock, inner, store, process, faults, ends, asked } = setUp([
      { kind, process: "a", call: "store.commit", nth: 2 },
    ]);
    assert.equal((await outcome(clock, commitTo(store, clock))).what, "done");
    assert.equal((await outcome(clock, commitTo(store, clock))).what, what);
    assert.equal(await inner.head(), 1 + written);
    assert.deepEqual(
      faults.map((fault) => [fault.kind, fault.call, fault.nth]),
      [[kind, "store.commit", 2]],
    );
    const isDeadly = ["crashBefore", "crashAfter", "powerCut"].includes(kind);
    assert.equal(process.alive, !isDeadly);
    assert.deepEqual(ends, isDeadly ? ["died"] : []);
    assert.deepEqual(asked, kind === "leave" ? ["leave"] : []);
  });
}

test("slow: a call takes as long as it is told to", async () => {
  const { clock, store } = setUp([{ kind: "slow", process: "a", ms: 7_000 }]);
  const { what, afterMs } = await outcome(clock, commitTo(store, clock));
  assert.equal(what, "done");
  assert.ok(afterMs >= 7_000 && afterMs < 7_020, `${afterMs}`);
});

for (const [kind, written] of [
  ["pauseBefore", 0],
  ["pauseAfter", 1],
] as const) {
  test(`${kind}: a process stands still, its timers too, and goes on`, async () => {
    const { clock, own, inner, store } = setUp([
      { kind, process: "a", call: "store.commit", ms: 30_000 },
    ]);
    let firedAt: number | undefined;
    own.after(1_000, () => (firedAt = clock.monotonic()));
    const commit = outcome(clock, commitTo(store, clock), 20_000);
    await commit;
    assert.equal(await inner.head(), written, "in the middle of the pause");
    assert.equal(firedAt, undefined);
    await outcome(clock, clock.sleep(15_000));
    assert.equal(await inner.head(), 1);
    assert.ok(firedAt !== undefined && firedAt >= 30_000, `${firedAt}`);
  });
}

test("a partition ends, and a full disk has room again", async () => {
  for (const kind of ["partition", "full"] as const) {
    const { clock, store } = setUp([{ kind, process: "a", call: "store.commit", ms: 5_000 }]);
    assert.notEqual((await outcome(clock, commitTo(store, clock))).what, "done");
    assert.notEqual((await outcome(clock, commitTo(store, clock))).what, "done");
    await outcome(clock, clock.sleep(5_000));
    assert.equal((await outcome(clock, commitTo(store, clock))).what, "done", kind);
  }
});

test("a full disk stays full until it is freed", async () => {
  const { clock, disk, process, store } = setUp([{ kind: "full", process: "a", ms: Infinity }]);
  for (let day = 0; day < 3; day += 1) {
    assert.equal((await outcome(clock, commitTo(store, clock))).what, "STORE_FULL");
    await outcome(clock, clock.sleep(86_400_000), Infinity);
  }
  disk.fullUntil = 0;
  assert.equal((await outcome(clock, commitTo(store, clock))).what, "done");
  assert.ok(process.alive);
});

test("clockJump: somebody sets the wall clock, and no time passes", async () => {
  const { clock, own, store } = setUp([{ kind: "clockJump", process: "a", ms: -50_000 }]);
  const before = { wall: own.now() - clock.now(), monotonic: own.monotonic() };
  assert.equal(before.wall, 0);
  await outcome(clock, commitTo(store, clock));
  assert.equal(own.now() - clock.now(), -50_000);
  assert.equal(own.monotonic(), clock.monotonic());
});

const group = {
  subscription: "readers",
  mode: "group",
  patterns: ["custom.#"],
  definition: "custom.#",
  from: "earliest",
  leaseMs: 10_000,
  maxQueued: 100,
} as const;

async function pulled(
  schedule: readonly ScheduledFault[],
  more: Partial<Parameters<ReturnType<typeof setUp>["transport"]["open"]>[0]> = {},
): Promise<{ readonly ids: readonly string[]; readonly afterMs: number }> {
  const { clock, transport } = setUp(schedule);
  const opening = transport.open({ ...group, ...more });
  await outcome(clock, opening);
  const intake = await opening;
  for (let n = 0; n < 5; n += 1) {
    const event = createEvent({ ...source, clock }, "custom.said", { n });
    await outcome(clock, transport.publish([{ event }]));
  }
  const pulling = intake.pull(10, new AbortController().signal);
  const { afterMs } = await outcome(clock, pulling);
  const leases = await pulling;
  return { ids: leases.map(({ recorded }) => recorded.event?.id ?? ""), afterMs };
}

test("duplicate: an event is published twice under its id", async () => {
  const { ids } = await pulled([{ kind: "duplicate", process: "a", nth: 2 }]);
  assert.equal(ids.length, 6);
  assert.equal(new Set(ids).size, 5);
});

test("reorder: what is pulled comes in another order, but not where an order was asked for", async () => {
  const { ids } = await pulled([]);
  const inOrder = ids.toSorted();
  assert.deepEqual(ids, inOrder);
  const mixed = await pulled([{ kind: "reorder", process: "a" }]);
  assert.notDeepEqual(mixed.ids, mixed.ids.toSorted());
  const ordered = await pulled([{ kind: "reorder", process: "a" }], { ordered: "block" });
  assert.deepEqual(ordered.ids, ordered.ids.toSorted());
});

test("late: what is pulled arrives after its lease", async () => {
  const { afterMs } = await pulled([{ kind: "late", process: "a", ms: 12_000 }]);
  assert.ok(afterMs >= 12_000);
});

test("a scheduled fault waits for the call that all of its conditions hold for", () => {
  const plan = (fault: Partial<ScheduledFault>): FaultPlan =>
    new FaultPlan({}, new SeededRandom(1), [{ kind: "fail", process: "a", ...fault }]);
  const place = { process: "a", life: 2, call: "store.head", nth: 3, at: 500 } as const;
  const happens = (fault: Partial<ScheduledFault>): boolean => plan(fault).at(place).has("fail");
  assert.ok(happens({}));
  assert.ok(happens({ call: "store.head", life: 2, nth: 3, afterMs: 500 }));
  assert.ok(!happens({ call: "store.slot" }));
  assert.ok(!happens({ life: 1 }));
  assert.ok(!happens({ nth: 2 }));
  assert.ok(!happens({ afterMs: 501 }));
  assert.ok(!happens({ kind: "duplicate" }), "no publish");
  const once = plan({});
  assert.ok(once.at(place).has("fail"));
  assert.ok(!once.at(place).has("fail"));
});

test("a process has clocks of its own: skewed, drifting, and its timers by them", async () => {
  const world = new SimClock(new SeededRandom(1));
  const owner = { alive: true, frozenMs: 0, timer: () => {} };
  const own = new ProcessClock(world, owner, { skewMs: 1_000, drift: 0.1, origin: 77 });
  assert.equal(own.now() - world.now(), 1_000);
  assert.equal(own.monotonic(), 77);
  let firedAt: number | undefined;
  own.after(11_000, () => {
    firedAt = world.monotonic();
    assert.ok(own.monotonic() >= 77 + 11_000, "a timer is never early");
  });
  while (firedAt === undefined) assert.ok(await world.step());
  assert.ok(Math.abs(firedAt - 10_000) < 1, `${firedAt}`);
  assert.equal(own.now() - world.now(), 2_000);
});

test("a scheduled crash in a whole team happens once, and the team gets over it", async () => {
  const schedule = [
    { kind: "crashAfter", process: "a", call: "store.commit", afterMs: 1_000 },
    { kind: "powerCut", process: "b", afterMs: 10_000 },
  ] as const;
  const result = await simulate({ ...scenarios.steps, seed: 5, schedule });
  assert.deepEqual(
    result.faults.map(({ kind, process }) => [kind, process]),
    [
      ["crashAfter", "a"],
      ["powerCut", "b"],
    ],
  );
  assert.equal(result.faultCounts.crashAfter, 1);
  assert.ok(result.crashes >= 2, `${result.crashes}`);
});
