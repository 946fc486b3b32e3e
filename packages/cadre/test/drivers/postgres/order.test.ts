/** Positions become visible in their order, whoever writes and whatever others hold open. */
import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { after, before, test } from "node:test";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
// @ts-expect-error -- pg has no types of its own; two functions of its client are used
import pg from "pg";
import type { EventStore, StoredEvent } from "cadre";
import { openPostgres, postgresStore } from "cadre/postgres";
import { noted } from "./noted.ts";
import {
  postgresServerPath,
  startPostgresServer,
  type PostgresServer,
} from "../../servers/postgres-server.ts";

const skip = postgresServerPath() === undefined ? "there is no postgres here" : false;
let server: PostgresServer;
before(async () => {
  if (!skip) server = await startPostgresServer();
});
after(() => (skip ? undefined : server.stop()));

interface ForeignClient {
  connect(): Promise<void>;
  query(text: string): Promise<unknown>;
  end(): Promise<void>;
}

/** Reads on at the log's end until `enough`; fails when something appears behind what it has seen. */
async function tail(store: EventStore, enough: number): Promise<readonly StoredEvent[]> {
  const seen: StoredEvent[] = [];
  const deadline = performance.now() + 60_000;
  while (seen.length < enough) {
    assert.ok(performance.now() < deadline, `only ${seen.length} of ${enough} came`);
    const after = seen.at(-1)?.position ?? 0;
    for await (const stored of store.read({ after })) seen.push(stored);
  }
  return seen;
}

function assertOrder(all: readonly StoredEvent[], seen: readonly StoredEvent[]): void {
  assert.deepEqual(
    seen.map(({ position, event }) => [position, event.id]),
    all.map(({ position, event }) => [position, event.id]),
  );
  for (const [index, { position, recordedAt }] of all.entries()) {
    const before = all[index - 1];
    assert.ok(!before || (before.position < position && before.recordedAt <= recordedAt));
  }
}

test("8 writers in 8 connections never let a reader miss an event", { skip }, async () => {
  const url = await server.createDatabase();
  const logs = await Promise.all(Array.from({ length: 9 }, () => openPostgres(url)));
  const writers = logs.slice(1);
  const reading = tail(logs[0]!.store, 8 * 60);
  await Promise.all(
    writers.map(async ({ store }, writer) => {
      for (let round = 0; round < 20; round += 1) {
        const events = Array.from({ length: 3 }, () => noted({ writer, round }));
        await Promise.all(events.map((event) => store.commit({ outbox: [event] })));
      }
    }),
  );
  assertOrder(await Array.fromAsync(logs[0]!.store.read()), await reading);
  await Promise.all(logs.map((log) => log.close()));
});

test(
  "an open transaction of somebody else holds up nobody and hides nothing",
  { skip },
  async () => {
    const url = await server.createDatabase();
    const log = await openPostgres(url);
    const peer = await openPostgres(url);
    await log.store.commit({ outbox: [noted()] });
    server.run("CREATE TABLE orders (n int)", url);
    const foreign: ForeignClient = new pg.Client(url);
    await foreign.connect();
    // It has written, it keeps an old view of everything, and it has looked into the log.
    await foreign.query("BEGIN ISOLATION LEVEL REPEATABLE READ");
    await foreign.query("INSERT INTO orders VALUES (1)");
    await foreign.query("SELECT count(*) FROM cadre.events");
    await foreign.query("SELECT * FROM cadre.slots");
    let woken = 0;
    const end = peer.store.watch(() => (woken += 1));
    const reading = tail(peer.store, 101);
    for (let n = 0; n < 50; n += 1) {
      await log.store.commit({
        outbox: [noted()],
        slots: [{ name: "beat", expectedVersion: "any", value: String(n) }],
      });
      await peer.store.commit({ outbox: [noted()] });
    }
    assertOrder(await Array.fromAsync(log.store.read()), await reading);
    assert.ok(woken > 0);
    end();
    await foreign.query("COMMIT");
    await foreign.end();
    await log.close();
    await peer.close();
  },
);

test("processes that start at once on an empty database write one log", { skip }, async () => {
  const url = await server.createDatabase();
  const program = fileURLToPath(new URL("./writer-process.ts", import.meta.url));
  const run = promisify(execFile);
  const names = ["one", "two", "three"];
  const reader = postgresStore(url);
  const writing = names.map((name) =>
    run(process.execPath, [...process.execArgv, program, url, "80", name]),
  );
  const seen = await tail(reader, 3 * 80);
  const told = (await Promise.all(writing)).flatMap(({ stdout }) => stdout.trim().split("\n"));
  assertOrder(await Array.fromAsync(reader.read()), seen);
  assert.deepEqual(new Set(seen.map(({ event }) => event.id)), new Set(told));
  for (const name of names) {
    const versions = await Array.fromAsync(reader.read({ stream: `of ${name}` }));
    assert.deepEqual(
      versions.map(({ version }) => version),
      versions.map((_, index) => index + 1),
    );
  }
  await reader.close();
});
