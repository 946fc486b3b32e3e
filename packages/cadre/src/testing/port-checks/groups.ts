import assert from "node:assert/strict";
import { isCadreError } from "../../core/errors.ts";
import type { CheckContext, ConformanceCheck } from "../conformance-check.ts";
import { ack, eventOf, idsOf, Member, numbered, specOf } from "./member.ts";

async function membersShare(context: CheckContext): Promise<void> {
  const publisher = await context.createTransport();
  const type = context.topic("work");
  const spec = specOf(context, type);
  const seen = new Map<string, number>();
  for (let n = 0; n < 3; n += 1) {
    const member = await Member.open(context, await context.createTransport(), spec);
    member.run(async (lease) => {
      const { id } = eventOf(lease);
      seen.set(id, (seen.get(id) ?? 0) + 1);
      await lease.settle(ack);
    }, 4);
  }
  const events = numbered(context, type, 300);
  for (let at = 0; at < events.length; at += 20) {
    await context.publish(publisher, events.slice(at, at + 20));
  }
  await context.until(() => seen.size === events.length, { what: "every event handled" });
  await context.quiet(20);
  assert.deepEqual(new Set(seen.keys()), new Set(idsOf(events)));
  assert.deepEqual([...new Set(seen.values())], [1], "no event goes to two healthy members");
}

async function otherDefinitionIsRefused(context: CheckContext): Promise<void> {
  const transport = await context.createTransport();
  const type = context.topic("defined");
  const spec = specOf(context, type);
  const member = await Member.open(context, transport, spec);
  const other = specOf(context, context.topic("other"), { subscription: spec.subscription });
  await assert.rejects(
    async () => (await context.createTransport()).open(other),
    (error: unknown) => isCadreError(error, "GROUP_MISMATCH"),
  );
  const event = context.event(type);
  await context.publish(transport, [event]);
  assert.deepEqual(idsOf(await member.handle(1)), [event.id], "the group goes on as it was");
}

async function groupsAreIndependent(context: CheckContext): Promise<void> {
  const transport = await context.createTransport();
  const type = context.topic("both");
  const left = await Member.open(context, transport, specOf(context, type));
  const rightSpec = specOf(context, type);
  const right = await Member.open(context, transport, rightSpec);
  await right.intake.close();
  const events = numbered(context, type, 20);
  await context.publish(transport, events);
  assert.deepEqual(new Set(idsOf(await left.handle(20))), new Set(idsOf(events)));
  const back = await Member.open(context, transport, rightSpec);
  assert.deepEqual(new Set(idsOf(await back.handle(20))), new Set(idsOf(events)));
}

async function groupKeepsItsPlace(context: CheckContext): Promise<void> {
  const publisher = await context.createTransport();
  const type = context.topic("kept");
  const spec = specOf(context, type);
  const first = await context.createTransport();
  const member = await Member.open(context, first, spec);
  const early = numbered(context, type, 5);
  await context.publish(publisher, early);
  await member.handle(5);
  await member.intake.close();
  await first.close();
  const late = numbered(context, type, 5);
  await context.publish(publisher, late);
  const back = await Member.open(context, await context.createTransport(), spec);
  assert.deepEqual(new Set(idsOf(await back.handle(5))), new Set(idsOf(late)));
  await back.expectNothing();
}

async function joiningInAStorm(context: CheckContext): Promise<void> {
  const publisher = await context.createTransport();
  const type = context.topic("storm");
  const spec = specOf(context, type);
  const counts = new Map<string, number>();
  const join = async (): Promise<void> => {
    const member = await Member.open(context, await context.createTransport(), spec);
    member.run(async (lease) => {
      const { id } = eventOf(lease);
      counts.set(id, (counts.get(id) ?? 0) + 1);
      await lease.settle(ack);
    }, 8);
  };
  await join();
  const events = numbered(context, type, 400);
  const joins: Promise<void>[] = [];
  for (let at = 0; at < events.length; at += 10) {
    await context.publish(publisher, events.slice(at, at + 10));
    if (at % 100 === 50) joins.push(join());
  }
  await Promise.all(joins);
  await context.until(() => counts.size === events.length, { what: "every event handled" });
  assert.deepEqual([...new Set(counts.values())], [1]);
}

async function membershipChanges(context: CheckContext): Promise<void> {
  const publisher = await context.createTransport();
  const type = context.topic("members");
  const spec = specOf(context, type);
  const handled = new Map<string, number>();
  const join = async (): Promise<() => Promise<void>> => {
    const member = await Member.open(context, await context.createTransport(), spec);
    const stop = member.run(async (lease) => {
      await lease.settle(ack);
      const { id } = eventOf(lease);
      handled.set(id, (handled.get(id) ?? 0) + 1);
    }, 4);
    return async () => {
      await stop();
      await member.intake.close();
    };
  };
  const leave = [await join(), await join()];
  const events = numbered(context, type, 300);
  for (let at = 0; at < events.length; at += 10) {
    await context.publish(publisher, events.slice(at, at + 10));
    if (at === 100) leave.push(await join());
    if (at === 150) await leave[0]!();
    if (at === 200) await leave[1]!();
  }
  await context.until(() => handled.size === events.length, { what: "every event handled" });
  assert.deepEqual([...new Set(handled.values())], [1]);
}

export const groupChecks: readonly ConformanceCheck[] = [
  {
    id: "T-14",
    name: "members of a group share its events: each goes to one of them",
    level: "port",
    run: membersShare,
  },
  {
    id: "T-14b",
    name: "a member with another definition is refused with GROUP_MISMATCH",
    level: "port",
    run: otherDefinitionIsRefused,
  },
  {
    id: "T-15",
    name: "two groups are independent, also when one has no members",
    level: "port",
    run: groupsAreIndependent,
  },
  {
    id: "T-16",
    name: "a group goes on where it stopped when its members have gone and come back",
    level: "port",
    run: groupKeepsItsPlace,
  },
  {
    id: "T-19",
    name: "members that join during a storm make nothing come twice or never",
    level: "port",
    run: joiningInAStorm,
  },
  {
    id: "T-78",
    name: "members that come and go under load lose and double nothing",
    level: "port",
    run: membershipChanges,
  },
];
