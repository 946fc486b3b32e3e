import assert from "node:assert/strict";
import type { Bus } from "../../bus/bus.ts";
import { isCadreError } from "../../core/errors.ts";
import type { AgentEvent } from "../../core/event.ts";
import type { CheckContext, ConformanceCheck } from "../conformance-check.ts";
import { Latch } from "./latch.ts";

async function closeDuringStorm(context: CheckContext): Promise<void> {
  const [publisher, consumer] = [await context.createBus(), await context.createBus()];
  const [type, group] = [context.topic("storm"), context.group()];
  const seen = new Set<string>();
  await consumer.subscribe(type, { group, concurrency: 16 }, (event) => void seen.add(event.id));
  const published: string[] = [];
  let refused = 0;
  const storm = Array.from({ length: 20 }, async (_, worker) => {
    for (let at = 0; at < 20; at += 1) {
      try {
        published.push((await publisher.publish(type, { worker, at })).id);
      } catch (error) {
        assert.ok(isCadreError(error), String(error));
        refused += 1;
      }
    }
  });
  await context.until(() => published.length >= 50);
  await publisher.close();
  await Promise.all(storm);
  assert.ok(published.length + refused === 400, "every publish has an outcome");
  await context.until(() => published.every((id) => seen.has(id)));
}

async function manyOpenAndClose(context: CheckContext): Promise<void> {
  const bus = await context.createBus();
  const type = context.topic("many");
  const before = bus.stats().subscriptions.length;
  const opened = await Promise.all(
    Array.from({ length: 10 }, (_, at) =>
      bus.subscribe(type, at % 2 === 0 ? { group: context.group() } : {}, () => {}),
    ),
  );
  await Promise.all(opened.map((subscription) => subscription.close()));
  await opened[0]!.close(); // twice does no harm
  assert.equal(bus.stats().subscriptions.length, before);
  let seen = 0;
  await bus.subscribe(type, { group: context.group() }, () => void (seen += 1));
  await bus.publish(type, {});
  await context.until(() => seen === 1);
}

async function closeWaitsForHandlers(context: CheckContext): Promise<void> {
  const bus = await context.createBus();
  const [type, out] = [context.topic("waits"), context.topic("out")];
  const latch = new Latch();
  let [started, ended, aborted] = [false, false, false];
  const other = await context.createBus();
  const results: AgentEvent[] = [];
  await other.subscribe(out, (event) => void results.push(event));
  await bus.subscribe(type, { group: context.group() }, async (_event, delivery) => {
    started = true;
    delivery.signal.addEventListener("abort", () => (aborted = true));
    await latch.opened;
    await delivery.publish(out, {}, { isolated: true }); // what runs may still publish
    ended = true;
  });
  await bus.publish(type, {});
  await context.until(() => started);
  const closing = bus.close({ deadlineMs: 10_000 });
  await assert.rejects(bus.publish(type, {}), (error) => isCadreError(error, "CLOSED"));
  latch.open();
  const report = await closing;
  assert.deepEqual([ended, aborted], [true, false]);
  assert.deepEqual([report.clean, report.finished, report.aborted], [true, 1, 0]);
  await context.until(() => results.length === 1);
}

async function closeAbortsAtTheDeadline(context: CheckContext): Promise<void> {
  const [first, second] = [await context.createBus(), await context.createBus()];
  const [type, group] = [context.topic("deadline"), context.group()];
  let [started, aborted] = [false, false];
  await first.subscribe(type, { group, timeoutMs: 0 }, (_event, { signal }) => {
    started = true;
    signal.addEventListener("abort", () => (aborted = true));
    return new Promise(() => {});
  });
  await first.publish(type, {});
  await context.until(() => started);
  const report = await first.close({ deadlineMs: 50 });
  assert.equal(aborted, true);
  assert.deepEqual([report.clean, report.aborted], [false, 1]);
  const attempts: number[] = [];
  await second.subscribe(type, { group }, (_event, { attempt }) => void attempts.push(attempt));
  await context.until(() => attempts.length === 1, { what: "the event went back" });
  assert.deepEqual(attempts, [1], "being closed is not the handler's failure");
}

async function unstartedGoBack(context: CheckContext): Promise<void> {
  const [first, second] = [await context.createBus(), await context.createBus()];
  const [type, group] = [context.topic("unstarted"), context.group()];
  const latch = new Latch();
  const handled: string[] = [];
  const subscription = await first.subscribe(type, { group }, async (event) => {
    handled.push(event.id);
    if (handled.length > 5) await latch.opened;
  });
  const ids: string[] = [];
  for (let at = 0; at < 40; at += 1) ids.push((await first.publish(type, { at })).id);
  await context.until(() => handled.length === 6);
  const closing = subscription.close();
  latch.open();
  await closing;
  const rest: { id: string; attempt: number }[] = [];
  await second.subscribe(type, { group }, (event, { attempt }) => {
    rest.push({ id: event.id, attempt });
  });
  await context.until(() => rest.length === 34);
  assert.ok(rest.every(({ attempt }) => attempt === 1));
  assert.deepEqual([...handled, ...rest.map(({ id }) => id)].toSorted(), ids.toSorted());
  for await (const letter of first.deadLetters.list({ group })) assert.fail(letter.id);
}

async function signalsClose(context: CheckContext): Promise<void> {
  const bus = await context.createBus();
  const type = context.topic("signal");
  const controller = new AbortController();
  const errors: string[] = [];
  bus.onError(({ message }) => void errors.push(message));
  const { signal } = controller;
  let seen = 0;
  await bus.subscribe(type, { group: context.group(), signal }, () => void (seen += 1));
  const listened: string[] = [];
  const events = bus.listen(type, { signal });
  const reading = (async () => {
    for await (const event of events) listened.push(event.id);
  })();
  await events.ready;
  await bus.publish(type, {});
  await context.until(() => seen === 1 && listened.length === 1);
  controller.abort();
  await reading;
  await context.until(() => bus.stats().subscriptions.length === 0);
  assert.deepEqual(errors, []);
}

async function endsAreHarmless(context: CheckContext): Promise<void> {
  const bus: Bus = await context.createBus();
  const [type, group] = [context.topic("again"), context.group()];
  for (let round = 0; round < 3; round += 1) {
    let seen = 0;
    const subscription = await bus.subscribe(type, { group }, () => void (seen += 1));
    await bus.publish(type, { round });
    await context.until(() => seen === 1);
    await subscription.close();
  }
  const [first, second] = await Promise.all([bus.close(), bus.close()]);
  assert.equal(first, second);
  for (const late of [
    bus.publish(type, {}),
    bus.subscribe(type, () => {}),
    bus.request(type, {}),
  ]) {
    await assert.rejects(late, (error) => isCadreError(error, "CLOSED"));
  }
}

async function poisonStorm(context: CheckContext): Promise<void> {
  const bus = await context.createBus();
  const [type, group] = [context.topic("poison"), context.group()];
  const retry = { maxAttempts: 2, minDelayMs: 1, maxDelayMs: 5 };
  let good = 0;
  const subscription = await bus.subscribe(type, { group, retry, concurrency: 16 }, (event) => {
    if ((event.payload as { at: number }).at % 11 === 0) throw new Error("poison");
    good += 1;
  });
  for (let from = 0; from < 1_100; from += 100) {
    const items = Array.from({ length: 100 }, (_, at) => ({ type, payload: { at: from + at } }));
    await bus.publishBatch(items);
  }
  await context.until(() => good === 1_000, { withinMs: 30_000 });
  await context.until(() => subscription.stats().deadLettered === 100, { withinMs: 30_000 });
}

async function breakerPausesIntake(context: CheckContext): Promise<void> {
  const bus = await context.createBus();
  const [type, group] = [context.topic("broken"), context.group()];
  const states: string[] = [];
  await bus.subscribe("circuit_breaker.*", { filter: { "payload.breaker": group } }, (event) => {
    states.push(event.type.split(".").at(-1)!);
  });
  const breaker = { failures: 5, windowMs: 60_000, openMs: 100 };
  const retry = { maxAttempts: 100, minDelayMs: 1, maxDelayMs: 2, jitter: 0 };
  const calls: string[] = [];
  const done = new Set<string>();
  const subscription = await bus.subscribe(type, { group, breaker, retry }, (event) => {
    calls.push(subscription.stats().breaker);
    if (calls.length <= 5) throw new Error("down");
    done.add(event.id);
  });
  await bus.publishBatch(Array.from({ length: 20 }, (_, at) => ({ type, payload: { at } })));
  await context.until(() => done.size === 20, { withinMs: 10_000 });
  const expected = [...Array.from({ length: 5 }, () => "closed"), "half-open", "closed"];
  assert.deepEqual(calls.slice(0, 7), expected, "the breaker's state at each call");
  assert.equal(subscription.stats().breaker, "closed");
  await context.until(() => states.length === 3);
  assert.deepEqual(states, ["opened", "half_opened", "closed"]);
}

async function breakerProbesOnce(context: CheckContext): Promise<void> {
  const bus = await context.createBus();
  const [type, group] = [context.topic("probed"), context.group()];
  // Open for longer than a busy process takes to call a handler that was let in before.
  const breaker = { failures: 5, windowMs: 60_000, openMs: 250 };
  const retry = { maxAttempts: 100, minDelayMs: 1, maxDelayMs: 2, jitter: 0 };
  const [firstProbe, secondProbe] = [new Latch(), new Latch()];
  let [probes, isUp] = [0, false];
  const done = new Set<string>();
  const options = { group, breaker, retry, concurrency: 4 };
  const subscription = await bus.subscribe(type, options, async (event) => {
    if (!isUp && subscription.stats().breaker !== "half-open") throw new Error("down");
    if (!isUp) {
      probes += 1;
      const isFirst = probes === 1;
      await (isFirst ? firstProbe : secondProbe).opened;
      if (isFirst) throw new Error("still down");
      isUp = true;
    }
    done.add(event.id);
  });
  await bus.publishBatch(Array.from({ length: 20 }, (_, at) => ({ type, payload: { at } })));
  for (const [at, probe] of [firstProbe, secondProbe].entries()) {
    await context.until(() => probes > at, { what: `probe ${at + 1}` });
    await context.quiet(30); // three handlers are free and 19 events wait
    const { breaker: state, running } = subscription.stats();
    assert.deepEqual([probes, state, running], [at + 1, "half-open", 1]);
    probe.open();
  }
  await context.until(() => done.size === 20, { withinMs: 10_000 });
  assert.deepEqual([probes, subscription.stats().breaker], [2, "closed"]);
}

async function healthTells(context: CheckContext): Promise<void> {
  const checked = await context.createBus();
  const [type, hold] = [context.topic("held"), new Latch()];
  assert.equal((await checked.health()).ok, true);
  let started = false;
  await checked.subscribe(type, { group: context.group() }, async () => {
    started = true;
    await hold.opened;
  });
  await checked.publish(type, {});
  await context.until(() => started);
  const closing = checked.close();
  const draining = await checked.health();
  assert.deepEqual([draining.ok, draining.detail], [false, "the bus is draining"]);
  hold.open();
  await closing;
  const closed = await checked.health();
  assert.deepEqual([closed.ok, closed.detail], [false, "the bus is closed"]);
}

const bus = "bus" as const;

export const lifecycleChecks: readonly ConformanceCheck[] = [
  {
    id: "T-64b",
    name:
      "closing in a storm of publishes leaves none without an outcome, and loses none " +
      "that resolved",
    level: bus,
    run: closeDuringStorm,
  },
  {
    id: "T-65b",
    name: "ten subscriptions open and close at once, and later events flow",
    level: bus,
    run: manyOpenAndClose,
  },
  {
    id: "T-66",
    name:
      "close waits for the running handler, which may still publish, and refuses everything " +
      "else",
    level: bus,
    run: closeWaitsForHandlers,
  },
  {
    id: "T-66b",
    name: "at the deadline close aborts what runs, gives its event back, and ends",
    level: bus,
    run: closeAbortsAtTheDeadline,
  },
  {
    id: "T-67",
    name: "what had not started at close comes to others with its attempt unchanged",
    level: bus,
    run: unstartedGoBack,
  },
  {
    id: "T-68",
    name: "a subscription that is closed by its signal is no failure",
    level: bus,
    run: signalsClose,
  },
  {
    id: "T-69c",
    name: "subscribing again works, closing twice is harmless, and a closed bus refuses",
    level: bus,
    run: endsAreHarmless,
  },
  {
    id: "T-79",
    name: "100 poisoned events among 1,000 good ones hold nothing up",
    level: bus,
    run: poisonStorm,
  },
  {
    id: "T-79b",
    name: "a breaker pauses the intake after five failures, and goes on",
    level: bus,
    run: breakerPausesIntake,
  },
  {
    id: "T-79c",
    name: "half open, a breaker makes one call at a time, however many handlers are free",
    level: bus,
    run: breakerProbesOnce,
  },
  {
    id: "T-82b",
    name: "a bus tells its health: good while open, bad while draining and after close",
    level: bus,
    run: healthTells,
  },
];
