import type { SQLInputValue } from "node:sqlite";
import type { Connection } from "./connection.ts";
import { eventColumns } from "./event-rows.ts";

const width = eventColumns.length;
const sizes = [64, 8, 1] as const; // rows a statement; more than 64 gain nothing, and would pass SQLite's limit of parameters

const texts: readonly (readonly [number, string])[] = sizes.map((rows) => {
  const row = `(${eventColumns.map(() => "?").join(", ")})`;
  const values = Array.from({ length: rows }, () => row).join(", ");
  return [rows * width, `INSERT INTO events (${eventColumns.join(", ")}) VALUES ${values}`];
});

/** Collects rows of events and writes them many at a time. */
export class EventInserter {
  readonly #connection: Connection;
  #cells: SQLInputValue[] = [];

  constructor(connection: Connection) {
    this.#connection = connection;
  }

  /** Rows that wait. */
  get size(): number {
    return this.#cells.length / width;
  }

  add(
    position: number,
    recordedAt: number,
    stream: number | null,
    version: number | null,
    flags: number | null,
    cells: readonly SQLInputValue[],
  ): void {
    this.#cells.push(position, recordedAt, stream, version, flags, ...cells);
  }

  /** Writes what waits. */
  flush(): void {
    const all = this.#cells;
    if (all.length === 0) return;
    let start = 0;
    for (const [cells, text] of texts) {
      if (all.length - start < cells) continue;
      const statement = this.#connection.sql(text);
      for (; all.length - start >= cells; start += cells) {
        if (start === 0 && all.length === cells) statement.run(...all);
        else statement.run(...all.slice(start, start + cells));
      }
    }
    this.#cells = [];
  }

  /** Forgets what waits, after a rollback. */
  clear(): void {
    this.#cells = [];
  }
}
