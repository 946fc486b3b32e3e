/** What the transport and the store do together, and what a foreign transaction does to them. */
import assert from "node:assert/strict";
import { after, test } from "node:test";
import type { Lease } from "cadre";
import { openPostgres, postgres, type PostgresLog } from "cadre/postgres";
import type { ConsumeSpec, Intake } from "#src/bus/transport.ts";
import { compilePattern } from "#src/core/pattern.ts";
import { loadLibrary } from "#src/drivers/postgres/connect.ts";
import { serverPatterns } from "#src/drivers/postgres/group-patterns.ts";
import { postgresServerPath, startPostgresServer } from "../../servers/postgres-server.ts";
import { noted } from "./noted.ts";

const spec: ConsumeSpec = {
  subscription: "workers",
  mode: "group",
  patterns: ["test.#"],
  definition: "test.#",
  from: "earliest",
  leaseMs: 10_000,
  maxQueued: 100,
};
const boundMs = 5_000;

async function takeOne(intake: Intake): Promise<Lease> {
  const [lease] = await intake.pull(1, AbortSignal.timeout(boundMs));
  assert.ok(lease, "nothing came");
  return lease;
}

if (postgresServerPath() === undefined) {
  test("the transport's own log", { skip: "there is no postgres here" }, () => {});
} else {
  const server = await startPostgresServer();
  after(() => server.stop());

  /** A log of the test's own. */
  const withLog = async (use: (log: PostgresLog, url: string) => Promise<void>): Promise<void> => {
    const url = await server.createDatabase();
    const log = await openPostgres(url);
    try {
      await use(log, url);
    } finally {
      await log.close();
    }
  };

  test("work for a lost lease writes nothing", () =>
    withLog(async (log) => {
      const intake = await log.transport.open({ ...spec, leaseMs: 50 });
      await log.transport.publish([{ event: noted() }]);
      const late = await takeOne(intake);
      const next = await takeOne(await log.transport.open(spec));
      assert.equal(next.attempt, 2);
      const head = await log.store.head();
      const commit = {
        outbox: [noted()],
        slots: [{ name: "done", expectedVersion: 0, value: "x" }],
        inbox: [{ subscription: "workers", eventId: late.recorded.event!.id }],
      };
      const unit = log.transport.unitOfWork!;
      assert.equal(await unit.commit({ commit, lease: late }), "lost");
      assert.equal(await log.store.head(), head);
      assert.equal(await log.store.slot("done"), undefined);
      assert.deepEqual(await log.store.marked(commit.inbox), []);
      assert.equal(await unit.commit({ commit, lease: next }), "ok");
      assert.equal((await log.store.slot("done"))?.value, "x");
      assert.deepEqual(await log.store.marked(commit.inbox), commit.inbox);
      assert.equal(await next.settle({ kind: "retry", delayMs: 0 }), "lost", "it is settled");
    }));

  test("work that conflicts writes nothing and keeps its lease", () =>
    withLog(async (log) => {
      const intake = await log.transport.open(spec);
      await log.transport.publish([{ event: noted() }]);
      const lease = await takeOne(intake);
      const head = await log.store.head();
      const appends = [{ stream: "s", expectedVersion: 5, events: [noted()] }];
      const unit = log.transport.unitOfWork!;
      await assert.rejects(unit.commit({ commit: { appends }, lease }), /version 0, not 5/);
      assert.equal(await log.store.head(), head);
      assert.equal(await lease.settle({ kind: "ack" }), "ok");
    }));

  test("work whose events are in the log already settles its delivery all the same", () =>
    withLog(async (log, url) => {
      const intake = await log.transport.open(spec);
      await log.transport.publish([{ event: noted() }]);
      const lease = await takeOne(intake);
      const appends = [{ stream: "s", expectedVersion: 0, events: [noted({}, "receipt")] }];
      await log.store.commit({ appends });
      const unit = log.transport.unitOfWork!;
      assert.equal(await unit.commit({ commit: { appends }, lease }), "ok");
      assert.equal(server.run("SELECT count(*) FROM cadre.deliveries", url).trim(), "0");
    }));

  test("private events are in the log and reach no subscription and no history", () =>
    withLog(async (log) => {
      const group = await log.transport.open(spec);
      const news = await log.transport.open({ ...spec, subscription: "news", mode: "broadcast" });
      const [secret, open] = [noted(), noted()];
      const append = { stream: "s", expectedVersion: 0, events: [secret], private: true };
      await log.store.commit({ appends: [append] });
      await log.store.commit({ outbox: [open] });
      for (const intake of [group, news]) {
        assert.equal((await takeOne(intake)).recorded.event?.id, open.id);
      }
      const read: string[] = [];
      for await (const { event } of log.transport.read!({})) read.push(event!.id);
      assert.deepEqual(read, [open.id]);
    }));

  test("a foreign transaction that stays open, and has read everything, holds nobody up", () =>
    withLog(async (log, url) => {
      const { Pool } = await loadLibrary();
      const pool = new Pool({ connectionString: url });
      const foreign = await pool.connect();
      for (const text of [
        "BEGIN ISOLATION LEVEL REPEATABLE READ",
        "SELECT count(*) FROM cadre.events, cadre.deliveries, cadre.groups",
      ]) {
        await foreign.query({ text, rowMode: "array" });
      }
      const intake = await log.transport.open({ ...spec, ordered: "block" });
      for (let round = 0; round < 3; round += 1) {
        await log.transport.publish([{ event: noted() }]);
        assert.equal(await (await takeOne(intake)).settle({ kind: "ack" }), "ok");
      }
      foreign.release(true);
      await pool.end();
    }));

  test("what a group is done with leaves no row, and only its cursor stays", () =>
    withLog(async (log, url) => {
      const intake = await log.transport.open(spec);
      const batch = Array.from({ length: 300 }, () => ({ event: noted() }));
      await log.transport.publish(batch);
      for (let seen = 0; seen < 300;) {
        const leases = await intake.pull(64, AbortSignal.timeout(boundMs));
        seen += leases.length;
        const answers = await Promise.all(leases.map((lease) => lease.settle({ kind: "ack" })));
        assert.ok(answers.every((answer) => answer === "ok"));
      }
      assert.equal(server.run("SELECT count(*) FROM cadre.deliveries", url).trim(), "0");
      assert.equal(server.run("SELECT cursor FROM cadre.groups", url).trim(), "300");
    }));

  test("a transport of a URL closes what it opened, one of an open log leaves it open", () =>
    withLog(async (log, url) => {
      const own = postgres(url);
      assert.deepEqual(await own.health!(), { ok: true });
      await own.close();
      assert.equal((await own.health!()).ok, false);
      await postgres(log).close();
      assert.equal(await log.store.head(), 0);
    }));

  test("the server's regular expressions match what the patterns match", () => {
    const types = ["a", "a.b", "a.b.c", "b", "ab", "a.x-y.c", "a.x+y.c", "a.é.c", "a.(b).c", "c.a"];
    const patterns = ["#", "*", "a", "a.*", "a.#", "#.c", "a.*.c", "a.#.c", "a.x+y.*", "#.a.#"];
    const lists = [...patterns.map((pattern) => [pattern]), ["a.x-y.c", "*.b"], ["é", "#.c"]];
    const cases = lists.flatMap((list) => types.map((type) => ({ list, type })));
    const conditions = cases.map(({ list, type }) => {
      const { exact, regex } = serverPatterns(list);
      const known = `ARRAY[${exact.map((each) => `'${each}'`).join(",")}]::text[]`;
      const text = regex === null ? "NULL" : `'${regex}'`;
      return `coalesce('${type}' = ANY (${known}) OR '${type}.' ~ ${text}, false)`;
    });
    const answers = server
      .run(`SELECT unnest(ARRAY[${conditions.join(",")}])`)
      .trim()
      .split("\n");
    for (const [index, { list, type }] of cases.entries()) {
      const expected = list.some((pattern) => compilePattern(pattern)(type));
      assert.equal(answers[index], expected ? "t" : "f", `${list.join(" and ")} on ${type}`);
    }
  });
}
