import assert from "node:assert/strict";
import { existsSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { pathToFileURL } from "node:url";
import { SeededRandom, VirtualClock, createEvent } from "cadre";
import { openSqlite } from "cadre/sqlite";
import { jsonLines, runHere, temporaryFolder } from "./run-cli.ts";

const cadre = import.meta.resolve("cadre");
const agents = import.meta.resolve("cadre/agents");
const context = { clock: new VirtualClock(), random: new SeededRandom(1), source: "teller" };

/** Writes a configuration whose registry has one type. A module is loaded once: each has a name. */
function writeConfig(cwd: string, definition: string): void {
  const source = `import { defineEvents } from ${JSON.stringify(cadre)};
export default { events: defineEvents({ "order.placed": ${definition} }), store: "sqlite:./s.db" };`;
  writeFileSync(join(cwd, "cadre.config.ts"), source);
}

const schema = (properties: string, required = "[]"): string =>
  `{ type: "object", properties: ${properties}, required: ${required} }`;
const first = schema('{ id: { type: "string" } }');

test("schemas are exported for a release, and the next one is checked against them", async (t) => {
  const before = temporaryFolder(t);
  writeConfig(before, `{ schema: ${first}, version: "1.0.0" }`);
  const folder = join(before, "schemas");
  const exported = await runHere(["schemas", "export", folder], { cwd: before });
  assert.equal(exported.code, 0, exported.stderr);
  assert.match(exported.stdout, /1 schemas are in .*; 1 of them are new/s);
  assert.deepEqual(readdirSync(folder), ["order.placed@1.0.0.json"]);
  const same = await runHere(["schemas", "check", folder], { cwd: before });
  assert.deepEqual([same.code, same.stdout], [0, ""]);

  const after = temporaryFolder(t);
  const broken = schema('{ id: { type: "number" }, note: { type: "string" } }', '["note"]');
  writeConfig(after, `{ schema: ${broken}, version: "1.0.0" }`);
  const check = await runHere(["schemas", "check", folder], { cwd: after });
  assert.equal(check.code, 1);
  assert.match(check.stdout, /^order\.placed@1\.0\.0 breaking backward required-added \$\.note: /m);
  assert.match(check.stdout, /^order\.placed@1\.0\.0 breaking backward type-changed \$\.id: /m);
  assert.match(check.stderr, /2 breaking, 0 undecided/);
  const json = await runHere(["schemas", "check", folder, "--json"], { cwd: after });
  assert.equal(json.code, 1);
  assert.deepEqual(
    jsonLines(json.stdout).map(({ kind, path, verdict }) => [kind, path, verdict]),
    [
      ["required-added", "$.note", "breaking"],
      ["type-changed", "$.id", "breaking"],
    ],
  );
  const none = await runHere(["schemas", "check", folder, "--mode", "none"], { cwd: after });
  assert.equal(none.code, 0);
});

test("a released version that nothing leads on from, or a type that is gone, breaks", async (t) => {
  const released = temporaryFolder(t);
  const record = (type: string, version: string): void =>
    writeFileSync(
      join(released, `${type}@${version}.json`),
      JSON.stringify({ type, version, schema: { type: "object" } }),
    );
  record("order.placed", "1.0.0");
  record("order.placed", "3.0.0");
  record("order.lost", "1.0.0");
  const cwd = temporaryFolder(t);
  writeConfig(cwd, `{ schema: { type: "object" }, version: "2.0.0" }`);
  const { code, stdout } = await runHere(["schemas", "check", released], { cwd });
  assert.equal(code, 1);
  const kinds = stdout.split("\n").map((line) => line.split(" ")[3]);
  assert.deepEqual(kinds.slice(0, 3), ["type-removed", "version-unreadable", "version-lowered"]);
});

test("what cannot be decided fails the check unless it is allowed", async (t) => {
  const released = temporaryFolder(t);
  const path = join(released, "order.placed@1.0.0.json");
  writeFileSync(path, '{ "type": "order.placed", "version": "1.0.0", "schema": null }');
  const cwd = temporaryFolder(t);
  writeConfig(cwd, `{ schema: ${first}, version: "1.0.0" }`);
  const strict = await runHere(["schemas", "check", released], { cwd });
  assert.equal(strict.code, 1);
  assert.match(strict.stdout, /undecided backward no-schema/);
  const lenient = await runHere(["schemas", "check", released, "--allow-undecided"], { cwd });
  assert.equal(lenient.code, 0);
  writeFileSync(path, "{");
  assert.equal((await runHere(["schemas", "check", released], { cwd })).code, 2);
  rmSync(released, { recursive: true });
  assert.equal((await runHere(["schemas", "check", released], { cwd })).code, 3);
  assert.equal(existsSync(released), false);
});

test("the versions in use are listed, with how they are read", async (t) => {
  const cwd = temporaryFolder(t);
  const version2 = `{ schema: ${first}, version: "2.0.0", upcast: { "1.0.0": (old) => old } }`;
  writeConfig(cwd, version2);
  const log = await openSqlite(join(cwd, "s.db"));
  const placed = (version: string) =>
    createEvent(context, "order.placed", { id: "o" }, { version });
  await log.store.commit({
    outbox: [placed("1.0.0"), placed("1.0.0"), placed("2.0.0"), placed("1.5.0"), placed("1.0.0")],
  });
  await log.close();
  const { code, stdout } = await runHere(["schemas", "used", "--json"], { cwd });
  assert.equal(code, 0);
  assert.deepEqual(jsonLines(stdout), [
    { type: "order.placed", version: "1.0.0", count: 3, first: 1, last: 5, reads: "upcast" },
    { type: "order.placed", version: "1.5.0", count: 1, first: 4, last: 4, reads: "no" },
    { type: "order.placed", version: "2.0.0", count: 1, first: 3, last: 3, reads: "current" },
  ]);
  const table = await runHere(["schemas", "used"], { cwd });
  assert.match(table.stdout, /order\.placed\s+1\.0\.0\s+3\s+1\s+5\s+upcast/);
});

const team = `import { defineProjection } from ${JSON.stringify(cadre)};
import { defineAgent } from ${JSON.stringify(agents)};
const teller = defineAgent({
  name: "teller",
  state: {
    initial: { balance: 0 },
    apply: (state, event) => ({ balance: state.balance + event.payload.amount }),
  },
});
export const agents = [teller, defineAgent({ name: "plain" })];
export const counts = defineProjection({
  name: "counts",
  initial: {},
  apply: (state, event) => ({ ...state, [event.type]: (state[event.type] ?? 0) + 1 }),
});
`;

test("the state of an agent or a projection is printed as of a point, or what changed", async (t) => {
  const cwd = temporaryFolder(t);
  writeFileSync(join(cwd, "team.mjs"), team);
  const log = await openSqlite(join(cwd, "s.db"));
  for (const amount of [10, 20, 30]) {
    const events = [createEvent(context, "custom.deposited", { amount })];
    const appends = [{ stream: "agent/teller", expectedVersion: "any" as const, events }];
    await log.store.commit({ appends });
  }
  await log.store.commit({ outbox: [createEvent(context, "custom.note", {})] });
  await log.close();
  const state = (...args: string[]) =>
    runHere(["state", "team.mjs", ...args, "--store", "sqlite:./s.db"], { cwd });
  const list = await state();
  assert.equal(list.stdout, "agent teller\nprojection counts\n", pathToFileURL(cwd).href);
  const now = await state("teller", "--json");
  assert.deepEqual(jsonLines(now.stdout), [
    { name: "teller", position: 4, state: { balance: 60 } },
  ]);
  const then = await state("teller", "--at", "2");
  assert.equal(then.stdout, '{\n  "balance": 30\n}\n');
  assert.match(then.stderr, /agent teller as of position 2/);
  const long = await state("teller", "--at", "1d", "--json");
  assert.deepEqual(jsonLines(long.stdout), [
    { name: "teller", position: 0, state: { balance: 0 } },
  ]);
  const changes = await state("counts", "--since", "2", "--at", "4");
  assert.equal(changes.stdout, "~ /custom.deposited 2 → 3\n+ /custom.note 1\n");
  const json = await state("teller", "--since", "1", "--json");
  assert.deepEqual(jsonLines(json.stdout), [
    { from: 1, to: 4, changes: [{ kind: "changed", path: "/balance", before: 10, after: 60 }] },
  ]);
  const wrong = await state("telr");
  assert.equal(wrong.code, 3);
  assert.match(wrong.stderr, /Did you mean teller\?/);
  assert.equal((await state("teller", "--at", "yesterday")).code, 2);
  assert.equal((await state("plain")).code, 3, "an agent without a state");
});

test("projections are listed with their lag", async (t) => {
  const cwd = temporaryFolder(t);
  const log = await openSqlite(join(cwd, "s.db"));
  const value = JSON.stringify({ version: 3, position: 1, state: {} });
  await log.store.commit({
    slots: [{ name: "projection/sales", expectedVersion: "any", value }],
    outbox: [createEvent(context, "a", {}), createEvent(context, "b", {})],
  });
  await log.close();
  const { stdout } = await runHere(["projections", "--json", "--store", "sqlite:./s.db"], { cwd });
  assert.deepEqual(jsonLines(stdout), [
    { name: "sales", version: 3, position: 1, lag: 1, bytes: value.length },
  ]);
});
