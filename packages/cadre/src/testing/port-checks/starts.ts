import assert from "node:assert/strict";
import type { StartFrom, Transport } from "../../bus/transport.ts";
import type { AgentEvent } from "../../core/event.ts";
import type { CheckContext, ConformanceCheck } from "../conformance-check.ts";
import { needsHistory } from "../undeclared.ts";
import { idsOf, Member, numbered, specOf } from "./member.ts";

async function firstIsNotLost(context: CheckContext): Promise<void> {
  const transport = await context.createTransport();
  for (let round = 0; round < 20; round += 1) {
    const type = context.topic(`round-${round}`);
    const mode = round % 2 === 0 ? "group" : "broadcast";
    const member = await Member.open(context, transport, specOf(context, type, { mode }));
    const event = context.event(type);
    await context.publish(transport, [event]);
    assert.deepEqual(idsOf(await member.handle(1)), [event.id]);
    await member.intake.close();
  }
}

interface Past {
  readonly transport: Transport;
  readonly type: string;
  readonly before: readonly AgentEvent[];
  readonly after: readonly AgentEvent[];
  /** An instant between the two. */
  readonly instant: number;
}

async function makePast(context: CheckContext): Promise<Past> {
  const transport = await context.createTransport();
  const type = context.topic("past");
  const before = numbered(context, type, 3);
  for (const event of before) await context.publish(transport, [event]);
  await context.quiet(30);
  const instant = context.clock.now();
  await context.quiet(30);
  const after = numbered(context, type, 3);
  for (const event of after) await context.publish(transport, [event]);
  return { transport, type, before, after, instant };
}

async function startsWhereAsked(context: CheckContext, mode: "group" | "broadcast"): Promise<void> {
  const { transport, type, before, after, instant } = await makePast(context);
  const open = (from: StartFrom): Promise<Member> =>
    Member.open(context, transport, specOf(context, type, { from, mode }));
  const earliest = await open("earliest");
  const leases = await earliest.take(6);
  assert.deepEqual(
    leases.map((lease) => lease.recorded.event?.id),
    idsOf([...before, ...after]),
  );
  const third = leases[2]!.recorded.position;
  const afterThird = await open({ after: third });
  assert.deepEqual(idsOf(await afterThird.handle(3)), idsOf(after));
  const atTime = await open({ time: instant });
  assert.deepEqual(idsOf(await atTime.handle(3)), idsOf(after));
  const fresh = await open("new");
  await fresh.expectNothing();
  const next = context.event(type);
  await context.publish(transport, [next]);
  for (const member of [earliest, afterThird, atTime, fresh]) {
    assert.deepEqual(idsOf(await member.handle(1)), [next.id]);
  }
}

async function everyBroadcastSees(context: CheckContext): Promise<void> {
  const publisher = await context.createTransport();
  const type = context.topic("news");
  const members: Member[] = [];
  for (let n = 0; n < 4; n += 1) {
    const transport = n % 2 === 0 ? publisher : await context.createTransport();
    members.push(
      await Member.open(context, transport, specOf(context, type, { mode: "broadcast" })),
    );
  }
  const events = numbered(context, type, 30);
  await context.publish(publisher, events);
  for (const member of members) {
    assert.deepEqual(new Set(idsOf(await member.handle(30))), new Set(idsOf(events)));
    await member.expectNothing(20);
  }
}

async function topicsSubscribeAtOnce(context: CheckContext): Promise<void> {
  const transport = await context.createTransport();
  const types = Array.from({ length: 20 }, (_, n) => context.topic(`topic-${n}`));
  const members = await Promise.all(
    types.map((type) => Member.open(context, transport, specOf(context, type))),
  );
  const events = types.map((type) => context.event(type));
  await context.publish(transport, events);
  const arrived = await Promise.all(members.map((member) => member.handle(1)));
  assert.deepEqual(idsOf(arrived.flat()), idsOf(events));
}

async function closingStopsOne(context: CheckContext): Promise<void> {
  const transport = await context.createTransport();
  const type = context.topic("shared");
  const modes = ["group", "broadcast", "group", "broadcast"] as const;
  const members = await Promise.all(
    modes.map((mode) => Member.open(context, transport, specOf(context, type, { mode }))),
  );
  const never = new AbortController().signal;
  const waiting = members[0]!.intake.pull(1, never);
  await members[0]!.intake.close();
  await members[1]!.intake.close();
  assert.deepEqual(await waiting, [], "close ends the pull that waits, with nothing");
  assert.deepEqual(await members[1]!.intake.pull(1, never), []);
  const event = context.event(type);
  await context.publish(transport, [event]);
  for (const member of members.slice(2)) {
    assert.deepEqual(idsOf(await member.handle(1)), [event.id]);
  }
}

async function abortEndsPull(context: CheckContext): Promise<void> {
  const transport = await context.createTransport();
  const type = context.topic("abort");
  const member = await Member.open(context, transport, specOf(context, type));
  const controller = new AbortController();
  const pull = member.intake.pull(1, controller.signal);
  controller.abort();
  assert.deepEqual(await pull, []);
  assert.deepEqual(await member.intake.pull(1, AbortSignal.abort()), []);
  const event = context.event(type);
  await context.publish(transport, [event]);
  assert.deepEqual(idsOf(await member.handle(1)), [event.id], "an ended pull takes nothing along");
}

export const startChecks: readonly ConformanceCheck[] = [
  {
    id: "T-11",
    name: "a subscription sees the first event that is published after it is open",
    level: "port",
    run: firstIsNotLost,
  },
  {
    id: "T-12",
    name: "a group starts at the earliest, after a position, at a time, or with what is new",
    level: "port",
    needs: needsHistory,
    run: (context) => startsWhereAsked(context, "group"),
  },
  {
    id: "T-12b",
    name: "a broadcast starts at the earliest, after a position, at a time, or with what is new",
    level: "port",
    needs: needsHistory,
    run: (context) => startsWhereAsked(context, "broadcast"),
  },
  {
    id: "T-13",
    name: "every broadcast subscription gets every event once",
    level: "port",
    run: everyBroadcastSees,
  },
  {
    id: "T-17",
    name: "twenty topics are subscribed at once on one connection",
    level: "port",
    run: topicsSubscribeAtOnce,
  },
  {
    id: "T-18",
    name: "closing a subscription ends its pull and no other subscription",
    level: "port",
    run: closingStopsOne,
  },
  {
    id: "T-18b",
    name: "aborting a pull ends it and takes nothing along",
    level: "port",
    run: abortEndsPull,
  },
];
