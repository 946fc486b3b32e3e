import type { SQLInputValue } from "node:sqlite";
import type { Connection } from "./connection.ts";
import { commonColumns, furtherColumns, noFurther, type EncodedEvent } from "./event-rows.ts";

const plainColumns = ["position", "recorded_at", ...commonColumns];
const allColumns = [...plainColumns, "stream", "version", "flags", ...furtherColumns];
// rows a statement; more than 64 gain nothing, and would pass SQLite's limit of parameters
const sizes = [64, 16, 4, 2, 1] as const;

/** Rows that wait, of one list of columns. */
class Rows {
  readonly #width: number;
  /** Number of parameters and text, the largest statement first. */
  readonly #statements: readonly (readonly [number, string])[];
  cells: SQLInputValue[] = [];

  constructor(columns: readonly string[]) {
    this.#width = columns.length;
    const row = `(${columns.map(() => "?").join(", ")})`;
    this.#statements = sizes.map((rows) => {
      const values = Array.from({ length: rows }, () => row).join(", ");
      const text = `INSERT INTO events (${columns.join(", ")}) VALUES ${values}`;
      return [rows * columns.length, text];
    });
  }

  get size(): number {
    return this.cells.length / this.#width;
  }

  flush(connection: Connection): void {
    const { cells } = this;
    let start = 0;
    for (const [count, text] of this.#statements) {
      if (cells.length - start < count) continue;
      const statement = connection.sql(text);
      for (; cells.length - start >= count; start += count) {
        statement.run(...(cells.length === count ? cells : cells.slice(start, start + count)));
      }
    }
    this.cells = [];
  }
}

type Place = readonly [position: number, recordedAt: number];

/**
 * Collects rows of events and writes them many at a time. Most have few columns, and each column
 * that is bound costs.
 */
export class EventInserter {
  readonly #connection: Connection;
  readonly #plain = new Rows(plainColumns);
  readonly #full = new Rows(allColumns);

  constructor(connection: Connection) {
    this.#connection = connection;
  }

  /** Rows that wait. */
  get size(): number {
    return this.#plain.size + this.#full.size;
  }

  /** An event of no stream, without flags and further columns. */
  addPlain(place: Place, { common }: EncodedEvent): void {
    this.#plain.cells.push(...place, ...common);
  }

  add(
    place: Place,
    within: readonly [stream: number | null, version: number | null, flags: number | null],
    { common, further = noFurther }: EncodedEvent,
  ): void {
    this.#full.cells.push(...place, ...common, ...within, ...further);
  }

  /** Writes what waits. */
  flush(): void {
    if (this.#plain.cells.length > 0) this.#plain.flush(this.#connection);
    if (this.#full.cells.length > 0) this.#full.flush(this.#connection);
  }

  /** Forgets what waits, after a rollback. */
  clear(): void {
    this.#plain.cells = [];
    this.#full.cells = [];
  }
}
