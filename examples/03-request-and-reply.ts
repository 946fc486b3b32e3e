// A question and its answer. The reply reaches the asker only; a failure arrives as a typed error.
import { createBus, isCadreError, memory } from "cadre";

const bus = createBus({ transport: memory() });

await bus.respond("price.query", { group: "prices" }, (event) => {
  const { item } = event.payload as { item: string };
  if (item !== "tea") throw new Error(`no price for ${item}`);
  return { item, price: 3 };
});

const reply = await bus.request("price.query", { item: "tea" });
console.log(reply.payload);

try {
  await bus.request("price.query", { item: "gold" });
} catch (error) {
  if (!isCadreError(error, "REQUEST_FAILED")) throw error;
  console.log(error.message);
}

try {
  await bus.request("weather.query", {}, { timeoutMs: 50 });
} catch (error) {
  if (!isCadreError(error)) throw error;
  console.log(error.code);
}
await bus.close();

/* Output:
{ item: 'tea', price: 3 }
"price.query" was answered with HANDLER_FAILED: no price for gold
NO_RESPONDER
*/
