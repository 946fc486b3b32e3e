import assert from "node:assert/strict";
import type { Capabilities, PublishResult, Transport } from "../../bus/transport.ts";
import { isCadreError } from "../../core/errors.ts";
import type { AgentEvent } from "../../core/event.ts";
import type { CheckContext, ConformanceCheck } from "../conformance-check.ts";
import { ack, eventOf, idsOf, Member, numbered, release, specOf } from "./member.ts";

async function creditIsKept(context: CheckContext): Promise<void> {
  const transport = await context.createTransport();
  const type = context.topic("credit");
  const member = await Member.open(context, transport, specOf(context, type));
  await context.publish(transport, numbered(context, type, 100));
  const { signal } = new AbortController();
  let seen = 0;
  for (let credit = 1; seen < 100; credit = (credit % 7) + 1) {
    const leases = await member.intake.pull(credit, signal);
    assert.ok(leases.length >= 1 && leases.length <= credit, `${leases.length} for ${credit}`);
    seen += leases.length;
    for (const lease of leases) await lease.settle(ack);
  }
  assert.equal(seen, 100);
}

async function pausingLosesNothing(context: CheckContext): Promise<void> {
  const transport = await context.createTransport();
  const type = context.topic("paused");
  const member = await Member.open(context, transport, specOf(context, type));
  const events = numbered(context, type, 60);
  await context.publish(transport, events.slice(0, 20));
  const arrived = await member.handle(10);
  await context.publish(transport, events.slice(20));
  await context.quiet(50); // nobody pulls
  arrived.push(...(await member.handle(50)));
  assert.deepEqual(new Set(idsOf(arrived)), new Set(idsOf(events)));
}

async function slowHoldsNobody(context: CheckContext): Promise<void> {
  const transport = await context.createTransport();
  const type = context.topic("slow");
  await Member.open(context, transport, specOf(context, type));
  const stuck = await Member.open(context, transport, specOf(context, type));
  const lagging = specOf(context, type, { mode: "broadcast", maxQueued: 10 });
  const slow = await Member.open(context, transport, lagging);
  const quick = await Member.open(context, await context.createTransport(), specOf(context, type));
  const events = numbered(context, type, 500);
  await context.publish(transport, events.slice(0, 1));
  await stuck.takeOne();
  for (let at = 1; at < 500; at += 50) await context.publish(transport, events.slice(at, at + 50));
  assert.equal((await quick.handle(500)).length, 500);
  const next = await slow.takeOne();
  const missed = slow.intake.missed?.() ?? 0;
  const at = events.findIndex(({ id }) => id === eventOf(next).id);
  assert.equal(at, missed, "a slow broadcast is told how many it missed");
}

async function fill(
  context: CheckContext,
  overflow: "wait" | "reject" | "drop-oldest" | "drop-newest",
): Promise<{ transport: Transport; member: Member; events: readonly AgentEvent[] }> {
  const transport = await context.createTransport();
  const type = context.topic(overflow);
  const spec = specOf(context, type, { overflow, maxQueued: 10 });
  const member = await Member.open(context, transport, spec);
  const events = numbered(context, type, 15);
  await context.publish(transport, events.slice(0, 10));
  return { transport, member, events };
}

function refused(results: readonly PublishResult[]): boolean {
  return results.every((result) => !result.ok && isCadreError(result.error, "OVERLOADED"));
}

async function rejectRefuses(context: CheckContext): Promise<void> {
  const { transport, member, events } = await fill(context, "reject");
  const extra = events.slice(10).map((event) => ({ event }));
  assert.ok(refused(await transport.publish(extra)), "each item is refused with OVERLOADED");
  const lease = await member.takeOne();
  await lease.settle(ack);
  await context.publish(transport, [events[10]!]);
  const rest = await member.handle(10);
  assert.deepEqual(idsOf([eventOf(lease), ...rest]), idsOf(events.slice(0, 11)));
  assert.equal(member.intake.missed?.() ?? 0, 0);
}

async function dropsAreCounted(context: CheckContext): Promise<void> {
  const oldest = await fill(context, "drop-oldest");
  await context.publish(oldest.transport, oldest.events.slice(10));
  assert.deepEqual(idsOf(await oldest.member.handle(10)), idsOf(oldest.events.slice(5)));
  assert.equal(oldest.member.intake.missed?.(), 5);
  assert.equal(oldest.member.intake.missed?.(), 0, "counted once");
  const newest = await fill(context, "drop-newest");
  await context.publish(newest.transport, newest.events.slice(10));
  assert.deepEqual(idsOf(await newest.member.handle(10)), idsOf(newest.events.slice(0, 10)));
  assert.equal(newest.member.intake.missed?.(), 5);
}

async function publisherWaits(context: CheckContext): Promise<void> {
  const { transport, member, events } = await fill(context, "wait");
  let published = 0;
  const waiting = Promise.all(
    events.slice(10).map(async (event) => {
      await context.publish(transport, [event]);
      published += 1;
    }),
  );
  waiting.catch(() => {}); // awaited below, if the check gets there
  await context.quiet(30);
  assert.equal(published, 0, "publish waits while the group is full");
  const inside = context.event(events[0]!.type, { inside: true });
  await context.publish(transport, [{ event: inside, excess: 1 }]);
  const beyond = { event: context.event(events[0]!.type), excess: 1 };
  assert.ok(
    refused(await transport.publish([beyond])),
    "a handler's publish is refused at its cap",
  );
  const arrived = await member.handle(16);
  await waiting;
  assert.deepEqual(
    idsOf(arrived),
    idsOf([...events.slice(0, 10), inside, ...events.slice(10)]),
    "in the order in which they were let in",
  );
}

async function closingEndsTheWait(context: CheckContext): Promise<void> {
  const { member, events } = await fill(context, "wait");
  const other = await context.createTransport();
  const waiting = other
    .publish([{ event: events[10]! }])
    .catch((error: unknown) => [{ ok: false as const, error }]);
  await context.quiet(10);
  await other.close();
  const results = await waiting;
  assert.ok(results.every((result) => !result.ok && isCadreError(result.error, "CLOSED")));
  await member.handle(10);
  await member.expectNothing();
}

async function urgentFirst(context: CheckContext): Promise<void> {
  const transport = await context.createTransport();
  const type = context.topic("priority");
  const member = await Member.open(context, transport, specOf(context, type));
  const ranks = ["low", "normal", "high", "critical"] as const;
  const events = numbered(context, type, 40, (n) => ({ priority: ranks[n % 4]! }));
  for (const event of events) await context.publish(transport, [event]);
  const arrived: AgentEvent[] = [];
  for (const _ of events) arrived.push(...(await member.handle(1)));
  const rankOf = (event: AgentEvent): number => ranks.indexOf(event.metadata.priority!);
  const order = arrived.map(rankOf);
  assert.deepEqual(
    order,
    order.toSorted((left, right) => right - left),
    "critical, high, normal, low",
  );
  for (const rank of ranks.keys()) {
    const wanted = events.filter((event) => rankOf(event) === rank);
    const got = arrived.filter((event) => rankOf(event) === rank);
    assert.deepEqual(idsOf(got), idsOf(wanted), "first in, first out within one priority");
  }
}

async function orderBeatsPriority(context: CheckContext): Promise<void> {
  const transport = await context.createTransport();
  const type = context.topic("order-first");
  const member = await Member.open(context, transport, specOf(context, type, { ordered: "block" }));
  const slow = context.event(type, { n: 0 }, { key: "a", priority: "low" });
  const urgent = context.event(type, { n: 1 }, { key: "a", priority: "critical" });
  const other = context.event(type, { n: 2 }, { key: "b", priority: "high" });
  await context.publish(transport, [slow, urgent, other]);
  const first = await member.takeOne();
  assert.equal(eventOf(first).id, other.id, "priority chooses among keys");
  await first.settle(release);
  const arrived: AgentEvent[] = [];
  for (let n = 0; n < 3; n += 1) arrived.push(...(await member.handle(1)));
  assert.deepEqual(idsOf(arrived), idsOf([other, slow, urgent]));
}

function needsMemoryBacklog({ durable }: Capabilities): string | undefined {
  return durable === "no" ? undefined : "the backlog is on disk and has no such bound";
}

export const flowChecks: readonly ConformanceCheck[] = [
  {
    id: "T-52",
    name: "a pull never gives more than was asked for",
    level: "port",
    run: creditIsKept,
  },
  {
    id: "T-54",
    name: "what comes while nobody pulls is there afterwards",
    level: "port",
    run: pausingLosesNothing,
  },
  {
    id: "T-55",
    name: "a member that is stuck and a broadcast that is slow hold up nobody else",
    level: "port",
    run: slowHoldsNobody,
  },
  {
    id: "T-56",
    name: "a full group with reject refuses each item with OVERLOADED",
    level: "port",
    needs: needsMemoryBacklog,
    run: rejectRefuses,
  },
  {
    id: "T-56b",
    name: "a full group drops its oldest or the newest, as asked, and counts what it dropped",
    level: "port",
    needs: needsMemoryBacklog,
    run: dropsAreCounted,
  },
  {
    id: "T-57",
    name: "a full group with wait lets publishers wait, and handlers only up to their cap",
    level: "port",
    needs: needsMemoryBacklog,
    run: publisherWaits,
  },
  {
    id: "T-57b",
    name: "closing the connection refuses the publishes that wait, and only those",
    level: "port",
    needs: needsMemoryBacklog,
    run: closingEndsTheWait,
  },
  {
    id: "T-58",
    name: "a backlog is handed out by priority, and in order within one priority",
    level: "port",
    needs: ({ priorities }) => (priorities ? undefined : "the carrier declares no priorities"),
    run: urgentFirst,
  },
  {
    id: "T-58b",
    name: "order beats priority: priority chooses among keys",
    level: "port",
    needs: ({ priorities, keyOrder }) =>
      priorities && keyOrder.includes("block")
        ? undefined
        : "the carrier does not declare both priorities and per-key order",
    run: orderBeatsPriority,
  },
];
