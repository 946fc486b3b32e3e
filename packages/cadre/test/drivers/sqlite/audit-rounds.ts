import assert from "node:assert/strict";
import { copyFileSync, rmSync } from "node:fs";
import { SeededRandom } from "#src/core/random.ts";
import { verifyLog } from "#src/store/verify.ts";
import type { Anchor } from "#src/store/seal.ts";
import { openSqlite } from "cadre/sqlite";
import { makeSealedLog, tamper } from "./tampering.ts";
import { temporaryFile } from "./temporary-file.ts";

const changesPerLog = 25;

/** Changes sealed logs in one place each and audits them. Fails at the first miss. */
export async function findChanges(seed: number, changes: number): Promise<Map<string, number>> {
  const random = new SeededRandom(seed);
  const found = new Map<string, number>();
  let original = "";
  let anchors: readonly Anchor[] = [];
  for (let round = 0; round < changes; round += 1) {
    if (round % changesPerLog === 0) {
      original = temporaryFile();
      anchors = await makeSealedLog(original, random, 60 + random.integer(80));
    }
    const copy = `${original}.copy`;
    copyFileSync(original, copy);
    const { what, position, kinds } = tamper(copy, random);
    const place = `change ${round} (${what}), with CADRE_SEED=${seed}`;
    const log = await openSqlite(copy, { durability: "process" });
    const report = await verifyLog(log.store, { anchors });
    await log.close();
    for (const ending of ["", "-wal", "-shm"]) rmSync(copy + ending, { force: true });
    assert.equal(report.ok, false, `not found: ${place}`);
    const { problem } = report;
    assert.equal(problem?.position, position, `${problem?.message} for ${place}`);
    assert.ok(kinds.includes(problem.kind), `${problem.kind}: ${problem.message} for ${place}`);
    assert.match(problem.message, new RegExp(` ${position}[ :.]|ends at position`), place);
    found.set(problem.kind, (found.get(problem.kind) ?? 0) + 1);
  }
  return found;
}

/** Audits good logs. Fails at the first alarm. */
export async function passGoodLogs(seed: number, logs: number): Promise<number> {
  const random = new SeededRandom(seed);
  let rows = 0;
  for (let round = 0; round < logs; round += 1) {
    const path = temporaryFile();
    const anchors = await makeSealedLog(path, random, 20 + random.integer(100));
    const log = await openSqlite(path, { durability: "process" });
    const report = await verifyLog(log.store, { anchors });
    await log.close();
    assert.equal(report.problem, undefined, `${report.problem?.message}, CADRE_SEED=${seed}`);
    assert.equal(report.unsealed, 0);
    assert.equal(report.anchors, new Set(anchors.map(({ anchor }) => anchor)).size);
    rows += report.rows;
  }
  return rows;
}
