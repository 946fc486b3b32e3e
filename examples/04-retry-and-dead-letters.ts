// A group retries what fails, and keeps what cannot be handled as a dead letter, until somebody
// redrives it.
import { createBus, memory, TerminalError } from "cadre";

const bus = createBus({ transport: memory() });
const sold = Promise.withResolvers<void>();
let shopIsOpen = false;

await bus.subscribe(
  "order.placed",
  { group: "shop", retry: { maxAttempts: 3, minDelayMs: 1 } },
  (event, delivery) => {
    const { id } = event.payload as { id: number };
    console.log(`order ${id}, attempt ${delivery.attempt}`);
    if (id === 0) throw new TerminalError("orders begin with 1");
    if (!shopIsOpen) throw new Error("closed");
    sold.resolve();
  },
);

/** Resolves when the bus says that an event has become a dead letter. */
const nextDeadLetter = (): Promise<void> =>
  new Promise((resolve) => {
    const stop = bus.onError((error) => {
      if (error.severity !== "error") return;
      stop();
      resolve();
    });
  });

for (const id of [0, 7]) {
  const dead = nextDeadLetter();
  await bus.publish("order.placed", { id });
  await dead;
}

for await (const letter of bus.deadLetters.list()) {
  console.log(
    `dead: ${JSON.stringify(letter.event?.payload)} ${letter.reason}: ${letter.error.message}`,
  );
}

shopIsOpen = true;
for await (const letter of bus.deadLetters.list({ reason: "attempts" })) {
  await bus.deadLetters.redrive(letter.id);
}
await sold.promise;
await bus.close();

/* Output:
order 0, attempt 1
order 7, attempt 1
order 7, attempt 2
order 7, attempt 3
dead: {"id":0} terminal: orders begin with 1
dead: {"id":7} attempts: closed
order 7, attempt 1
*/
