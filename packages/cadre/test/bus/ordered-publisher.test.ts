import assert from "node:assert/strict";
import { test, type TestContext } from "node:test";
import type { Transport } from "#src/bus/transport.ts";
import { CadreError, isCadreError } from "#src/core/errors.ts";
import { createEvent, type AgentEvent } from "#src/core/event.ts";
import { SeededRandom } from "#src/core/random.ts";
import { limited, setUp } from "./set-up.ts";

const random = new SeededRandom(9);

/** A bus over a carrier that orders batches, and what was asked of it. */
function ordering(context: TestContext, changes: Partial<Transport> = {}) {
  const calls: string[][] = [];
  const typesOf = (events: readonly AgentEvent[]): string[] => events.map(({ type }) => type);
  const set = setUp(context, {
    wrap: (transport) =>
      limited(
        transport,
        {},
        {
          tap: (listener) => transport.tap!(listener),
          publish: (batch) => {
            calls.push(typesOf(batch.map(({ event }) => event)));
            return transport.publish(batch);
          },
          publishInOrder: (events) => {
            calls.push(typesOf(events));
            return transport.publish(events.map((event) => ({ event })));
          },
          ...changes,
        },
      ),
  });
  const event = (type: string, metadata: { deliverAt?: number } = {}): AgentEvent =>
    createEvent({ clock: set.clock, random, source: "test" }, type, {}, metadata);
  return { ...set, calls, event };
}

const oks = [{ ok: true }, { ok: true }, { ok: true }];

function shown(results: readonly ({ readonly ok: boolean } | undefined)[]): unknown[] {
  return results.map((result) => result && { ok: result.ok });
}

test("finished events go in one call of a carrier that orders batches", async (t) => {
  const { bus, calls, event, clock } = ordering(t);
  const heard: string[] = [];
  await bus.subscribe("#", ({ id }) => void heard.push(id));
  const events = [event("a.a"), event("a.b"), event("a.c")];
  assert.deepEqual(shown(await bus.publishInOrder(events)), oks);
  await clock.settle();
  assert.deepEqual(calls, [["a.a", "a.b", "a.c"]]);
  assert.deepEqual(
    heard,
    events.map(({ id }) => id),
  );
  assert.equal(bus.stats().published, 3);
});

test("no events are no call", async (t) => {
  const { bus, calls } = ordering(t);
  assert.deepEqual(await bus.publishInOrder([]), []);
  assert.deepEqual(calls, []);
});

test("an event that the bus refuses stops those behind it; those before it go", async (t) => {
  const { bus, calls, event } = ordering(t);
  const bad = { ...event("a.b"), id: "" };
  const results = await bus.publishInOrder([event("a.a"), bad, event("a.c")]);
  assert.deepEqual(shown(results), [{ ok: true }, { ok: false }, undefined]);
  const [, refused] = results;
  assert.ok(refused && !refused.ok && isCadreError(refused.error, "INVALID_EVENT"));
  assert.deepEqual(calls, [["a.a"]]);
  assert.deepEqual([bus.stats().published, bus.stats().refused], [1, 1]);
});

test("a deliverAt that the carrier cannot keep stops those behind it", async (t) => {
  const { bus, event, clock } = ordering(t);
  const late = event("a.a", { deliverAt: clock.now() + 60_000 });
  const capabilities = { ...bus.capabilities };
  assert.equal(capabilities.delayedPublish, true);
  assert.deepEqual(shown(await bus.publishInOrder([late, event("a.b")])), oks.slice(1));
  const other = ordering(t, { capabilities: { ...capabilities, delayedPublish: false } });
  const results = await other.bus.publishInOrder([late, event("a.b")]);
  assert.deepEqual(shown(results), [{ ok: false }, undefined]);
  assert.deepEqual(other.calls, []);
});

test("when the carrier refuses before the bus does, the first refusal counts", async (t) => {
  const error = new CadreError("OVERLOADED", "full", { queue: "q", size: 1 });
  const { bus, event } = ordering(t, {
    publishInOrder: () => Promise.resolve([{ ok: true }, { ok: false, error }]),
  });
  const events = [event("a.a"), event("a.b"), event("a.c"), { ...event("a.d"), id: "" }];
  const results = await bus.publishInOrder(events);
  assert.deepEqual(shown(results), [{ ok: true }, { ok: false }, undefined, undefined]);
});

test("with publish middleware they go one at a time, and next says what became of each", async (t) => {
  const { bus, calls, event } = ordering(t);
  const told: string[] = [];
  bus.usePublish(async (each, next) => {
    await next(each);
    told.push(each.type);
  });
  bus.usePublish(async (each, next) => {
    if (each.type === "a.b") throw new Error("not this one");
    if (each.type !== "held.back") await next(each);
  });
  const results = await bus.publishInOrder([
    event("a.a"),
    event("held.back"),
    event("a.b"),
    event("a.c"),
  ]);
  assert.deepEqual(shown(results), [{ ok: true }, { ok: true }, { ok: false }, undefined]);
  assert.deepEqual(calls, [["a.a"]]);
  assert.deepEqual(told, ["a.a", "held.back"]);
});

test("a queue that makes its publishers wait lets them in one by one", async (t) => {
  const { bus, calls, event, clock } = ordering(t);
  let free: () => void = () => {};
  const options = { maxQueued: 1, overflow: "wait" } as const;
  await bus.subscribe("a.#", options, () => new Promise<void>((resolve) => (free = resolve)));
  await bus.publishInOrder([event("a.a"), event("a.b"), event("a.c")]);
  await clock.settle();
  calls.length = 0;
  let isDone = false;
  const publishing = bus.publishInOrder([event("a.d"), event("a.e")]);
  void publishing.then(() => (isDone = true));
  await clock.settle();
  assert.equal(isDone, false);
  assert.equal(calls.length, 0);
  while (!isDone) {
    free();
    await clock.settle();
  }
  assert.deepEqual(shown(await publishing), oks.slice(1));
  assert.ok(calls.every((call) => call.length === 1));
  for (let round = 0; round < 5; round += 1) {
    free();
    await clock.settle();
  }
});

test("goesOn ends it between two calls to the carrier", async (t) => {
  const { bus, calls, event } = ordering(t, { publishInOrder: undefined as never });
  let asked = 0;
  const goesOn = (): boolean => (asked += 1) < 2;
  const results = await bus.publishInOrder([event("a.a"), event("a.b"), event("a.c")], { goesOn });
  assert.deepEqual(shown(results), [{ ok: true }, { ok: true }, undefined]);
  assert.deepEqual(calls, [["a.a"], ["a.b"]]);
});

test("a call that fails as a whole rejects, and a closed bus refuses", async (t) => {
  const { bus, event } = ordering(t, { publishInOrder: () => Promise.reject(new Error("gone")) });
  await assert.rejects(bus.publishInOrder([event("a.a"), event("a.b")]), /gone/);
  assert.equal(bus.stats().refused, 1);
  await bus.close({ deadlineMs: 0 });
  await assert.rejects(bus.publishInOrder([event("a.a")]), (error) =>
    isCadreError(error, "CLOSED"),
  );
});

test("on the memory transport's direct path they arrive in their order", async (t) => {
  const { bus, clock } = setUp(t);
  const heard: string[] = [];
  await bus.subscribe("#", ({ type }) => void heard.push(type));
  const event = (type: string) => createEvent({ clock, random, source: "test" }, type, {});
  const events = ["a.a", "a.b", "a.c"].map(event);
  assert.deepEqual(shown(await bus.publishInOrder(events)), oks);
  await clock.settle();
  assert.deepEqual(heard, ["a.a", "a.b", "a.c"]);
});
