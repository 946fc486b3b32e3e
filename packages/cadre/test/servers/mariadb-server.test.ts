import assert from "node:assert/strict";
import { test } from "node:test";
import { createConnection } from "mysql2/promise";
import { mariadbServerPath, startMariadbServer } from "./mariadb-server.ts";

const skip = mariadbServerPath() === undefined ? "there is no mariadbd here" : false;

test("a started server keeps what is committed over a kill and a restart", { skip }, async () => {
  await using server = await startMariadbServer();
  const url = await server.createDatabase();
  const before = await createConnection(url);
  before.on("error", () => {}); // it is about to be cut
  await before.query("CREATE TABLE t (a INT) ENGINE=InnoDB");
  await before.query("INSERT INTO t VALUES (7)");
  const firstPid = server.pid;
  await server.kill();
  assert.equal(server.pid, undefined);
  await assert.rejects(createConnection(url));
  await server.restart();
  assert.notEqual(server.pid, firstPid);
  const after = await createConnection(url);
  const [rows] = await after.query("SELECT a FROM t");
  assert.deepEqual(
    (rows as { a: number }[]).map(({ a }) => a),
    [7],
  );
  await after.end();
});
