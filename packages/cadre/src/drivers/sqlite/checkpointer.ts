/**
 * Moves what the write-ahead log holds into the file, off the loop: a worker does it with a
 * connection of its own.
 *
 * SQLite would do it inside whichever commit crosses a threshold, which then takes milliseconds. A
 * passive checkpoint waits for nobody and holds up nobody. What was committed meanwhile, a few
 * pages, is moved on the loop: only when all is moved does the next commit start the write-ahead
 * log from its beginning again, and a commit into a file that grows takes nearly twice as long.
 */
import { statSync } from "node:fs";
import { Worker } from "node:worker_threads";
import type { Logger } from "../../core/logger.ts";
import type { Connection } from "./connection.ts";

const checkEveryRows = 2_000; // asking the file system costs as much as a row
const checkEveryCommits = 200;
const startBytes = 8 * 1024 * 1024;
// the file never shrinks: when it is written again from its beginning, these tell how full it is
const startRows = 16_000;
const startCommits = 1_000;

// As text, so that it needs no file of its own beside a bundled program.
const workerSource = `
const { parentPort, workerData } = require("node:worker_threads");
const { DatabaseSync } = require("node:sqlite");
const db = new DatabaseSync(workerData, { timeout: 0 });
db.exec("PRAGMA wal_autocheckpoint = 0");
const checkpoint = db.prepare("PRAGMA wal_checkpoint(PASSIVE)");
parentPort.on("message", (message) => {
  if (message === "close") {
    db.close();
    parentPort.close();
    return;
  }
  let problem;
  try {
    checkpoint.get();
    checkpoint.get(); // what came during the first
  } catch (error) { problem = String(error); }
  parentPort.postMessage({ problem });
});
`;

export class Checkpointer {
  readonly #connection: Connection;
  readonly #logger: Logger;
  #worker: Worker | undefined;
  #busy = false;
  #failed = false;
  /** Since the file system was asked. */
  #rows = 0;
  #commits = 0;
  /** Since the last checkpoint. */
  #rowsInAll = 0;
  #commitsInAll = 0;
  #bytes = startBytes;

  constructor(connection: Connection, logger: Logger) {
    this.#connection = connection;
    this.#logger = logger;
  }

  onCommit(rows: number): void {
    this.#rows += rows;
    this.#commits += 1;
    if (this.#rows < checkEveryRows && this.#commits < checkEveryCommits) return;
    this.#rowsInAll += this.#rows;
    this.#commitsInAll += this.#commits;
    this.#rows = 0;
    this.#commits = 0;
    if (this.#busy || !this.#isDue()) return;
    this.#rowsInAll = 0;
    this.#commitsInAll = 0;
    if (this.#failed) this.#checkpointHere();
    else this.#ask();
  }

  async close(): Promise<void> {
    const worker = this.#worker;
    this.#worker = undefined;
    if (!worker) return;
    const ended = new Promise((resolve) => worker.once("exit", resolve));
    worker.ref();
    worker.postMessage("close");
    await ended;
  }

  #isDue(): boolean {
    const bytes = this.#walBytes();
    const hasGrown = bytes > this.#bytes;
    this.#bytes = Math.max(bytes, startBytes);
    if (hasGrown) return true;
    const isFull = this.#rowsInAll >= startRows || this.#commitsInAll >= startCommits;
    return isFull && bytes >= startBytes;
  }

  #ask(): void {
    this.#worker ??= this.#start();
    this.#busy = true;
    this.#worker.postMessage("checkpoint");
  }

  #start(): Worker {
    const worker = new Worker(workerSource, { eval: true, workerData: this.#connection.path });
    worker.unref();
    worker.on("message", ({ problem }: { readonly problem?: string }) => {
      this.#busy = false;
      if (problem !== undefined) this.#logger.warn("A checkpoint failed.", { problem });
      else if (this.#worker) this.#checkpointHere();
    });
    worker.on("error", (error) => {
      this.#logger.warn("The checkpoint worker ended; checkpoints run on the loop.", { error });
      this.#worker = undefined;
      this.#busy = false;
      this.#failed = true;
    });
    return worker;
  }

  /** On the loop: only what came since the worker's, or where no worker can run. */
  #checkpointHere(): void {
    if (!this.#connection.isOpen) return;
    try {
      this.#connection.sql("PRAGMA wal_checkpoint(PASSIVE)").get();
    } catch (error) {
      this.#logger.warn("A checkpoint failed.", { error });
    }
  }

  #walBytes(): number {
    return statSync(`${this.#connection.path}-wal`, { throwIfNoEntry: false })?.size ?? 0;
  }
}
