/** What is written when the server is killed, connections are cut, disks fill, and rows are refused. */
import assert from "node:assert/strict";
import { after, before, test, type TestContext } from "node:test";
import { isCadreError, type EventStore } from "cadre";
import { openPostgres, type PostgresLog, type PostgresOptions } from "cadre/postgres";
import { SeededRandom, startFaultProxy } from "cadre/testing";
import { until } from "../../until.ts";
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

/** A log that is closed with its test, whatever came of it. */
async function open(t: TestContext, url: string, options?: PostgresOptions): Promise<PostgresLog> {
  const log = await openPostgres(url, options);
  t.after(() => log.close());
  return log;
}

function refuseRows(url: string, condition: string, state: string): void {
  server.run(
    `CREATE OR REPLACE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
       RAISE EXCEPTION 'could not extend file' USING ERRCODE = '${state}'; END $$;
     CREATE TRIGGER refuse BEFORE INSERT ON cadre.events FOR EACH ROW WHEN (${condition})
       EXECUTE FUNCTION refuse()`,
    url,
  );
}

function acceptRows(url: string): void {
  server.run("DROP TRIGGER refuse ON cadre.events", url);
}

test(
  "kill -9 of the server in the middle of commits loses nothing that was told",
  { skip },
  async (t) => {
    const url = await server.createDatabase();
    const log = await open(t, url, { connectTimeoutMs: 30_000 });
    const told: string[] = [];
    let stop = false;
    let beats = 0;
    const writers = Array.from({ length: 6 }, async (_, writer) => {
      while (!stop) {
        const event = noted({ writer });
        await log.store.commit({
          appends: [{ stream: `of ${writer}`, expectedVersion: "any", events: [event] }],
        });
        told.push(event.id);
      }
    });
    // The only writer of its slot: a conflict would mean that a write took effect that it wasn't told.
    const beating = (async () => {
      while (!stop) {
        const value = String(beats);
        await log.store.commit({ slots: [{ name: "beat", expectedVersion: beats, value }] });
        beats += 1;
      }
    })();
    for (let round = 0; round < 3; round += 1) {
      const from = told.length;
      await until(() => told.length > from + 40, "commits");
      await server.kill();
      await server.restart();
    }
    const from = told.length;
    await until(() => told.length > from + 40, "commits after the last restart");
    stop = true;
    await Promise.all([...writers, beating]);
    const stored = (await Array.fromAsync(log.store.read())).map(({ event }) => event.id);
    assert.deepEqual(stored.toSorted(), told.toSorted());
    assert.equal((await log.store.slot("beat"))?.version, beats);
  },
);

test(
  "a commit whose answer is lost is written once, with events or without",
  { skip },
  async (t) => {
    const url = await server.createDatabase();
    const seed = Number(process.env["CADRE_SEED"] ?? 7);
    const random = new SeededRandom(seed);
    const proxy = await startFaultProxy({ target: { port: server.port }, random });
    t.after(() => proxy.close());
    // The server has done what was asked, and its answer is lost.
    proxy.cutNext({ direction: "toClient", oneIn: 6, times: 10_000 });
    const log = await open(t, url.replace(`:${server.port}`, `:${proxy.port}`));
    const events = Array.from({ length: 60 }, () => noted());
    for (const [version, event] of events.entries()) {
      await log.store.commit({ slots: [{ name: "beat", expectedVersion: version, value: "" }] });
      await log.store.commit({
        appends: [{ stream: "s", expectedVersion: version, events: [event] }],
      });
      const mark = { subscription: "group", eventId: event.id };
      await log.store.commit({ inbox: [mark] });
    }
    assert.ok(proxy.counts.cut > 20);
    assert.equal((await log.store.slot("beat"))?.version, 60, `CADRE_SEED=${seed}`);
    assert.equal(await log.store.version("s"), 60);
    const marks = events.map(({ id }) => ({ subscription: "group", eventId: id }));
    assert.equal((await log.store.marked(marks)).length, 60);
  },
);

test("a watcher hears of commits again after the server was away", { skip }, async (t) => {
  const url = await server.createDatabase();
  const log = await open(t, url, { pollMs: 60_000 });
  const peer = await open(t, url);
  let woken = 0;
  log.store.watch(() => (woken += 1));
  await until(() => woken > 0, "the first wake");
  await server.kill();
  await server.restart();
  const before = woken;
  await until(() => woken > before, "listening again");
  // It listens now: only a notification comes so soon.
  const heard = woken;
  await peer.store.commit({ outbox: [noted()] });
  await until(() => woken > heard, "the wake");
});

test("polling finds what no notification told", { skip }, async (t) => {
  const url = await server.createDatabase();
  const log = await open(t, url, { pollMs: 20 });
  const peer = await open(t, url);
  let woken = 0;
  log.store.watch(() => (woken += 1));
  await until(() => woken > 0, "the first wake");
  const kill = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE query LIKE 'LISTEN%'";
  for (let round = 0; round < 5; round += 1) {
    server.run(kill);
    const before = woken;
    await peer.store.commit({ slots: [{ name: "s", expectedVersion: "any", value: `${round}` }] });
    await until(() => woken > before, "the wake");
  }
});

test(
  "a server that stays away fails calls with UNREACHABLE, and they work when it is back",
  { skip },
  async (t) => {
    const url = await server.createDatabase();
    const log = await open(t, url, { connectTimeoutMs: 300 });
    await log.store.commit({ outbox: [noted()] });
    await server.kill();
    const calls = [log.store.commit({ outbox: [noted()] }), log.store.head()];
    // At once: either may be the first to give up.
    await Promise.all(
      calls.map((call) => assert.rejects(call, (error) => isCadreError(error, "UNREACHABLE"))),
    );
    await server.restart();
    await log.store.commit({ outbox: [noted()] });
    assert.equal((await Array.fromAsync(log.store.read())).length, 2);
  },
);

test(
  "a full disk refuses commits whole, and they work when there is room again",
  { skip },
  async (t) => {
    const url = await server.createDatabase();
    const log = await open(t, url);
    await log.store.commit({ outbox: [noted()] });
    refuseRows(url, "true", "53100");
    const full = log.store.commit({
      outbox: [noted()],
      slots: [{ name: "s", expectedVersion: 0, value: "" }],
    });
    await assert.rejects(full, (error) => isCadreError(error, "STORE_FULL"));
    assert.deepEqual(await log.store.slots(""), []);
    acceptRows(url);
    await log.store.commit({ outbox: [noted()] });
    assert.equal((await Array.fromAsync(log.store.read())).length, 2);
  },
);

test(
  "a commit that the server refuses fails alone among those of its batch",
  { skip },
  async (t) => {
    const url = await server.createDatabase();
    const log = await open(t, url);
    await log.store.head();
    refuseRows(url, "NEW.type = 'test.bad'", "P0001");
    const events = Array.from({ length: 9 }, (_, n) =>
      noted({ n }, n === 4 ? "test.bad" : "test.good"),
    );
    const results = await Promise.allSettled(
      events.map((event) => log.store.commit({ outbox: [event] })),
    );
    assert.deepEqual(
      results.map(({ status }) => status),
      events.map(({ type }) => (type === "test.bad" ? "rejected" : "fulfilled")),
    );
    const stored = (await Array.fromAsync(log.store.read())).map(({ event }) => event.id);
    assert.deepEqual(
      stored,
      events.filter(({ type }) => type === "test.good").map(({ id }) => id),
    );
  },
);

test(
  "names and values that no text of Postgres can be come back as they were",
  { skip },
  async (t) => {
    const log = await open(t, await server.createDatabase());
    const odd = ["\0", "a\0b", "\ud800", "x\udfff", "\uf8ff", "\uf8ff0000", "🗄", "\uf8ff🗄\0"];
    for (const name of odd) await roundTrip(log.store, name);
    assert.deepEqual(
      (await log.store.slots("")).map(({ name }) => name),
      odd.toSorted((left, right) => (left < right ? -1 : 1)),
    );
    assert.deepEqual(
      (await log.store.slots("\uf8ff")).map(({ name }) => name),
      ["\uf8ff", "\uf8ff0000", "\uf8ff🗄\0"],
    );
  },
);

async function roundTrip(store: EventStore, name: string): Promise<void> {
  const event = { ...noted({ name }), id: `id ${name}`, source: name };
  await store.commit({
    appends: [{ stream: name, expectedVersion: 0, events: [event] }],
    slots: [{ name, expectedVersion: 0, value: name }],
    inbox: [{ subscription: name, eventId: event.id }],
  });
  const [stored, ...rest] = await Array.fromAsync(store.read({ stream: name }));
  assert.deepEqual(rest, []);
  assert.equal(stored?.stream, name);
  assert.deepEqual({ ...stored.event }, event);
  assert.equal((await Array.fromAsync(store.read({ id: event.id }))).length, 1);
  assert.equal((await Array.fromAsync(store.read({ source: name }))).length, 1);
  assert.deepEqual(await store.slot(name), { value: name, version: 1 });
  assert.equal((await store.marked([{ subscription: name, eventId: event.id }])).length, 1);
}
