import type { SQLInputValue } from "node:sqlite";
import type { Connection } from "./connection.ts";
import { eventColumns } from "./event-rows.ts";

const rowsPerStatement = 64; // beyond it a statement gains nothing more, and stays under SQLite's limit of parameters

/** Collects rows of events and writes them many at a time. */
export class EventInserter {
  readonly #connection: Connection;
  readonly #many: string;
  readonly #one: string;
  #cells: SQLInputValue[] = [];

  constructor(connection: Connection) {
    this.#connection = connection;
    const row = `(${eventColumns.map(() => "?").join(", ")})`;
    this.#one = `INSERT INTO events (${eventColumns.join(", ")}) VALUES ${row}`;
    this.#many = this.#one + `, ${row}`.repeat(rowsPerStatement - 1);
  }

  add(
    position: number,
    recordedAt: number,
    stream: number | null,
    version: number | null,
    flags: number | null,
    cells: readonly SQLInputValue[],
  ): void {
    const all = this.#cells;
    all.push(position, recordedAt, stream, version, flags);
    for (const cell of cells) all.push(cell);
    if (all.length === rowsPerStatement * eventColumns.length) {
      this.#connection.sql(this.#many).run(...all);
      this.#cells = [];
    }
  }

  /** Writes what waits. */
  flush(): void {
    const all = this.#cells;
    if (all.length === 0) return;
    const statement = this.#connection.sql(this.#one);
    for (let start = 0; start < all.length; start += eventColumns.length) {
      statement.run(...all.slice(start, start + eventColumns.length));
    }
    this.#cells = [];
  }

  /** Forgets what waits, after a rollback. */
  clear(): void {
    this.#cells = [];
  }
}
