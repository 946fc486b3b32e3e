// An order and its event commit together in the program's own database; a relay publishes the
// event, and the other side handles it once, even when it comes twice.
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";

import { createBus, defineEvents, memory, sqliteClient, type } from "cadre";
import { createInbox, createOutbox, startOutboxRelay } from "cadre/outbox";

const events = defineEvents({ "order.placed": type<{ orderId: number; amount: number }>() });
const bus = createBus({ transport: memory(), events });

// The shop: its orders, and an outbox beside them.
const folder = mkdtempSync(join(tmpdir(), "cadre-example-"));
const shop = sqliteClient(new DatabaseSync(join(folder, "shop.db")));
const outbox = createOutbox({ events, source: "shop" });
await outbox.setup(shop);
await shop.query("CREATE TABLE orders (id INTEGER PRIMARY KEY, amount INTEGER CHECK (amount > 0))");

async function placeOrder(orderId: number, amount: number): Promise<void> {
  await shop.transaction(async (tx) => {
    const payload = { orderId, amount };
    await outbox.add(tx, { type: "order.placed", payload, options: { key: `order-${orderId}` } });
    await tx.query("INSERT INTO orders VALUES (?, ?)", [orderId, amount]);
  });
  outbox.wake(); // a relay of this process need not poll for it
}

// Billing: its invoices, and an inbox beside them.
const billing = sqliteClient(new DatabaseSync(":memory:"));
const inbox = createInbox();
await inbox.setup(billing);
await billing.query("CREATE TABLE invoices (order_id INTEGER, amount INTEGER)");

await bus.subscribe("order.placed", { group: "billing", dedup: false }, async (event, delivery) => {
  const { orderId, amount } = event.payload;
  const mark = { subscription: delivery.subscription, eventId: event.id };
  const { duplicate } = await billing.transaction((tx) =>
    inbox.once(tx, mark, () => tx.query("INSERT INTO invoices VALUES (?, ?)", [orderId, amount])),
  );
  console.log(`order ${orderId}: ${duplicate ? "known already" : "invoiced"}`);
});

await placeOrder(1, 30);
await placeOrder(2, -5).catch(() => console.log("order 2: refused, and nobody is told"));
await placeOrder(3, 20);

// A connection of its own: the relay's statements must not fall into the shop's transactions.
const relaysDb = new DatabaseSync(join(folder, "shop.db"), { timeout: 50 });
const relay = await startOutboxRelay({ outbox, client: sqliteClient(relaysDb), bus });
await relay.idle();

// The broker, or a relay that was killed, may send one again.
const [first] = await outbox.list(shop);
await bus.publishEvent(JSON.parse(first!.event));
await bus.drain();

const { rows } = await billing.query("SELECT order_id FROM invoices ORDER BY order_id");
console.log(`invoices: ${rows.map((row) => row["order_id"]).join(", ")}`);
await relay.close();
await bus.close();
rmSync(folder, { recursive: true });

/* Output:
order 2: refused, and nobody is told
order 1: invoiced
order 3: invoiced
order 1: known already
invoices: 1, 3
*/
