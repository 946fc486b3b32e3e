import assert from "node:assert/strict";
import { test } from "node:test";
import { createBus } from "#src/bus/create-bus.ts";
import type { BusError } from "#src/bus/bus.ts";
import { isInsideHandler } from "#src/bus/handler-scope.ts";
import { memory, memoryCarrier } from "#src/bus/memory-transport.ts";
import { VirtualClock } from "#src/core/clock.ts";
import { isCadreError } from "#src/core/errors.ts";
import type { AgentEvent } from "#src/core/event.ts";
import { setUp } from "./set-up.ts";

test("a failing broadcast handler is an error record and an error event, and nothing else", async (context) => {
  const { bus, clock, errors } = setUp(context);
  const events: AgentEvent[] = [];
  await bus.subscribe("error", (event) => void events.push(event));
  let calls = 0;
  await bus.subscribe("job", () => {
    calls += 1;
    throw new Error("broken");
  });
  const { id } = await bus.publish("job", {});
  await clock.advance(10_000);
  assert.equal(calls, 1);
  assert.equal(errors.length, 1);
  assert.deepEqual(
    errors.map(({ severity, code, origin, event }) => [severity, code, origin, event?.id]),
    [["error", "HANDLER_FAILED", "local", id]],
  );
  assert.equal(events.length, 1);
  assert.equal(events[0]?.metadata.causationId, id);
});

test("one subscriber's failure is not seen by its neighbours", async (context) => {
  const { bus } = setUp(context);
  const seen: string[] = [];
  await bus.subscribe("job", () => {
    throw new Error("broken");
  });
  await bus.subscribe("job", () => void seen.push("neighbour"));
  await bus.publish("job", {});
  await bus.idle();
  assert.deepEqual(seen, ["neighbour"]);
});

test("a handler of error events that fails does not feed the channel", async (context) => {
  const { bus, clock, errors } = setUp(context);
  let calls = 0;
  await bus.subscribe("error", () => {
    calls += 1;
    throw new Error("broken too");
  });
  bus.raise({ severity: "error", message: "the first" });
  await clock.advance(10_000);
  assert.equal(calls, 1);
  assert.equal(errors.length, 2);
});

test("a storm of errors publishes a bounded number of error events", async (context) => {
  const { bus, clock, errors } = setUp(context);
  let events = 0;
  await bus.subscribe("error", () => void (events += 1));
  for (let at = 0; at < 500; at += 1) bus.raise({ severity: "error", message: `${at}` });
  await clock.settle();
  assert.equal(errors.length, 500);
  assert.equal(events, 50);
});

test("a local critical error closes the bus in order and is told once", async () => {
  const clock = new VirtualClock();
  const told: BusError[] = [];
  const transport = memory({ clock });
  const bus = createBus({ transport, clock, onCritical: (error) => told.push(error) });
  let ended = false;
  await bus.subscribe("job", { group: "g" }, async () => {
    await clock.sleep(100);
    ended = true;
  });
  await bus.publish("job", {});
  await clock.settle();
  bus.raise({ severity: "critical", message: "the disk is gone" });
  bus.raise({ severity: "critical", message: "the disk is still gone" });
  await assert.rejects(bus.publish("job", {}), (error) => isCadreError(error, "CLOSED"));
  await clock.advance(1_000);
  assert.equal(ended, true);
  assert.deepEqual(
    told.map(({ message }) => message),
    ["the disk is gone"],
  );
});

test("a critical error of another runtime is recorded and shuts nothing down", async () => {
  const clock = new VirtualClock();
  const carrier = memoryCarrier({ clock });
  const told: string[] = [];
  const here = createBus({
    transport: carrier.connect(),
    clock,
    onCritical: () => told.push("here"),
  });
  const there = createBus({ transport: carrier.connect(), clock });
  const heard: BusError[] = [];
  here.onError((error) => void heard.push(error));
  await clock.settle();
  there.raise({ severity: "critical", message: "over there" });
  await clock.advance(1_000);
  assert.deepEqual(
    heard.map(({ origin, severity, message }) => [origin, severity, message]),
    [["remote", "critical", "over there"]],
  );
  assert.deepEqual(told, []);
  await here.publish("still.open", {});
  await here.close();
});

test("a listener that throws harms neither the others nor the bus", async (context) => {
  const { bus, errors } = setUp(context);
  bus.onError(() => {
    throw new Error("listener");
  });
  bus.raise({ severity: "warning", code: "ODD", message: "odd" });
  assert.deepEqual(
    errors.map(({ code }) => code),
    ["ODD"],
  );
});

test("a listener that was taken back hears no more", (context) => {
  const { bus } = setUp(context);
  const heard: string[] = [];
  const end = bus.onError(({ message }) => void heard.push(message));
  bus.raise({ severity: "warning", message: "one" });
  end();
  bus.raise({ severity: "warning", message: "two" });
  assert.deepEqual(heard, ["one"]);
});

test("what a listener of a failing handler's error publishes is outside the handler", async (context) => {
  const { bus } = setUp(context);
  const inside: boolean[] = [];
  bus.onError(() => void inside.push(isInsideHandler()));
  await bus.subscribe("job", () => {
    inside.push(isInsideHandler());
    throw new Error("broken");
  });
  await bus.publish("job", {});
  assert.deepEqual(inside, [true, false]);
});

test("a handler that is late for its timeout does not end the next run", async (context) => {
  const { bus, clock, errors } = setUp(context);
  const ends: (() => void)[] = [];
  await bus.subscribe("job", { timeoutMs: 100 }, () => new Promise<void>((end) => ends.push(end)));
  await bus.publish("job", {});
  await clock.advance(100);
  assert.equal(errors.length, 1);
  await bus.publish("job", {});
  await clock.settle();
  ends[0]?.();
  await clock.settle();
  assert.deepEqual(
    bus.stats().subscriptions.map(({ running, handled, failed }) => [running, handled, failed]),
    [[1, 0, 1]],
  );
  ends[1]?.();
  await clock.settle();
  assert.equal(bus.stats().subscriptions[0]?.handled, 1);
});
