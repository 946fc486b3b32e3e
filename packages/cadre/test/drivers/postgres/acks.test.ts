/** Acks of handled events whose handlers wrote nothing else: in one statement, and only the owner's. */
import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import type { ConsumeSpec, Lease } from "cadre";
import { openPostgres, type PostgresLog } from "cadre/postgres";
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

const spec: ConsumeSpec = {
  subscription: "group",
  mode: "group",
  patterns: ["#"],
  definition: "#",
  from: "earliest",
  leaseMs: 60_000,
  maxQueued: 100,
};

async function leasesOf(log: PostgresLog, count: number): Promise<readonly Lease[]> {
  const events = Array.from({ length: count }, () => ({ event: noted() }));
  const intake = await log.transport.open(spec);
  for (const { ok } of await log.transport.publish(events)) assert.ok(ok);
  const leases = await intake.pull(count, AbortSignal.timeout(20_000));
  assert.equal(leases.length, count);
  return leases;
}

function ack(log: PostgresLog, lease: Lease): Promise<"ok" | "lost"> {
  const mark = { subscription: "group", eventId: lease.recorded.event!.id };
  return log.transport.unitOfWork!.commit({ commit: { inbox: [mark] }, lease });
}

const count = (url: string, table: string): string =>
  server.run(`SELECT count(*) FROM cadre.${table}`, url).trim();

test(
  "handled events are acked and marked, and no turn in the log is taken",
  { skip },
  async (t) => {
    const url = await server.createDatabase();
    const log = await openPostgres(url);
    t.after(() => log.close());
    const leases = await leasesOf(log, 20);
    const before = server.run("SELECT last_value FROM cadre.changes", url);
    const answers = await Promise.all(leases.map((lease) => ack(log, lease)));
    assert.deepEqual(new Set(answers), new Set(["ok"]));
    assert.equal(count(url, "deliveries"), "0");
    assert.equal(count(url, "inbox"), "20");
    assert.equal(server.run("SELECT last_value FROM cadre.changes", url), before);
  },
);

test("a delivery that another has by now is lost, and not marked", { skip }, async (t) => {
  const url = await server.createDatabase();
  const log = await openPostgres(url);
  t.after(() => log.close());
  const leases = await leasesOf(log, 3);
  server.run("UPDATE cadre.deliveries SET token = token + 1 WHERE position = 2", url);
  const answers = await Promise.all(leases.map((lease) => ack(log, lease)));
  assert.deepEqual(answers, ["ok", "lost", "ok"]);
  assert.equal(count(url, "deliveries"), "1");
  assert.equal(count(url, "inbox"), "2");
});

test("a mark that is there refuses its own ack, and none of the others", { skip }, async (t) => {
  const url = await server.createDatabase();
  const log = await openPostgres(url);
  t.after(() => log.close());
  const leases = await leasesOf(log, 3);
  const mark = { subscription: "group", eventId: leases[1]!.recorded.event!.id };
  await log.store.commit({ inbox: [mark] });
  const answers = await Promise.allSettled(leases.map((lease) => ack(log, lease)));
  assert.deepEqual(
    answers.map(({ status }) => status),
    ["fulfilled", "rejected", "fulfilled"],
  );
  assert.equal(count(url, "deliveries"), "1");
  assert.equal(count(url, "inbox"), "3");
});

test("an ack that comes again is answered as before", { skip }, async () => {
  const url = await server.createDatabase();
  const log = await openPostgres(url);
  await log.close();
  const id = noted().id;
  const call = `SELECT cadre.ack(1, '{1}', '{1}', '{0}', '{1}', '{g}', '{${id}}', true, '${id}', 7)`;
  server.run(
    `INSERT INTO cadre.deliveries (group_no, position, copy, state, attempt, owner, token, rank, since)
     VALUES (1, 1, 0, 1, 1, 1, 1, 1, 0)`,
    url,
  );
  assert.equal(server.run(call, url).trim(), "[]");
  assert.equal(server.run(call, url).trim(), "[]");
  assert.equal(count(url, "inbox"), "1");
  assert.equal(server.run(call.replace(", 7)", ", 8)"), url).trim(), "[1]");
});
