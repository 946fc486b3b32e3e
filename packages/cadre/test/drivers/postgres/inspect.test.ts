/** Changes of single columns, made behind the store's back, are found by an inspection. */
import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { openPostgres } from "cadre/postgres";
import { withMetadata } from "#src/core/event.ts";
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

const changes: readonly [string, RegExp][] = [
  ["payload = payload || ' '", /payload/],
  ["payload = '{'", /cannot be read/],
  ["extra = '{}'", /extra/],
  ["extra = 'no JSON'", /cannot be read/],
  ["schema = '1.0.0'", /schema/],
  ["correlation = id", /correlation/],
  ["flags = 0", /flags/],
  ["flags = 8", /flags/],
  ["stream = NULL", /a version and no stream/],
  ["stream = 999", /stream does not exist/],
  ["version = NULL", /a stream and no version/],
  ["version = 7", /earlier version/],
  ["timestamp = 'NaN'", /timestamp/],
  ["recorded_at = 'Infinity'", /recorded_at/],
  ["rank = 9", /rank/],
];

test("an inspection finds each change of a column, at its row alone", { skip }, async () => {
  const url = await server.createDatabase();
  const log = await openPostgres(url);
  const rich = withMetadata(noted({ n: 1 }), { key: "k", tenant: "t", priority: "low" });
  await log.store.commit({
    appends: [{ stream: "s", expectedVersion: 0, events: [noted(), rich, noted()] }],
  });
  const rows = "SELECT count(*) FROM cadre.events";
  assert.equal(server.run(rows, url).trim(), "3");
  server.run("CREATE TABLE kept AS SELECT * FROM cadre.events", url);
  for (const [change, expected] of changes) {
    server.run(`UPDATE cadre.events SET ${change} WHERE position = 2`, url);
    const found = (await Array.fromAsync(log.store.inspect())).filter(({ fault }) => fault);
    assert.deepEqual(
      found.map(({ position }) => position),
      [2],
      change,
    );
    assert.match(found[0]!.fault!, expected, change);
    server.run("DELETE FROM cadre.events; INSERT INTO cadre.events SELECT * FROM kept", url);
  }
  assert.equal(
    (await Array.fromAsync(log.store.inspect())).some(({ fault }) => fault),
    false,
  );
  await log.close();
});
