import assert from "node:assert/strict";
import { existsSync } from "node:fs";
import { test } from "node:test";
import { postgresServerPath, startPostgresServer } from "./postgres-server.ts";

const skip = postgresServerPath() === undefined ? "there is no postgres here" : false;

test(
  "a started server answers, waits for its disk, and has no database but its own",
  { skip },
  async () => {
    await using server = await startPostgresServer({
      settings: ["max_wal_senders = 0", "wal_level = minimal"],
    });
    assert.equal(server.run("SHOW fsync").trim(), "on");
    assert.equal(server.run("SHOW max_wal_senders").trim(), "0");
    assert.equal(server.run("SHOW server_encoding").trim(), "UTF8");
  },
);

test("a killed server is down until its restart, with what was committed", { skip }, async () => {
  await using server = await startPostgresServer();
  const url = await server.createDatabase();
  server.run("CREATE TABLE kept (n int); INSERT INTO kept VALUES (7)", url);
  const firstPid = server.pid;
  await server.kill();
  assert.equal(server.pid, undefined);
  assert.throws(() => server.run("SELECT 1"), /refused/);
  await server.restart();
  assert.notEqual(server.pid, firstPid);
  assert.equal(server.run("SELECT n FROM kept", url).trim(), "7");
});

test("a stopped server leaves no folder, and stopping again does nothing", { skip }, async () => {
  const server = await startPostgresServer();
  const { dataFolder } = server;
  assert.ok(existsSync(dataFolder));
  await server.stop();
  await server.stop();
  assert.equal(existsSync(dataFolder), false);
});
