import assert from "node:assert/strict";
import { test } from "node:test";
import { memory, memoryCarrier, type MemoryCarrierOptions } from "#src/bus/memory-transport.ts";
import type { ConsumeSpec, DeadLetter, Lease, Outgoing, Transport } from "#src/bus/transport.ts";
import { VirtualClock } from "#src/core/clock.ts";
import { isCadreError } from "#src/core/errors.ts";
import { createEvent, type AgentEvent, type EventOptions } from "#src/core/event.ts";
import { SeededRandom } from "#src/core/random.ts";

const random = new SeededRandom(1);
const never = new AbortController().signal;

function setUp(options: MemoryCarrierOptions = {}): {
  clock: VirtualClock;
  transport: Transport;
  connect: () => Transport;
  event: (payload?: unknown, more?: EventOptions & { type?: string }) => AgentEvent;
} {
  const clock = new VirtualClock();
  const carrier = memoryCarrier({ clock, ...options });
  const context = { clock, random, source: "test" };
  return {
    clock,
    transport: carrier.connect(),
    connect: () => carrier.connect(),
    event: (payload = {}, { type = "task.made", ...more } = {}) =>
      createEvent(context, type, payload, more),
  };
}

function group(changes: Partial<ConsumeSpec> = {}): ConsumeSpec {
  return {
    subscription: "workers",
    mode: "group",
    patterns: ["task.#"],
    definition: "task.#",
    from: "new",
    leaseMs: 1_000,
    maxQueued: 1_000,
    ...changes,
  };
}

function outgoing(events: readonly AgentEvent[]): Outgoing[] {
  return events.map((event) => ({ event }));
}

function payloads(leases: readonly Lease[]): unknown[] {
  return leases.map((lease) => lease.recorded.event?.payload);
}

async function refusal(transport: Transport, event: AgentEvent): Promise<unknown> {
  const [result] = await transport.publish([{ event }]);
  return result?.ok ? undefined : result?.error;
}

test("a thousand leases and a thousand delays take two timers", async () => {
  const { clock, transport, event } = setUp();
  const intake = await transport.open(group());
  await transport.publish(outgoing(Array.from({ length: 2_000 }, (_, n) => event(n))));
  const leases = await intake.pull(2_000, never);
  for (const [index, lease] of leases.slice(0, 1_000).entries()) {
    await lease.settle({ kind: "retry", delayMs: 5_000 + index });
  }
  assert.equal(clock.pending, 2);
  await clock.advance(1_000);
  assert.equal((await intake.pull(2_000, never)).length, 1_000, "the leases ran out");
  await clock.advance(4_500);
  const again = await intake.pull(2_000, never);
  assert.equal(again.filter(({ attempt }) => attempt === 2).length >= 501, true);
});

test("a lease runs out at its time, not before, and extend moves it", async () => {
  const { clock, transport, event } = setUp();
  const intake = await transport.open(group());
  await transport.publish(outgoing([event(1), event(2)]));
  const [one] = await intake.pull(2, never);
  await clock.advance(900);
  assert.equal(await one?.extend(1_000), "ok");
  await clock.advance(99);
  let taken: readonly Lease[] = [];
  const pull = intake.pull(5, never).then((leases) => (taken = leases));
  await clock.advance(0);
  assert.deepEqual(payloads(taken), []);
  await clock.advance(1);
  assert.deepEqual(payloads(taken), [2]);
  await pull;
  await clock.advance(899);
  assert.equal(await one?.settle({ kind: "ack" }), "ok", "the extended one is still owned");
});

test("a jump of wall time moves no lease, no delay and no deliverAt", async () => {
  for (const jumpMs of [-3_600_000, 3_600_000]) {
    const { clock, transport, event } = setUp();
    const intake = await transport.open(group({ leaseMs: 10_000 }));
    await transport.publish(outgoing([event("retried")]));
    const [lease] = await intake.pull(1, never);
    await lease?.settle({ kind: "retry", delayMs: 2_000 });
    await transport.publish(outgoing([event("later", { deliverAt: clock.now() + 2_000 })]));
    clock.jump(jumpMs);
    let taken: readonly Lease[] = [];
    void intake.pull(5, never).then((leases) => (taken = leases));
    await clock.advance(1_999);
    assert.deepEqual(payloads(taken), []);
    await clock.advance(1);
    const rest = await intake.pull(5, AbortSignal.abort());
    assert.equal(taken.length + rest.length >= 1, true);
  }
});

test("each step of priority is worth a head start of agingMs, and no more", async () => {
  const { clock, transport, event } = setUp({ agingMs: 1_000 });
  const intake = await transport.open(group());
  await transport.publish(outgoing([event("old low", { priority: "low" })]));
  await clock.advance(2_999);
  await transport.publish(outgoing([event("critical in time", { priority: "critical" })]));
  await clock.advance(2);
  await transport.publish(outgoing([event("critical too late", { priority: "critical" })]));
  const order = payloads(await intake.pull(3, never));
  assert.deepEqual(order, ["critical in time", "old low", "critical too late"]);
});

test("a group without an overflow policy refuses what is beyond maxBacklog", async () => {
  const { transport, event } = setUp({ maxBacklog: 3 });
  const intake = await transport.open(group());
  const results = await transport.publish(outgoing([1, 2, 3, 4].map((n) => event(n))));
  assert.deepEqual(
    results.map(({ ok }) => ok),
    [true, true, true, false],
  );
  assert.ok(isCadreError(await refusal(transport, event()), "OVERLOADED"));
  const [lease] = await intake.pull(1, never);
  assert.equal(await refusal(transport, event(5)), undefined, "a pull makes room");
  await lease?.settle({ kind: "retry", delayMs: 0 });
  assert.equal((await intake.pull(10, never)).length, 4, "what comes back is never refused");
});

test("a refused event reaches no group, also none that had room", async () => {
  const { transport, event } = setUp({ maxBacklog: 2 });
  const full = await transport.open(group());
  await transport.publish(outgoing([event(1), event(2)]));
  const empty = await transport.open(group({ subscription: "others" }));
  assert.ok(isCadreError(await refusal(transport, event(3)), "OVERLOADED"));
  await full.pull(2, never);
  await transport.publish(outgoing([event(4)]));
  assert.deepEqual(payloads(await empty.pull(5, never)), [4]);
});

test("a batch that waits keeps its order, and later publishes stay behind it", async () => {
  const { transport, event } = setUp();
  const one = await transport.open(group({ overflow: "wait", maxQueued: 2 }));
  const order: string[] = [];
  const first = transport
    .publish(outgoing([1, 2, 3, 4].map((n) => event(n))))
    .then(() => order.push("first"));
  const second = transport.publish(outgoing([event(5)])).then(() => order.push("second"));
  const seen: unknown[] = [];
  for (let n = 0; n < 5; n += 1) {
    const [lease] = await one.pull(1, never);
    seen.push(lease?.recorded.event?.payload);
    await lease?.settle({ kind: "ack" });
  }
  await Promise.all([first, second]);
  assert.deepEqual(seen, [1, 2, 3, 4, 5]);
  assert.deepEqual(order, ["first", "second"]);
});

test("no more than maxWaiting publishes wait; deleting the group lets them go on", async () => {
  const { transport, event } = setUp({ maxWaiting: 2 });
  await transport.open(group({ overflow: "wait", maxQueued: 1 }));
  await transport.publish(outgoing([event(0)]));
  const waiting = [1, 2].map((n) => transport.publish(outgoing([event(n)])));
  assert.ok(isCadreError(await refusal(transport, event(3)), "OVERLOADED"));
  await transport.deleteGroup?.("workers");
  const results = (await Promise.all(waiting)).flat();
  assert.deepEqual(
    results.map(({ ok }) => ok),
    [true, true],
  );
});

test("drop-oldest in an ordered group drops the first of a key, and the key goes on", async () => {
  const { transport, event } = setUp();
  const intake = await transport.open(
    group({ ordered: "block", overflow: "drop-oldest", maxQueued: 3 }),
  );
  const events = [1, 2, 3, 4, 5].map((n) => event(n, { key: "k" }));
  await transport.publish(outgoing(events));
  const seen: unknown[] = [];
  for (let n = 0; n < 3; n += 1) {
    const leases = await intake.pull(5, never);
    assert.equal(leases.length, 1);
    seen.push(...payloads(leases));
    await leases[0]?.settle({ kind: "ack" });
  }
  assert.deepEqual(seen, [3, 4, 5]);
  assert.equal(intake.missed?.(), 2);
});

test("closing a connection hands on its own deliveries as another attempt", async () => {
  const { transport, connect, event } = setUp();
  const other = connect();
  const own = await transport.open(group());
  const others = await other.open(group());
  await transport.publish(outgoing([event(1), event(2)]));
  const [lost] = await own.pull(1, never);
  const [kept] = await others.pull(1, never);
  await own.close();
  assert.equal(await lost?.extend(1_000), "ok", "closing the intake alone takes nothing away");
  await transport.close();
  assert.equal(await lost?.settle({ kind: "ack" }), "lost");
  const [again] = await others.pull(5, never);
  assert.equal(again?.attempt, 2);
  assert.equal(await kept?.settle({ kind: "ack" }), "ok");
});

test("a carrier without connections keeps its groups and sets no timer", async () => {
  const { clock, transport, connect, event } = setUp();
  const intake = await transport.open(group());
  await transport.publish(outgoing([event("waits"), event("retried")]));
  const [, second] = await intake.pull(2, never);
  await second?.settle({ kind: "retry", delayMs: 1_000 });
  await transport.publish(outgoing([event("later", { deliverAt: clock.now() + 1_000 })]));
  await transport.close();
  assert.equal(clock.pending, 0);
  await clock.advance(5_000);
  const back = await connect().open(group());
  await clock.advance(0);
  const seen = payloads(await back.pull(10, never));
  assert.deepEqual(new Set(seen), new Set(["waits", "retried", "later"]));
});

test("the ring keeps the last events, for history and for early starts", async () => {
  const { transport, event } = setUp({ historySize: 5 });
  await transport.publish(outgoing(Array.from({ length: 12 }, (_, n) => event(n))));
  const read: unknown[] = [];
  for await (const { event: found } of transport.read!({})) read.push(found?.payload);
  assert.deepEqual(read, [7, 8, 9, 10, 11]);
  const intake = await transport.open(group({ from: "earliest" }));
  assert.deepEqual(payloads(await intake.pull(20, never)), [7, 8, 9, 10, 11]);
});

test("a reader that is slower than the ring goes on with what is left, and ends", async () => {
  const { transport, event } = setUp({ historySize: 4 });
  await transport.publish(outgoing([0, 1, 2, 3].map((n) => event(n))));
  const forward: unknown[] = [];
  for await (const { event: found } of transport.read!({})) {
    forward.push(found?.payload);
    if (forward.length === 1) await transport.publish(outgoing([event(4), event(5)]));
  }
  assert.deepEqual(forward, [0, 2, 3], "1 was pushed out, and what came later is not of this read");
});

test("a listener sees events in order, also its own, before publish resolves", async () => {
  const { transport, event } = setUp();
  const seen: unknown[] = [];
  const publishing: Promise<unknown>[] = [];
  const end = transport.tap!((shown) => {
    seen.push(["first", shown.payload]);
    if (shown.payload === 1) publishing.push(transport.publish(outgoing([event(2)])));
    return true;
  });
  transport.tap!((shown) => {
    seen.push(["second", shown.payload]);
    return true;
  });
  const published = transport.publish(outgoing([event(1)]));
  assert.deepEqual(seen, [
    ["first", 1],
    ["second", 1],
    ["first", 2],
    ["second", 2],
  ]);
  await published;
  await Promise.all(publishing);
  end();
  await transport.publish(outgoing([event(3)]));
  assert.deepEqual(seen.slice(4), [["second", 3]]);
});

test("an event is unroutable when no group, no broadcast and no listener takes it", async () => {
  const { transport, event } = setUp();
  const isUnroutable = async (made: AgentEvent): Promise<boolean> => {
    const [result] = await transport.publish([{ event: made }]);
    return result?.ok === true && result.unroutable === true;
  };
  assert.equal(await isUnroutable(event()), true);
  transport.tap!((shown) => shown.type === "news.made");
  assert.equal(await isUnroutable(event()), true);
  assert.equal(await isUnroutable(event({}, { type: "news.made" })), false);
  await transport.open(group());
  assert.equal(await isUnroutable(event()), false);
});

test("delayed events are bounded", async () => {
  const { clock, transport, event } = setUp({ maxDelayed: 2 });
  const deliverAt = clock.now() + 1_000;
  const results = await transport.publish(outgoing([1, 2, 3].map((n) => event(n, { deliverAt }))));
  assert.deepEqual(
    results.map(({ ok }) => ok),
    [true, true, false],
  );
});

test("dead letters are bounded: the oldest goes, with a warning", async () => {
  const warnings: unknown[] = [];
  const logger = {
    debug: () => {},
    info: () => {},
    warn: (_message: string, fields?: object) => warnings.push(fields),
    error: () => {},
  };
  const { transport, event } = setUp({ maxDeadLetters: 2, logger });
  const box = transport.deadLetters!;
  const letter = (id: string): DeadLetter => ({
    id,
    group: "workers",
    event: event(),
    reason: "attempts",
    error: { name: "Error", message: "no" },
    attempts: 5,
    position: "0",
    firstFailedAt: 0,
    lastFailedAt: 0,
  });
  const ids = async (): Promise<string[]> => {
    const list: string[] = [];
    for await (const { id } of box.list({ group: "workers", type: "task.*" })) list.push(id);
    return list;
  };
  await box.put(letter("a"));
  await box.put(letter("b"));
  await box.put(letter("a"));
  assert.deepEqual(await ids(), ["b", "a"], "a letter written again is the newest");
  await box.put(letter("c"));
  assert.deepEqual(await ids(), ["a", "c"]);
  assert.deepEqual(warnings, [{ letter: "b", capacity: 2 }]);
  assert.equal(await box.remove("a"), true);
  assert.equal(await box.remove("a"), false);
  assert.equal((await box.get("c"))?.id, "c");
});

test("a member with another order is refused", async () => {
  const { transport } = setUp();
  await transport.open(group({ ordered: "block" }));
  await assert.rejects(transport.open(group({ ordered: "skip" })), (error: unknown) =>
    isCadreError(error, "GROUP_MISMATCH"),
  );
});

test("impossible options are refused by name", () => {
  const attempts: readonly [string, () => unknown][] = [
    ["historySize", () => memory({ historySize: -1 })],
    ["maxBacklog", () => memory({ maxBacklog: 0.5 })],
    ["maxBaklog", () => memory({ ["maxBaklog" as string]: 1 })],
    ["clock", () => memory({ carrier: memoryCarrier(), clock: new VirtualClock() })],
  ];
  for (const [option, attempt] of attempts) {
    assert.throws(
      attempt,
      (error: unknown) => isCadreError(error, "INVALID_OPTION") && error.details.option === option,
      option,
    );
  }
});
