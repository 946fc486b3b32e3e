import assert from "node:assert/strict";
import { DatabaseSync } from "node:sqlite";
import { test } from "node:test";
import { isCadreError, sqliteClient, VirtualClock } from "cadre";
import { createInbox } from "cadre/outbox";

async function setUp() {
  const clock = new VirtualClock();
  const client = sqliteClient(new DatabaseSync(":memory:"));
  const inbox = createInbox({ clock });
  await inbox.setup(client);
  await client.query("CREATE TABLE seen (id TEXT)");
  const write = (id: string): Promise<unknown> => client.query("INSERT INTO seen VALUES (?)", [id]);
  const seen = async (): Promise<unknown[]> =>
    (await client.query("SELECT id FROM seen")).rows.map(({ id }) => id);
  return { clock, client, inbox, write, seen };
}

const delivery = { subscription: "billing", eventId: "e1" };

test("the first delivery is handled, the second is reported as a duplicate", async () => {
  const { client, inbox, write, seen } = await setUp();
  const handle = () =>
    client.transaction((tx) => inbox.once(tx, delivery, async () => (await write("e1"), 7)));
  assert.deepEqual(await handle(), { duplicate: false, result: 7 });
  assert.deepEqual(await handle(), { duplicate: true });
  assert.deepEqual(await seen(), ["e1"]);
});

test("each subscription handles the event once", async () => {
  const { client, inbox } = await setUp();
  for (const subscription of ["billing", "shipping"]) {
    const once = await inbox.once(client, { ...delivery, subscription }, () => {});
    assert.equal(once.duplicate, false);
  }
});

test("a handler that fails takes its mark back with its writes", async () => {
  const { client, inbox, write, seen } = await setUp();
  const failing = client.transaction((tx) =>
    inbox.once(tx, delivery, async () => {
      await write("e1");
      throw new Error("on purpose");
    }),
  );
  await assert.rejects(failing, /on purpose/);
  assert.deepEqual(await seen(), []);
  const again = await client.transaction((tx) => inbox.once(tx, delivery, () => write("e1")));
  assert.equal(again.duplicate, false);
});

test("duplicates inside one batch are reported, and the others are handled", async () => {
  const { client, inbox, write, seen } = await setUp();
  await inbox.once(client, { subscription: "g", eventId: "old" }, () => {});
  const deliveries = ["a", "b", "a", "old", "c", "b"].map((eventId, index) => ({
    subscription: "g",
    eventId,
    index,
  }));
  const { handled, duplicates } = await client.transaction((tx) =>
    inbox.onceEach(tx, deliveries, ({ eventId }) => write(eventId)),
  );
  assert.deepEqual(
    handled.map(({ index }) => index),
    [0, 1, 4],
  );
  assert.deepEqual(
    duplicates.map(({ index }) => index),
    [2, 3, 5],
  );
  assert.deepEqual(await seen(), ["a", "b", "c"]);
});

test("a batch that fails midway is wholly undone", async () => {
  const { client, inbox, write, seen } = await setUp();
  const deliveries = ["a", "b"].map((eventId) => ({ subscription: "g", eventId }));
  const failing = client.transaction((tx) =>
    inbox.onceEach(tx, deliveries, async ({ eventId }) => {
      await write(eventId);
      if (eventId === "b") throw new Error("on purpose");
    }),
  );
  await assert.rejects(failing, /on purpose/);
  assert.deepEqual(await seen(), []);
  assert.equal((await inbox.once(client, deliveries[0]!, () => {})).duplicate, false);
});

test("on a synchronous client the handler is done when onceSync returns", async () => {
  const { client, inbox } = await setUp();
  assert.deepEqual(
    inbox.onceSync(client, delivery, () => 1),
    { duplicate: false, result: 1 },
  );
  assert.deepEqual(
    inbox.onceSync(client, delivery, () => 2),
    { duplicate: true },
  );
});

test("old marks are pruned in batches, younger ones stay", async () => {
  const { clock, client, inbox } = await setUp();
  const fill = (name: string, count: number): Promise<unknown> =>
    client.transaction(async (tx) => {
      for (let n = 0; n < count; n += 1) {
        await inbox.once(tx, { subscription: name, eventId: String(n) }, () => {});
      }
    });
  await fill("old", 2_500);
  await clock.advance(60_000);
  await fill("young", 10);
  assert.equal(await inbox.prune(client, 60_000), 2_500);
  assert.equal(await inbox.prune(client, 60_000), 0);
  assert.equal(await inbox.prune(client, 0), 10);
  await assert.rejects(inbox.prune(client, Number.NaN), (error) =>
    isCadreError(error, "INVALID_OPTION"),
  );
});

test("a name that a database could not tell from another is refused", async () => {
  const { client, inbox } = await setUp();
  for (const eventId of ["", "x".repeat(256), "a\0", "a ", "\ud800"]) {
    await assert.rejects(
      inbox.once(client, { subscription: "g", eventId }, () => {}),
      (error) => isCadreError(error, "INVALID_OPTION"),
    );
  }
});
