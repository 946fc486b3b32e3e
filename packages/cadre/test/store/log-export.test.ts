import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { writeFileSync } from "node:fs";
import { test } from "node:test";
import { fileURLToPath } from "node:url";
import { exportLog, importLog, isCadreError, memoryStore, readAnchor, runRetention } from "cadre";
import { startSealer, systemClock, verifyLog, type ErrorCode, type EventStore } from "cadre";
import { sqliteStore } from "cadre/sqlite";
import { SeededRandom } from "#src/core/random.ts";
import { fillLog } from "../drivers/sqlite/tampering.ts";
import { temporaryFile } from "../drivers/sqlite/temporary-file.ts";

const verifier = fileURLToPath(
  new URL("../../../../docs/reference/verify_export.py", import.meta.url),
);
const noPython = spawnSync("python3", ["--version"]).error ? "there is no python3 here" : false;

async function linesOf(store: EventStore): Promise<string[]> {
  const lines: string[] = [];
  for await (const line of exportLog(store)) lines.push(line);
  return lines;
}

/** A log with gaps, removed rows, seals, and rows that are not sealed. */
async function fill(store: EventStore, seed: number): Promise<void> {
  const random = new SeededRandom(seed);
  await fillLog(store, random, 100);
  await startSealer({ store, blockRows: 16 }).close();
  await runRetention({ store, rules: [{ type: "a.noted", maxEvents: 20 }] });
  await fillLog(store, random, 20);
  await startSealer({ store, blockRows: 16 }).close();
  await fillLog(store, random, 8);
}

const stores: Readonly<Record<string, () => EventStore>> = {
  memory: () => memoryStore(),
  sqlite: () => sqliteStore(temporaryFile(), { durability: "process" }),
};

for (const [from, makeFrom] of Object.entries(stores)) {
  for (const [to, makeTo] of Object.entries(stores)) {
    test(`export from ${from}, import into ${to} and export give equal bytes; the copy verifies`, async () => {
      const source = makeFrom();
      const target = makeTo();
      await fill(source, 3);
      const lines = await linesOf(source);
      const first = await importLog(target, lines);
      assert.equal(first.rows, (await source.usage()).events);
      assert.equal(first.known, 0);
      assert.deepEqual(await linesOf(target), lines);
      const again = await importLog(target, lines);
      assert.deepEqual(again, { rows: 0, known: first.rows, seals: 0 });
      const anchor = (await readAnchor(source))!;
      const report = await verifyLog(target, { anchors: [anchor] });
      assert.deepEqual([report.ok, report.anchors, report.problem], [true, 1, undefined]);
      assert.ok(report.removed > 0 && report.unsealed > 0);
      assert.equal(await target.version("s/1"), await source.version("s/1"));
      await startSealer({ store: target, blockRows: 16 }).close();
      assert.equal((await verifyLog(target, { anchors: [anchor] })).unsealed, 0);
      await source.close();
      await target.close();
    });
  }
}

test("an import that was interrupted goes on where it ended", async () => {
  const [source, target] = [memoryStore(), memoryStore()];
  await fill(source, 4);
  const lines = await linesOf(source);
  const half = Math.floor(lines.length / 2);
  function* interrupted(): Iterable<string> {
    yield* lines.slice(0, half);
    throw new Error("the cable was pulled");
  }
  await assert.rejects(importLog(target, interrupted()), /cable/);
  const { known } = await importLog(target, lines);
  assert.ok(known > 0);
  assert.deepEqual(await linesOf(target), lines);
});

async function refuses(code: ErrorCode, message: RegExp, lines: string[], into = memoryStore()) {
  await assert.rejects(importLog(into, lines), (error) => {
    assert.ok(isCadreError(error, code), String(error));
    assert.match(error.message, message);
    return true;
  });
}

test("what is no export, or does not fit, is refused with its line or place", async () => {
  const source = memoryStore();
  await fill(source, 5);
  const lines = await linesOf(source);
  await refuses("UNDECODABLE", /line 1 /, []);
  await refuses("UNDECODABLE", /line 1 /, lines.slice(1));
  await refuses("UNDECODABLE", /line 3 .*no JSON/, lines.with(2, "{"));
  await refuses("UNDECODABLE", /line 3 .*no row/, lines.with(2, "[]"));
  await refuses("UNDECODABLE", /line 2 .*version/, [
    lines[0]!,
    '{"position":1,"recordedAt":1,"stream":"a","event":{}}',
  ]);
  const seal = lines.findIndex((line) => line.startsWith('{"seal":2'));
  await refuses("UNDECODABLE", /no whole seal/, lines.with(seal, '{"seal":2}'));
  await refuses("IMPORT_CONFLICT", /seal 3 does not follow seal 1/, lines.toSpliced(seal, 1));
  await refuses("IMPORT_CONFLICT", /do not lead to anchor/, [lines[0]!, lines.at(-1)!]);
  const other = memoryStore();
  await fillLog(other, new SeededRandom(1), 8);
  await refuses("IMPORT_CONFLICT", /position 1 /, lines, other);
  const busy = memoryStore();
  const sealer = startSealer({ store: busy });
  await sealer.seal();
  await refuses("WRONG_STATE", /being sealed/, lines, busy);
  await sealer.close();
});

test("an export is a moment's log, whatever is written meanwhile", async () => {
  const store = memoryStore({ pageSize: 16 });
  await fill(store, 6);
  const before = await linesOf(store);
  const lines: string[] = [];
  for await (const line of exportLog(store)) {
    if (lines.length % 20 === 0) await fillLog(store, new SeededRandom(lines.length + 100), 4);
    lines.push(line);
  }
  assert.deepEqual(lines.slice(0, 40), before.slice(0, 40));
  await importLog(memoryStore(), lines);
});

function runVerifier(lines: readonly string[], anchors?: readonly string[]) {
  const file = temporaryFile("export.jsonl");
  writeFileSync(file, lines.map((line) => `${line}\n`).join(""));
  const more: string[] = [];
  if (anchors) {
    more.push(temporaryFile("anchors.jsonl"));
    writeFileSync(more[0]!, anchors.map((line) => `${line}\n`).join(""));
  }
  const { status, stdout, stderr } = spawnSync("python3", [verifier, file, ...more]);
  return { status, text: `${String(stdout)}${String(stderr)}` };
}

test("a third party verifies an export with the document alone", { skip: noPython }, async () => {
  const store = memoryStore({ clock: systemClock });
  await fill(store, 8);
  const lines = await linesOf(store);
  const anchor = lines.at(-1)!;
  const good = runVerifier(lines, [anchor]);
  assert.deepEqual([good.status, good.text.slice(0, 10)], [0, "good up to"], good.text);
  const { removed, seals, unsealed } = await verifyLog(store);
  assert.match(
    good.text,
    new RegExp(`${seals} seals, ${removed} rows removed by rule, ${unsealed} not`),
  );

  const rows = lines.flatMap((line, index) => (line.startsWith('{"position"') ? [index] : []));
  const victim = rows[30]!;
  const { position } = JSON.parse(lines[victim]!) as { position: number };
  const bad = (changed: readonly string[], expected: string, anchors?: readonly string[]): void => {
    const { status, text } = runVerifier(changed, anchors);
    assert.deepEqual([status, text.trim()], [1, expected]);
  };
  const payload = lines[victim]!.replace('"source":"test"', '"source":"tesu"');
  bad(lines.with(victim, payload), `position ${position}: changed`);
  bad(lines.toSpliced(victim, 1), `position ${position}: removed`);
  const cut = lines.slice(0, rows[10]);
  const { position: end } = JSON.parse(lines[rows[9]!]!) as { position: number };
  const unsealedCut = cut.filter((line) => !line.startsWith('{"seal"'));
  bad(unsealedCut, `position ${end + 1}: the log was cut`, [anchor]);
  const seal = lines.findIndex((line) => line.startsWith('{"seal":1,'));
  const later = lines[seal]!.replace(/"sealedAt":\d/, '"sealedAt":2');
  const { to } = JSON.parse(lines[seal]!) as { to: number };
  bad(lines.with(seal, later), `position ${to + 1}: seal 2 does not continue the chain`);
});
