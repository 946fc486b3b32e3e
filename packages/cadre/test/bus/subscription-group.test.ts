import assert from "node:assert/strict";
import { test } from "node:test";
import { HeldLease } from "#src/bus/held-lease.ts";
import { HeldQueue } from "#src/bus/held-queue.ts";
import type { Lease, Transport } from "#src/bus/transport.ts";
import { VirtualClock } from "#src/core/clock.ts";
import { createEvent, type Priority } from "#src/core/event.ts";
import { SeededRandom } from "#src/core/random.ts";
import { limited, setUp } from "./set-up.ts";

test("a lease is renewed while its handler runs", async (context) => {
  const { bus, clock } = setUp(context);
  const attempts: number[] = [];
  const options = { group: "g", leaseMs: 1_000, timeoutMs: 0 };
  await bus.subscribe("job", options, async (_event, { attempt }) => {
    attempts.push(attempt);
    await clock.sleep(10_000);
  });
  await bus.publish("job", {});
  await clock.advance(11_000);
  assert.deepEqual(attempts, [1]);
});

/** A transport whose leases are lost at the first renewal. */
function losing(transport: Transport): Transport {
  const lost = (lease: Lease): Lease => ({
    recorded: lease.recorded,
    attempt: lease.attempt,
    settle: () => Promise.resolve("lost"),
    extend: () => Promise.resolve("lost"),
  });
  return limited(
    transport,
    {},
    {
      open: async (spec) => {
        const intake = await transport.open(spec);
        return {
          pull: async (max, signal) => (await intake.pull(max, signal)).map(lost),
          close: () => intake.close(),
        };
      },
    },
  );
}

test("a lost lease aborts the signal, commits nothing and is an error record", async (context) => {
  const { bus, clock, errors } = setUp(context, { wrap: losing });
  let aborted: unknown;
  const out: string[] = [];
  await bus.subscribe("out", (event) => void out.push(event.id));
  const options = { group: "g", leaseMs: 900 };
  const subscription = await bus.subscribe("job", options, async (_event, delivery) => {
    await delivery.publish("out", {});
    await new Promise<void>((resolve) => {
      delivery.signal.addEventListener("abort", () => resolve());
    });
    aborted = delivery.signal.reason;
  });
  await bus.publish("job", {});
  await clock.advance(500);
  assert.equal((aborted as { code: string }).code, "LEASE_LOST");
  assert.deepEqual(out, []);
  assert.equal(subscription.stats().lostLeases, 1);
  assert.equal(subscription.stats().handled, 0);
  assert.deepEqual(
    errors.map(({ code }) => code),
    ["LEASE_LOST"],
  );
});

test("a delay that the carrier cannot keep is held here, and holds no other event up", async (context) => {
  const wrap = (transport: Transport): Transport => limited(transport, { maxRetryDelayMs: 0 });
  const { bus, clock } = setUp(context, { wrap });
  const retry = { minDelayMs: 5_000, maxDelayMs: 5_000, jitter: 0 };
  const seen: string[] = [];
  await bus.subscribe("job", { group: "g", retry, leaseMs: 600 }, (event, { attempt }) => {
    const { name } = event.payload as { name: string };
    seen.push(`${name} ${attempt} at ${clock.monotonic()}`);
    if (name === "bad" && attempt === 1) throw new Error("later");
  });
  await bus.publish("job", { name: "bad" });
  await bus.publish("job", { name: "good" });
  await clock.advance(4_999);
  assert.deepEqual(seen, ["bad 1 at 0", "good 1 at 0"]);
  await clock.advance(1);
  assert.deepEqual(seen.slice(2), ["bad 2 at 5000"]);
});

function waiting(priority: Priority | undefined, queuedAt: number): HeldLease {
  const options = priority === undefined ? {} : { priority };
  const context = { clock: new VirtualClock(), random: new SeededRandom(1), source: "test" };
  const event = createEvent(context, "job", {}, options);
  const lease: Lease = {
    recorded: { position: "1", recordedAt: 0, event },
    attempt: 1,
    settle: () => Promise.resolve("ok"),
    extend: () => Promise.resolve("ok"),
  };
  return new HeldLease(lease, queuedAt, 30_000, undefined);
}

function priorityOf(held: HeldLease | undefined): string | undefined {
  return held?.lease.recorded.event?.metadata.priority ?? "normal";
}

test("where the carrier has no priorities, what waits here goes the most urgent first", () => {
  const queue = new HeldQueue(true);
  for (const priority of ["low", undefined, "critical", "high"] as const) {
    queue.push(waiting(priority, 0));
  }
  const order = [1, 2, 3, 4].map(() => priorityOf(queue.shift(0)));
  assert.deepEqual(order, ["critical", "high", "normal", "low"]);
  assert.equal(queue.shift(0), undefined);
});

test("what has waited long enough goes before what is more urgent", () => {
  const queue = new HeldQueue(true);
  queue.push(waiting("low", 0));
  queue.push(waiting("critical", 31_000));
  assert.equal(priorityOf(queue.shift(31_000)), "low");
});

test("where the carrier has priorities, what waits here keeps its order", () => {
  const queue = new HeldQueue(false);
  queue.push(waiting("low", 0));
  queue.push(waiting("critical", 0));
  assert.equal(priorityOf(queue.shift(0)), "low");
});

test("a pull that fails is an error record, and is tried again", async (context) => {
  let failures = 2;
  const wrap = (transport: Transport): Transport =>
    limited(
      transport,
      {},
      {
        open: async (spec) => {
          const intake = await transport.open(spec);
          return {
            pull: (max, signal) =>
              spec.mode === "group" && failures-- > 0
                ? Promise.reject(new Error("no route"))
                : intake.pull(max, signal),
            close: () => intake.close(),
          };
        },
      },
    );
  const { bus, clock, errors } = setUp(context, { wrap });
  let seen = 0;
  await bus.subscribe("job", { group: "g" }, () => void (seen += 1));
  await bus.publish("job", {});
  await clock.advance(1_000);
  assert.equal(seen, 1);
  assert.deepEqual(
    errors.filter(({ subscription }) => subscription === "g").map(({ severity }) => severity),
    ["error", "warning"],
  );
});

test("a member that died leaves an event that is not handled beyond its attempts", async (context) => {
  const { bus, clock, transport } = setUp(context);
  const spec = {
    subscription: "g",
    mode: "group",
    patterns: ["job"],
    definition: '["job"]',
  } as const;
  const dead = await transport.open({ ...spec, from: "new", leaseMs: 100, maxQueued: 10 });
  const { id } = await bus.publish("job", {});
  for (let attempt = 1; attempt <= 2; attempt += 1) {
    const pulled = dead.pull(1, new AbortController().signal);
    await clock.advance(0);
    assert.equal((await pulled)[0]?.attempt, attempt);
    await clock.advance(150); // it never settles
  }
  let calls = 0;
  await bus.subscribe("job", { group: "g", retry: { maxAttempts: 2 } }, () => void (calls += 1));
  await clock.advance(100);
  assert.equal(calls, 0);
  const letter = await bus.deadLetters.get(`g/${id}`);
  assert.equal(letter?.reason, "attempts");
  assert.match(letter.error.message, /without an answer/);
});
