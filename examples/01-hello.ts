/** One event, one who listens: the whole of a bus in one process. */
import { createBus, defineEvents, memory, type } from "cadre";

const events = defineEvents({
  "greeting.said": type<{ readonly to: string }>(),
  "greeting.returned": type<{ readonly by: string }>(),
});

const bus = createBus({ transport: memory(), events });

// What a handler publishes has the handled event as its cause, and goes out when the handler has
// succeeded.
await bus.subscribe("greeting.said", async (event, delivery) => {
  console.log(`Hello, ${event.payload.to}!`);
  await delivery.publish("greeting.returned", { by: event.payload.to });
});

// A pattern: `*` is one word. The type of the event tells the payloads apart.
const answered = Promise.withResolvers<void>();
await bus.subscribe("greeting.*", (event) => {
  if (event.type !== "greeting.returned") return;
  console.log(`${event.payload.by} says hello too.`);
  answered.resolve();
});

await bus.publish("greeting.said", { to: "Ada" });
await answered.promise;
await bus.close();

/* Output:
Hello, Ada!
Ada says hello too.
*/
