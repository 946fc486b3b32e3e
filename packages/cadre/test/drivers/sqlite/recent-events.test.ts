import assert from "node:assert/strict";
import process from "node:process";
import { test } from "node:test";
import { createEvent, SeededRandom, systemClock, type AgentEvent, type EventStore } from "cadre";
import { openSqlite } from "cadre/sqlite";
import { temporaryFile } from "./temporary-file.ts";

const seed = Number(process.env["CADRE_SEED"] ?? 7);
const random = new SeededRandom(seed);
const types = ["task.created", "task.done", "memory.created"];

function someEvent(): AgentEvent {
  const n = Math.floor(random.next() * 1_000);
  const type = types[n % types.length]!;
  return createEvent({ clock: systemClock, random, source: "test" }, type, { n });
}

async function text(store: EventStore, query: Parameters<EventStore["read"]>[0]): Promise<string> {
  const lines: string[] = [];
  for await (const stored of store.read(query)) lines.push(JSON.stringify(stored));
  return lines.join("\n");
}

test(`two writers of one file read alike what either has written (seed ${seed})`, async () => {
  const path = temporaryFile();
  const logs = [await openSqlite(path), await openSqlite(path)];
  // Who has written nothing has nothing in memory: it reads the file.
  const reader = await openSqlite(path);
  await reader.transport.open({
    subscription: "g",
    mode: "group",
    patterns: ["none"],
    definition: "none",
    from: "new",
    leaseMs: 1_000,
    maxQueued: 1,
  });
  for (let round = 0; round < 150; round += 1) {
    const { store, transport } = logs[Math.floor(random.next() * 2)]!;
    const stream = random.next() < 0.5 ? `task/${round % 7}` : `other/${round % 3}`;
    const events = Array.from({ length: 1 + (round % 3) }, someEvent);
    const isOutbox = random.next() < 0.3;
    const isPrivate = random.next() < 0.3;
    const append = { stream, expectedVersion: "any" as const, events, private: isPrivate };
    await store.commit(isOutbox ? { outbox: events } : { appends: [append] });
    if (round % 10 === 0) await transport.publish([{ event: someEvent(), to: { group: "g" } }]);
    const after = Math.max(0, (await store.head()) - Math.floor(random.next() * 40));
    const upTo = random.next() < 0.2 ? after + 5 : undefined;
    const limit = random.next() < 0.2 ? 3 : undefined;
    const type = random.next() < 0.5 ? "task.*" : undefined;
    const streamPrefix = random.next() < 0.3 ? "task/" : undefined;
    const given = { after, upTo, limit, type, streamPrefix };
    const query = Object.fromEntries(
      Object.entries(given).filter(([, value]) => value !== undefined),
    );
    const expected = await text(reader.store, query);
    for (const log of logs) assert.equal(await text(log.store, query), expected);
  }
  for (const log of [...logs, reader]) await log.close();
});

test("what was committed long ago is read from the file again", async () => {
  const log = await openSqlite(temporaryFile());
  const ids: string[] = [];
  for (let batch = 0; batch < 60; batch += 1) {
    const outbox = Array.from({ length: 100 }, someEvent);
    ids.push(...outbox.map(({ id }) => id));
    await log.store.commit({ outbox });
  }
  for (const after of [0, 1_500, 3_000, 4_500, 5_999, 6_000]) {
    const found: string[] = [];
    for await (const { event } of log.store.read({ after })) found.push(event.id);
    assert.deepEqual(found, ids.slice(after));
  }
  await log.close();
});
