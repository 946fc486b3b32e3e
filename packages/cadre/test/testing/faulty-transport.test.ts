import assert from "node:assert/strict";
import { test } from "node:test";
import { memoryCarrier } from "#src/bus/memory-transport.ts";
import type { ConsumeSpec, Intake, Transport } from "#src/bus/transport.ts";
import { VirtualClock } from "#src/core/clock.ts";
import { isCadreError } from "#src/core/errors.ts";
import { createEvent, type AgentEvent } from "#src/core/event.ts";
import { SeededRandom } from "#src/core/random.ts";
import { faulty, type FaultyOptions, type PortCall } from "#src/testing/faulty-transport.ts";
import { transportConformance } from "#src/testing/transport-conformance.ts";

const never = new AbortController().signal;
const spec: ConsumeSpec = {
  subscription: "workers",
  mode: "group",
  patterns: ["#"],
  definition: "#",
  from: "new",
  leaseMs: 1_000,
  maxQueued: 1_000,
};

function setUp(options: Partial<FaultyOptions>): {
  clock: VirtualClock;
  inner: Transport;
  transport: ReturnType<typeof faulty>;
  events: (count: number) => AgentEvent[];
} {
  const clock = new VirtualClock();
  const carrier = memoryCarrier({ clock });
  const random = new SeededRandom(7);
  const events = (count: number): AgentEvent[] =>
    Array.from({ length: count }, (_, n) =>
      createEvent({ clock, random, source: "test" }, "task.made", n),
    );
  const transport = faulty(carrier.connect(), { seed: 1, clock, ...options });
  return { clock, inner: carrier.connect(), transport, events };
}

async function publishEach(
  transport: Transport,
  events: readonly AgentEvent[],
): Promise<unknown[]> {
  const errors: unknown[] = [];
  for (const event of events) {
    try {
      await transport.publish([{ event }]);
    } catch (error) {
      errors.push(error);
    }
  }
  return errors;
}

/** Pulls what is there and acks it; what was handed out, in its order. */
async function drain(intake: Intake): Promise<unknown[]> {
  const seen: unknown[] = [];
  for (;;) {
    const controller = new AbortController();
    const pull = intake.pull(100, controller.signal);
    setImmediate(() => controller.abort());
    const leases = await pull;
    if (leases.length === 0) return seen;
    for (const lease of leases) {
      seen.push(lease.recorded.event?.payload);
      await lease.settle({ kind: "ack" });
    }
  }
}

const hundred = Array.from({ length: 100 }, (_, n) => n);

test("without faults everything passes through", async () => {
  const carrier = memoryCarrier();
  const tests: (() => Promise<void>)[] = [];
  const report = await transportConformance({
    test: (_, run) => tests.push(run),
    createTransport: () => faulty(carrier.connect(), { seed: 1 }),
    only: ["T-1", "T-12", "T-25", "T-30", "T-48", "T-51b", "T-55", "T-69b", "T-82"],
    leaseMs: 100,
  });
  await Promise.all(tests.map((run) => run()));
  assert.deepEqual([...new Set(report.results.map(({ outcome }) => outcome))], ["passed"]);
});

test("dropped deliveries of a group come again when their lease runs out", async () => {
  const { clock, transport, events } = setUp({ drop: 0.3 });
  const intake = await transport.open(spec);
  await publishEach(transport, events(100));
  const seen = await drain(intake);
  assert.ok(seen.length < 100);
  assert.equal(seen.length + transport.faults.dropped, 100);
  while (seen.length < 100) {
    await clock.advance(1_000);
    seen.push(...(await drain(intake)));
  }
  assert.deepEqual(new Set(seen), new Set(hundred));
});

test("duplicated events come twice", async () => {
  const { transport, events } = setUp({ duplicate: 0.2 });
  const intake = await transport.open(spec);
  await publishEach(transport, events(100));
  const seen = await drain(intake);
  assert.equal(seen.length, 100 + transport.faults.duplicated);
  assert.ok(transport.faults.duplicated > 0);
});

test("reordered pulls hold the same deliveries", async () => {
  const { transport, events } = setUp({ reorder: 1 });
  const intake = await transport.open(spec);
  await publishEach(transport, events(100));
  const seen = await drain(intake);
  assert.notDeepEqual(seen, hundred);
  assert.deepEqual(new Set(seen), new Set(hundred));
});

test("a refused publish has done nothing, a lost answer has", async () => {
  const refusing = setUp({ refuse: 0.5 });
  const one = await refusing.inner.open(spec);
  const refused = await publishEach(refusing.transport, refusing.events(100));
  assert.equal(refused.length, refusing.transport.faults.refused);
  assert.ok(refused.length > 0 && refused.every((error) => isCadreError(error, "UNREACHABLE")));
  assert.equal((await drain(one)).length, 100 - refused.length);

  const losing = setUp({ loseAnswer: 0.5 });
  const other = await losing.inner.open(spec);
  const lost = await publishEach(losing.transport, losing.events(100));
  assert.ok(lost.length > 0);
  assert.equal((await drain(other)).length, 100);
});

test("a lost answer to a settling has settled", async () => {
  const { clock, transport, inner, events } = setUp({ loseAnswer: 1 });
  const intake = await transport.open(spec);
  for (const event of events(1)) await inner.publish([{ event }]);
  const [lease] = await intake.pull(1, never);
  await assert.rejects(
    async () => lease?.settle({ kind: "ack" }),
    (error: unknown) => isCadreError(error, "UNREACHABLE"),
  );
  await clock.advance(10_000);
  assert.deepEqual(await drain(intake), []);
});

test("delays pass on the clock", async () => {
  const { clock, transport, events } = setUp({ delayMs: 100 });
  let isDone = false;
  const publishing = publishEach(transport, events(20)).then(() => (isDone = true));
  await clock.advance(0);
  assert.equal(isDone, false);
  await clock.advance(2_000);
  await publishing;
  assert.ok(isDone);
});

test("equal seeds make equal faults", async () => {
  const runOnce = async (seed: number): Promise<unknown> => {
    const { transport, events } = setUp({ seed, drop: 0.2, duplicate: 0.2, reorder: 0.5 });
    const intake = await transport.open(spec);
    await publishEach(transport, events(50));
    return [await drain(intake), { ...transport.faults }];
  };
  assert.deepEqual(await runOnce(3), await runOnce(3));
  assert.notDeepEqual(await runOnce(3), await runOnce(4));
});

test("hooks see each call, and what they throw is a crash before or after the effect", async () => {
  const calls: string[] = [];
  const note =
    (moment: string) =>
    ({ name, subscription = "" }: PortCall): void => {
      calls.push(`${moment} ${name} ${subscription}`.trim());
    };
  const watched = setUp({ before: note("before"), after: note("after") });
  const intake = await watched.transport.open(spec);
  await publishEach(watched.transport, watched.events(1));
  const [lease] = await intake.pull(1, never);
  await lease?.extend(1_000);
  await lease?.settle({ kind: "ack" });
  assert.deepEqual(
    calls.filter((call) => call.startsWith("before")),
    ["open workers", "publish", "pull workers", "extend workers", "settle workers"].map(
      (call) => `before ${call}`,
    ),
  );
  assert.equal(calls.length, 10);

  const crash = (): never => {
    throw new Error("crash");
  };
  for (const [moment, expected] of [
    ["before", 0],
    ["after", 1],
  ] as const) {
    const crashing = setUp({ [moment]: crash });
    const group = await crashing.inner.open(spec);
    const errors = await publishEach(crashing.transport, crashing.events(1));
    assert.equal(errors.length, 1);
    assert.equal((await drain(group)).length, expected, moment);
  }
});

test("impossible chances are refused", () => {
  const { inner } = setUp({});
  for (const options of [{ drop: 1.5 }, { duplicate: -0.1 }, { delayMs: -1 }]) {
    assert.throws(
      () => faulty(inner, { seed: 1, ...options }),
      (error: unknown) => isCadreError(error, "INVALID_OPTION"),
    );
  }
});
