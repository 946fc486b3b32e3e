/**
 * A process of the kill test: `publish FILE LOG` publishes without end and writes each id whose
 * publish has resolved to LOG; `consume FILE` handles what is published, each with a receipt that
 * commits with it. Both end by SIGKILL, or by the message "stop".
 */
import { openSync, writeSync } from "node:fs";
import { createBus, secureRandom, systemClock } from "cadre";
import { openSqlite } from "cadre/sqlite";
import { createEvent } from "#src/core/event.ts";

const [role, path, log] = process.argv.slice(2);
const opened = await openSqlite(path!);
const bus = createBus({ transport: opened.transport });
const random = secureRandom;

process.on("message", (message) => {
  if (message !== "stop") return;
  void bus
    .close()
    .then(() => opened.close())
    .then(() => process.disconnect());
});

if (role === "publish") {
  const published = openSync(log!, "a");
  const publishers = Array.from({ length: 8 }, async () => {
    for (;;) {
      const event = await bus.publish("work.wanted", { note: "x".repeat(random.integer(200)) });
      writeSync(published, `${event.id}\n`);
      await systemClock.sleep(random.integer(3));
    }
  });
  process.send?.("ready");
  // They end when the bus closes.
  await Promise.allSettled(publishers);
} else {
  const options = {
    group: "workers",
    from: "earliest",
    concurrency: 8,
    leaseMs: 30_000,
    retry: { maxAttempts: 1_000, minDelayMs: 1, maxDelayMs: 10 },
  } as const;
  await bus.subscribe("work.wanted", options, async (event, delivery) => {
    await systemClock.sleep(random.integer(3));
    if (random.integer(20) === 0) throw new Error("One in twenty fails.");
    const context = { clock: systemClock, random, source: "worker" };
    const receipt = createEvent(context, "work.receipt", { of: event.id }, { cause: event });
    const stream = `receipts/${event.id}`;
    delivery.stage({ appends: [{ stream, expectedVersion: "any", events: [receipt] }] });
    await delivery.publish("work.answered", { of: event.id });
  });
  process.send?.("ready");
}
