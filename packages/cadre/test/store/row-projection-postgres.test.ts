import assert from "node:assert/strict";
import { test } from "node:test";
// @ts-expect-error -- pg has no types of its own; what is used of it is TestPool
import pg from "pg";
import {
  createEvent,
  defineRowProjection,
  memoryStore,
  pgClient,
  readRowCheckpoints,
  secureRandom,
  startRowProjection,
  systemClock,
  type PgClientLike,
  type PgPoolLike,
} from "cadre";
import { postgresServerPath, startPostgresServer } from "../servers/postgres-server.ts";

interface TestPool extends PgPoolLike {
  on(event: "error", listener: () => void): unknown;
  on(event: "connect", listener: (client: PgClientLike) => void): unknown;
  end(): Promise<void>;
}

const skip = postgresServerPath() === undefined ? "no PostgreSQL server is installed" : false;

test(
  "on Postgres, runners that race apply each event once, and one of them switches",
  { skip },
  async () => {
    await using server = await startPostgresServer();
    const connectionString = await server.createDatabase();
    const pool = new pg.Pool({ connectionString, max: 8 }) as TestPool;
    // `end` doesn't wait until the server has seen the last of the connections off.
    pool.on("error", () => {});
    pool.on("connect", (client) => client.on("error", () => {}));
    try {
      const store = memoryStore();
      const context = { clock: systemClock, random: secureRandom, source: "test" };
      const activated: number[] = [];
      const projection = defineRowProjection({
        name: "orders",
        setup: (tx) => tx.query("CREATE TABLE orders_v1 (position bigint, item text)"),
        apply: {
          "order.placed": (tx, event, { position }) =>
            tx.query("INSERT INTO orders_v1 VALUES ($1, $2)", [
              position,
              (event.payload as { item: string }).item,
            ]),
        },
        async activate(tx, { version }) {
          await tx.query(`CREATE OR REPLACE VIEW orders AS SELECT * FROM orders_v${version}`);
          activated.push(version);
        },
      });
      const db = pgClient(pool);
      const runners = await Promise.all(
        [7, 10, 13].map((batchSize) => startRowProjection(store, db, projection, { batchSize })),
      );
      let position = 0;
      for (let round = 0; round < 60; round += 1) {
        const outbox = Array.from({ length: 1 + (round % 9) }, (_, index) =>
          createEvent(context, "order.placed", { item: `${round}-${index}` }),
        );
        ({ position } = await store.commit({ outbox }));
      }
      await Promise.all(runners.map((runner) => runner.caughtUp(position)));
      await Promise.all(runners.map((runner) => runner.close()));
      const { rows } = await pool.query("SELECT position FROM orders ORDER BY position");
      assert.deepEqual(
        rows.map((row) => Number((row as { position: string }).position)),
        Array.from({ length: position }, (_, index) => index + 1),
      );
      assert.deepEqual(activated, [1]);
      const [checkpoint] = await readRowCheckpoints(db, "orders");
      assert.deepEqual([checkpoint?.position, checkpoint?.state], [position, "active"]);
    } finally {
      await pool.end();
    }
  },
);
