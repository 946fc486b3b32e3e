/**
 * Processes that publish and consume through one SQLite file are killed at random instants. Every
 * event whose publish had resolved is delivered, and no receipt is there twice.
 *
 * CADRE_KILL_ROUNDS sets the number of kills (20 unless set), CADRE_SEED repeats their order.
 */
import assert from "node:assert/strict";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { test } from "node:test";
import { openSqlite } from "cadre/sqlite";
import { withTempFolder } from "../servers/temporary.ts";
import {
  assertHandledOnce,
  killInRounds,
  killMember,
  publishedIds,
  seededRandom,
  type KillRun,
} from "./kill-run.ts";

const rounds = Number(process.env["CADRE_KILL_ROUNDS"] ?? 20);

test("no event whose publish had resolved is lost to kills, and none is handled twice", async (t) => {
  await withTempFolder(async (folder) => {
    const path = join(folder, "log.db");
    const run: KillRun = { url: path, published: join(folder, "published.txt"), leaseMs: 30_000 };
    const running = await killInRounds(run, seededRandom(t), { rounds, pauseMs: 60 });
    const publishers = running.filter(([role]) => role === "publish").map(([, each]) => each);
    await Promise.all(publishers.map(killMember));
    const published = publishedIds(run);
    assert.ok(published.length > rounds, "too little was published to show anything");
    const log = await openSqlite(path);
    const consumers = running.filter(([role]) => role === "consume").map(([, each]) => each);
    await assertHandledOnce(t, log, published, consumers);
    await log.close();
    const db = new DatabaseSync(path);
    const sound = db.prepare("PRAGMA integrity_check").get();
    db.close();
    assert.equal(sound?.["integrity_check"], "ok");
  });
});
