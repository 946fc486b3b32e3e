import assert from "node:assert/strict";
import { existsSync, readFileSync, renameSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { test, type TestContext } from "node:test";

import { createIdentity, signEvent, startSealer, systemClock, type AgentEvent } from "cadre";
import { sqliteStore } from "cadre/sqlite";
import { createEvent } from "#src/core/event.ts";
import { SeededRandom } from "#src/core/random.ts";
import { runCli, runHere, temporaryFolder } from "./run-cli.ts";

const random = new SeededRandom(3);
const context = { clock: systemClock, random, source: "test" };

/** A folder with a store of ten events, sealed unless told otherwise. */
async function folderOf(test: Pick<TestContext, "after">, isSealed = true): Promise<string> {
  const cwd = temporaryFolder(test);
  const store = sqliteStore(join(cwd, "team.db"));
  const outbox = Array.from({ length: 10 }, (_, index) =>
    createEvent(context, index % 2 === 0 ? "a.noted" : "b.noted", { text: "line\u2028end", index }),
  );
  await store.commit({ outbox });
  if (isSealed) await startSealer({ store, blockRows: 4 }).close();
  await store.close();
  return cwd;
}

test("--data takes the only .db file of a folder", async (t) => {
  const cwd = await folderOf(t);
  renameSync(join(cwd, "team.db"), join(cwd, "other.db"));
  const { code, stdout } = await runHere(["usage", "--data", ".", "--json"], { cwd });
  assert.equal(code, 0);
  assert.equal((JSON.parse(stdout) as { events: number }).events, 10);
});

test("verify passes a good log with 0, and keeps and checks anchors", async (t) => {
  const cwd = await folderOf(t);
  const good = await runHere(["verify", "--data", ".", "--add-anchor", "anchors"], { cwd });
  assert.equal(good.code, 0, good.stderr);
  assert.equal(good.stdout, "Good up to position 10: 10 rows under 3 seals, nothing unsealed.\n");
  const again = await runHere(["verify", "--data", ".", "--anchor", "anchors", "--json"], { cwd });
  assert.equal(again.code, 0, again.stderr);
  const report = JSON.parse(again.stdout) as { ok: boolean; anchors: number };
  assert.deepEqual([report.ok, report.anchors], [true, 1]);
});

test("verify names the first bad row and ends with 1; so it does when nothing is sealed", async (t) => {
  const cwd = await folderOf(t);
  const db = new DatabaseSync(join(cwd, "team.db"));
  db.exec("UPDATE events SET source = 'somebody else' WHERE position IN (6, 9)");
  db.close();
  const env = { COLUMNS: "60" };
  const bad = await runHere(["verify", "--data", "."], { cwd, env });
  assert.equal(bad.code, 1);
  assert.match(bad.stdout, /^The row at position 6 was changed: /);
  assert.match(bad.stdout.replaceAll("\n", " "), /Up to position 4 all is as it was sealed/);
  assert.ok(bad.stdout.split("\n").every((line) => line.length <= 60));
  const json = await runHere(["verify", "--data", ".", "--json"], { cwd });
  assert.equal(json.code, 1);
  assert.equal((JSON.parse(json.stdout) as { problem: { position: number } }).problem.position, 6);

  const bare = await folderOf(t, false);
  const unsealed = await runHere(["verify", "--data", "."], { cwd: bare });
  assert.equal(unsealed.code, 1);
  assert.match(unsealed.stdout, /Nothing is sealed.*10 rows/);
});

test("verify refuses a file without anchors, and a store that is not there", async (t) => {
  const cwd = await folderOf(t);
  writeFileSync(join(cwd, "empty"), "\n");
  assert.equal((await runHere(["verify", "--data", ".", "--anchor", "empty"], { cwd })).code, 2);
  assert.equal((await runHere(["verify", "--data", ".", "--anchor", "none"], { cwd })).code, 3);
  assert.equal((await runHere(["verify", "--data", "nowhere"], { cwd })).code, 3);
  const both = await runHere(["verify", "--data", ".", "--store", "sqlite:./team.db"], { cwd });
  assert.equal(both.code, 2);
});

test("export, import and export give equal bytes; what is there is not imported twice", async (t) => {
  const cwd = await folderOf(t);
  const first = await runHere(["export", "one.jsonl", "--data", "."], { cwd });
  assert.deepEqual([first.code, first.stdout], [0, ""], first.stderr);
  assert.match(first.stderr, /Exported 15 lines/);
  const imported = await runHere(["import", "one.jsonl", "--data", "copy"], { cwd });
  assert.deepEqual([imported.code, imported.stdout], [0, "Imported 10 rows and 3 seals.\n"]);
  const text = readFileSync(join(cwd, "one.jsonl"), "utf8");
  assert.equal((await runHere(["export", "--data", "copy"], { cwd })).stdout, text);
  const input = { cwd, input: text };
  const piped = await runCli(["import", "-", "--data", "copy", "--json"], input);
  assert.deepEqual(JSON.parse(piped.stdout), { rows: 0, known: 10, seals: 0 }, piped.stderr);
  assert.equal(
    (await runHere(["verify", "--data", "copy", "--anchor", "one.jsonl"], { cwd })).code,
    0,
  );

  assert.equal((await runHere(["export", "one.jsonl", "--data", "."], { cwd })).code, 1);
  assert.equal(readFileSync(join(cwd, "one.jsonl"), "utf8"), text);
  assert.equal((await runHere(["import", "none", "--data", "new"], { cwd })).code, 3);
  assert.equal(existsSync(join(cwd, "new")), false);
  const other = await folderOf(t);
  const conflict = await runHere(["import", join(cwd, "one.jsonl"), "--data", "."], { cwd: other });
  assert.equal(conflict.code, 1);
  assert.match(conflict.stderr, /position 1 .*IMPORT_CONFLICT/s);
});

test("backup makes a store that verifies, and replaces no file", async (t) => {
  const cwd = await folderOf(t);
  const done = await runHere(["backup", "copy.db", "--data", "."], { cwd });
  assert.equal(done.code, 0, done.stderr);
  assert.match(done.stdout, /^Copied the log up to position 10 \(.* kB\) to copy.db\.$/m);
  assert.equal((await runHere(["verify", "--store", "sqlite:./copy.db"], { cwd })).code, 0);
  assert.equal((await runHere(["backup", "copy.db", "--data", "."], { cwd })).code, 1);
});

test("usage shows what the store takes, by type when asked", async (t) => {
  const cwd = await folderOf(t);
  const plain = await runHere(["usage", "--data", "."], { cwd, env: { COLUMNS: "40" } });
  assert.equal(plain.code, 0, plain.stderr);
  assert.match(plain.stdout, /^events +10$/m);
  assert.match(plain.stdout, /^on disk +[\d.]+ kB$/m);
  const types = await runHere(["usage", "--types", "--data", ".", "--json"], { cwd });
  const usage = JSON.parse(types.stdout) as { types: { type: string; events: number }[] };
  assert.deepEqual(
    usage.types.map(({ type, events }) => [type, events]),
    [
      ["a.noted", 5],
      ["b.noted", 5],
    ],
  );
});

test("retain says what would go, removes only with --yes, and the log stays good", async (t) => {
  const cwd = await folderOf(t);
  const choice = ["retain", "--type", "a.*", "--max-events", "2", "--data", "."];
  const dry = await runHere([...choice, "--dry-run"], { cwd, env: { COLUMNS: "60" } });
  assert.equal(dry.code, 0, dry.stderr);
  assert.match(dry.stdout, /^rule +events +would go +needed$/m);
  assert.match(dry.stdout, /3 events would be removed\. Everything after position 10/);
  assert.ok(dry.stdout.split("\n").every((line) => line.length <= 60));
  assert.equal((await runHere(choice, { cwd })).code, 2);
  assert.equal(
    (await runHere(["verify", "--data", "."], { cwd })).stdout.includes("removed"),
    false,
  );
  const done = await runHere([...choice, "--yes", "--compact", "--json"], { cwd });
  assert.equal((JSON.parse(done.stdout) as { removed: number }).removed, 3, done.stderr);
  const verified = await runHere(["verify", "--data", "."], { cwd });
  assert.equal(verified.code, 0);
  assert.match(verified.stdout, /3 rows removed by retention, 1 row not sealed yet/);

  writeFileSync(join(cwd, "rules.json"), '[{"type":"b.*","maxAgeMs":1}]');
  const byFile = ["retain", "--rules", "rules.json", "--yes", "--json", "--data", "."];
  const all = await runHere(byFile, { cwd });
  assert.equal((JSON.parse(all.stdout) as { removed: number }).removed, 5, all.stderr);
  assert.equal(
    (await runHere(["retain", "--type", "a.*", "--yes", "--data", "."], { cwd })).code,
    2,
  );
  assert.equal((await runHere(["retain", "--older-than", "soon", "--yes"], { cwd })).code, 2);
});

test("verify --signatures says who has signed what, and ends with 1 for a forgery", async (t) => {
  const cwd = temporaryFolder(t);
  const [team, forger] = [1, 2].map((n) => createIdentity({ seed: Buffer.alloc(32, n) }));
  const store = sqliteStore(join(cwd, "team.db"));
  const make = (): AgentEvent => createEvent({ ...context, source: "team" }, "a.noted", {});
  const outbox = [signEvent(make(), team!), createEvent(context, "a.noted", {})];
  await store.commit({ outbox });
  writeFileSync(join(cwd, "keys.json"), JSON.stringify({ team: team!.did }));
  const args = ["verify", "--data", ".", "--signatures", "keys.json"];
  const env = { COLUMNS: "60" };
  const good = await runHere(args, { cwd, env });
  assert.equal(good.code, 0, good.stderr);
  assert.match(good.stdout, /Signatures: 1 good, 1 unsigned of sources/);
  await store.commit({ outbox: [signEvent(make(), forger!)] });
  await store.close();
  const bad = await runHere(args, { cwd, env });
  assert.equal(bad.code, 1);
  assert.match(bad.stdout, /1\sbad\.\n3 a\.noted from team: forged\n$/);
  assert.ok(bad.stdout.split("\n").every((line) => line.length <= 60));
  const json = JSON.parse((await runHere([...args, "--json"], { cwd })).stdout) as {
    signatures: { problems: readonly { rule: string; signer: string }[] };
  };
  assert.deepEqual(json.signatures.problems[0]?.signer, forger!.did);
  for (const text of ["[]", "no JSON", '{"team": "no DID"}']) {
    writeFileSync(join(cwd, "keys.json"), text);
    assert.equal((await runHere(args, { cwd })).code, 2, text);
  }
  const none = await runHere(["verify", "--data", ".", "--signatures", "none"], { cwd });
  assert.equal(none.code, 3);
});
