// Topic patterns choose by the type (`*` is one word, `#` any number), filters by the content.
import { createBus, memory } from "cadre";

const bus = createBus({ transport: memory() });

await bus.subscribe("order.*", (event) => {
  console.log(`order.*        ${event.type}`);
});
await bus.subscribe("#.failed", (event) => {
  console.log(`#.failed       ${event.type}`);
});
await bus.subscribe("order.#", { filter: { "payload.amount": { $gte: 1_000 } } }, (event) => {
  console.log(`large orders   ${event.type} ${JSON.stringify(event.payload)}`);
});

await bus.publish("order.placed", { id: 1, amount: 50 });
await bus.publish("order.placed", { id: 2, amount: 5_000 });
await bus.publish("order.payment.failed", { id: 2, amount: 5_000 });
await bus.close();

/* Output:
order.*        order.placed
large orders   order.placed {"id":2,"amount":5000}
order.*        order.placed
#.failed       order.payment.failed
large orders   order.payment.failed {"id":2,"amount":5000}
*/
