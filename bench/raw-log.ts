/** What somebody would write by hand on `node:sqlite`: a table, an insert, JSON. */
import { randomUUID } from "node:crypto";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { report, scratchFolder } from "./load.ts";

export class RawLog {
  readonly path: string = join(scratchFolder(), "raw.db");
  readonly db: DatabaseSync = new DatabaseSync(this.path);
  readonly #insert;
  readonly #begin;
  readonly #commit;

  constructor() {
    this.db.exec("PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL");
    this.db.exec(
      `CREATE TABLE events (position INTEGER PRIMARY KEY, id TEXT NOT NULL UNIQUE,
       type TEXT NOT NULL, timestamp INTEGER NOT NULL, correlation TEXT, body TEXT NOT NULL);
       CREATE INDEX events_by_correlation ON events (correlation) WHERE correlation IS NOT NULL`,
    );
    this.#insert = this.db.prepare(
      "INSERT INTO events (id, type, timestamp, correlation, body) VALUES (?, ?, ?, ?, ?)",
    );
    this.#begin = this.db.prepare("BEGIN IMMEDIATE");
    this.#commit = this.db.prepare("COMMIT");
  }

  /** One event of the same size as everybody's; it begins its flow, as theirs do. */
  append(index: number): void {
    const id = randomUUID();
    const timestamp = Date.now();
    const type = "task.created";
    const metadata = { version: "1.0.0", correlationId: id };
    const event = { id, type, source: "bench", timestamp, payload: report(index), metadata };
    this.#insert.run(id, type, timestamp, null, JSON.stringify(event));
  }

  appendAll(from: number, to: number): void {
    this.#begin.run();
    for (let index = from; index < to; index += 1) this.append(index);
    this.#commit.run();
  }

  get count(): number {
    return countEvents(this.db);
  }
}

export function countEvents(db: DatabaseSync): number {
  return Number(db.prepare("SELECT count(*) AS count FROM events").get()?.["count"]);
}
