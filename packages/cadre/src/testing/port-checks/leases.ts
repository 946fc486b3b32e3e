import assert from "node:assert/strict";
import type { CheckContext, ConformanceCheck } from "../conformance-check.ts";
import { ack, eventOf, idsOf, Member, numbered, retry, specOf } from "./member.ts";

async function unsettledComesBack(context: CheckContext): Promise<void> {
  const publisher = await context.createTransport();
  const first = await context.createTransport();
  const type = context.topic("unsettled");
  const spec = specOf(context, type, { leaseMs: context.leaseMs });
  const member = await Member.open(context, first, spec);
  const events = numbered(context, type, 10);
  await context.publish(publisher, events);
  const leases = await member.take(5);
  await member.intake.close();
  await first.close();
  const back = await Member.open(context, await context.createTransport(), spec);
  const again = await back.handle(10, context.leaseMs + context.boundMs);
  assert.deepEqual(new Set(idsOf(again)), new Set(idsOf(events)));
  const late = await leases[0]!.settle(ack).catch(() => "lost" as const);
  assert.equal(late, "lost", "the closed consumer owns nothing any more");
}

async function lateIsFenced(context: CheckContext): Promise<void> {
  const transport = await context.createTransport();
  const type = context.topic("fenced");
  const spec = specOf(context, type, { leaseMs: context.leaseMs });
  const frozen = await Member.open(context, transport, spec);
  const event = context.event(type);
  await context.publish(transport, [event]);
  const late = await frozen.takeOne();
  const healthy = await Member.open(context, await context.createTransport(), {
    ...spec,
    leaseMs: 30_000,
  });
  const owned = await healthy.takeOne(context.leaseMs + context.boundMs);
  assert.equal(eventOf(owned).id, event.id);
  assert.equal(owned.attempt, 2, "a lease that ran out counts as an attempt");
  assert.equal(await late.extend(10_000), "lost");
  for (const settlement of [ack, retry()]) {
    assert.equal(await late.settle(settlement), "lost");
  }
  assert.equal(await owned.settle(ack), "ok", "the late owner has changed nothing");
  await frozen.expectNothing();
}

async function extendKeeps(context: CheckContext): Promise<void> {
  const transport = await context.createTransport();
  const type = context.topic("long");
  const spec = specOf(context, type, { leaseMs: context.leaseMs });
  const busy = await Member.open(context, transport, spec);
  const idle = await Member.open(context, await context.createTransport(), spec);
  await context.publish(transport, [context.event(type)]);
  const lease = await busy.takeOne();
  for (let round = 0; round < 10; round += 1) {
    assert.equal(await lease.extend(context.leaseMs * 3), "ok"); // with room for a busy machine
    await idle.expectNothing(context.leaseMs / 2);
  }
  assert.equal(await lease.settle(ack), "ok");
  await idle.expectNothing(context.leaseMs * 4);
}

async function runsOutInTime(context: CheckContext): Promise<void> {
  const transport = await context.createTransport();
  const type = context.topic("ran-out");
  const spec = specOf(context, type, { leaseMs: context.leaseMs });
  const silent = await Member.open(context, transport, spec);
  const events = numbered(context, type, 20);
  await context.publish(transport, events);
  const startedAt = context.clock.monotonic();
  await silent.take(20);
  const other = await Member.open(context, await context.createTransport(), spec);
  const again = await other.handle(20, context.leaseMs + context.boundMs);
  assert.ok(context.clock.monotonic() - startedAt >= context.leaseMs * 0.9, "not before its time");
  assert.deepEqual(new Set(idsOf(again)), new Set(idsOf(events)));
}

export const leaseChecks: readonly ConformanceCheck[] = [
  {
    id: "T-28",
    name: "what a consumer had not settled when its connection closed goes to the next",
    level: "port",
    run: unsettledComesBack,
  },
  {
    id: "T-30",
    name: "settling or extending after the lease was lost changes nothing and answers lost",
    level: "port",
    run: lateIsFenced,
  },
  { id: "T-31", name: "extend keeps a delivery owned", level: "port", run: extendKeeps },
  {
    id: "T-31b",
    name: "without extend a delivery goes to another member after the lease time, not before",
    level: "port",
    run: runsOutInTime,
  },
];
