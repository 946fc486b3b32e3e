import assert from "node:assert/strict";
import { test } from "node:test";
import { createBus, memory, memoryStore, startRelay, storeUnitOfWork } from "cadre";
import { SeededRandom, VirtualClock } from "cadre";

function setUp() {
  const clock = new VirtualClock();
  const random = new SeededRandom(4);
  const store = memoryStore({ clock });
  const transport = memory({ clock });
  const bus = createBus({ transport, clock, random, unitOfWork: storeUnitOfWork(store) });
  return { clock, random, store, bus };
}

test("effects, mark and held-back event of a handler commit together and reach the bus", async () => {
  const { clock, random, store, bus } = setUp();
  await using relay = await startRelay({ store, bus, clock, random });
  const heard: string[] = [];
  await bus.subscribe("order.placed", { group: "billing" }, async (event, delivery) => {
    const bill = await delivery.publish("bill.sent", { order: event.id });
    delivery.stage({
      appends: [
        { stream: `order/${event.id}`, expectedVersion: 0, events: [event], private: true },
      ],
    });
    heard.push(`placed, bill ${bill.type}`);
  });
  await bus.subscribe("bill.sent", { group: "post" }, (event) => {
    heard.push(`posted ${(event.payload as { order: string }).order}`);
  });
  const order = await bus.publish("order.placed", {});
  await clock.advance(1_000);
  assert.deepEqual(heard, ["placed, bill bill.sent", `posted ${order.id}`]);
  assert.equal(await store.version(`order/${order.id}`), 1);
  const marked = await store.marked([{ subscription: "billing", eventId: order.id }]);
  assert.equal(marked.length, 1);
  assert.equal((await relay.status()).published, 1, "the archived order does not go round again");
  await bus.close();
});

test("a handler that fails leaves nothing in the store, and its retry leaves everything once", async () => {
  const { clock, random, store, bus } = setUp();
  await using _relay = await startRelay({ store, bus, clock, random });
  let attempts = 0;
  let posted = 0;
  await bus.subscribe("order.placed", { group: "billing" }, async (_event, delivery) => {
    attempts += 1;
    await delivery.publish("bill.sent", {});
    if (attempts === 1) throw new Error("the printer is out of paper");
  });
  await bus.subscribe("bill.sent", { group: "post" }, () => {
    posted += 1;
  });
  await bus.publish("order.placed", {});
  await clock.settle();
  assert.equal(await store.head(), 0);
  await clock.advance(10_000);
  assert.deepEqual([attempts, posted, await store.head()], [2, 1, 1]);
  await bus.close();
});
