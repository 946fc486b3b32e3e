/** What a user's own database says, on a bus where all must sign. */
import assert from "node:assert/strict";
import { DatabaseSync } from "node:sqlite";
import { test, type TestContext } from "node:test";
import {
  checkSignature,
  createBus,
  createEvent,
  createIdentity,
  memory,
  SeededRandom,
  signEvent,
  sqliteClient,
  VirtualClock,
  type AgentEvent,
  type Bus,
  type BusOptions,
  type Identity,
} from "cadre";
import { createOutbox, startOutboxRelay, type OutboxRelayOptions } from "cadre/outbox";

const keyOf = (n: number): Identity => createIdentity({ seed: new Uint8Array(32).fill(n) });
const shop = keyOf(1);
const orders = keyOf(2);
const trusted = { shop: shop.did, orders: orders.did };

async function setUp(context: TestContext, identity?: Identity) {
  const clock = new VirtualClock(1_000_000);
  const random = new SeededRandom(1);
  const client = sqliteClient(new DatabaseSync(":memory:"));
  const outbox = createOutbox({ clock, source: "orders", ...(identity ? { identity } : {}) });
  await outbox.setup(client);
  const transport = memory({ clock });
  const buses: Bus[] = [];
  const bus = (options: Partial<BusOptions>): Bus => {
    const one = createBus({ transport, clock, random, ...options });
    buses.push(one);
    return one;
  };
  const heard: AgentEvent[] = [];
  const listener = bus({ source: "shop", identity: shop, signatures: { trusted } });
  await listener.subscribe("order.#", (event) => void heard.push(event));
  const start = async (options: Partial<OutboxRelayOptions>) => {
    const relay = await startOutboxRelay({ outbox, client, clock, ...options });
    context.after(() => relay.close());
    return relay;
  };
  context.after(async () => {
    const closing = Promise.all(buses.map((one) => one.close({ deadlineMs: 0 })));
    await clock.advance(1_000);
    await closing;
  });
  const add = (payload: object, source?: string): Promise<AgentEvent> =>
    outbox.add(client, {
      type: "order.placed",
      payload,
      ...(source === undefined ? {} : { options: { source } }),
    });
  return { clock, client, outbox, transport, bus, heard, start, add, random };
}

test("what waits in the outbox is signed by the bus that publishes it", async (context) => {
  const { clock, bus, heard, start, add } = await setUp(context);
  const publishing = bus({ source: "orders", identity: orders, signatures: { trusted } });
  await start({ bus: publishing });
  const added = await add({ n: 1 });
  await clock.advance(2_000);
  assert.equal(heard[0]?.id, added.id);
  const [event] = heard;
  assert.ok(event);
  assert.deepEqual(checkSignature(event), { valid: true, signer: orders.did });
});

test("an outbox with a key signs as it writes; a finished event keeps its own signature", async (context) => {
  const { clock, client, outbox, heard, start, transport, add, random } = await setUp(
    context,
    orders,
  );
  const added = await add({ n: 1 });
  assert.deepEqual(checkSignature(added), { valid: true, signer: orders.did });
  const making = { clock, random, source: "shop" };
  const theirs = signEvent(createEvent(making, "order.paid", { n: 2 }), shop);
  await outbox.add(client, theirs);
  await start({ transport }); // a carrier alone signs nothing, and needn't
  await clock.advance(2_000);
  assert.deepEqual(
    heard.map((event) => [event.id, checkSignature(event).valid]),
    [
      [added.id, true],
      [theirs.id, true],
    ],
  );
});

test("a relay on a carrier signs with its own key what is not signed", async (context) => {
  const { clock, heard, start, transport, add } = await setUp(context);
  await start({ transport, identity: orders });
  await add({ n: 1 });
  await clock.advance(2_000);
  assert.deepEqual(checkSignature(heard[0]!), { valid: true, signer: orders.did });
});

test("a relay to a bus where all must sign needs a key", async (context) => {
  const { bus, start } = await setUp(context);
  const keyless = bus({ source: "orders", signatures: { trusted } });
  await assert.rejects(start({ bus: keyless }), (error: Error) => {
    assert.match(error.message, /identity/);
    return (error as { code?: string }).code === "INVALID_OPTION";
  });
  await start({ bus: keyless, identity: orders });
  const signing = createOutbox({ identity: orders });
  await start({ bus: keyless, outbox: signing });
});

test("in a name that is not its own the relay says nothing: the row waits, and says why", async (context) => {
  const { clock, bus, heard, start, add, outbox, client } = await setUp(context);
  const publishing = bus({ source: "orders", identity: orders, signatures: { trusted } });
  await start({ bus: publishing });
  await add({ n: 1 }, "shop");
  await add({ n: 2 });
  await clock.advance(5_000);
  assert.deepEqual(
    heard.map(({ payload }) => payload),
    [{ n: 2 }],
  );
  const [entry] = await outbox.list(client, { state: "waiting" });
  assert.match(JSON.stringify(entry), /not its source/);
});

test("the outbox says nothing that its source may not say", async (context) => {
  const { clock, bus, start, add, heard } = await setUp(context);
  const permissions = {
    members: { orders: { tenant: "a" } },
    rules: [{ who: "orders", may: "publish", on: "order.placed" }],
  } as const;
  const publishing = bus({ source: "orders", identity: orders, permissions });
  const relay = await start({ bus: publishing });
  await add({ n: 1 });
  await add({ n: 2 }, "somebody");
  await clock.advance(5_000);
  assert.deepEqual(
    heard.map(({ payload, metadata }) => [payload, metadata.tenant]),
    [[{ n: 1 }, "a"]],
  );
  assert.match(String((await relay.status()).error), /somebody/);
});
