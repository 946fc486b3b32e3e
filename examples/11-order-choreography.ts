// The same order without a conductor: each agent reacts to the events of the others, also to those
// that take something back.
import { defineEvents, type } from "cadre";
import { defineAgent, startCadre, type AgentContext } from "cadre/agents";

interface Order {
  readonly order: string;
  readonly item: string;
  readonly price: number;
  readonly city: string;
}

const events = defineEvents({
  "order.placed": type<Order>(),
  "stock.reserved": type<Order>(),
  "stock.lacking": type<Order>(),
  "stock.released": type<Order>(),
  "payment.charged": type<Order>(),
  "payment.declined": type<Order>(),
  "payment.refunded": type<Order>(),
  "order.shipped": type<Order>(),
  "shipping.refused": type<Order>(),
});

const shelf = new Map([["book", 2]]);
const ledger = new Map<string, number>();

const stock = defineAgent({ name: "stock" })
  .on("order.placed", async ({ payload }, ctx) => {
    const order = payload as Order;
    const isThere = await ctx.step("take", () => {
      const left = shelf.get(order.item) ?? 0;
      if (left > 0) shelf.set(order.item, left - 1);
      return left > 0;
    });
    await ctx.publish(isThere ? "stock.reserved" : "stock.lacking", order);
  })
  .on("payment.declined", putBack)
  .on("payment.refunded", putBack);

async function putBack({ payload }: { payload: unknown }, ctx: AgentContext): Promise<void> {
  const order = payload as Order;
  await ctx.step("put-back", () => {
    shelf.set(order.item, (shelf.get(order.item) ?? 0) + 1);
  });
  await ctx.publish("stock.released", order);
}

const bank = defineAgent({ name: "bank" })
  .on("stock.reserved", async ({ payload }, ctx) => {
    const order = payload as Order;
    const isPaid = await ctx.step("charge", () => {
      if (order.price <= 100) ledger.set(order.order, order.price);
      return order.price <= 100;
    });
    await ctx.publish(isPaid ? "payment.charged" : "payment.declined", order);
  })
  .on("shipping.refused", async ({ payload }, ctx) => {
    const order = payload as Order;
    await ctx.step("refund", () => {
      ledger.delete(order.order);
    });
    await ctx.publish("payment.refunded", order);
  });

const carrier = defineAgent({ name: "carrier" }).on("payment.charged", async ({ payload }, ctx) => {
  const order = payload as Order;
  await ctx.publish(order.city === "Atlantis" ? "shipping.refused" : "order.shipped", order);
});

await using team = await startCadre({ agents: [stock, bank, carrier], events });
const stories = new Map<string, string[]>();
const ends = new Set(["order.shipped", "stock.released", "stock.lacking"]);
let ended = (): void => {};
await team.bus.subscribe("*.*", ({ type: name, payload }) => {
  const { order } = payload as Partial<Order>;
  if (order === undefined || name === "order.placed") return;
  stories.set(order, [...(stories.get(order) ?? []), name]);
  if (ends.has(name)) ended();
});

for (const [order, city, price] of [
  ["a", "Oslo", 20],
  ["b", "Atlantis", 30],
  ["c", "Rome", 400],
  ["d", "Rome", 40],
] as const) {
  const end = new Promise<void>((resolve) => {
    ended = resolve;
  });
  await team.bus.publish("order.placed", { order, item: "book", city, price });
  await end;
  console.log(`${order}: ${stories.get(order)?.join(" > ")}`);
}
console.log(`${shelf.get("book")} books left, ${[...ledger.values()].join(" + ")} euros earned`);

/* Output:
a: stock.reserved > payment.charged > order.shipped
b: stock.reserved > payment.charged > shipping.refused > payment.refunded > stock.released
c: stock.reserved > payment.declined > stock.released
d: stock.reserved > payment.charged > order.shipped
0 books left, 20 + 40 euros earned
*/
