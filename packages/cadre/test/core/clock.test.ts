import assert from "node:assert/strict";
import { test } from "node:test";

import { systemClock, VirtualClock } from "cadre";

test("virtual time stands still until it is told to go on", async () => {
  const clock = new VirtualClock(1_000);
  let fired = 0;
  clock.after(50, () => (fired += 1));
  await clock.settle();
  assert.deepEqual([clock.now(), clock.monotonic(), fired, clock.pending], [1_000, 0, 0, 1]);
  await clock.advance(49);
  assert.deepEqual([clock.now(), clock.monotonic(), fired], [1_049, 49, 0]);
  await clock.advance(1);
  assert.deepEqual([clock.now(), clock.monotonic(), fired, clock.pending], [1_050, 50, 1, 0]);
});

test("timers fire by their due times, equal ones by their making", async () => {
  const clock = new VirtualClock();
  const fired: string[] = [];
  clock.after(30, () => fired.push(`c@${clock.monotonic()}`));
  clock.after(10, () => fired.push(`a@${clock.monotonic()}`));
  clock.after(10, () => fired.push(`b@${clock.monotonic()}`));
  clock.after(-5, () => fired.push(`now@${clock.monotonic()}`));
  await clock.advance(100);
  assert.deepEqual(fired, ["now@0", "a@10", "b@10", "c@30"]);
  assert.equal(clock.monotonic(), 100);
});

test("a timer that a timer sets fires within the same advance, at its own instant", async () => {
  const clock = new VirtualClock();
  const beats: number[] = [];
  const beat = (): void => {
    beats.push(clock.monotonic());
    clock.after(10, beat);
  };
  clock.after(10, beat);
  await clock.advance(35);
  assert.deepEqual(beats, [10, 20, 30]);
});

test("work woken by a timer runs before the next timer fires", async () => {
  const clock = new VirtualClock();
  const order: string[] = [];
  void clock.sleep(10).then(async () => {
    await clock.yield();
    order.push("woken");
  });
  clock.after(11, () => order.push("timer"));
  await clock.advance(20);
  assert.deepEqual(order, ["woken", "timer"]);
});

test("a cancelled timer never fires", async () => {
  const clock = new VirtualClock();
  const cancel = clock.after(10, () => assert.fail("fired"));
  cancel();
  cancel();
  await clock.advance(20);
  assert.equal(clock.pending, 0);
  assert.equal(await clock.advanceToNext(), false);
});

test("advanceToNext goes straight to the next timer", async () => {
  const clock = new VirtualClock();
  let at = 0;
  clock.after(3_600_000, () => (at = clock.monotonic()));
  assert.equal(await clock.advanceToNext(), true);
  assert.equal(at, 3_600_000);
});

test("a jump moves wall time and no timer", async () => {
  const clock = new VirtualClock(1_000);
  clock.after(10, () => assert.fail("fired"));
  clock.jump(-500);
  assert.deepEqual([clock.now(), clock.monotonic()], [500, 0]);
  clock.jump(3_600_000);
  await clock.settle();
  assert.equal(clock.monotonic(), 0);
});

for (const [name, clock] of [
  ["virtual", new VirtualClock()],
  ["system", systemClock],
] as const) {
  test(`a ${name} sleep rejects with the reason of its abort and leaves no timer`, async () => {
    const reason = new Error("stop");
    const controller = new AbortController();
    const sleeping = clock.sleep(60_000, controller.signal);
    controller.abort(reason);
    await assert.rejects(sleeping, reason);
    await assert.rejects(clock.sleep(60_000, AbortSignal.abort(reason)), reason);
    if (clock instanceof VirtualClock) assert.equal(clock.pending, 0);
  });
}

test("the system clock fires once, not early, and its monotonic time never goes back", async () => {
  const startedAt = systemClock.monotonic();
  const wall = systemClock.now();
  const waits = Array.from({ length: 200 }, async (_, n) => {
    const from = systemClock.monotonic();
    await systemClock.sleep(n / 10);
    const tookMs = systemClock.monotonic() - from;
    assert.ok(tookMs >= n / 10, `${n / 10} ms took ${tookMs}`);
  });
  await Promise.all(waits);
  assert.ok(systemClock.monotonic() > startedAt);
  assert.ok(Math.abs(systemClock.now() - wall) < 60_000);
  await systemClock.yield();
});

test("a cancelled system timer never fires, and a very long one waits", async () => {
  const cancel = systemClock.after(0, () => assert.fail("fired"));
  cancel();
  const cancelLong = systemClock.after(2 ** 40, () => assert.fail("fired"), { background: true });
  await systemClock.sleep(5);
  cancelLong();
});
