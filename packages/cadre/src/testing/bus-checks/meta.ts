import assert from "node:assert/strict";
import { isCadreError } from "../../core/errors.ts";
import type { AgentEvent } from "../../core/event.ts";
import type { CheckContext, ConformanceCheck } from "../conformance-check.ts";
import { needsHistory } from "../undeclared.ts";

async function undeclaredIsRefused(context: CheckContext): Promise<void> {
  const bus = await context.createBus();
  const { keyOrder, history, delayedPublish } = context.capabilities;
  const unsupported = (error: unknown): boolean => isCadreError(error, "UNSUPPORTED");
  for (const ordered of ["block", "park-key", "skip"] as const) {
    const type = context.topic(ordered);
    const opened = bus.subscribe(type, { group: context.group(ordered), ordered }, () => {});
    if (keyOrder.includes(ordered)) await opened;
    else await assert.rejects(opened, unsupported);
  }
  const type = context.topic("delayed");
  const seenAt: number[] = [];
  await bus.subscribe(type, () => void seenAt.push(context.clock.now()));
  const deliverAt = context.clock.now() + 50;
  const delayed = bus.publish(type, {}, { deliverAt });
  if (delayedPublish) {
    await delayed;
    await context.until(() => seenAt.length === 1);
    assert.ok(seenAt[0]! >= deliverAt - 2, "not before its time");
  } else {
    await assert.rejects(delayed, unsupported);
  }
  const past = context.topic("past");
  const { id } = await bus.publish(past, { old: true });
  const found: string[] = [];
  const read = (async () => {
    for await (const event of bus.history({ type: past })) found.push(event.id);
  })();
  if (history === "none") await assert.rejects(read, unsupported);
  else await read.then(() => assert.deepEqual(found, [id]));
}

const trace = {
  traceparent: "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
  tracestate: "vendor=1",
  tenant: "t1",
  correlationId: "flow-1",
};

function traced(event: AgentEvent | undefined): void {
  assert.ok(event);
  for (const [name, value] of Object.entries(trace)) {
    assert.equal(event.metadata[name as keyof typeof trace], value, `${name} of ${event.type}`);
  }
}

async function contextSurvives(context: CheckContext): Promise<void> {
  const bus = await context.createBus();
  const [type, group] = [context.topic("traced"), context.group()];
  const next: AgentEvent[] = [];
  await bus.subscribe(context.topic("next"), (event) => void next.push(event));
  const attempts: AgentEvent[] = [];
  let broken = true;
  const retry = { maxAttempts: 2, minDelayMs: 1, maxDelayMs: 1 };
  await bus.subscribe(type, { group, retry }, async (event, delivery) => {
    attempts.push(event);
    if (broken) throw new Error("broken");
    await delivery.publish(context.topic("next"), {});
  });
  const { id } = await bus.publish(type, {}, trace);
  await context.until(async () => (await bus.deadLetters.get(`${group}/${id}`)) !== undefined);
  traced((await bus.deadLetters.get(`${group}/${id}`))?.event);
  broken = false;
  await bus.deadLetters.redrive(`${group}/${id}`);
  await context.until(() => next.length === 1);
  assert.equal(attempts.length, 3);
  for (const event of [...attempts, ...next]) traced(event);
  assert.equal(next[0]!.metadata.causationId, id);
  if (context.capabilities.history === "none") return;
  const replayed: AgentEvent[] = [];
  await bus.replay({ type }, { to: (event) => void replayed.push(event) });
  assert.deepEqual(
    replayed.map((event) => [event.id, event.metadata.replayOf]),
    [[id, id]],
  );
  traced(replayed[0]);
  assert.equal(await bus.republish({ type }), 1);
  await context.until(() => next.length === 2);
  traced(attempts[3]);
  assert.equal(attempts[3]!.metadata.replayOf, id);
  assert.equal(attempts[3]!.metadata.causationId, id);
  assert.notEqual(attempts[3]!.id, id);
}

async function replayIsIsolated(context: CheckContext): Promise<void> {
  const bus = await context.createBus();
  const [type, out] = [context.topic("replayed"), context.topic("out")];
  const group = context.group();
  let [handled, published] = [0, 0];
  await bus.subscribe(type, { group }, () => void (handled += 1));
  await bus.subscribe(out, () => void (published += 1));
  for (let at = 0; at < 5; at += 1) await bus.publish(type, { at });
  await context.until(() => handled === 5);
  const seen: unknown[] = [];
  const filter = { "payload.at": { $gte: 2 } };
  const count = await bus.replay(
    { type },
    {
      filter,
      to: async (event, delivery) => {
        seen.push(event.payload);
        await delivery.publish(out, {});
      },
    },
  );
  await context.quiet(20);
  assert.equal(count, 3);
  assert.deepEqual(seen, [{ at: 2 }, { at: 3 }, { at: 4 }]);
  assert.deepEqual([handled, published], [5, 0]);
}

const bus = "bus" as const;

export const metaChecks: readonly ConformanceCheck[] = [
  {
    id: "T-81",
    name: "what the carrier does not declare is refused with UNSUPPORTED, and what it does works",
    level: bus,
    run: undeclaredIsRefused,
  },
  {
    id: "T-83",
    name: "trace, tenant, correlation and cause survive retry, dead letter, redrive and replay",
    level: bus,
    run: contextSurvives,
  },
  {
    id: "T-83b",
    name: "a replay feeds its handler only, marked, and publishes nothing",
    level: bus,
    needs: needsHistory,
    run: replayIsIsolated,
  },
];
