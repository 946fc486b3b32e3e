import assert from "node:assert/strict";
import type { CheckContext, ConformanceCheck } from "../conformance-check.ts";
import { needsDelayedPublish } from "../undeclared.ts";
import { ack, eventOf, idsOf, Member, numbered, release, retry, specOf } from "./member.ts";

async function ackedStaysAway(context: CheckContext): Promise<void> {
  const first = await context.createTransport();
  const type = context.topic("acked");
  const spec = specOf(context, type, { leaseMs: context.leaseMs });
  const member = await Member.open(context, first, spec);
  await context.publish(first, numbered(context, type, 10));
  await member.handle(10);
  await member.intake.close();
  await first.close();
  const back = await Member.open(context, await context.createTransport(), spec);
  await back.expectNothing(context.leaseMs * 2);
}

async function attemptsCount(context: CheckContext): Promise<void> {
  const transport = await context.createTransport();
  const type = context.topic("again");
  const member = await Member.open(context, transport, specOf(context, type));
  const event = context.event(type);
  await context.publish(transport, [event]);
  for (let attempt = 1; attempt <= 4; attempt += 1) {
    const lease = await member.takeOne();
    assert.equal(eventOf(lease).id, event.id);
    assert.equal(lease.attempt, attempt);
    assert.equal(await lease.settle(attempt === 4 ? ack : retry()), "ok");
  }
  await member.expectNothing();
}

async function attemptsOutliveTheConsumer(context: CheckContext): Promise<void> {
  const first = await context.createTransport();
  const type = context.topic("counted");
  const spec = specOf(context, type);
  const member = await Member.open(context, first, spec);
  await context.publish(first, [context.event(type)]);
  await (await member.takeOne()).settle(retry());
  await (await member.takeOne()).settle(retry());
  await member.intake.close();
  await first.close();
  const back = await Member.open(context, await context.createTransport(), spec);
  assert.equal((await back.takeOne()).attempt, 3);
}

async function settledOnce(context: CheckContext): Promise<void> {
  const transport = await context.createTransport();
  const type = context.topic("settled");
  const member = await Member.open(context, transport, specOf(context, type));
  await context.publish(transport, numbered(context, type, 2));
  const [first, second] = await member.take(2);
  assert.equal(await first!.settle(ack), "ok");
  assert.equal(await first!.settle(ack), "ok", "the same again answers as the first time");
  const other = await first!.settle(retry()).catch(() => "lost" as const);
  assert.equal(other, "lost", "a retry after the ack is refused");
  assert.equal(await second!.settle(retry()), "ok");
  const late = await second!.settle(ack).catch(() => "lost" as const);
  assert.equal(late, "lost", "an ack after the retry is refused");
  const again = await member.takeOne();
  assert.equal(eventOf(again).id, eventOf(second!).id);
  assert.equal(again.attempt, 2);
  assert.equal(await again.settle(ack), "ok");
  await member.expectNothing();
}

async function releaseCountsNothing(context: CheckContext): Promise<void> {
  const transport = await context.createTransport();
  const type = context.topic("released");
  const spec = specOf(context, type);
  const member = await Member.open(context, transport, spec);
  const events = numbered(context, type, 5);
  await context.publish(transport, events);
  for (const lease of await member.take(5)) assert.equal(await lease.settle(release), "ok");
  const other = await Member.open(context, await context.createTransport(), spec);
  const again = await other.take(5);
  assert.deepEqual([...new Set(again.map((lease) => lease.attempt))], [1]);
  assert.deepEqual(new Set(idsOf(again.map(eventOf))), new Set(idsOf(events)));
}

async function rejectionsLoseNothing(context: CheckContext): Promise<void> {
  const publisher = await context.createTransport();
  const type = context.topic("rejected");
  const spec = specOf(context, type);
  const rejections = new Map<string, number>();
  const acked = new Map<string, number>();
  for (let n = 0; n < 3; n += 1) {
    const member = await Member.open(context, await context.createTransport(), spec);
    member.run(async (lease) => {
      const { id } = eventOf(lease);
      const rejected = rejections.get(id) ?? 0;
      if (rejected < 10) {
        rejections.set(id, rejected + 1);
        await lease.settle(retry());
        return;
      }
      await lease.settle(ack);
      acked.set(id, (acked.get(id) ?? 0) + 1);
    }, 4);
  }
  const events = numbered(context, type, 30);
  await context.publish(publisher, events);
  await context.until(() => acked.size === 30, { what: "every event acked after 10 rejections" });
  assert.deepEqual(new Set(acked.keys()), new Set(idsOf(events)));
  assert.deepEqual([...new Set(acked.values())], [1]);
  const total = [...rejections.values()].reduce((sum, count) => sum + count, 0);
  assert.equal(total, 300);
}

async function delaysAreKept(context: CheckContext): Promise<void> {
  const transport = await context.createTransport();
  const type = context.topic("delayed");
  const member = await Member.open(context, transport, specOf(context, type));
  const [slow, quick] = numbered(context, type, 2);
  await context.publish(transport, [slow!]);
  const delayMs = Math.min(200, context.capabilities.maxRetryDelayMs);
  const startedAt = context.clock.monotonic();
  await (await member.takeOne()).settle(retry(delayMs));
  await context.publish(transport, [quick!]);
  assert.deepEqual(idsOf(await member.handle(1)), [quick!.id], "others are not held up");
  const again = await member.takeOne(delayMs + context.boundMs);
  const waitedMs = context.clock.monotonic() - startedAt;
  assert.equal(eventOf(again).id, slow!.id);
  assert.equal(again.attempt, 2);
  // Clocks round, each by up to a millisecond.
  assert.ok(waitedMs >= delayMs - 2, `it came after ${waitedMs} of ${delayMs} ms`);
}

async function delaysSurviveRestart(context: CheckContext): Promise<void> {
  const before = await context.createTransport();
  const type = context.topic("delayed");
  const spec = specOf(context, type);
  const member = await Member.open(context, before, spec);
  await context.publish(before, [context.event(type)]);
  const lease = await member.takeOne();
  const delayMs = 1_000;
  const startedAt = context.clock.monotonic();
  await lease.settle(retry(delayMs));
  await context.controls.restart?.();
  const back = await Member.open(context, await context.createTransport(), spec);
  const again = await back.takeOne(delayMs + context.boundMs);
  assert.equal(again.attempt, 2);
  assert.ok(context.clock.monotonic() - startedAt >= delayMs - 2);
}

async function publishedForLater(context: CheckContext): Promise<void> {
  const transport = await context.createTransport();
  const type = context.topic("later");
  const member = await Member.open(context, transport, specOf(context, type));
  const dueAt = context.clock.now() + 300;
  const later = context.event(type, { n: 2 }, { deliverAt: dueAt });
  const past = context.event(type, { n: 0 }, { deliverAt: context.clock.now() - 1_000 });
  const now = context.event(type, { n: 1 });
  await context.publish(transport, [later, past, now]);
  const arrived = await member.handle(2);
  assert.deepEqual(new Set(idsOf(arrived)), new Set([past.id, now.id]));
  const last = await member.takeOne();
  assert.equal(eventOf(last).id, later.id);
  assert.ok(context.clock.now() >= dueAt - 2, "not before its time");
}

async function attemptsShareNothing(context: CheckContext): Promise<void> {
  const transport = await context.createTransport();
  const type = context.topic("frozen");
  const member = await Member.open(context, transport, specOf(context, type));
  const event = context.event(type, { list: [1], nested: { n: 1 } }, { extensions: { a: 1 } });
  const text = JSON.stringify(event);
  await context.publish(transport, [event]);
  const first = await member.takeOne();
  const seen = eventOf(first);
  const changes: readonly (() => void)[] = [
    () => Object.assign(seen, { type: "changed" }),
    () => Object.assign(seen.metadata, { target: "changed" }),
    () => Object.assign(seen.payload as object, { nested: 2 }),
    () => (seen.payload as { list: number[] }).list.push(2),
    () => Object.assign(seen.metadata.extensions as object, { a: 2 }),
  ];
  for (const change of changes) assert.throws(change, TypeError);
  await first.settle(retry());
  assert.equal(JSON.stringify(eventOf(await member.takeOne())), text);
}

export const settlingChecks: readonly ConformanceCheck[] = [
  {
    id: "T-24",
    name: "what was acked does not come again after a reconnect",
    level: "port",
    run: ackedStaysAway,
  },
  {
    id: "T-25",
    name: "a retried event comes again with attempts 1, 2, 3 …",
    level: "port",
    run: attemptsCount,
  },
  {
    id: "T-26",
    name: "the attempt number outlives the consumer",
    level: "port",
    needs: ({ durableAttempts }) => (durableAttempts ? undefined : "not declared"),
    run: attemptsOutliveTheConsumer,
  },
  {
    id: "T-29",
    name: "settling the same way twice is harmless, another way is refused",
    level: "port",
    run: settledOnce,
  },
  {
    id: "T-32",
    name: "a released event comes again with its attempt unchanged",
    level: "port",
    run: releaseCountsNothing,
  },
  {
    id: "T-33",
    name: "300 rejections by several consumers lose nothing",
    level: "port",
    run: rejectionsLoseNothing,
  },
  {
    id: "T-34",
    name: "a retry with a delay comes after the delay and holds up no other event",
    level: "port",
    needs: ({ maxRetryDelayMs }) =>
      maxRetryDelayMs > 0 ? undefined : "the carrier delays no retries; the bus does",
    run: delaysAreKept,
  },
  {
    id: "T-34b",
    name: "an event with deliverAt comes at that time, and one whose time has passed at once",
    level: "port",
    needs: needsDelayedPublish,
    run: publishedForLater,
  },
  {
    id: "T-35",
    name: "the delay of a retry survives a restart of the carrier",
    level: "port",
    needs: ({ durableDelay }, { restart }) => {
      if (!durableDelay) return "the carrier declares no durable delay";
      return restart ? undefined : "the caller gave no way to restart the carrier";
    },
    run: delaysSurviveRestart,
  },
  {
    id: "T-36",
    name: "an attempt cannot change what the next attempt sees",
    level: "port",
    run: attemptsShareNothing,
  },
];
