import assert from "node:assert/strict";
import { join } from "node:path";
import { test, type TestContext } from "node:test";

import { createBus } from "cadre";
import { sqlite } from "cadre/sqlite";
import { jsonLines, runHere, temporaryFolder } from "./run-cli.ts";

const env = { CADRE_STORE: "sqlite:./team.db" };

/** A folder whose log has two groups; "billing" has handled one event, owes one and waits for three. */
async function folderOf(context: Pick<TestContext, "after">): Promise<string> {
  const cwd = temporaryFolder(context);
  const bus = createBus({ transport: sqlite(join(cwd, "team.db")) });
  await bus.declareGroup("order.*", { group: "billing" });
  await bus.declareGroup("#", { group: "agent.clerk" });
  for (let n = 1; n <= 2; n += 1) await bus.publish("order.placed", { n });
  const seen = Promise.withResolvers<void>();
  const retry = { minDelayMs: 3_600_000, maxDelayMs: 3_600_000 };
  await bus.subscribe("order.*", { group: "billing", retry }, (event) => {
    if ((event.payload as { n: number }).n === 1) return;
    queueMicrotask(seen.resolve);
    throw new Error("later");
  });
  await seen.promise;
  await bus.idle();
  await bus.close();
  const later = createBus({ transport: sqlite(join(cwd, "team.db")) });
  for (let n = 3; n <= 5; n += 1) await later.publish("order.placed", { n });
  await later.close();
  return cwd;
}

test("groups lists each group with its place, what it is behind and what it has open", async (t) => {
  const cwd = await folderOf(t);
  const listed = await runHere(["groups"], { cwd, env });
  assert.equal(listed.code, 0, listed.stderr);
  assert.match(listed.stdout, /^group +position +behind +open +definition/);
  assert.match(listed.stdout, /^agent\.clerk .* 5 +0 /m);
  assert.match(listed.stdout, /^billing .* 3 +1 .*order\.\*/m);
  const json = await runHere(["groups", "list", "--json"], { cwd, env });
  const groups = jsonLines(json.stdout);
  assert.deepEqual(
    groups.map(({ name, behind, open }) => [name, behind, open]),
    [
      ["agent.clerk", 5, 0],
      ["billing", 3, 1],
    ],
  );
});

test("groups delete asks for --yes, and then the group is gone and another definition fits", async (t) => {
  const cwd = await folderOf(t);
  const asked = await runHere(["groups", "delete", "billing"], { cwd, env });
  assert.equal(asked.code, 2);
  assert.match(asked.stderr, /behind by 3, open 1.*Add --yes/s);
  const open = createBus({ transport: sqlite(join(cwd, "team.db")) });
  t.after(() => open.close());
  await assert.rejects(
    open.declareGroup("invoice.*", { group: "billing" }),
    /cadre groups delete billing --yes/,
  );
  const done = await runHere(["groups", "delete", "billing", "--yes"], { cwd, env });
  assert.deepEqual([done.code, done.stdout], [0, "Deleted the group billing.\n"], done.stderr);
  await open.declareGroup("invoice.*", { group: "billing" });
  const states = await open.groups();
  assert.deepEqual(
    states.map(({ name, open: waiting }) => [name, waiting]),
    [
      ["agent.clerk", 0],
      ["billing", 0],
    ],
  );
});

test("groups delete refuses a name that is not there, and says which is meant", async (t) => {
  const cwd = await folderOf(t);
  const missing = await runHere(["groups", "delete", "biling", "--yes"], { cwd, env });
  assert.equal(missing.code, 3);
  assert.match(missing.stderr, /no group "biling".*Did you mean "billing"\?/s);
  const word = await runHere(["groups", "delet"], { cwd, env });
  assert.equal(word.code, 2);
  assert.match(word.stderr, /Did you mean delete\?/);
});
