import assert from "node:assert/strict";
import { withMetadata } from "../../core/event.ts";
import type { CheckContext, ConformanceCheck } from "../conformance-check.ts";
import { needsOrder } from "../undeclared.ts";
import { ack, eventOf, idsOf, Member, numbered, park, retry, specOf } from "./member.ts";

async function oneGroupAlone(context: CheckContext): Promise<void> {
  const transport = await context.createTransport();
  const type = context.topic("redriven");
  const one = await Member.open(context, transport, specOf(context, type));
  const other = await Member.open(context, transport, specOf(context, type));
  const news = await Member.open(context, transport, specOf(context, type, { mode: "broadcast" }));
  const event = context.event(type, { n: 1 });
  await context.publish(transport, [event]);
  for (const member of [one, other, news]) await member.handle(1);
  const group = one.spec.subscription;
  await context.publish(transport, [{ event, to: { group } }]);
  const again = await one.takeOne();
  assert.deepEqual(eventOf(again), event, "also when the group has had it before");
  assert.equal(again.attempt, 1);
  await again.settle(ack);
  await context.publish(transport, [{ event, to: { group, attempt: 7 } }]);
  const seventh = await one.takeOne();
  assert.equal(seventh.attempt, 7);
  await seventh.settle(ack);
  for (const member of [one, other, news]) await member.expectNothing();
}

async function waitingIsNotDoubled(context: CheckContext): Promise<void> {
  const transport = await context.createTransport();
  const type = context.topic("once");
  const member = await Member.open(context, transport, specOf(context, type));
  const event = context.event(type, { n: 1 });
  const to = { group: member.spec.subscription };
  await context.publish(transport, [event]);
  await context.publish(transport, [{ event, to }]);
  await context.publish(transport, [{ event, to }]);
  assert.deepEqual(idsOf(await member.handle(1)), [event.id]);
  await member.expectNothing();
}

async function parkedWaits(context: CheckContext): Promise<void> {
  const transport = await context.createTransport();
  const type = context.topic("parked");
  const spec = specOf(context, type, { leaseMs: context.leaseMs });
  const member = await Member.open(context, transport, spec);
  const event = context.event(type, { n: 1 });
  await context.publish(transport, [event]);
  assert.equal(await (await member.takeOne()).settle(park), "ok");
  await member.expectNothing(context.leaseMs * 1.5);
  const edited = { ...event, payload: Object.freeze({ n: 2 }) };
  const to = { group: spec.subscription };
  await context.publish(transport, [{ event: Object.freeze(edited), to }]);
  const again = await member.takeOne();
  assert.deepEqual(eventOf(again).payload, { n: 2 }, "with the payload that it was redriven with");
  assert.equal(again.attempt, 1);
  await again.settle(ack);
  await member.expectNothing(context.leaseMs * 1.5);
}

async function parkedKeyWaits(context: CheckContext): Promise<void> {
  const transport = await context.createTransport();
  const type = context.topic("parked-key");
  const spec = specOf(context, type, { ordered: "park-key" });
  const member = await Member.open(context, transport, spec);
  const stuck = numbered(context, type, 4, () => ({ key: "stuck" }));
  const free = numbered(context, type, 4, () => ({ key: "free" }));
  await context.publish(transport, stuck);
  const first = await member.takeOne();
  assert.equal(eventOf(first).id, stuck[0]!.id);
  assert.equal(await first.settle(park), "ok");
  await context.publish(transport, free);
  const flowing: string[] = [];
  for (const _ of free) flowing.push(...idsOf(await member.handle(1)));
  assert.deepEqual(flowing, idsOf(free), "other keys flow");
  await member.expectNothing();
  await context.publish(transport, [{ event: stuck[0]!, to: { group: spec.subscription } }]);
  const released: string[] = [];
  for (const _ of stuck) released.push(...idsOf(await member.handle(1)));
  assert.deepEqual(released, idsOf(stuck), "resolving releases them in order");
}

async function retriedByCopy(context: CheckContext): Promise<void> {
  const transport = await context.createTransport();
  const type = context.topic("copy");
  const member = await Member.open(context, transport, specOf(context, type));
  const event = withMetadata(context.event(type), { target: "reader" });
  await context.publish(transport, [event]);
  const lease = await member.takeOne();
  await context.publish(transport, [
    { event, to: { group: member.spec.subscription, attempt: 2 } },
  ]);
  assert.equal(await lease.settle(ack), "ok");
  const again = await member.takeOne();
  assert.equal(again.attempt, 2, "acking the first does not take the copy away");
  assert.equal(await again.settle(retry()), "ok");
  assert.equal((await member.takeOne()).attempt, 3);
}

export const directedChecks: readonly ConformanceCheck[] = [
  {
    id: "T-44",
    name: "an event directed to a group goes to it alone, with the attempt it says",
    level: "port",
    run: oneGroupAlone,
  },
  {
    id: "T-44b",
    name: "an event that waits in the group is not doubled by directing it there",
    level: "port",
    run: waitingIsNotDoubled,
  },
  {
    id: "T-44c",
    name: "a copy directed while the first is owned stays when the first is acked",
    level: "port",
    run: retriedByCopy,
  },
  {
    id: "T-45",
    name: "a parked event is handed out again only when it is directed to its group",
    level: "port",
    run: parkedWaits,
  },
  {
    id: "T-45b",
    name: "later events of a parked key wait, other keys flow",
    level: "port",
    needs: needsOrder("park-key"),
    run: parkedKeyWaits,
  },
];
