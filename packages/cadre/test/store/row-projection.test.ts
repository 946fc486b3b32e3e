import assert from "node:assert/strict";
import { DatabaseSync } from "node:sqlite";
import { test } from "node:test";
import {
  defineEvents,
  defineRowProjection,
  isCadreError,
  memoryStore,
  readRowCheckpoints,
  sqliteClient,
  startRowProjection,
  type,
} from "cadre";
import type { AgentEvent, RowProjection, RowProjectionOptions, SqlDatabase } from "cadre";
import { clock, event, write } from "./task-events.ts";

const placed = (item: string): AgentEvent => event("order.placed", { item });

/** Sold items by name, in a table of each version, behind a view. */
function sales(options: Partial<RowProjectionOptions> = {}): RowProjection {
  const version = options.version ?? 1;
  return defineRowProjection({
    name: "sales",
    setup: (tx, made) =>
      tx.query(`CREATE TABLE sales_v${made} (item TEXT PRIMARY KEY, sold INTEGER NOT NULL)`),
    apply: {
      "order.placed": (tx, { payload }) =>
        tx.query(
          `INSERT INTO sales_v${version} VALUES (?, 1) ON CONFLICT (item) DO UPDATE SET sold = sold + 1`,
          [(payload as { item: string }).item],
        ),
    },
    async activate(tx, versions) {
      await tx.query("DROP VIEW IF EXISTS sales");
      await tx.query(`CREATE VIEW sales AS SELECT * FROM sales_v${versions.version}`);
    },
    drop: (tx, gone) => tx.query(`DROP TABLE sales_v${gone}`),
    ...options,
  });
}

function database(): { readonly raw: DatabaseSync; readonly db: SqlDatabase } {
  const raw = new DatabaseSync(":memory:");
  return { raw, db: sqliteClient(raw) };
}

const rowsOf = (raw: DatabaseSync, from = "sales"): Record<string, unknown> =>
  Object.fromEntries(
    raw
      .prepare(`SELECT item, sold FROM ${from} ORDER BY item`)
      .all()
      .map(({ item, sold }) => [item, sold]),
  );

test("rows are built from the log, then follow it, and are shown when they have caught up", async () => {
  const store = memoryStore();
  const { raw, db } = database();
  await write(store, placed("tea"), placed("tea"), event("note"), placed("rice"));
  await using running = await startRowProjection(store, db, sales(), { clock });
  await running.caughtUp();
  await clock.settle();
  assert.deepEqual(rowsOf(raw), { rice: 1, tea: 2 });
  await running.caughtUp(await write(store, placed("rice")));
  assert.deepEqual(rowsOf(raw), { rice: 2, tea: 2 });
  const status = await running.status();
  assert.deepEqual(
    [status.phase, status.position, status.head, status.lag, status.version, status.active],
    ["live", 5, 5, 0, 1, true],
  );
});

test("a restart goes on at the checkpoint and applies nothing twice", async () => {
  const store = memoryStore();
  const { raw, db } = database();
  await write(store, placed("tea"), placed("rice"));
  const first = await startRowProjection(store, db, sales(), { clock });
  await first.caughtUp();
  await first.close();
  await first.close();
  await write(store, placed("tea"));
  await using second = await startRowProjection(store, db, sales(), { clock });
  await second.caughtUp();
  assert.deepEqual(rowsOf(raw, "sales_v1"), { rice: 1, tea: 2 });
  await assert.rejects(first.caughtUp(99), (error) => isCadreError(error, "CLOSED"));
});

test("two runners of one projection apply each event once", async () => {
  const store = memoryStore();
  const { raw, db } = database();
  const options = { clock, batchSize: 3 };
  await using left = await startRowProjection(store, db, sales(), options);
  await using right = await startRowProjection(store, db, sales(), options);
  let position = 0;
  for (let round = 0; round < 40; round += 1) {
    const items = Array.from({ length: 1 + (round % 7) }, (_, index) => placed(`item-${index}`));
    position = await write(store, ...items);
  }
  await Promise.all([left.caughtUp(position), right.caughtUp(position)]);
  const sold = Object.values(rowsOf(raw, "sales_v1")).reduce<number>(
    (sum, each) => sum + Number(each),
    0,
  );
  assert.equal(sold, position);
});

test("a poisonous event stops its projection at that position, with the rows before it kept", async () => {
  const store = memoryStore();
  const { raw, db } = database();
  let broken = true;
  let tries = 0;
  const picky = sales({
    apply: async (tx, { payload }) => {
      const { item } = payload as { item: string };
      await tx.query("INSERT INTO sales_v1 VALUES (?, 1)", [item]);
      if (!broken || item !== "bad") return;
      tries += 1;
      throw new Error("cannot sell this");
    },
  });
  await write(store, placed("tea"), placed("bad"), placed("rice"));
  const running = await startRowProjection(store, db, picky, { clock, maxAttempts: 3 });
  await using healthy = await startRowProjection(store, db, sales({ name: "other", version: 7 }), {
    clock,
  });
  const failing = assert.rejects(running.caughtUp(), (error) => {
    assert.ok(isCadreError(error, "PROJECTION_FAILED"));
    assert.deepEqual(error.details, { projection: "sales", position: "2" });
    assert.match(error.message, /cannot sell this/);
    return true;
  });
  await clock.advance(10_000);
  await failing;
  await clock.settle();
  assert.equal(tries, 4, "once in the batch, three times alone");
  assert.deepEqual(rowsOf(raw, "sales_v1"), { tea: 1 }, "nothing of the bad event is left");
  const status = await running.status();
  assert.deepEqual([status.phase, status.position, status.lag], ["failed", 1, 2]);
  const [row] = await readRowCheckpoints(db, "sales");
  assert.deepEqual([row?.position, row?.state], [1, "building"]);
  assert.match(row?.error ?? "", /position 2/);
  await healthy.caughtUp();
  assert.deepEqual(rowsOf(raw, "sales_v7"), { bad: 1, rice: 1, tea: 1 });
  await running.close();
  broken = false;
  await using again = await startRowProjection(store, db, picky, { clock });
  await again.caughtUp();
  assert.deepEqual(rowsOf(raw, "sales_v1"), { bad: 1, rice: 1, tea: 1 });
  const [mended] = await readRowCheckpoints(db, "sales");
  assert.equal(mended?.error, undefined);
});

test("a new version is built beside the active one, then shown instead of it", async () => {
  const store = memoryStore();
  const { raw, db } = database();
  await write(store, placed("tea"));
  const old = await startRowProjection(store, db, sales(), { clock });
  await old.caughtUp();
  await clock.settle();
  let open: () => void = () => {};
  const held = new Promise<void>((resolve) => (open = resolve));
  const second = sales({
    version: 2,
    apply: async (tx, { payload }) => {
      await held;
      const { item } = payload as { item: string };
      await tx.query("INSERT INTO sales_v2 VALUES (?, 100) ON CONFLICT DO NOTHING", [item]);
    },
  });
  await using fresh = await startRowProjection(store, db, second, { clock });
  assert.deepEqual(rowsOf(raw), { tea: 1 }, "readers see the old rows while the new are built");
  assert.equal((await fresh.status()).active, false);
  open();
  await fresh.caughtUp();
  await clock.settle();
  assert.deepEqual(rowsOf(raw), { tea: 100 });
  assert.deepEqual(
    (await readRowCheckpoints(db, "sales")).map(({ version, state }) => [version, state]),
    [
      [1, "retired"],
      [2, "active"],
    ],
  );
  await old.caughtUp(await write(store, placed("rice")));
  await fresh.caughtUp();
  assert.deepEqual(rowsOf(raw, "sales_v1"), { rice: 1, tea: 1 }, "the old one goes on");
  await old.activate();
  assert.deepEqual(rowsOf(raw), { rice: 1, tea: 1 }, "and can be gone back to");
  await fresh.activate();
  assert.deepEqual(await fresh.dropRetired(), [1]);
  assert.throws(() => rowsOf(raw, "sales_v1"), /no such table/);
  const position = await write(store, placed("salt"));
  await assert.rejects(old.caughtUp(position), (error) => isCadreError(error, "CLOSED"));
  assert.equal((await old.status()).phase, "failed");
  await old.close();
});

test("an older version that starts late is kept up to date and not shown", async () => {
  const store = memoryStore();
  const { raw, db } = database();
  await write(store, placed("tea"));
  await using fresh = await startRowProjection(store, db, sales({ version: 2 }), { clock });
  await fresh.caughtUp();
  await clock.settle();
  await using old = await startRowProjection(store, db, sales(), { clock });
  await old.caughtUp();
  await clock.settle();
  assert.equal((await old.status()).active, false);
  assert.deepEqual(rowsOf(raw, "sales_v1"), { tea: 1 });
});

test("rebuild drops the rows and builds them again, also while it catches up", async () => {
  const store = memoryStore({ pageSize: 16 });
  const { raw, db } = database();
  const items = Array.from({ length: 300 }, (_, index) => placed(`item-${index % 5}`));
  await write(store, ...items);
  await using running = await startRowProjection(store, db, sales(), { clock, batchSize: 4 });
  const rebuilding = running.rebuild();
  await write(store, placed("late"));
  await rebuilding;
  await running.caughtUp();
  assert.deepEqual(rowsOf(raw, "sales_v1"), {
    "item-0": 60,
    "item-1": 60,
    "item-2": 60,
    "item-3": 60,
    "item-4": 60,
    late: 1,
  });
});

test("without `drop`, what would drop tables is refused", async () => {
  const store = memoryStore();
  const { db } = database();
  const { drop: _drop, ...rest } = sales();
  await using running = await startRowProjection(store, db, rest, { clock });
  await assert.rejects(running.rebuild(), (error) => isCadreError(error, "UNSUPPORTED"));
  await assert.rejects(running.dropRetired(), (error) => isCadreError(error, "UNSUPPORTED"));
});

test("a database that is away for a while is tried again until it is back", async () => {
  const store = memoryStore();
  const { raw, db } = database();
  await write(store, placed("tea"));
  let failures = 6;
  const flaky: SqlDatabase = {
    ...db,
    transaction: async (work) => {
      failures -= 1;
      if (failures >= 0 && failures < 5) throw new Error("connection lost");
      return db.transaction(work);
    },
  };
  await using running = await startRowProjection(store, flaky, sales(), { clock });
  await clock.settle();
  assert.match(String((await running.status()).error), /connection lost/);
  await clock.advance(10_000);
  await running.caughtUp();
  assert.deepEqual(rowsOf(raw, "sales_v1"), { tea: 1 });
  await clock.settle();
  assert.equal((await running.status()).error, undefined);
});

test("an answer that is lost after the commit applies nothing twice", async () => {
  const store = memoryStore();
  const { raw, db } = database();
  await write(store, placed("tea"), placed("rice"));
  let calls = 0;
  const flaky: SqlDatabase = {
    ...db,
    transaction: async (work) => {
      const result = await db.transaction(work);
      calls += 1;
      if (calls % 2 === 0) throw new Error("connection lost");
      return result;
    },
  };
  await using running = await startRowProjection(store, flaky, sales(), { clock });
  for (let round = 0; round < 10; round += 1) {
    await write(store, placed("tea"));
    await clock.advance(20_000);
  }
  await running.caughtUp();
  assert.deepEqual(rowsOf(raw, "sales_v1"), { rice: 1, tea: 11 });
});

test("old payloads reach `apply` in their current version", async () => {
  const store = memoryStore();
  const { raw, db } = database();
  const events = defineEvents({
    "order.placed": {
      ...type<{ item: string }>(),
      version: "2.0.0",
      upcast: { "1.0.0": (old: { name: string }) => ({ item: old.name }) },
    },
  });
  await write(store, event("order.placed", { name: "tea" }));
  const projection = defineRowProjection({
    name: "sales",
    events,
    setup: (tx) => tx.query("CREATE TABLE sales_v1 (item TEXT PRIMARY KEY, sold INTEGER)"),
    apply: {
      "order.placed": (tx, { payload }) =>
        tx.query("INSERT INTO sales_v1 VALUES (?, 1)", [payload.item]),
    },
  });
  await using running = await startRowProjection(store, db, projection, { clock });
  await running.caughtUp();
  assert.deepEqual(rowsOf(raw, "sales_v1"), { tea: 1 });
});

test("rows of another log, and impossible options, are refused", async () => {
  const store = memoryStore();
  const { db } = database();
  await write(store, placed("tea"), placed("rice"));
  const running = await startRowProjection(store, db, sales(), { clock });
  await running.caughtUp();
  await running.close();
  await assert.rejects(startRowProjection(memoryStore(), db, sales(), { clock }), (error) =>
    isCadreError(error, "WRONG_STATE"),
  );
  const refused = (options: object): void => {
    assert.throws(
      () => defineRowProjection(options as RowProjectionOptions),
      (error) => isCadreError(error, "INVALID_OPTION"),
    );
  };
  const { setup, apply } = sales();
  refused({ name: "x", apply });
  refused({ name: "x", setup });
  refused({ name: "", setup, apply });
  refused({ name: "x", setup, apply, version: 0 });
  refused({ name: "x", setup, apply, onRow: apply });
  await assert.rejects(startRowProjection(store, db, sales(), { batchSize: 0 }), (error) =>
    isCadreError(error, "INVALID_OPTION"),
  );
});
