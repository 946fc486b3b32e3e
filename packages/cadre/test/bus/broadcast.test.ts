import assert from "node:assert/strict";
import { test } from "node:test";
import type { SubscribeOptions } from "#src/bus/bus.ts";
import type { Transport } from "#src/bus/transport.ts";
import { isCadreError } from "#src/core/errors.ts";
import { limited, setUp } from "./set-up.ts";

const refused: readonly [string, SubscribeOptions | object][] = [
  ["concurrency", { concurrency: 0 }],
  ["concurrency", { concurrency: 1.5 }],
  ["maxQueued", { maxQueued: 0 }],
  ["overflow", { overflow: "drop" }],
  ["timeoutMs", { timeoutMs: -1 }],
  ["from", { from: "latest" }],
  ["group", { group: "two words" }],
  ["group", { group: "" }],
  ["breaker", { breaker: true }],
  ["ordered", { group: "g", ordered: true }],
  ["ordered", { ordered: "block" }],
  ["retry", { retry: {} }],
  ["dedup", { dedup: true }],
  ["maxAttempts", { group: "g", retry: { maxAttempts: 0 } }],
  ["retires", { group: "g", retires: 3 }],
  ["failures", { breaker: { failures: 0 } }],
];

for (const [option, options] of refused) {
  test(`subscribing with ${JSON.stringify(options)} is refused, naming ${option}`, async (context) => {
    const { bus } = setUp(context);
    await assert.rejects(
      bus.subscribe("job", options, () => {}),
      (error) => isCadreError(error, "INVALID_OPTION") && error.details.option === option,
    );
    assert.equal(bus.stats().subscriptions.length, 0);
  });
}

test("a wrong pattern and a wrong filter are refused", async (context) => {
  const { bus } = setUp(context);
  await assert.rejects(
    bus.subscribe("#.#.a.#.#", () => {}),
    (error) => isCadreError(error, "INVALID_PATTERN"),
  );
  await assert.rejects(
    bus.subscribe("job", { filter: { a: { $near: 1 } } }, () => {}),
    (error) => isCadreError(error, "INVALID_FILTER"),
  );
});

test("a broadcast over a carrier that others publish to cannot hold them up, and says so", async (context) => {
  const wrap = (transport: Transport): Transport => limited(transport, { crossesProcess: true });
  const { bus } = setUp(context, { wrap });
  for (const overflow of ["wait", "reject"] as const) {
    await assert.rejects(
      bus.subscribe("job", { overflow }, () => {}),
      (error) => isCadreError(error, "UNSUPPORTED"),
    );
  }
});

test("handlers that publish in a circle let timers fire", async (context) => {
  const { bus } = setUp(context);
  let rounds = 0;
  let going = true;
  await bus.subscribe("ping", () => {
    rounds += 1;
    if (going) void bus.publish("pong", {});
  });
  await bus.subscribe("pong", () => {
    if (going) void bus.publish("ping", {});
  });
  await bus.publish("ping", {});
  await new Promise((resolve) => setImmediate(resolve)); // the circle has not taken the loop
  await new Promise((resolve) => setImmediate(resolve));
  going = false;
  assert.ok(rounds > 100, `${rounds} rounds`);
});

test("an event that a handler publishes is seen after the one that it handles, by everybody", async (context) => {
  const { bus } = setUp(context);
  const seen: string[] = [];
  await bus.subscribe("first", () => void bus.publish("second", {}));
  await bus.subscribe("#", { filter: { type: { $in: ["first", "second"] } } }, (event) => {
    seen.push(event.type);
  });
  await bus.publish("first", {});
  await bus.idle();
  assert.deepEqual(seen, ["first", "second"]);
});

test("a subscription from the past hears what is kept, then goes on", async (context) => {
  const { bus, clock } = setUp(context);
  for (let at = 0; at < 3; at += 1) await bus.publish("job", { at });
  const seen: unknown[] = [];
  await bus.subscribe("job", { from: "earliest" }, (event) => void seen.push(event.payload));
  await bus.publish("job", { at: 3 });
  await clock.settle();
  assert.deepEqual(seen, [{ at: 0 }, { at: 1 }, { at: 2 }, { at: 3 }]);
});

test("a broadcast handles one event at a time unless told otherwise, in order", async (context) => {
  const { bus, clock } = setUp(context);
  const log: string[] = [];
  await bus.subscribe("job", async (event) => {
    const { at } = event.payload as { at: number };
    log.push(`start ${at}`);
    await clock.sleep(10);
    log.push(`end ${at}`);
  });
  await bus.publish("job", { at: 1 });
  await bus.publish("job", { at: 2 });
  await clock.advance(30);
  assert.deepEqual(log, ["start 1", "end 1", "start 2", "end 2"]);
});

test("a broadcast's handler that takes too long is aborted and recorded", async (context) => {
  const { bus, clock, errors } = setUp(context);
  let reason: unknown;
  await bus.subscribe("job", { timeoutMs: 50 }, (_event, { signal }) => {
    signal.addEventListener("abort", () => (reason = signal.reason));
    return new Promise(() => {});
  });
  await bus.publish("job", {});
  await clock.advance(50);
  assert.ok(isCadreError(reason, "TIMEOUT"));
  assert.equal(errors[0]?.code, "TIMEOUT");
  await bus.idle();
});

test("listening hears from the moment it is ready until it breaks off", async (context) => {
  const { bus, clock } = setUp(context);
  const seen: unknown[] = [];
  const events = bus.listen("job");
  await events.ready;
  for (let at = 0; at < 5; at += 1) await bus.publish("job", { at });
  for await (const event of events) {
    seen.push(event.payload);
    if (seen.length === 3) break;
  }
  assert.deepEqual(seen, [{ at: 0 }, { at: 1 }, { at: 2 }]);
  await clock.settle();
  assert.equal(bus.stats().subscriptions.length, 0);
});

test("closing the bus ends what listens", async (context) => {
  const { bus } = setUp(context);
  const events = bus.listen("job");
  await events.ready;
  const reading = (async () => {
    for await (const event of events) assert.fail(event.id);
  })();
  await bus.close();
  await reading;
});

test("listening to a wrong pattern rejects where it is read", async (context) => {
  const { bus } = setUp(context);
  const events = bus.listen("a..b");
  await assert.rejects(events.ready, (error) => isCadreError(error, "INVALID_PATTERN"));
  await assert.rejects(events[Symbol.asyncIterator]().next());
});

test("a paused bus starts no handler, also not of a subscription that is opened then", async (context) => {
  const { bus, clock } = setUp(context);
  const seen: string[] = [];
  await bus.subscribe("job", () => void seen.push("broadcast"));
  bus.pause();
  await bus.subscribe("job", { group: "g" }, () => void seen.push("group"));
  await bus.publish("job", {});
  await clock.settle();
  assert.deepEqual(seen, []);
  bus.resume();
  await clock.settle();
  assert.deepEqual(
    [...seen].toSorted((a, b) => (a < b ? -1 : 1)),
    ["broadcast", "group"],
  );
});

test("a closed subscription takes nothing more, and its neighbours go on", async (context) => {
  const { bus } = setUp(context);
  const seen: string[] = [];
  const first = await bus.subscribe("job", () => void seen.push("first"));
  await bus.subscribe("job", () => void seen.push("second"));
  await first.close();
  await bus.publish("job", {});
  await bus.idle();
  assert.deepEqual(seen, ["second"]);
});
