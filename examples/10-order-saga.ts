// An order as a saga: one place says what happens in which order, and how each step is taken back.
import { TerminalError, type } from "cadre";
import { defineAgent, defineSaga, startCadre } from "cadre/agents";

// Three services of the world. Each knows the keys that it has seen: the same key counts once.
const stock = new Map([["book", 2]]);
const ledger = new Map<string, number>();
const parcels = new Set<string>();

const Order = defineSaga(
  { name: "order", input: type<{ item: string; price: number; city: string }>() },
  (saga) =>
    saga
      .step("reserve", ({ input }) => take(input.item), {
        undo: ({ input }) => putBack(input.item),
      })
      .step("charge", ({ input, key }) => charge(key, input.price), {
        undo: ({ key }) => refund(key),
      })
      .step("ship", ({ input, results }) => ship(input.city, results.charge))
      .returns(({ results }) => `${results.ship} for ${results.charge}`),
);

function take(item: string): number {
  const left = stock.get(item) ?? 0;
  // It certainly did not happen: nothing of this step is to be undone.
  if (left === 0) throw new TerminalError(`no ${item} is left`);
  stock.set(item, left - 1);
  console.log(`  ${item} reserved`);
  return left - 1;
}

function putBack(item: string): void {
  stock.set(item, (stock.get(item) ?? 0) + 1);
  console.log(`  ${item} put back`);
}

function charge(key: string, price: number): string {
  if (price > 100) throw new TerminalError(`${price} is more than there is`);
  ledger.set(key, price);
  console.log(`  ${price} charged`);
  return `${price} euros`;
}

function refund(key: string): void {
  console.log(`  ${ledger.get(key)} refunded`);
  ledger.delete(key);
}

function ship(city: string, paid: string): string {
  if (city === "Atlantis") throw new TerminalError("nobody delivers to Atlantis");
  parcels.add(city);
  console.log(`  shipped to ${city}, ${paid} paid`);
  return `a parcel to ${city}`;
}

await using team = await startCadre({ agents: [defineAgent({ name: "shop" }).does(Order)] });
const orders = { a: ["Oslo", 20], b: ["Atlantis", 30], c: ["Rome", 400], d: ["Rome", 40] } as const;
for (const [key, [city, price]] of Object.entries(orders)) {
  console.log(`order ${key}`);
  const order = await team.sagas.start(Order, { item: "book", price, city }, { key });
  const end = await order.result().catch((error: Error) => error.message);
  console.log(`  ${(await team.sagas.get(order.id))?.phase}: ${end}`);
}
console.log(`${stock.get("book")} books left, ${[...ledger.values()].join(" + ")} euros earned`);

/* Output:
order a
  book reserved
  20 charged
  shipped to Oslo, 20 euros paid
  completed: a parcel to Oslo for 20 euros
order b
  book reserved
  30 charged
  30 refunded
  book put back
  undone: task order (order:b) failed after 1 attempts: nobody delivers to Atlantis
order c
  book reserved
  book put back
  undone: task order (order:c) failed after 1 attempts: 400 is more than there is
order d
  book reserved
  40 charged
  shipped to Rome, 40 euros paid
  completed: a parcel to Rome for 40 euros
0 books left, 20 + 40 euros earned
*/
