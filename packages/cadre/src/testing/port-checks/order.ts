import assert from "node:assert/strict";
import type { Lease, OnRetry } from "../../bus/transport.ts";
import type { AgentEvent } from "../../core/event.ts";
import type { CheckContext, ConformanceCheck } from "../conformance-check.ts";
import { needsHistory, needsOrder } from "../undeclared.ts";
import { ack, eventOf, idsOf, Member, numbered, release, retry, specOf } from "./member.ts";
import { OrderModel } from "./order-model.ts";

async function laterWait(context: CheckContext): Promise<void> {
  const transport = await context.createTransport();
  const type = context.topic("ordered");
  const spec = specOf(context, type, { ordered: "block" });
  const one = await Member.open(context, transport, spec);
  const two = await Member.open(context, await context.createTransport(), spec);
  const events = numbered(context, type, 5, () => ({ key: "k" }));
  await context.publish(transport, events);
  for (const [index, event] of events.entries()) {
    const [owner, other] = index % 2 === 0 ? [one, two] : [two, one];
    const lease = await owner.takeOne();
    assert.equal(eventOf(lease).id, event.id);
    await other.expectNothing(20);
    if (index === 2) {
      await lease.settle(retry());
      const again = await other.takeOne();
      assert.equal(eventOf(again).id, event.id, "the retried one comes before those behind it");
      await again.settle(ack);
    } else {
      await lease.settle(ack);
    }
  }
}

async function keysKeepOrder(context: CheckContext, members: number): Promise<void> {
  const publisher = await context.createTransport();
  const type = context.topic(`keys-${members}`);
  const spec = specOf(context, type, { ordered: "block" });
  const seen = new Map<string, number[]>();
  let handled = 0;
  for (let n = 0; n < members; n += 1) {
    const transport = n % 4 === 0 ? await context.createTransport() : publisher;
    const member = await Member.open(context, transport, spec);
    member.run(async (lease) => {
      const { metadata, payload } = eventOf(lease);
      const list = seen.get(metadata.key!) ?? [];
      list.push((payload as { n: number }).n);
      seen.set(metadata.key!, list);
      if (context.random.integer(8) === 0) await context.clock.yield();
      await lease.settle(ack);
      handled += 1;
    }, 8);
  }
  const events = numbered(context, type, 1_000, (n) => ({ key: `key-${n % 16}` }));
  for (let at = 0; at < events.length; at += 50) {
    await context.publish(publisher, events.slice(at, at + 50));
  }
  await context.until(() => handled >= 1_000, { what: "all 1,000 events handled" });
  assert.equal(seen.size, 16);
  for (const [key, list] of seen) {
    const first = Number(key.slice(4));
    const count = Math.ceil((1_000 - first) / 16);
    assert.deepEqual(
      list,
      Array.from({ length: count }, (_, index) => first + index * 16),
      `order of ${key}`,
    );
  }
}

/** Several members settle at random; the model says at every hand-out whether it was allowed. */
async function modelHolds(context: CheckContext, onRetry: OnRetry): Promise<void> {
  const { random } = context;
  const publisher = await context.createTransport();
  const type = context.topic(onRetry);
  const spec = specOf(context, type, { ordered: onRetry });
  const keys = ["a", "b", "c", "d", "e"];
  const events = numbered(context, type, 150, () => ({ key: keys[random.integer(5)]! }));
  const model = new OrderModel(onRetry, events);
  const handle = async (lease: Lease): Promise<void> => {
    model.handOut(eventOf(lease).id, lease.attempt);
    if (random.integer(3) === 0) await context.clock.sleep(random.integer(3));
    const draw = lease.attempt >= 4 ? 0 : random.integer(10);
    const kind = draw < 6 ? "ack" : draw < 9 ? "retry" : "release";
    model.settle(eventOf(lease).id, kind);
    if (kind === "ack") await lease.settle(ack);
    else if (kind === "release") await lease.settle(release);
    else await lease.settle(retry(random.integer(2) * (5 + random.integer(10))));
  };
  for (let n = 0; n < 4; n += 1) {
    const member = await Member.open(
      context,
      n % 2 === 0 ? publisher : await context.createTransport(),
      spec,
    );
    member.run(async (lease) => {
      try {
        await handle(lease);
      } catch (error) {
        model.broke(error);
        await lease.settle(ack);
      }
    });
  }
  for (let at = 0; at < events.length;) {
    const count = 1 + random.integer(10);
    await context.publish(publisher, events.slice(at, at + count));
    at += count;
  }
  await context.until(() => model.isDone, { what: "every event acked", withinMs: 30_000 });
  model.assertHeld();
}

async function boundariesKeepOrder(context: CheckContext): Promise<void> {
  const publisher = await context.createTransport();
  const type = context.topic("boundary");
  const spec = specOf(context, type, { ordered: "block" });
  await (await Member.open(context, publisher, spec)).intake.close();
  const events = numbered(context, type, 60, () => ({ key: "k" }));
  for (let at = 0; at < 60; at += 7) await context.publish(publisher, events.slice(at, at + 7));
  const seen: AgentEvent[] = [];
  for (let round = 0; round < 6; round += 1) {
    const transport = await context.createTransport();
    const member = await Member.open(context, transport, spec);
    for (let n = 0; n < 10; n += 1) seen.push(...(await member.handle(1)));
    await member.intake.close();
    await transport.close();
  }
  assert.deepEqual(idsOf(seen), idsOf(events));
}

async function positionsRise(context: CheckContext): Promise<void> {
  const reader = await context.createTransport();
  const type = context.topic("positions");
  const spec = specOf(context, type, { mode: "broadcast", from: "new" });
  const member = await Member.open(context, reader, spec);
  const writers = await Promise.all(Array.from({ length: 8 }, () => context.createTransport()));
  const events = writers.map(() => numbered(context, type, 40));
  const writing = Promise.all(
    writers.map(async (transport, index) => {
      for (const event of events[index]!) await context.publish(transport, [event]);
    }),
  );
  writing.catch(() => {}); // awaited below, if the check gets there
  const leases = await member.take(320);
  await writing;
  const positions = leases.map((lease) => lease.recorded.position);
  assert.deepEqual(positions, positions.toSorted(), "a reader meets positions in rising order");
  assert.equal(new Set(positions).size, 320);
  for (const list of events) {
    const wanted = new Set(idsOf(list));
    const arrived = idsOf(leases.map(eventOf)).filter((id) => wanted.has(id));
    assert.deepEqual(arrived, idsOf(list), "one writer's events keep their order");
  }
}

async function historyReads(context: CheckContext): Promise<void> {
  const transport = await context.createTransport();
  const type = context.topic("history");
  const events = numbered(context, type, 30, (n) => ({ correlationId: `flow-${n % 3}` }));
  for (const event of events) await context.publish(transport, [event]);
  const pattern = context.topic("#");
  const read = async (query: object): Promise<string[]> => {
    const ids: string[] = [];
    for await (const { event } of transport.read!({ type: pattern, ...query })) ids.push(event!.id);
    return ids;
  };
  const ids = idsOf(events);
  assert.deepEqual(await read({}), ids);
  assert.deepEqual(await read({ backward: true }), ids.toReversed());
  assert.deepEqual(await read({ limit: 4 }), ids.slice(0, 4));
  assert.deepEqual(await read({ limit: 4, backward: true }), ids.toReversed().slice(0, 4));
  assert.deepEqual(await read({ limit: 0 }), []);
  assert.deepEqual(await read({ id: ids[7] }), [ids[7]]);
  assert.deepEqual(
    await read({ correlationId: "flow-1" }),
    ids.filter((_, index) => index % 3 === 1),
  );
  assert.deepEqual(await read({ source: "nobody" }), []);
  assert.deepEqual(await read({ since: events[29]!.timestamp + 1 }), []);
  assert.deepEqual(await read({ until: events[0]!.timestamp }), []);
  const positions: string[] = [];
  for await (const { position } of transport.read!({ type: pattern })) positions.push(position);
  const between = await read({ after: positions[9], before: positions[20] });
  assert.deepEqual(between, ids.slice(10, 20));
}

export const orderChecks: readonly ConformanceCheck[] = [
  {
    id: "T-27",
    name: "no later event of a key is handed out before the earlier one is settled",
    level: "port",
    needs: needsOrder("block"),
    run: laterWait,
  },
  {
    id: "T-48",
    name: "16 keys keep their order over 1,000 events with one member",
    level: "port",
    needs: needsOrder("block"),
    run: (context) => keysKeepOrder(context, 1),
  },
  {
    id: "T-48b",
    name: "16 keys keep their order over 1,000 events with ten members",
    level: "port",
    needs: needsOrder("block"),
    run: (context) => keysKeepOrder(context, 10),
  },
  {
    id: "T-49",
    name: "random retries and delays keep the model of block",
    level: "port",
    needs: needsOrder("block"),
    run: (context) => modelHolds(context, "block"),
  },
  {
    id: "T-49b",
    name: "random retries and delays keep the model of park-key",
    level: "port",
    needs: needsOrder("park-key"),
    run: (context) => modelHolds(context, "park-key"),
  },
  {
    id: "T-49c",
    name: "random retries and delays keep the model of skip",
    level: "port",
    needs: needsOrder("skip"),
    run: (context) => modelHolds(context, "skip"),
  },
  {
    id: "T-50",
    name: "order holds across batches and reconnects",
    level: "port",
    needs: needsOrder("block"),
    run: boundariesKeepOrder,
  },
  {
    id: "T-51",
    name: "eight writers at once: positions rise, and each writer's events keep their order",
    level: "port",
    needs: ({ order }) => (order === "total" ? undefined : "the carrier declares no total order"),
    run: positionsRise,
  },
  {
    id: "T-51b",
    name: "history is read in both directions, between positions, and by each condition",
    level: "port",
    needs: needsHistory,
    run: historyReads,
  },
];
