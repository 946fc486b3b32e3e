import assert from "node:assert/strict";
import type { Transport } from "../../bus/transport.ts";
import { isCadreError } from "../../core/errors.ts";
import type { AgentEvent } from "../../core/event.ts";
import type { CarrierControls, CheckContext, ConformanceCheck } from "../conformance-check.ts";
import { ack, eventOf, idsOf, Member, numbered, retry, specOf } from "./member.ts";

const faultMs = 30_000; // longer than any driver's own time limits: by then a fault has shown

/**
 * The error of a publish; nothing when it has succeeded. Fails the check when neither comes in
 * time.
 */
async function outcome(
  context: CheckContext,
  transport: Transport,
  event: AgentEvent,
): Promise<unknown> {
  let answer: { readonly error?: unknown } | undefined;
  transport.publish([{ event }]).then(
    ([result]) => (answer = result!.ok ? {} : { error: result!.error }),
    (error: unknown) => (answer = { error }),
  );
  await context.until(() => answer, { withinMs: faultMs, what: "an answer to the publish" });
  return answer!.error;
}

async function halfOpenIsNoticed(context: CheckContext): Promise<void> {
  const transport = await context.createTransport();
  const type = context.topic("half-open");
  const member = await Member.open(context, transport, specOf(context, type));
  const thaw = await context.controls.freeze!();
  const error = await outcome(context, transport, context.event(type));
  assert.ok(
    isCadreError(error),
    `a publish into nowhere fails with a typed error: ${String(error)}`,
  );
  await thaw();
  const event = context.event(type);
  await context.until(async () => !(await outcome(context, transport, event)), {
    withinMs: faultMs,
    what: "a publish after the thaw",
  });
  await context.until(async () => idsOf(await member.handle(1, faultMs)).includes(event.id), {
    withinMs: faultMs,
    what: "its delivery",
  });
}

async function slowIsTyped(context: CheckContext): Promise<void> {
  const transport = await context.createTransport();
  const type = context.topic("slow");
  const member = await Member.open(context, transport, specOf(context, type));
  const quicken = await context.controls.slow!(2_000);
  const event = context.event(type);
  const error = await outcome(context, transport, event);
  assert.ok(error === undefined || isCadreError(error), `not typed: ${String(error)}`);
  await quicken();
  if (error === undefined) assert.deepEqual(idsOf(await member.handle(1, faultMs)), [event.id]);
}

async function killedConsumerLosesNothing(context: CheckContext): Promise<void> {
  const transport = await context.createTransport();
  const type = context.topic("killed");
  const spec = specOf(context, type, { leaseMs: context.leaseMs * 5 });
  await (await Member.open(context, transport, spec)).intake.close();
  const consumer = await context.controls.startConsumer!(spec);
  const events = numbered(context, type, 10);
  await context.publish(transport, events);
  await context.until(async () => (await consumer.held()) === 10, {
    what: "the consumer's holding all events",
    withinMs: faultMs,
  });
  await context.quiet(context.leaseMs); // a carrier may note a moment later what it handed out
  await consumer.kill();
  const member = await Member.open(context, await context.createTransport(), spec);
  const again = await member.take(10, spec.leaseMs + context.boundMs);
  assert.deepEqual(new Set(idsOf(again.map(eventOf))), new Set(idsOf(events)));
  assert.deepEqual([...new Set(again.map(({ attempt }) => attempt))], [2]);
  for (const lease of again) assert.equal(await lease.settle(ack), "ok");
  await member.expectNothing(spec.leaseMs + 50);
}

async function thawedMemberIsFenced(context: CheckContext): Promise<void> {
  const transport = await context.createTransport();
  const type = context.topic("thawed");
  const spec = specOf(context, type, { leaseMs: context.leaseMs });
  const frozen = await Member.open(context, transport, spec);
  const events = numbered(context, type, 12);
  await context.publish(transport, events);
  const held = await frozen.take(6); // and then it does nothing, as a stopped process
  const healthy = await Member.open(context, await context.createTransport(), {
    ...spec,
    leaseMs: 30_000,
  });
  const owned = await healthy.take(12, context.leaseMs + context.boundMs);
  const late = [];
  for (const [index, lease] of held.entries()) {
    late.push(await lease.settle(index % 2 === 0 ? ack : retry()));
  }
  assert.deepEqual([...new Set(late)], ["lost"]);
  const isHeld = new Set(idsOf(held.map(eventOf)));
  for (const lease of owned) {
    assert.equal(lease.attempt, isHeld.has(eventOf(lease).id) ? 2 : 1);
    assert.equal(await lease.settle(ack), "ok");
  }
  await frozen.expectNothing();
}

async function jumpsMoveNothing(context: CheckContext): Promise<void> {
  const transport = await context.createTransport();
  const delayMs = 400;
  for (const jumpMs of [3_600_000, -3_600_000]) {
    const type = context.topic(jumpMs > 0 ? "forward" : "back");
    const spec = specOf(context, type, { leaseMs: 60_000 });
    const member = await Member.open(context, transport, spec);
    await context.publish(transport, numbered(context, type, 2));
    const [retried, owned] = await member.take(2);
    const startedAt = context.clock.monotonic();
    await retried!.settle(retry(delayMs));
    context.controls.jumpClock!(jumpMs);
    const again = await member.takeOne(delayMs + context.boundMs);
    const waitedMs = context.clock.monotonic() - startedAt;
    assert.equal(eventOf(again).id, eventOf(retried!).id);
    assert.ok(waitedMs >= delayMs - 2, `a jump of ${jumpMs} ms: it came after ${waitedMs} ms`);
    assert.equal(await owned!.settle(ack), "ok", "the lease still holds");
    assert.equal(await again.settle(ack), "ok");
    context.controls.jumpClock!(-jumpMs);
  }
}

async function fullDiskRefuses(context: CheckContext): Promise<void> {
  const transport = await context.createTransport();
  const type = context.topic("full");
  const member = await Member.open(context, transport, specOf(context, type));
  const empty = await context.controls.fillDisk!();
  const taken: AgentEvent[] = [];
  const refused = new Map<string, unknown>();
  for (const event of numbered(context, type, 20)) {
    const error = await outcome(context, transport, event);
    if (error === undefined) taken.push(event);
    else refused.set(event.id, error);
  }
  assert.ok(refused.size > 0, "a full disk takes no more");
  assert.ok([...refused.values()].every((error) => isCadreError(error)));
  await empty();
  const after = context.event(type);
  await context.publish(transport, [after]);
  const wanted = new Set(idsOf([...taken, after]));
  while (wanted.size > 0) {
    const [{ id }] = (await member.handle(1, faultMs)) as [AgentEvent];
    // Of a publish without an answer nobody knows whether it was stored; a refused one was not.
    const mayBe = isCadreError(refused.get(id)) && !isCadreError(refused.get(id), "STORE_FULL");
    assert.ok(wanted.delete(id) || mayBe, `${id} was refused, and is there`);
  }
}

/** Needs one of the controls. */
function needs(
  control: keyof CarrierControls,
  what: string,
): (capabilities: unknown, controls: CarrierControls) => string | undefined {
  return (_, controls) =>
    controls[control] ? undefined : `the caller gave no way to ${what} (\`${control}\`)`;
}

export const faultChecks: readonly ConformanceCheck[] = [
  {
    id: "T-72",
    name: "a connection that is open and dead is noticed, and the transport recovers",
    level: "port",
    tier: "faults",
    needs: needs("freeze", "drop traffic silently"),
    run: halfOpenIsNoticed,
  },
  {
    id: "T-73",
    name: "a slow carrier answers, or the publish fails with a typed error",
    level: "port",
    tier: "faults",
    needs: needs("slow", "slow the carrier down"),
    run: slowIsTyped,
  },
  {
    id: "T-74",
    name: "what a killed process held goes to others within the lease, as attempt 2",
    level: "port",
    tier: "faults",
    needs: needs("startConsumer", "start a consumer in a process of its own"),
    run: killedConsumerLosesNothing,
  },
  {
    id: "T-75",
    name: "a member that froze longer than its lease finds all of it lost",
    level: "port",
    run: thawedMemberIsFenced,
  },
  {
    id: "T-76",
    name: "a jump of wall time by an hour moves no delay and ends no lease",
    level: "port",
    needs: (capabilities, controls) =>
      capabilities.maxRetryDelayMs === 0
        ? "the carrier delays no retries; the bus does"
        : needs("jumpClock", "set the clock")(capabilities, controls),
    run: jumpsMoveNothing,
  },
  {
    id: "T-77",
    name: "a full disk refuses with a typed error, keeps nothing half, and recovers",
    level: "port",
    tier: "faults",
    needs: needs("fillDisk", "fill the disk"),
    run: fullDiskRefuses,
  },
];
