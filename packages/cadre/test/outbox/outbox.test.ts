import assert from "node:assert/strict";
import { DatabaseSync } from "node:sqlite";
import { test } from "node:test";
import {
  createEvent,
  defineEvents,
  isCadreError,
  secureRandom,
  sqliteClient,
  systemClock,
  type,
} from "cadre";
import { createOutbox } from "cadre/outbox";

const events = defineEvents({
  "order.placed": { ...type<{ orderId: string }>(), version: "2.1.0" },
});

async function setUp() {
  const db = new DatabaseSync(":memory:");
  const client = sqliteClient(db);
  const outbox = createOutbox({ events, source: "shop" });
  await outbox.setup(client);
  return { db, client, outbox };
}

test("a row holds the finished event, and add returns it", async () => {
  const { client, outbox } = await setUp();
  const event = await client.transaction((tx) =>
    outbox.add(tx, { type: "order.placed", payload: { orderId: "7" }, options: { key: "7" } }),
  );
  assert.equal(event.source, "shop");
  assert.equal(event.metadata.key, "7");
  const [entry] = await outbox.list(client);
  assert.deepEqual(JSON.parse(entry!.event), JSON.parse(JSON.stringify(event)));
  assert.equal(entry!.key, "7");
  assert.equal(entry!.state, "waiting");
});

test("what is rolled back leaves no row", async () => {
  const { client, outbox } = await setUp();
  const failing = client.transaction(async (tx) => {
    await outbox.add(tx, { type: "order.placed", payload: { orderId: "7" } });
    throw new Error("on purpose");
  });
  await assert.rejects(failing, /on purpose/);
  assert.equal((await outbox.backlog(client)).waiting, 0);
});

test("one bad event of several writes none, and leaves the transaction usable", async () => {
  const { client, outbox } = await setUp();
  await client.transaction(async (tx) => {
    const good = { type: "order.placed", payload: { orderId: "1" } } as const;
    const bad = { type: "order.placed", payload: { orderId: 1n } } as never;
    await assert.rejects(outbox.add(tx, [good, bad]), (error) => isCadreError(error, "NOT_JSON"));
    const unknown = { type: "order.gone", payload: {} } as never;
    await assert.rejects(outbox.add(tx, unknown), (error) => isCadreError(error, "UNKNOWN_TYPE"));
  });
  assert.equal((await outbox.backlog(client)).waiting, 0);
});

test("a payload that does not fit its schema, and one that is too large, are refused", async () => {
  const client = sqliteClient(new DatabaseSync(":memory:"));
  const schema = { type: "object", required: ["n"] };
  const outbox = createOutbox({
    events: defineEvents({ "a.b": { version: "1.0.0", schema } }),
    maxEventBytes: 500,
  });
  await outbox.setup(client);
  await assert.rejects(outbox.add(client, { type: "a.b", payload: {} }), (error) =>
    isCadreError(error, "INVALID_PAYLOAD"),
  );
  const large = { type: "a.b", payload: { n: "x".repeat(500) } } as const;
  await assert.rejects(outbox.add(client, large), (error) => isCadreError(error, "TOO_LARGE"));
  assert.equal((await outbox.backlog(client)).waiting, 0);
});

test("a finished event keeps its id and time; what is no event is refused", async () => {
  const { client, outbox } = await setUp();
  const context = {
    clock: systemClock,
    random: secureRandom,
    source: "elsewhere",
    version: "2.1.0",
  };
  const event = createEvent(context, "order.placed", { orderId: "7" });
  assert.deepEqual(await outbox.add(client, event), event);
  const bad = { ...event, id: "" };
  await assert.rejects(outbox.add(client, bad), (error) => isCadreError(error, "INVALID_EVENT"));
  const none = { metadata: {} } as never;
  await assert.rejects(outbox.add(client, none), (error) => isCadreError(error, "INVALID_EVENT"));
});

test("on a synchronous client the rows are there when addSync returns", async () => {
  const { db, client, outbox } = await setUp();
  db.exec("BEGIN");
  const [first, second] = outbox.addSync(client, [
    { type: "order.placed", payload: { orderId: "1" } },
    { type: "order.placed", payload: { orderId: "2" } },
  ]);
  db.exec("COMMIT");
  const ids = (await outbox.list(client)).map(({ id }) => id);
  assert.deepEqual(ids, [first!.id, second!.id]);
});

test("more events than one statement takes keep their order", async () => {
  const { client, outbox } = await setUp();
  const items = Array.from({ length: 200 }, (_, index) => ({
    type: "order.placed" as const,
    payload: { orderId: String(index) },
  }));
  const added = await outbox.add(client, items);
  const listed = await outbox.list(client, { limit: 1_000 });
  assert.deepEqual(
    listed.map(({ id }) => id),
    added.map(({ id }) => id),
  );
});

test("setting up twice changes nothing, and a table's name is a plain name", async () => {
  const { client, outbox } = await setUp();
  await outbox.add(client, { type: "order.placed", payload: { orderId: "1" } });
  await outbox.setup(client);
  assert.equal((await outbox.backlog(client)).waiting, 1);
  for (const table of ["a; DROP TABLE b", "Quoted", "a.b.c", "x".repeat(49)]) {
    assert.throws(
      () => createOutbox({ table }),
      (error) => isCadreError(error, "INVALID_OPTION"),
    );
  }
});

test("an option that is unknown is refused by name", () => {
  const wrong = { tabel: "a" } as never;
  assert.throws(() => createOutbox(wrong), /Did you mean "table"/);
});
