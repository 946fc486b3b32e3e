/**
 * A process of the outbox's kill test.
 *
 *   write DATABASE ID ROWS SEED   adds events until ROWS of them are committed, then ends
 *   relay DATABASE BROKER         publishes them until it is killed, or told to stop
 *
 * Every transaction counts its key up in a row of its own and adds events with the new numbers, so
 * that the committed events of a key are numbered 1, 2, 3 … in the order of their commits. One
 * transaction in eight is rolled back; its events are named.
 */
import { createBus, SeededRandom, systemClock, type SqlClient } from "cadre";
import { nats } from "cadre/nats";
import { createOutbox, startOutboxRelay } from "cadre/outbox";
import { inDialect } from "#src/core/sql.ts";
import { openDatabase } from "../outbox/databases.ts";

export interface WriterReport {
  readonly rows: number;
  readonly rolledBack: number;
  readonly retried: number;
}

const keys = 100;
const [role, url = "", ...rest] = process.argv.slice(2);
const outbox = createOutbox();
const { client, close } = openDatabase(url);

class RolledBack extends Error {
  override readonly name: string = "RolledBack";
}

async function count(tx: SqlClient, key: string, by: number): Promise<number> {
  const up = "UPDATE counters SET n = n + ? WHERE id = ?";
  await tx.query(inDialect(tx.dialect, up), [by, key]);
  const read = inDialect(tx.dialect, "SELECT n FROM counters WHERE id = ?");
  return Number((await tx.query(read, [key])).rows[0]!["n"]) - by;
}

async function write(writer: string, wanted: number, random: SeededRandom): Promise<WriterReport> {
  const report = { rows: 0, rolledBack: 0, retried: 0 };
  while (report.rows < wanted) {
    const key = `k${random.integer(keys)}`;
    const many = Math.min(1 + random.integer(5), wanted - report.rows);
    const doomed = random.integer(8) === 0;
    try {
      await client.transaction(async (tx) => {
        const before = await count(tx, key, many);
        const items = Array.from({ length: many }, (_, index) => ({
          type: "outbox.counted",
          payload: { key, n: before + index + 1, writer, doomed },
          options: { key },
        }));
        await outbox.add(tx, items);
        if (doomed) throw new RolledBack();
      });
      report.rows += many;
    } catch (error) {
      if (error instanceof RolledBack) report.rolledBack += many;
      else report.retried += 1; // the others had the lock for too long
    }
  }
  return report;
}

async function relay(broker: string): Promise<void> {
  const transport = nats(broker, { dedupeMs: 100, requestTimeoutMs: 2_000 });
  const bus = createBus({ transport });
  const running = await startOutboxRelay({
    outbox,
    client,
    bus,
    leaseMs: 2_000,
    maxKeys: 32,
    maxRows: 256,
    pollMs: 200,
    maxRetryMs: 1_000,
  });
  process.send?.("ready");
  await new Promise<void>((resolve) => process.once("message", () => resolve()));
  const { published, lost, refused } = await running.status();
  await running.close();
  process.send?.({ published, lost, refused });
  await bus.close();
  await transport.close();
}

if (role === "write") {
  const [writer = "", rows, seed] = rest;
  process.send?.(await write(writer, Number(rows), new SeededRandom(Number(seed))));
} else {
  while (!(await reached(rest[0]!))) await systemClock.sleep(50);
  await relay(rest[0]!);
}
await close();
process.disconnect?.();

/** Whether the broker is up just now: the test kills it too. */
async function reached(broker: string): Promise<boolean> {
  const { connect } = await import("node:net");
  const { hostname, port } = new URL(broker);
  return new Promise((resolve) => {
    const socket = connect(Number(port), hostname);
    socket.once("connect", () => resolve(true)).once("error", () => resolve(false));
    socket.once("connect", () => socket.destroy());
  });
}
