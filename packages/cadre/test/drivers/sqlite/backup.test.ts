import assert from "node:assert/strict";
import { existsSync, readdirSync, statSync, writeFileSync } from "node:fs";
import { dirname } from "node:path";
import { test } from "node:test";
import { isCadreError, runRetention, startSealer, systemClock, verifyLog } from "cadre";
import { openSqlite, sqliteStore } from "cadre/sqlite";
import { createEvent } from "#src/core/event.ts";
import { SeededRandom } from "#src/core/random.ts";
import type { EventStore } from "#src/store/event-store.ts";
import { fillLog } from "./tampering.ts";
import { temporaryFile } from "./temporary-file.ts";

const random = new SeededRandom(5);
const context = { clock: systemClock, random, source: "test" };

async function write(store: EventStore, rounds: number, bytes = 400): Promise<void> {
  for (let round = 0; round < rounds; round += 1) {
    const outbox = Array.from({ length: 50 }, () =>
      createEvent(context, "test.noted", { text: "x".repeat(bytes) }),
    );
    await store.commit({ outbox });
  }
}

test("a copy made while two connections write opens, verifies and holds a prefix without gaps", async (t) => {
  const path = temporaryFile();
  const one = await openSqlite(path, { durability: "process" });
  const two = await openSqlite(path, { durability: "process" });
  t.after(() => Promise.all([one.close(), two.close()]));
  await write(one.store, 80);
  const sealer = startSealer({ store: one.store, blockRows: 64 });
  await sealer.seal();
  let isWriting = true;
  let written = 0;
  const load = async (store: EventStore): Promise<void> => {
    while (isWriting) {
      await write(store, 1);
      written += 50;
      await systemClock.yield();
    }
  };
  const loads = [load(one.store), load(two.store)];
  const copy = temporaryFile("copy.db");
  const before = await one.store.head();
  const { head, bytes } = await one.store.backup!(copy);
  isWriting = false;
  await Promise.all(loads);
  assert.ok(written > 0, "nothing was written during the backup");
  assert.ok(head >= before);
  assert.equal(bytes, statSync(copy).size);
  assert.deepEqual(readdirSync(dirname(copy)), ["copy.db"]);
  await sealer.close();

  const copied = await openSqlite(copy);
  const report = await verifyLog(copied.store);
  assert.deepEqual([report.ok, report.problem], [true, undefined]);
  assert.ok(report.verifiedTo >= before);
  let next = 1;
  for await (const { position } of copied.store.read()) assert.equal(position, next++);
  assert.equal(next - 1, head);
  await write(copied.store, 1);
  await copied.close();
  await one.close();
  await two.close();
});

test("a backup replaces no file, and leaves nothing behind when it fails", async (t) => {
  const store = sqliteStore(temporaryFile());
  t.after(() => store.close());
  await write(store, 1);
  const there = temporaryFile("there.db");
  writeFileSync(there, "precious");
  await assert.rejects(store.backup!(there), (error) => isCadreError(error, "WRONG_STATE"));
  const impossible = `${there}/copy.db`;
  await assert.rejects(store.backup!(impossible), (error) =>
    isCadreError(error, "STORE_UNAVAILABLE"),
  );
  assert.deepEqual(readdirSync(dirname(there)), ["there.db"]);
  await store.close();
  assert.equal(existsSync(`${there}.partial`), false);
});

test("retention and compaction make the file smaller, and the log verifies before and after", async (t) => {
  const path = temporaryFile();
  const log = await openSqlite(path, { durability: "process" });
  t.after(() => log.close());
  const { store } = log;
  await fillLog(store, random, 40);
  await write(store, 40, 2_000);
  await startSealer({ store }).close();
  const report = await runRetention({ store, rules: [{ type: "test.noted", maxEvents: 100 }] });
  assert.equal(report.removed, 1_900);
  await startSealer({ store }).close();
  const before = await verifyLog(store);
  assert.deepEqual([before.ok, before.removed, before.unsealed], [true, 1_900, 0]);
  const { bytes: fullBytes = 0, freeBytes = 0 } = await store.usage();
  assert.ok(freeBytes > 1_000_000);
  await store.compact!();
  const after = await store.usage();
  assert.ok((after.bytes ?? Infinity) < fullBytes / 2, `${after.bytes} of ${fullBytes} bytes`);
  assert.equal(after.freeBytes, 0);
  assert.deepEqual(await verifyLog(store), before);
  await write(store, 1);
  await log.close();
});

test("what a group has not settled is held", async (t) => {
  const log = await openSqlite(temporaryFile());
  t.after(() => log.close());
  const { transport, store } = log;
  const intake = await transport.open({
    subscription: "billing",
    mode: "group",
    patterns: ["test.*"],
    definition: "test.*",
    from: "earliest",
    leaseMs: 60_000,
    maxQueued: 10,
  });
  await write(store, 1);
  const leases = await intake.pull(3, AbortSignal.timeout(5_000));
  await leases[0]!.settle({ kind: "ack" });
  await leases[2]!.settle({ kind: "ack" });
  const [hold] = await store.holds();
  assert.equal(hold?.by, "group billing");
  assert.deepEqual(hold.positions, [2]);
  const report = await runRetention({ store, rules: [{ type: "test.noted", maxEvents: 0 }] });
  assert.equal(report.removed, hold.after - 1);
  const left: number[] = [];
  for await (const { position } of store.read({ type: "test.noted" })) left.push(position);
  assert.equal(left[0], 2);
  assert.equal(left[1], hold.after + 1);
  await log.close();
});
