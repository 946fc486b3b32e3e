/**
 * Copies the log while others write. A worker does it on a connection of its own, inside one read
 * transaction: however long it takes and whatever is committed meanwhile, the copy is the log as it
 * was at one moment. (Without the transaction, SQLite begins anew whenever another connection has
 * committed, under a steady load for ever.) What is committed meanwhile stays in the write-ahead
 * log until the copy is done.
 */
import { existsSync, mkdirSync, renameSync, rmSync, statSync } from "node:fs";
import { dirname, resolve } from "node:path";
import { Worker } from "node:worker_threads";
import { CadreError } from "../../core/errors.ts";
import type { BackupResult } from "../../store/event-store.ts";
import { unavailable } from "./sqlite-error.ts";

// As text, so that it needs no file of its own beside a bundled program.
const workerSource = `
const { parentPort, workerData } = require("node:worker_threads");
const { DatabaseSync, backup } = require("node:sqlite");
(async () => {
  const { from, to } = workerData;
  const source = new DatabaseSync(from, { timeout: 10_000, readOnly: true });
  source.exec("BEGIN");
  source.prepare("SELECT count(*) FROM sqlite_schema").get();
  await backup(source, to, { rate: 256 });
  source.exec("COMMIT");
  source.close();
  // Those who have the log open do not have the copy open.
  const copy = new DatabaseSync(to);
  copy.exec("DELETE FROM members");
  const { head } = copy.prepare("SELECT coalesce(max(position), 0) AS head FROM events").get();
  copy.exec("PRAGMA wal_checkpoint(TRUNCATE)");
  copy.close();
  parentPort.postMessage({ head });
})().catch((error) => parentPort.postMessage({ problem: String(error) }));
`;

/**
 * @throws {CadreError} WRONG_STATE, when there is a file already; STORE_UNAVAILABLE, when the copy
 *   cannot be written
 */
export async function backUp(from: string, path: string): Promise<BackupResult> {
  const target = resolve(path);
  if (existsSync(target)) {
    throw new CadreError(
      "WRONG_STATE",
      `There is a file at "${target}" already. Name a new one: a backup replaces nothing.`,
      { what: target, state: "there" },
    );
  }
  const partial = `${target}.partial`;
  try {
    mkdirSync(dirname(target), { recursive: true });
    discard(partial);
    const head = await copyInWorker(from, partial);
    renameSync(partial, target);
    return { head, bytes: statSync(target).size };
  } catch (error) {
    discard(partial);
    throw error instanceof CadreError ? error : unavailable(target, String(error), error);
  }
}

function discard(partial: string): void {
  for (const ending of ["", "-wal", "-shm", "-journal"]) {
    try {
      rmSync(partial + ending, { force: true });
    } catch {
      // There is no such folder, or nothing may be written in it: then nothing was.
    }
  }
}

function copyInWorker(from: string, to: string): Promise<number> {
  const worker = new Worker(workerSource, { eval: true, workerData: { from, to } });
  return new Promise((done, fail) => {
    worker.on("message", ({ head, problem }: { head?: number; problem?: string }) => {
      if (head === undefined) fail(unavailable(to, problem ?? "the copy failed"));
      else done(head);
    });
    worker.on("error", fail);
    worker.on("exit", () => fail(unavailable(to, "the copy ended early")));
  });
}
