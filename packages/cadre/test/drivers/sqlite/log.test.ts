import assert from "node:assert/strict";
import { fork } from "node:child_process";
import { once } from "node:events";
import { existsSync, rmSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { fileURLToPath } from "node:url";
import { createEvent, isCadreError, secureRandom, systemClock, type AgentEvent } from "cadre";
import { openSqlite, sqlite, sqliteStore, type SqliteLog } from "cadre/sqlite";
import type { ConsumeSpec } from "#src/bus/transport.ts";
import { temporaryFile, temporaryFolder } from "./temporary-file.ts";

const context = { clock: systemClock, random: secureRandom, source: "test" };

function event(payload: unknown = {}): AgentEvent {
  return createEvent(context, "work.wanted", payload);
}

async function readEvents(log: SqliteLog): Promise<AgentEvent[]> {
  const events: AgentEvent[] = [];
  for await (const stored of log.store.read()) events.push(stored.event);
  return events;
}

const spec: ConsumeSpec = {
  subscription: "workers",
  mode: "group",
  patterns: ["#"],
  definition: "#",
  from: "earliest",
  leaseMs: 10_000,
  maxQueued: 100,
};

test("an event whose payload is read late is a plain frozen object all the same", async () => {
  const log = await openSqlite(temporaryFile());
  const written = event({ list: [1, { deep: true }], text: "ä" });
  await log.store.commit({ outbox: [written] });
  const [read] = await readEvents(log);
  assert.deepStrictEqual({ ...read }, { ...written });
  assert.deepStrictEqual(read, written);
  assert.equal(JSON.stringify(read), JSON.stringify(written));
  assert.deepStrictEqual(structuredClone(read), structuredClone(written));
  assert.deepEqual(Object.keys(read), Object.keys(written));
  assert.ok(Object.isFrozen(read));
  assert.throws(() => (read.payload as { list: number[] }).list.push(2), TypeError);
  assert.equal(read.payload, read.payload);
  await log.close();
});

test("eight processes that open a new file at once all get in", async () => {
  const path = temporaryFile();
  const member = fileURLToPath(new URL("holder.ts", import.meta.url));
  const holders = Array.from({ length: 8 }, () => fork(member, [path]));
  try {
    const opened = await Promise.all(
      holders.map((holder) => Promise.race([once(holder, "message"), once(holder, "exit")])),
    );
    assert.deepEqual(opened.flat(), Array.from({ length: 8 }, () => ["open", undefined]).flat());
    const log = await openSqlite(path);
    assert.equal((await readEvents(log)).length, 8);
    await log.close();
  } finally {
    for (const holder of holders) holder.kill("SIGKILL");
  }
});

test("two connections that append in turns share one order, and no event is lost or doubled", async () => {
  const path = temporaryFile();
  const logs = [await openSqlite(path), await openSqlite(path)];
  const written: string[] = [];
  for (let round = 0; round < 100; round += 1) {
    const one = event({ round });
    const log = logs[secureRandom.integer(2)]!;
    // Now and then the same again, also on the other connection.
    if (round % 10 === 9) await logs[round % 2]!.transport.publish([{ event: one }]);
    const [result] = await log.transport.publish([{ event: one }]);
    assert.ok(result?.ok);
    written.push(one.id);
  }
  assert.deepEqual(
    (await readEvents(logs[0]!)).map(({ id }) => id),
    written,
  );
  for (const log of logs) await log.close();
});

test("an id that comes twice in one batch or one turn is written once", async () => {
  const log = await openSqlite(temporaryFile());
  const one = event();
  await log.transport.publish([{ event: event() }]);
  const results = await Promise.all([
    log.transport.publish([{ event: one }, { event: one }]),
    log.transport.publish([{ event: one }]),
  ]);
  assert.equal(new Set(results.flat().map((result) => result.ok && result.position)).size, 1);
  assert.equal((await readEvents(log)).length, 2);
  await log.close();
});

test("timers fire while one writer, or many, write without a pause", async () => {
  const log = await openSqlite(temporaryFile());
  for (const writers of [1, 300]) {
    const dueAt = systemClock.monotonic() + 30;
    let late = Infinity;
    systemClock.after(30, () => (late = systemClock.monotonic() - dueAt));
    await Promise.all(
      Array.from({ length: writers }, async () => {
        while (late === Infinity && systemClock.monotonic() < dueAt + 5_000) {
          await log.transport.publish([{ event: event() }]);
        }
      }),
    );
    // A budget of milliseconds; the bound is for machines that do much else.
    assert.ok(late < 500, `${writers} writers held a timer up for ${late} ms`);
  }
  await log.close();
});

test("the write-ahead log is moved into the file while it grows, and is gone after close", async () => {
  const path = temporaryFile();
  const log = await openSqlite(path);
  const text = "x".repeat(2_000);
  for (let round = 0; round < 100; round += 1) {
    await log.store.commit({ outbox: Array.from({ length: 100 }, () => event({ text })) });
  }
  const deadline = systemClock.monotonic() + 5_000;
  while (statSync(path).size < 4_000_000 && systemClock.monotonic() < deadline) {
    await log.store.commit({ outbox: [event({ text })] });
    await systemClock.sleep(1);
  }
  assert.ok(statSync(path).size > 4_000_000, "nothing was moved");
  await log.close();
  assert.ok(!existsSync(`${path}-wal`));
});

test("a long backlog of mixed priorities is handed out whole, urgent first within the window", async () => {
  const log = await openSqlite(temporaryFile());
  const priorities = ["low", "normal", "high", "critical"] as const;
  const events = Array.from({ length: 3_000 }, (_, n) =>
    createEvent(context, "work.wanted", { n }, { priority: priorities[n % 4]! }),
  );
  await log.transport.publish(events.map((one) => ({ event: one })));
  const intake = await log.transport.open(spec);
  const seen: AgentEvent[] = [];
  while (seen.length < events.length) {
    const leases = await intake.pull(100, AbortSignal.timeout(5_000));
    assert.ok(leases.length > 0, `stopped after ${seen.length}`);
    seen.push(...leases.map(({ recorded }) => recorded.event!));
    await Promise.all(leases.map((lease) => lease.settle({ kind: "ack" })));
  }
  assert.equal(new Set(seen.map(({ id }) => id)).size, events.length);
  assert.ok(seen.slice(0, 200).every(({ metadata }) => metadata.priority === "critical"));
  await log.close();
});

test("one stuck key with a long tail holds up no other key", async () => {
  const log = await openSqlite(temporaryFile());
  const intake = await log.transport.open({ ...spec, ordered: "park-key" });
  const of = (key: string): AgentEvent => createEvent(context, "work.wanted", {}, { key });
  const stuck = Array.from({ length: 3_000 }, () => of("stuck"));
  await log.transport.publish([...stuck, of("free")].map((one) => ({ event: one })));
  const [first] = await intake.pull(1, AbortSignal.timeout(5_000));
  assert.equal(first!.recorded.event!.id, stuck[0]!.id);
  await first!.settle({ kind: "park" });
  const [next, ...rest] = await intake.pull(10, AbortSignal.timeout(5_000));
  assert.deepEqual(rest, []);
  assert.equal(next!.recorded.event!.metadata.key, "free");
  await log.close();
});

test("a path is opened at the first use, tried again when that failed, and closed with what it opened", async () => {
  const folder = temporaryFolder();
  const blocked = join(folder, "blocked");
  writeFileSync(blocked, "");
  const path = join(blocked, "log.db");
  const transport = sqlite(`sqlite:${path}`);
  const store = sqliteStore(path);
  const unavailable = (error: unknown): boolean => isCadreError(error, "STORE_UNAVAILABLE");
  await assert.rejects(transport.publish([{ event: event() }]), unavailable);
  await assert.rejects(store.head(), unavailable);
  assert.equal((await transport.health!()).ok, false);
  rmSync(blocked);
  await transport.publish([{ event: event() }]);
  assert.equal(await store.head(), 1);
  assert.equal((await transport.health!()).ok, true);
  await transport.close();
  await store.close();
  assert.ok(!existsSync(`${path}-wal`), "both connections are closed");
  await assert.rejects(store.head(), (error) => isCadreError(error, "CLOSED"));
});

test("store and transport of an open log stay its own: closing the transport leaves the store open", async () => {
  const log = await openSqlite(temporaryFile());
  assert.equal(sqlite(log), log.transport);
  assert.equal(sqliteStore(log), log.store);
  const intake = await log.transport.open(spec);
  await log.transport.publish([{ event: event() }]);
  await intake.pull(1, AbortSignal.timeout(5_000));
  await log.transport.close();
  assert.equal(await log.store.head(), 1);
  await log.close();
  await log.close();
  await assert.rejects(log.store.head(), (error) => isCadreError(error, "CLOSED"));
});
