/**
 * A process of the kill test of broker and store.
 *
 *   publish BROKER FILE   publishes without end; each id whose publish has resolved goes to FILE
 *   consume BROKER FILE   handles what is published, each with a receipt in the store FILE and an
 *                         answer, and relays what is committed there
 */
import { openSync, writeSync } from "node:fs";
import { connect } from "node:net";
import {
  createBus,
  createEvent,
  secureRandom,
  startRelay,
  storeUnitOfWork,
  systemClock,
} from "cadre";
import { nats } from "cadre/nats";
import { openSqlite } from "cadre/sqlite";

const [role, broker = "", path = ""] = process.argv.slice(2);
const random = secureRandom;

/** The broker may be down just now: the test kills it too. */
async function untilReached(): Promise<void> {
  const { hostname, port } = new URL(broker);
  for (;;) {
    const reached = await new Promise<boolean>((resolve) => {
      const socket = connect(Number(port), hostname);
      socket.once("error", () => resolve(false));
      socket.once("connect", () => {
        socket.destroy();
        resolve(true);
      });
    });
    if (reached) return;
    await systemClock.sleep(20);
  }
}

async function publish(): Promise<void> {
  const bus = createBus({ transport: nats(broker, { requestTimeoutMs: 1_000 }) });
  const published = openSync(path, "a");
  process.send?.("ready");
  for (;;) {
    try {
      const event = await bus.publish("work.wanted", {});
      writeSync(published, `${event.id}\n`);
    } catch {
      // The broker is down; whether it has the event is not known, and not asked.
    }
    await systemClock.sleep(random.integer(6));
  }
}

async function consume(): Promise<void> {
  const { store } = await openSqlite(path);
  const transport = nats(broker, { requestTimeoutMs: 1_000 });
  const bus = createBus({ transport, unitOfWork: storeUnitOfWork(store) });
  const options = {
    group: "workers",
    from: "earliest",
    concurrency: 8,
    leaseMs: 2_000,
    retry: { maxAttempts: 1_000, minDelayMs: 1, maxDelayMs: 10 },
  } as const;
  await bus.subscribe("work.wanted", options, async (event, delivery) => {
    await systemClock.sleep(random.integer(3));
    if (random.integer(20) === 0) throw new Error("One in twenty fails.");
    const context = { clock: systemClock, random, source: "worker" };
    const receipt = createEvent(context, "work.receipt", { of: event.id }, { cause: event });
    const stream = `receipts/${event.id}`;
    // Whatever is there already: only the mark keeps it from being there twice.
    const append = { stream, expectedVersion: "any", events: [receipt], private: true } as const;
    delivery.stage({ appends: [append] });
    await delivery.publish("work.answered", { of: event.id });
  });
  await startRelay({ store, bus, leaseMs: 1_000, pollMs: 100, maxRetryMs: 500 });
  process.send?.("ready");
}

await untilReached();
await (role === "publish" ? publish() : consume());
