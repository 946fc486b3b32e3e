/**
 * A process of the kill tests: `publish URL LOG` publishes without end and writes each id whose
 * publish has resolved to LOG; `consume URL LOG LEASE_MS` handles what is published, each with a
 * receipt that commits with it. Both end by SIGKILL, or by the message "stop".
 */
import { openSync, writeSync } from "node:fs";
import { createBus, isCadreError, secureRandom, systemClock } from "cadre";
import { openPostgres } from "cadre/postgres";
import { openSqlite } from "cadre/sqlite";
import { createEvent } from "#src/core/event.ts";

const [role, url, log, leaseMs] = process.argv.slice(2);
const opened = await (url!.startsWith("postgres:") ? openPostgres(url!) : openSqlite(url!));
const bus = createBus({ transport: opened.transport });
const random = secureRandom;

process.on("message", (message) => {
  if (message !== "stop") return;
  void bus
    .close()
    .then(() => opened.close())
    .then(() => process.disconnect());
});

async function publishOn(published: number): Promise<void> {
  for (;;) {
    try {
      const event = await bus.publish("work.wanted", { note: "x".repeat(random.integer(200)) });
      writeSync(published, `${event.id}\n`);
    } catch (error) {
      // They end when the bus closes; a server that is away comes back.
      if (isCadreError(error, "CLOSED")) return;
    }
    await systemClock.sleep(random.integer(3));
  }
}

if (role === "publish") {
  const published = openSync(log!, "a");
  const publishers = Array.from({ length: 8 }, () => publishOn(published));
  process.send?.("ready");
  await Promise.all(publishers);
} else {
  const options = {
    group: "workers",
    from: "earliest",
    concurrency: 8,
    leaseMs: Number(leaseMs),
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
