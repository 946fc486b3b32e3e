import assert from "node:assert/strict";
import { describeError } from "../../core/errors.ts";
import type { AgentEvent } from "../../core/event.ts";
import type { CheckContext, ConformanceCheck } from "../conformance-check.ts";

const retry = { maxAttempts: 4, minDelayMs: 1, maxDelayMs: 5, jitter: 0 };

async function attemptsCount(context: CheckContext): Promise<void> {
  const bus = await context.createBus();
  const [type, group] = [context.topic("attempts"), context.group()];
  const seen: { attempt: number; redelivered: boolean }[] = [];
  await bus.subscribe(type, { group, retry }, (_event, { attempt, redelivered }) => {
    seen.push({ attempt, redelivered });
    if (attempt < 3) throw new Error("again");
  });
  await bus.publish(type, {});
  await context.until(() => seen.length === 3);
  assert.deepEqual(seen, [
    { attempt: 1, redelivered: false },
    { attempt: 2, redelivered: true },
    { attempt: 3, redelivered: true },
  ]);
}

async function pauseGivesBack(context: CheckContext): Promise<void> {
  const [type, group] = [context.topic("released"), context.group()];
  const [first, second] = [await context.createBus(), await context.createBus()];
  const held = await first.subscribe(type, { group }, () => {});
  const seen: { id: string; attempt: number }[] = [];
  held.pause();
  await second.subscribe(type, { group }, (event, { attempt }) => {
    seen.push({ id: event.id, attempt });
  });
  for (let at = 0; at < 30; at += 1) await first.publish(type, { at });
  await context.until(() => seen.length === 30);
  assert.ok(
    seen.every(({ attempt }) => attempt === 1),
    "giving back counts no attempt",
  );
}

async function manyFailuresLoseNothing(context: CheckContext): Promise<void> {
  const [type, group] = [context.topic("rejected"), context.group()];
  const failures = new Map<string, number>();
  const done = new Set<string>();
  const options = { group, retry: { ...retry, maxAttempts: 10 }, concurrency: 4 };
  const handler = (event: AgentEvent): void => {
    const count = failures.get(event.id) ?? 0;
    failures.set(event.id, count + 1);
    if (count < 3) throw new Error("not yet");
    done.add(event.id);
  };
  for (let member = 0; member < 3; member += 1) {
    const bus = await context.createBus();
    await bus.subscribe(type, options, handler);
  }
  const publisher = await context.createBus();
  for (let at = 0; at < 100; at += 1) await publisher.publish(type, { at });
  await context.until(() => done.size === 100);
}

async function delayHoldsOneOnly(context: CheckContext): Promise<void> {
  const bus = await context.createBus();
  const [type, group] = [context.topic("delayed"), context.group()];
  const delayMs = context.leaseMs * 2; // the others are through by then on a busy server, too
  const slow = { maxAttempts: 2, minDelayMs: delayMs, maxDelayMs: delayMs, jitter: 0 };
  const startedAt = context.clock.monotonic();
  let retriedAfter = 0;
  const others: string[] = [];
  await bus.subscribe(type, { group, retry: slow }, (event, { attempt }) => {
    const isBad = (event.payload as { bad?: boolean }).bad === true;
    if (!isBad) return void others.push(event.id);
    if (attempt === 1) throw new Error("later");
    retriedAfter = context.clock.monotonic() - startedAt;
    return undefined;
  });
  await bus.publish(type, { bad: true });
  for (let at = 0; at < 10; at += 1) await bus.publish(type, { at });
  await context.until(() => others.length === 10);
  assert.equal(retriedAfter, 0, "others are not held up by the delay");
  await context.until(() => retriedAfter > 0);
  assert.ok(retriedAfter >= delayMs - 5, `came back after ${retriedAfter} ms`);
}

async function delaysOutliveTheCarrier(context: CheckContext): Promise<void> {
  const [type, group] = [context.topic("outlives"), context.group()];
  const delayMs = 1_000;
  const slow = { maxAttempts: 3, minDelayMs: delayMs, maxDelayMs: delayMs, jitter: 0 };
  const startedAt = context.clock.monotonic();
  const attempts: number[] = [];
  const again: { readonly attempt: number; readonly afterMs: number }[] = [];
  const before = await context.createBus();
  await before.subscribe(type, { group, retry: slow }, (_event, { attempt }) => {
    attempts.push(attempt);
    throw new Error("later");
  });
  await before.publish(type, {});
  await context.until(() => attempts.length === 1);
  await before.close();
  await context.controls.restart?.();
  const back = await context.createBus();
  await back.subscribe(type, { group, retry: slow }, (_event, { attempt }) => {
    again.push({ attempt, afterMs: context.clock.monotonic() - startedAt });
  });
  await context.until(() => again.length === 1, { withinMs: delayMs + context.boundMs });
  assert.deepEqual([attempts, again[0]!.attempt], [[1], 2]);
  assert.ok(again[0]!.afterMs >= delayMs - 2, `came back after ${again[0]!.afterMs} ms`);
}

async function eventsCannotBeChanged(context: CheckContext): Promise<void> {
  const bus = await context.createBus();
  const [type, group] = [context.topic("changed"), context.group()];
  const seen: unknown[] = [];
  await bus.subscribe(type, { group, retry: { ...retry, maxAttempts: 2 } }, (event) => {
    seen.push(structuredClone(event));
    (event.payload as { list: number[] }).list.push(1); // throws: the event is frozen
  });
  const event = await bus.publish(type, { list: [] });
  const id = `${group}/${event.id}`;
  await context.until(async () => (await bus.deadLetters.get(id)) !== undefined, { what: id });
  assert.equal(seen.length, 2);
  assert.deepEqual(seen[0], seen[1]);
  assert.deepEqual((await bus.deadLetters.get(id))?.event?.payload, { list: [] });
}

async function heldBackUntilSuccess(context: CheckContext): Promise<void> {
  const bus = await context.createBus();
  const [type, group] = [context.topic("steps"), context.group()];
  const out: AgentEvent[] = [];
  await bus.subscribe(context.topic("out", "#"), (event) => void out.push(event));
  await bus.subscribe(type, { group, retry }, async (_event, delivery) => {
    const { attempt } = delivery;
    await delivery.publish(context.topic("out", "held"), { attempt });
    await delivery.publish(context.topic("out", "isolated"), { attempt }, { isolated: true });
    if (attempt < 3) throw new Error("again");
  });
  const cause = await bus.publish(type, {});
  await context.until(() => out.length >= 4);
  await context.quiet(20);
  const payloads = out.map((event) => [event.type.split(".").at(-1), event.payload]);
  assert.deepEqual(payloads, [
    ["isolated", { attempt: 1 }],
    ["isolated", { attempt: 2 }],
    ["isolated", { attempt: 3 }],
    ["held", { attempt: 3 }],
  ]);
  for (const event of out) {
    assert.equal(event.metadata.causationId, cause.id);
    assert.equal(event.metadata.correlationId, cause.metadata.correlationId);
  }
}

async function allFailuresAreAlike(context: CheckContext): Promise<void> {
  const bus = await context.createBus();
  const [type, group] = [context.topic("failing"), context.group()];
  const once = { group, retry: { maxAttempts: 1 }, timeoutMs: 50, concurrency: 4 };
  await bus.subscribe(type, once, (event) => {
    const { how } = event.payload as { how: string };
    if (how === "thrown") throw new Error("thrown");
    if (how === "rejected") return Promise.reject(new Error("rejected"));
    if (how === "odd") return Promise.reject({ odd: true });
    return new Promise(() => {}); // never settles
  });
  const reasons: Record<string, string> = {};
  for (const how of ["thrown", "rejected", "odd", "never"]) {
    const event = await bus.publish(type, { how });
    const id = `${group}/${event.id}`;
    await context.until(async () => (await bus.deadLetters.get(id)) !== undefined, { what: how });
    const letter = await bus.deadLetters.get(id);
    assert.equal(letter?.reason, "attempts");
    reasons[how] = letter.error.message;
  }
  assert.equal(reasons["thrown"], "thrown");
  assert.equal(reasons["rejected"], "rejected");
  assert.equal(reasons["odd"], describeError({ odd: true }).message);
  assert.match(reasons["never"]!, /longer than 50 ms/);
}

export const settlingChecks: readonly ConformanceCheck[] = [
  {
    id: "T-25b",
    name: "a failing handler is called again with attempts 1, 2, 3",
    level: "bus",
    run: attemptsCount,
  },
  {
    id: "T-32b",
    name: "a paused member leaves its events to the others, and no attempt is counted",
    level: "bus",
    run: pauseGivesBack,
  },
  {
    id: "T-33b",
    name: "300 failures over several members lose nothing",
    level: "bus",
    run: manyFailuresLoseNothing,
  },
  {
    id: "T-34c",
    name: "a retry comes after its delay and holds nothing else up",
    level: "bus",
    emulated: ({ maxRetryDelayMs }) =>
      maxRetryDelayMs > 0 ? undefined : "the bus keeps the delivery until the delay is over",
    run: delayHoldsOneOnly,
  },
  {
    id: "T-35b",
    name: "the delay of a retry survives the end of the bus and a restart of the carrier",
    level: "bus",
    needs: ({ durableDelay }, { restart }) => {
      if (!durableDelay) return "the carrier declares no durable delay";
      return restart ? undefined : "the caller gave no way to restart the carrier";
    },
    run: delaysOutliveTheCarrier,
  },
  {
    id: "T-36b",
    name: "no attempt can change what the next one or the dead letter sees",
    level: "bus",
    run: eventsCannotBeChanged,
  },
  {
    id: "T-37",
    name: "what a failed handler published is not sent, unless it was isolated",
    level: "bus",
    emulated: ({ effects }) =>
      effects === "once" ? undefined : "the bus holds it back, publishes it, and then settles",
    run: heldBackUntilSuccess,
  },
  {
    id: "T-38",
    name: "thrown, rejected, not even an Error, never settled: all failures are handled alike",
    level: "bus",
    run: allFailuresAreAlike,
  },
];
