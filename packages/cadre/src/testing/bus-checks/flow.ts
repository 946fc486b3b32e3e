import assert from "node:assert/strict";
import { isCadreError } from "../../core/errors.ts";
import type { Bus, Overflow } from "../../bus/bus.ts";
import type { AgentEvent } from "../../core/event.ts";
import type { CheckContext, ConformanceCheck } from "../conformance-check.ts";
import { Latch } from "./latch.ts";

async function concurrencyIsKept(context: CheckContext): Promise<void> {
  const bus = await context.createBus();
  const [type, group] = [context.topic("concurrent"), context.group()];
  let [running, most, total] = [0, 0, 0];
  const subscription = await bus.subscribe(type, { group, concurrency: 3 }, async () => {
    running += 1;
    most = Math.max(most, running);
    await context.clock.sleep(2);
    running -= 1;
    total += 1;
  });
  // At once: a carrier whose publish is slower than three handlers would never have a backlog.
  await bus.publishBatch(Array.from({ length: 60 }, (_, at) => ({ type, payload: { at } })));
  await context.until(() => total >= 20);
  assert.equal(most, 3);
  subscription.setConcurrency(1);
  await context.until(() => running <= 1);
  most = running;
  const before = total;
  await context.until(() => total >= before + 5);
  assert.ok(most <= 1, `lowered while running, ${most} at once`);
  subscription.setConcurrency(6);
  await context.until(() => total === 60);
  assert.ok(most > 1 && most <= 6, `raised while running, ${most} at once`);
}

async function pauseStops(context: CheckContext): Promise<void> {
  const bus = await context.createBus();
  const [type, group] = [context.topic("paused"), context.group()];
  const seen: string[] = [];
  const subscription = await bus.subscribe(type, { group }, (event) => void seen.push(event.id));
  await bus.publish(type, {});
  await context.until(() => seen.length === 1);
  subscription.pause();
  assert.equal(subscription.stats().paused, true);
  for (let at = 0; at < 20; at += 1) await bus.publish(type, { at });
  await context.quiet(30);
  assert.equal(seen.length, 1);
  subscription.resume();
  await context.until(() => seen.length === 21);
}

async function stuckHoldsNobody(context: CheckContext): Promise<void> {
  const bus = await context.createBus();
  const type = context.topic("stuck");
  const latch = new Latch();
  context.defer(() => latch.open());
  const stuck = await bus.subscribe(type, { maxQueued: 10 }, () => latch.opened);
  let quick = 0;
  await bus.subscribe(type, { maxQueued: 10_000 }, () => void (quick += 1));
  for (let at = 0; at < 500; at += 1) await bus.publish(type, { at });
  await context.until(() => quick === 500);
  await context.until(() => stuck.stats().queued === 10 || stuck.stats().dropped > 0);
  assert.ok(stuck.stats().queued <= 10);
  latch.open();
}

interface Full {
  readonly bus: Bus;
  readonly type: string;
  readonly latch: Latch;
  readonly seen: number[];
  readonly dropped: () => number;
}

/**
 * A broadcast whose one handler waits at a latch and whose queue of 5 is full: 0 runs, 1 to 5 wait.
 */
async function full(context: CheckContext, overflow: Overflow): Promise<Full> {
  const bus = await context.createBus();
  const type = context.topic(overflow);
  const latch = new Latch();
  context.defer(() => latch.open());
  const seen: number[] = [];
  const subscription = await bus.subscribe(type, { overflow, maxQueued: 5 }, async (event) => {
    seen.push((event.payload as { at: number }).at);
    await latch.opened;
  });
  for (let at = 0; at <= 5; at += 1) await bus.publish(type, { at });
  await context.until(() => seen.length === 1 && subscription.stats().queued === 5);
  return { bus, type, latch, seen, dropped: () => subscription.stats().dropped };
}

async function oldestAreDropped(context: CheckContext): Promise<void> {
  const { bus, type, latch, seen, dropped } = await full(context, "drop-oldest");
  const news: AgentEvent[] = [];
  await bus.subscribe("agent.backpressure", { filter: { source: bus.source } }, (event) => {
    if ((event.payload as { queue?: string }).queue === type) news.push(event);
  });
  const ids: string[] = [];
  for (let at = 6; at < 16; at += 1) ids.push((await bus.publish(type, { at })).id);
  await context.until(() => dropped() === 10);
  await context.until(() => news.length > 0, { what: "agent.backpressure" });
  const payload = news[0]!.payload as { dropped: number; policy: string; limit: number };
  assert.equal(payload.policy, "drop-oldest");
  assert.equal(payload.limit, 5);
  assert.ok(payload.dropped >= 1 && payload.dropped <= 10);
  latch.open();
  await context.until(() => seen.length === 6);
  assert.deepEqual(seen, [0, 11, 12, 13, 14, 15]);
  assert.equal(news.length, 1, "once a burst");
}

async function newestAreDropped(context: CheckContext): Promise<void> {
  const { bus, type, latch, seen, dropped } = await full(context, "drop-newest");
  for (let at = 6; at < 16; at += 1) await bus.publish(type, { at });
  await context.until(() => dropped() === 10);
  latch.open();
  await context.until(() => seen.length === 6);
  assert.deepEqual(seen, [0, 1, 2, 3, 4, 5]);
}

async function publisherWaits(context: CheckContext): Promise<void> {
  const { bus, type, latch, seen, dropped } = await full(context, "wait");
  let resolved = false;
  const waiting = bus.publish(type, { at: 6 }).then(() => (resolved = true));
  await context.quiet(20);
  assert.equal(resolved, false);
  latch.open();
  await waiting;
  await context.until(() => seen.length === 7);
  assert.equal(dropped(), 0);
}

async function publisherIsRefused(context: CheckContext): Promise<void> {
  const { bus, type, latch, seen } = await full(context, "reject");
  await assert.rejects(bus.publish(type, { at: 6 }), (error) => isCadreError(error, "OVERLOADED"));
  latch.open();
  await context.until(() => seen.length === 6);
  await bus.publish(type, { at: 7 });
  await context.until(() => seen.length === 7);
}

async function handlersNeverWait(context: CheckContext): Promise<void> {
  const bus = await context.createBus({ maxHandlerBacklog: 3 });
  const [type, trigger] = [context.topic("full"), context.topic("trigger")];
  const latch = new Latch();
  context.defer(() => latch.open());
  let stuck = 0;
  await bus.subscribe(type, { overflow: "wait", maxQueued: 2 }, async () => {
    stuck += 1;
    await latch.opened;
  });
  const outcomes: string[] = [];
  await bus.subscribe(trigger, { group: context.group() }, async (_event, delivery) => {
    for (let at = 0; at < 8; at += 1) {
      try {
        // Both ways, and far into the handler: what counts is where the call comes from.
        if (at % 2 === 0) await delivery.publish(type, { at }, { isolated: true });
        else await bus.publish(type, { at });
        outcomes.push("ok");
      } catch (error) {
        outcomes.push(isCadreError(error) ? error.code : "?");
      }
    }
  });
  await bus.publish(trigger, {});
  await context.until(() => outcomes.length === 8);
  // One runs, two wait, three more are taken from inside a handler.
  assert.deepEqual(outcomes, [...Array<string>(6).fill("ok"), "OVERLOADED", "OVERLOADED"]);
  latch.open();
  await context.until(() => stuck === 6);
}

async function urgentFirst(context: CheckContext): Promise<void> {
  const bus = await context.createBus();
  const [type, group] = [context.topic("urgent"), context.group()];
  const seen: string[] = [];
  const subscription = await bus.subscribe(type, { group }, (event) => {
    seen.push(event.metadata.priority ?? "normal");
  });
  subscription.pause();
  for (const priority of ["low", "normal", "high", "critical"] as const) {
    for (let at = 0; at < 3; at += 1) await bus.publish(type, { at }, { priority });
  }
  subscription.resume();
  await context.until(() => seen.length === 12);
  const ranks = ["critical", "high", "normal", "low"];
  const positions = ranks.map((rank) => seen.lastIndexOf(rank));
  assert.deepEqual(
    positions,
    positions.toSorted((a, b) => a - b),
    `handled in the order ${seen.join(" ")}`,
  );
}

const direct = (capabilities: { readonly crossesProcess: boolean }): string | undefined =>
  capabilities.crossesProcess ? "broadcasts come from another process's log here" : undefined;

const bus = "bus" as const;

export const flowChecks: readonly ConformanceCheck[] = [
  {
    id: "T-52b",
    name: "never more handlers than the concurrency, also when it changes",
    level: bus,
    run: concurrencyIsKept,
  },
  {
    id: "T-54b",
    name: "a paused subscription starts nothing, and goes on without a loss",
    level: bus,
    run: pauseStops,
  },
  {
    id: "T-55b",
    name: "a stuck broadcast keeps to its bound and holds nobody up",
    level: bus,
    run: stuckHoldsNobody,
  },
  {
    id: "T-56c",
    name: "drop-oldest keeps the newest, counts, and says so once a burst",
    level: bus,
    needs: direct,
    run: oldestAreDropped,
  },
  {
    id: "T-56d",
    name: "drop-newest keeps what waits, and counts",
    level: bus,
    run: newestAreDropped,
  },
  {
    id: "T-57c",
    name: "with wait, a publish waits for room",
    level: bus,
    needs: direct,
    run: publisherWaits,
  },
  {
    id: "T-57d",
    name: "with reject, a publish is refused with OVERLOADED",
    level: bus,
    needs: direct,
    run: publisherIsRefused,
  },
  {
    id: "T-57e",
    name: "a publish from inside a handler never waits: beyond the hard cap it is refused",
    level: bus,
    needs: direct,
    run: handlersNeverWait,
  },
  {
    id: "T-58c",
    name: "urgent events go first, and the others are handled too",
    level: bus,
    needs: ({ priorities }) =>
      priorities ? undefined : "the carrier's backlog has no priorities; what waits in the bus has",
    run: urgentFirst,
  },
];
