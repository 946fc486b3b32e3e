/** Row projections on each database, with runners that race on connections of their own. */
import assert from "node:assert/strict";
import { test } from "node:test";
import {
  createEvent,
  defineRowProjection,
  inDialect,
  memoryStore,
  readRowCheckpoints,
  secureRandom,
  startRowProjection,
  systemClock,
  type RowProjection,
  type SqlDialect,
} from "cadre";
import { databases, openDatabase } from "../outbox/databases.ts";

/** Rows of version 2 hold the text in capitals. */
function orders(dialect: SqlDialect, version: number, shown: number[]): RowProjection {
  return defineRowProjection({
    name: "orders",
    version,
    setup: (tx, made) =>
      tx.query(`CREATE TABLE IF NOT EXISTS orders_v${made} (position BIGINT, item VARCHAR(40))`),
    apply: {
      "order.placed": (tx, { payload }, { position }) => {
        const { item } = payload as { item: string };
        const text = version === 1 ? item : item.toUpperCase();
        const sql = `INSERT INTO orders_v${version} VALUES (?, ?)`;
        return tx.query(inDialect(dialect, sql), [position, text]);
      },
    },
    async activate(tx, versions) {
      await tx.query("DROP VIEW IF EXISTS orders");
      await tx.query(`CREATE VIEW orders AS SELECT * FROM orders_v${versions.version}`);
      shown.push(versions.version);
    },
    drop: (tx, gone) => tx.query(`DROP TABLE orders_v${gone}`),
  });
}

for (const { dialect, skip, start } of databases) {
  test(
    `on ${dialect}, racing runners apply each event once, and switch once`,
    { skip },
    async () => {
      const database = await start();
      // Connections of one process to one SQLite file would stop each other's loop while they wait.
      const connections = dialect === "sqlite" ? 1 : 3;
      const opened = Array.from({ length: connections }, () => openDatabase(database.url));
      try {
        const store = memoryStore();
        const context = { clock: systemClock, random: secureRandom, source: "test" };
        const shown: number[] = [];
        const run = (version: number) =>
          Promise.all(
            opened.map(({ client }, index) =>
              startRowProjection(store, client, orders(dialect, version, shown), {
                batchSize: 5 + 3 * index,
              }),
            ),
          );
        const runners = await run(1);
        let position = 0;
        for (let round = 0; round < 40; round += 1) {
          const outbox = Array.from({ length: 1 + (round % 9) }, (_, index) =>
            createEvent(context, "order.placed", { item: `i${round}-${index}` }),
          );
          ({ position } = await store.commit({ outbox }));
        }
        await Promise.all(runners.map((runner) => runner.caughtUp(position)));
        const next = await run(2);
        await Promise.all(next.map((runner) => runner.caughtUp(position)));
        await Promise.all([...runners, ...next].map((runner) => runner.close()));

        const { client } = opened[0]!;
        for (const table of ["orders_v1", "orders_v2", "orders"]) {
          const { rows } = await client.query(
            `SELECT position, item FROM ${table} ORDER BY position`,
          );
          assert.deepEqual(
            rows.map((row) => Number(row["position"])),
            Array.from({ length: position }, (_, index) => index + 1),
            table,
          );
          assert.equal(rows[0]?.["item"], table === "orders_v1" ? "i0-0" : "I0-0", table);
        }
        assert.deepEqual(shown, [1, 2]);
        const checkpoints = await readRowCheckpoints(client, "orders");
        assert.deepEqual(
          checkpoints.map((each) => [each.version, each.position, each.state]),
          [
            [1, position, "retired"],
            [2, position, "active"],
          ],
        );
      } finally {
        for (const { close } of opened) await close();
        await database.stop();
      }
    },
  );
}
