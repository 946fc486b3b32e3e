/**
 * Moves what the write-ahead log holds into the file, off the loop: a worker does it with a
 * connection of its own.
 *
 * SQLite would do it inside whichever commit crosses a threshold, which then takes milliseconds. A
 * passive checkpoint waits for nobody and holds up nobody; once everything is moved, the next
 * commit starts the write-ahead log from its beginning again, so that it keeps its size.
 */
import { statSync } from "node:fs";
import { Worker } from "node:worker_threads";
import type { Logger } from "../../core/logger.ts";
import type { Connection } from "./connection.ts";

const checkEveryRows = 2_000; // asking the file system costs as much as a row
const checkEveryCommits = 200;
const startBytes = 4 * 1024 * 1024; // a thousand pages: as often as SQLite would
// under unbroken load the worker is never quite done; then a commit is made to finish
const finishBytes = 64 * 1024 * 1024;

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
  try { checkpoint.get(); } catch (error) { problem = String(error); }
  parentPort.postMessage({ problem });
});
`;

export class Checkpointer {
  readonly #connection: Connection;
  readonly #logger: Logger;
  #worker: Worker | undefined;
  #busy = false;
  #failed = false;
  #rows = 0;
  #commits = 0;

  constructor(connection: Connection, logger: Logger) {
    this.#connection = connection;
    this.#logger = logger;
  }

  onCommit(rows: number): void {
    this.#rows += rows;
    this.#commits += 1;
    if (this.#rows < checkEveryRows && this.#commits < checkEveryCommits) return;
    this.#rows = 0;
    this.#commits = 0;
    const bytes = this.#walBytes();
    if (bytes < startBytes || this.#busy) return;
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
      else if (this.#worker && this.#walBytes() > finishBytes) this.#checkpointHere();
    });
    worker.on("error", (error) => {
      this.#logger.warn("The checkpoint worker ended; checkpoints run on the loop.", { error });
      this.#worker = undefined;
      this.#busy = false;
      this.#failed = true;
    });
    return worker;
  }

  /** On the loop: only what is left since the worker's last one, or where no worker can run. */
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
