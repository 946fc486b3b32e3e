import assert from "node:assert/strict";
import type { GroupState, Transport } from "../../bus/transport.ts";
import { isCadreError } from "../../core/errors.ts";
import type { AgentEvent } from "../../core/event.ts";
import type { CheckContext, ConformanceCheck } from "../conformance-check.ts";
import { needsHistory } from "../undeclared.ts";
import { ack, eventOf, idsOf, Member, numbered, specOf } from "./member.ts";

/** Publishes one event; true when it is published for sure, false when the answer is an error. */
async function attempt(transport: Transport, event: AgentEvent): Promise<boolean> {
  try {
    const [result] = await transport.publish([{ event }]);
    return result!.ok;
  } catch {
    return false;
  }
}

async function closeInAStorm(context: CheckContext): Promise<void> {
  const publisher = await context.createTransport();
  const type = context.topic("storm");
  const member = await Member.open(context, await context.createTransport(), specOf(context, type));
  const events = numbered(context, type, 300);
  const outcomes: Promise<boolean>[] = [];
  let closing: Promise<void> | undefined;
  for (const [index, event] of events.entries()) {
    outcomes.push(attempt(publisher, event));
    if (index === 150) closing = publisher.close();
    if (index % 25 === 0) await context.clock.yield();
  }
  await closing;
  const settled = await Promise.all(outcomes);
  const published = events.filter((_, index) => settled[index]);
  assert.ok(published.length >= 100, "what was published before the close is published");
  assert.ok(settled.includes(false), "what came after the close is refused");
  const arrived = new Set(idsOf(await member.handle(published.length)));
  const missing = published.filter(({ id }) => !arrived.has(id));
  assert.deepEqual(idsOf(missing), [], "every resolved publish is delivered");
}

async function openAndCloseTen(context: CheckContext): Promise<void> {
  const transport = await context.createTransport();
  const type = context.topic("ten");
  for (const mode of ["group", "broadcast"] as const) {
    const members = await Promise.all(
      Array.from({ length: 10 }, () =>
        Member.open(context, transport, specOf(context, type, { mode })),
      ),
    );
    await Promise.all(members.map((member) => member.intake.close()));
    await Promise.all(members.map((member) => member.intake.close()));
  }
  const member = await Member.open(context, transport, specOf(context, type));
  const events = numbered(context, type, 10);
  await context.publish(transport, events);
  assert.deepEqual(new Set(idsOf(await member.handle(10))), new Set(idsOf(events)));
}

async function startAgain(context: CheckContext): Promise<void> {
  const type = context.topic("again");
  const spec = specOf(context, type);
  const keeper = await context.createTransport();
  for (let round = 0; round < 5; round += 1) {
    const transport = await context.createTransport();
    const member = await Member.open(context, transport, spec);
    const event = context.event(type, { round });
    await context.publish(keeper, [event]);
    assert.deepEqual(idsOf(await member.handle(1)), [event.id]);
    await Promise.all([transport.close(), transport.close()]);
  }
}

async function groupsAreDeleted(context: CheckContext): Promise<void> {
  const transport = await context.createTransport();
  if (!transport.deleteGroup) return;
  const type = context.topic("deleted");
  const spec = specOf(context, type);
  const member = await Member.open(context, transport, spec);
  await context.publish(transport, numbered(context, type, 3));
  const lease = await member.takeOne();
  await transport.deleteGroup(spec.subscription);
  assert.equal(await lease.settle(ack), "lost");
  const other = specOf(context, context.topic("other"), { subscription: spec.subscription });
  const again = await Member.open(context, await context.createTransport(), other);
  await again.expectNothing();
}

async function groupsAreListed(context: CheckContext): Promise<void> {
  const transport = await context.createTransport();
  if (!transport.groups) return;
  const type = context.topic("listed");
  const [first, second] = [specOf(context, type), specOf(context, context.topic("listed", "not"))];
  const member = await Member.open(context, transport, first);
  await (await Member.open(context, transport, second)).intake.close();
  await context.publish(transport, numbered(context, type, 4));
  const held = await member.takeOne();
  const listed = async (): Promise<readonly GroupState[]> => {
    const names = [first.subscription, second.subscription];
    return (await transport.groups!()).filter(({ name }) => names.includes(name));
  };
  const groups = await listed();
  const names = groups.map(({ name }) => name);
  assert.deepEqual(names, [first.subscription, second.subscription].toSorted());
  const busy = groups.find(({ name }) => name === first.subscription)!;
  assert.ok(busy.definition.startsWith(first.definition), busy.definition);
  const { behind = 0, open = 0 } = busy;
  assert.ok(behind + open >= 4, `${behind} to come and ${open} open of 4`);
  assert.ok(open >= 1, "what a member owns is open");
  await held.settle(ack);
  await member.handle(3);
  await context.until(
    async () => (await listed()).find(({ name }) => name === first.subscription)?.open === 0,
    { what: "nothing open when all is acked" },
  );
  if (!transport.deleteGroup) return;
  await transport.deleteGroup(first.subscription);
  assert.deepEqual(
    (await listed()).map(({ name }) => name),
    [second.subscription],
  );
}

async function restartLosesNothing(context: CheckContext): Promise<void> {
  const type = context.topic("restart");
  const spec = specOf(context, type, { leaseMs: context.leaseMs });
  const first = await context.createTransport();
  await (await Member.open(context, first, spec)).intake.close();
  const published: AgentEvent[] = [];
  let refusals = 0;
  let publisher = first;
  for (const [index, event] of numbered(context, type, 300).entries()) {
    if (index === 100 || index === 150) {
      await context.controls.restart?.();
      publisher = await context.createTransport();
    }
    if (await attempt(publisher, event)) published.push(event);
    else refusals += 1;
  }
  assert.ok(published.length >= 290, `${refusals} of 300 publishes were refused`);
  const seen = new Set<string>();
  const member = await Member.open(context, await context.createTransport(), spec);
  member.run(async (lease) => {
    seen.add(eventOf(lease).id);
    await lease.settle(ack);
  }, 10);
  await context.until(() => published.every(({ id }) => seen.has(id)), {
    what: "every published event handled",
    withinMs: 30_000,
  });
}

async function cutLosesNothing(context: CheckContext): Promise<void> {
  const type = context.topic("cut");
  const spec = specOf(context, type, { leaseMs: context.leaseMs });
  const publisher = await context.createTransport();
  const member = await Member.open(context, await context.createTransport(), spec);
  const seen = new Set<string>();
  member.run(async (lease) => {
    seen.add(eventOf(lease).id);
    await lease.settle(ack);
  }, 5);
  const published: AgentEvent[] = [];
  for (const [index, event] of numbered(context, type, 200).entries()) {
    if (index % 50 !== 25) {
      if (await attempt(publisher, event)) published.push(event);
      continue;
    }
    const mend = await context.controls.cut!();
    const during = attempt(publisher, event);
    await context.quiet(100);
    await mend();
    if (await during) published.push(event);
  }
  assert.ok(published.length >= 100, "most publishes succeed around four cuts");
  await context.until(() => published.every(({ id }) => seen.has(id)), {
    what: "every published event handled",
    withinMs: 30_000,
  });
}

async function healthTells(context: CheckContext): Promise<void> {
  const transport = await context.createTransport();
  if (!transport.health) return;
  assert.equal((await transport.health()).ok, true);
  await transport.close();
  assert.equal((await transport.health()).ok, false);
}

const cyclesMs = 120_000; // a broker that makes each queue durable takes longer for all of them

async function cyclesLeaveNothing(context: CheckContext): Promise<void> {
  const transport = await context.createTransport();
  const group = context.group();
  const cycle = async (n: number): Promise<void> => {
    const mode = n % 2 === 0 ? "group" : "broadcast";
    const type = context.topic("cycle", mode);
    const subscription = mode === "group" ? group : context.group();
    const spec = specOf(context, type, { mode, subscription });
    const member = await Member.open(context, transport, spec);
    await context.publish(transport, [context.event(type)]);
    await member.handle(1);
    await member.intake.close();
  };
  const handles = (): number => process.getActiveResourcesInfo().length;
  for (let n = 0; n < 200; n += 1) await cycle(n);
  const before = { handles: handles(), heap: process.memoryUsage().heapUsed };
  const end = context.clock.monotonic() + cyclesMs;
  for (let n = 0; n < 5_000 && (n < 500 || context.clock.monotonic() < end); n += 1) {
    await cycle(n);
  }
  // Other checks may run beside this one; what 5,000 cycles leave behind is far above their noise.
  await context.until(() => handles() <= before.handles + 100, {
    what: "the return of handles and timers to where they were",
  });
  const grownMb = (process.memoryUsage().heapUsed - before.heap) / 1_048_576;
  assert.ok(grownMb < 256, `the heap has grown by ${grownMb.toFixed(0)} MB`);
}

async function refusesUnknownPosition(context: CheckContext): Promise<void> {
  const transport = await context.createTransport();
  const spec = specOf(context, context.topic("bad"), { from: { after: "no position" } });
  await assert.rejects(
    async () => transport.open(spec),
    (error: unknown) => isCadreError(error),
  );
}

export const lifecycleChecks: readonly ConformanceCheck[] = [
  {
    id: "T-12c",
    name: "a start after what is no position is refused",
    level: "port",
    needs: needsHistory,
    run: refusesUnknownPosition,
  },
  {
    id: "T-64",
    name: "a close during a storm of publishes: each has resolved and is delivered, or is refused",
    level: "port",
    run: closeInAStorm,
  },
  {
    id: "T-65",
    name: "ten subscriptions are opened and closed at once, and later publishes still flow",
    level: "port",
    run: openAndCloseTen,
  },
  {
    id: "T-69",
    name: "start, stop, start again works, and closing twice is harmless",
    level: "port",
    run: startAgain,
  },
  {
    id: "T-69b",
    name: "a deleted group has lost its place, its deliveries and its definition",
    level: "port",
    run: groupsAreDeleted,
  },
  {
    id: "T-69d",
    name: "groups are listed by name with what they have open, until they are deleted",
    level: "port",
    run: groupsAreListed,
  },
  {
    id: "T-70",
    name: "two restarts of the carrier lose no event whose publish has resolved",
    level: "port",
    tier: "faults",
    needs: ({ durable }, { restart }) => {
      if (durable === "no") return "the carrier declares no durability";
      return restart ? undefined : "the caller gave no way to restart the carrier";
    },
    run: restartLosesNothing,
  },
  {
    id: "T-71",
    name: "cut connections lose no event whose publish has resolved",
    level: "port",
    tier: "faults",
    needs: (_, { cut }) => (cut ? undefined : "the caller gave no way to cut connections"),
    run: cutLosesNothing,
  },
  {
    id: "T-80",
    name: "thousands of subscriptions opened and closed leave no handle, timer or memory behind",
    level: "port",
    tier: "faults",
    run: cyclesLeaveNothing,
  },
  {
    id: "T-82",
    name: "health is good while open and bad after close, and never throws",
    level: "port",
    run: healthTells,
  },
];
