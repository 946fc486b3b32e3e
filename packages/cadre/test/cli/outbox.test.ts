import assert from "node:assert/strict";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { test, type TestContext } from "node:test";
import { sqliteClient } from "cadre";
import { createOutbox } from "cadre/outbox";
import { jsonLines, runHere, temporaryFolder } from "./run-cli.ts";

async function setUp(context: TestContext) {
  const cwd = temporaryFolder(context);
  const db = new DatabaseSync(join(cwd, "shop.db"));
  context.after(() => db.close());
  const client = sqliteClient(db);
  const outbox = createOutbox();
  await outbox.setup(client);
  for (const key of ["a", "b", "c"]) {
    await outbox.add(client, { type: "order.placed", payload: { key }, options: { key } });
  }
  db.exec(
    "UPDATE cadre_outbox SET attempts = 7, error = 'TOO_LARGE: no', due_at = 9e15 WHERE position = 1",
  );
  db.exec("UPDATE cadre_outbox SET state = 'aside', error = 'UNKNOWN_TYPE: no' WHERE position = 2");
  const run = (...args: string[]) =>
    runHere(["outbox", ...args], { cwd, env: { CADRE_OUTBOX: "sqlite:shop.db" } });
  return { cwd, db, client, outbox, run };
}

test("it lists what waits and what was set aside, and sums it up", async (context) => {
  const { run } = await setUp(context);
  const { code, stdout, stderr } = await run();
  assert.equal(code, 0);
  assert.match(stdout, /order\.placed +a +waiting +7 .* TOO_LARGE: no/);
  assert.match(stdout, /order\.placed +b +aside/);
  assert.match(stderr, /2 waiting \(1 stuck\), 1 set aside, 0 published, 0 skipped; the oldest/);
});

test("stuck lists what a person must look at, with its event as JSON", async (context) => {
  const { run } = await setUp(context);
  const { stdout } = await run("stuck", "--json");
  const lines = jsonLines(stdout) as { position: number; event: { type: string } }[];
  assert.deepEqual(
    lines.map(({ position, event }) => [position, event.type]),
    [
      [1, "order.placed"],
      [2, "order.placed"],
    ],
  );
});

test("retry makes rows due, skip gives them up", async (context) => {
  const { client, outbox, run } = await setUp(context);
  assert.equal((await run("retry", "--all")).stdout, "2 rows retried.\n");
  const waiting = await outbox.list(client, { state: "waiting" });
  assert.deepEqual(
    waiting.map(({ dueAt }) => dueAt),
    [0, 0, 0],
  );
  assert.equal((await run("skip", "1", "3")).stdout, "2 rows skipped.\n");
  const { skipped, waiting: left } = await outbox.backlog(client);
  assert.deepEqual([skipped, left], [2, 1]);
});

test("a row that a relay has in hand is left alone", async (context) => {
  const { db, run } = await setUp(context);
  db.exec("UPDATE cadre_outbox SET claim = 'x', claimed_until = 9e15 WHERE position = 3");
  const { code, stderr } = await run("skip", "3");
  assert.equal(code, 3);
  assert.match(stderr, /a relay has it in hand/);
});

test("what cannot be is refused with the right exit code", async (context) => {
  const { cwd, run } = await setUp(context);
  assert.equal((await run("skip")).code, 2);
  assert.equal((await run("skip", "1", "--all")).code, 2);
  assert.equal((await run("skip", "one")).code, 2);
  assert.equal((await run("lsit")).code, 2);
  assert.equal((await run("list", "--url", "redis://x")).code, 2);
  assert.equal((await run("list", "--url", "sqlite:none.db")).code, 3);
  assert.equal((await run("list", "--table", "nothing")).code, 4);
  assert.equal((await run("list", "--table", "a;b")).code, 2);
  assert.equal((await run("list", "--url", "postgres://me:secret@127.0.0.1:1/x")).code, 4);
  const { stderr } = await run("list", "--url", "mysql://me:secret@127.0.0.1:1/x");
  assert.doesNotMatch(stderr, /secret/);
  assert.equal((await runHere(["outbox"], { cwd })).code, 2);
});
