import assert from "node:assert/strict";
import { DatabaseSync } from "node:sqlite";
import { test } from "node:test";
import { sqliteClient, mysqlClient } from "#src/core/sql-clients.ts";
import { inDialect } from "#src/core/sql.ts";
import { createConnection, createPool } from "mysql2/promise";

/** What need not run to be checked: the clients' own types fit. */
export async function fitsMysql2(): Promise<void> {
  mysqlClient(await createConnection("mysql://127.0.0.1"));
  mysqlClient(createPool("mysql://127.0.0.1"));
}

test("placeholders are the database's own", () => {
  assert.equal(inDialect("sqlite", "a = ? AND b = ?"), "a = ? AND b = ?");
  assert.equal(inDialect("mysql", "a = ? AND b = ?"), "a = ? AND b = ?");
  assert.equal(inDialect("postgres", "a = ? AND b = ?"), "a = $1 AND b = $2");
});

test("a transaction on SQLite commits what its work did, and rolls back what failed", async () => {
  using db = new DatabaseSync(":memory:");
  const client = sqliteClient(db);
  await client.query("CREATE TABLE t (a INTEGER, b TEXT)");
  const insert = "INSERT INTO t VALUES (?, ?)";
  const added = await client.transaction((tx) => tx.query(insert, [1, "one"]));
  assert.equal(added.changes, 1);
  const failing = client.transaction(async (tx) => {
    await tx.query(insert, [2, "two"]);
    throw new Error("on purpose");
  });
  await assert.rejects(failing, /on purpose/);
  const { rows } = await client.query("SELECT a, b FROM t");
  assert.deepEqual(
    rows.map(({ a, b }) => [a, b]),
    [[1, "one"]],
  );
});

test("transactions on one connection wait for each other", async () => {
  using db = new DatabaseSync(":memory:");
  const client = sqliteClient(db);
  await client.query("CREATE TABLE t (a INTEGER)");
  const seen: string[] = [];
  const slow = client.transaction(async () => {
    seen.push("first begins");
    await new Promise((resolve) => setImmediate(resolve));
    seen.push("first ends");
  });
  const second = client.transaction(() => Promise.resolve(void seen.push("second")));
  await Promise.all([slow, second]);
  assert.deepEqual(seen, ["first begins", "first ends", "second"]);
});

test("a bad statement on SQLite rejects and throws in the synchronous call", async () => {
  using db = new DatabaseSync(":memory:");
  const client = sqliteClient(db);
  await assert.rejects(client.query("SELECT nothing"), /nothing/);
  assert.throws(() => client.querySync("SELECT nothing"), /nothing/);
});
