import assert from "node:assert/strict";
import { test } from "node:test";
import { CircuitBreaker, type BreakerChange } from "#src/bus/circuit-breaker.ts";
import { Deadlines } from "#src/bus/deadline-queue.ts";
import { DedupWindow } from "#src/bus/dedup-window.ts";
import { Fairness } from "#src/bus/fairness.ts";
import { Prefetch } from "#src/bus/prefetch.ts";
import { RetryPolicy } from "#src/bus/retry-policy.ts";
import { Queue } from "#src/bus/queue.ts";
import { VirtualClock } from "#src/core/clock.ts";
import { isCadreError, RetryableError, TerminalError } from "#src/core/errors.ts";
import { SeededRandom } from "#src/core/random.ts";

const unexpected = (thrown: unknown): void => assert.fail(String(thrown));

function policy(options: ConstructorParameters<typeof RetryPolicy>[0]): RetryPolicy {
  return new RetryPolicy(options, new SeededRandom(1));
}

test("retry delays double up to their limit", () => {
  const retry = policy({ minDelayMs: 100, maxDelayMs: 1_000, jitter: 0, maxAttempts: 10 });
  const delays = [1, 2, 3, 4, 5, 6].map((attempt) => retry.delayAfter(attempt));
  assert.deepEqual(delays, [100, 200, 400, 800, 1_000, 1_000]);
});

test("jitter takes at most its part of the delay", () => {
  const retry = policy({ minDelayMs: 1_000, jitter: 0.5 });
  const delays = Array.from({ length: 200 }, () => retry.delayAfter(1));
  assert.ok(Math.min(...delays) >= 500 && Math.max(...delays) <= 1_000);
  assert.ok(new Set(delays).size > 50);
});

test("a RetryableError waits at least as long as it asks for", () => {
  const verdict = policy({}).judge(
    new RetryableError("busy", { retryAfterMs: 5_000 }),
    1,
    unexpected,
  );
  assert.deepEqual(verdict, { kind: "retry", delayMs: 5_000 });
});

test("a RetryableError still ends with the last attempt", () => {
  const verdict = policy({ maxAttempts: 2 }).judge(new RetryableError("busy"), 2, unexpected);
  assert.deepEqual(verdict, { kind: "dead", reason: "attempts" });
});

test("a TerminalError is not shown to retryIf", () => {
  const retry = policy({ retryIf: () => assert.fail("asked") });
  assert.deepEqual(retry.judge(new TerminalError("no"), 1, unexpected), {
    kind: "dead",
    reason: "terminal",
  });
});

test("a retryIf that throws has not said no, and its error is told", () => {
  const told: unknown[] = [];
  const retry = policy({
    jitter: 0,
    minDelayMs: 10,
    retryIf: () => {
      throw new Error("bug");
    },
  });
  const verdict = retry.judge(new Error("x"), 1, (thrown) => told.push(thrown));
  assert.deepEqual(verdict, { kind: "retry", delayMs: 10 });
  assert.equal(told.length, 1);
});

for (const options of [
  { maxAttempts: 0 },
  { jitter: 2 },
  { minDelayMs: -1 },
  { maxDelayMs: Number.NaN },
]) {
  test(`retry options ${Object.keys(options).join()} of ${Object.values(options).join()} are refused`, () => {
    assert.throws(
      () => policy(options),
      (error) => isCadreError(error, "INVALID_OPTION"),
    );
  });
}

function breaker(): { clock: VirtualClock; breaker: CircuitBreaker; changes: BreakerChange[] } {
  const clock = new VirtualClock();
  const changes: BreakerChange[] = [];
  const options = { failures: 3, windowMs: 1_000, openMs: 500 };
  const made = new CircuitBreaker("b", options, clock, (change) => changes.push(change));
  return { clock, breaker: made, changes };
}

test("a breaker opens at its number of failures within the window", () => {
  const { breaker: made } = breaker();
  made.fail();
  made.fail();
  assert.equal(made.state, "closed");
  made.fail();
  assert.equal(made.state, "open");
});

test("failures that have left the window do not open a breaker", async () => {
  const { clock, breaker: made } = breaker();
  made.fail();
  made.fail();
  await clock.advance(1_001);
  made.fail();
  assert.equal(made.state, "closed");
});

test("a half-open breaker lets one call through, and its success closes it", async () => {
  const { clock, breaker: made, changes } = breaker();
  for (let at = 0; at < 3; at += 1) made.fail();
  assert.equal(made.enter(), false);
  await clock.advance(500);
  assert.equal(made.state, "half-open");
  assert.equal(made.enter(), true);
  assert.equal(made.enter(), false);
  made.succeed();
  assert.equal(made.state, "closed");
  assert.deepEqual(
    changes.map(({ to, rejected }) => [to, rejected]),
    [
      ["open", 0],
      ["half-open", 1],
      ["closed", 2],
    ],
  );
});

test("a failing probe opens a breaker for its whole time again", async () => {
  const { clock, breaker: made } = breaker();
  for (let at = 0; at < 3; at += 1) made.fail();
  await clock.advance(500);
  made.enter();
  made.fail();
  assert.equal(made.state, "open");
  await clock.advance(499);
  assert.equal(made.state, "open");
  await clock.advance(1);
  assert.equal(made.state, "half-open");
});

test("an open breaker rejects a call without making it, and says when to come back", async () => {
  const { clock, breaker: made } = breaker();
  for (let at = 0; at < 3; at += 1) {
    await assert.rejects(made.run(() => Promise.reject(new Error("down"))));
  }
  await clock.advance(100);
  await assert.rejects(
    made.run(() => assert.fail("called")),
    (error) => isCadreError(error, "CIRCUIT_OPEN") && error.details.retryAfterMs === 400,
  );
});

test("equal deadlines share one timer and expire in order", async () => {
  const clock = new VirtualClock();
  const deadlines = new Deadlines(clock);
  const expired: string[] = [];
  deadlines.add(100, () => expired.push("a"));
  await clock.advance(10);
  const b = deadlines.add(100, () => expired.push("b"));
  deadlines.add(100, () => expired.push("c"));
  assert.equal(clock.pending, 1);
  b.cancel();
  b.cancel();
  await clock.advance(90);
  assert.deepEqual(expired, ["a"]);
  await clock.advance(10);
  assert.deepEqual(expired, ["a", "c"]);
  assert.equal(clock.pending, 0);
});

test("a deadline that is added while another expires is kept", async () => {
  const clock = new VirtualClock();
  const deadlines = new Deadlines(clock);
  const expired: number[] = [];
  deadlines.add(10, () => {
    expired.push(clock.monotonic());
    deadlines.add(10, () => expired.push(clock.monotonic()));
  });
  await clock.advance(30);
  assert.deepEqual(expired, [10, 20]);
});

test("no timer is left when every deadline was cancelled", async () => {
  const clock = new VirtualClock();
  const deadlines = new Deadlines(clock);
  const made = [1, 2, 3].map((ms) => deadlines.add(ms, () => assert.fail("expired")));
  for (const deadline of made) deadline.cancel();
  await clock.settle();
  assert.equal(clock.pending, 0);
});

test("the dedup window forgets the oldest id first", () => {
  const window = new DedupWindow(3);
  for (const id of ["a", "b", "c", "d"]) window.mark(id);
  assert.deepEqual(
    ["a", "b", "c", "d"].map((id) => window.has(id)),
    [false, true, true, true],
  );
  window.mark("d");
  window.mark("e");
  assert.deepEqual([window.has("b"), window.has("c")], [false, true]);
});

test("a second delivery of one event waits for the end of the first", async () => {
  const window = new DedupWindow(3);
  assert.equal(window.claim("a"), true);
  assert.equal(window.claim("a"), false);
  let released = false;
  const waiting = window.whenReleased("a").then(() => (released = true));
  await Promise.resolve();
  assert.equal(released, false);
  window.release("a");
  await waiting;
  assert.equal(window.claim("a"), true);
});

test("a ring queue keeps its order while it grows and wraps", () => {
  const queue = new Queue<number>();
  const out: number[] = [];
  let next = 0;
  for (let round = 0; round < 50; round += 1) {
    for (let count = 0; count < (round % 7) + 1; count += 1) queue.push(next++);
    for (let count = 0; count < (round % 5) + 1 && queue.size > 0; count += 1) {
      out.push(queue.shift()!);
    }
  }
  out.push(...queue.clear());
  assert.deepEqual(
    out,
    Array.from({ length: next }, (_, at) => at),
  );
  assert.equal(queue.shift(), undefined);
});

test("slow handlers prefetch nothing, quick ones up to the bound", () => {
  const slow = new Prefetch(1_000);
  for (let at = 0; at < 50; at += 1) slow.took(5_000);
  assert.equal(slow.depth(1), 0);
  const quick = new Prefetch(20);
  for (let at = 0; at < 50; at += 1) quick.took(0.1);
  assert.equal(quick.depth(1), 20);
});

test("the budget is used up after so many deliveries, and new after a turn of the loop", async () => {
  const fairness = new Fairness(new VirtualClock());
  let spent = 0;
  while (!fairness.spend()) spent += 1;
  assert.equal(spent, 511);
  assert.equal(fairness.exhausted, true);
  await fairness.turn();
  assert.equal(fairness.exhausted, false);
});
