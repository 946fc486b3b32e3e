/**
 * One connection to the file. All its statements are synchronous; transactions begin with the write
 * lock, so that what was read inside one cannot be out of date when it writes.
 */
import { existsSync, mkdirSync } from "node:fs";
import { dirname, resolve } from "node:path";
import { DatabaseSync, type SQLInputValue, type StatementSync } from "node:sqlite";
import type { Clock } from "../../core/clock.ts";
import { CadreError } from "../../core/errors.ts";
import { isBusy, isWritable, readOnly, storeError, unavailable } from "./sqlite-error.ts";

export type Cell = string | number | null | Uint8Array;
/** A result row, its columns in the order of the statement. */
export type Row = readonly Cell[];

// SQLite blocks the loop while it waits for another writer, so it waits in short pieces
const lockWaitMs = 50;

/**
 * A prepared statement. Its rows are arrays, which take half the time of objects; its errors are
 * this library's.
 */
export class Statement {
  readonly #statement: StatementSync;
  readonly #path: string;

  constructor(statement: StatementSync, path: string) {
    this.#statement = statement;
    this.#path = path;
    statement.setReturnArrays(true);
  }

  /** How many rows were changed. */
  run(...values: readonly SQLInputValue[]): number {
    try {
      return Number(this.#statement.run(...values).changes);
    } catch (error) {
      throw statementError(error, this.#path);
    }
  }

  get(...values: readonly SQLInputValue[]): Row | undefined {
    try {
      // node's types don't know setReturnArrays
      return this.#statement.get(...values) as unknown as Row | undefined;
    } catch (error) {
      throw statementError(error, this.#path);
    }
  }

  all(...values: readonly SQLInputValue[]): readonly Row[] {
    try {
      return this.#statement.all(...values) as unknown as readonly Row[]; // the same
    } catch (error) {
      throw statementError(error, this.#path);
    }
  }
}

/** Busy errors stay as they are: whoever can wait tries again. */
function statementError(error: unknown, path: string): unknown {
  return isBusy(error) ? error : storeError(error, path);
}

export class Connection {
  readonly path: string;
  readonly #db: DatabaseSync;
  readonly #statements = new Map<string, Statement>();
  #synchronous: "FULL" | "NORMAL" | undefined;

  constructor(path: string) {
    this.path = resolve(path);
    try {
      mkdirSync(dirname(this.path), { recursive: true });
      this.#db = new DatabaseSync(this.path, { timeout: lockWaitMs });
    } catch (error) {
      throw openError(error, this.path);
    }
  }

  get isOpen(): boolean {
    return this.#db.isOpen;
  }

  /** The statement, prepared at its first use and kept. Only for texts of which there are few. */
  sql(text: string): Statement {
    let statement = this.#statements.get(text);
    if (!statement) {
      this.#assertOpen();
      statement = this.#guard(() => new Statement(this.#db.prepare(text), this.path));
      this.#statements.set(text, statement);
    }
    return statement;
  }

  exec(text: string): void {
    this.#assertOpen();
    this.#guard(() => this.#db.exec(text));
  }

  /** The one number that a pragma answers. */
  pragma(name: string): number {
    return Number(this.sql(`PRAGMA ${name}`).get()?.[0] ?? 0);
  }

  /** Changes when another connection has committed. */
  dataVersion(): number {
    return this.pragma("data_version");
  }

  /**
   * Runs `action` in one transaction. `toDisk` waits until the disk has it; otherwise it survives
   * the end of this process, not a power failure.
   *
   * @throws what `action` throws, after rolling back; a busy error as it is
   */
  transaction<Result>(toDisk: boolean, action: () => Result): Result {
    this.#assertOpen();
    return this.#guard(() => {
      this.#setSynchronous(toDisk ? "FULL" : "NORMAL");
      this.sql("BEGIN IMMEDIATE").run();
      try {
        const result = action();
        this.sql("COMMIT").run();
        return result;
      } catch (error) {
        // Some errors (a full disk) have rolled back already.
        if (this.#db.isTransaction) this.#db.exec("ROLLBACK");
        throw error;
      }
    });
  }

  /** Runs one writing statement as a transaction of its own. */
  alone(toDisk: boolean, action: () => void): void {
    this.#assertOpen();
    this.#setSynchronous(toDisk ? "FULL" : "NORMAL");
    action();
  }

  /**
   * Runs `action`, a transaction, and waits, without holding up the loop, while other connections
   * write.
   */
  async patiently<Result>(clock: Clock, waitMs: number, action: () => Result): Promise<Result> {
    const since = clock.monotonic();
    for (let tries = 1; ; tries += 1) {
      try {
        return action();
      } catch (error) {
        if (!isBusy(error)) throw error;
        const elapsedMs = clock.monotonic() - since;
        // A virtual clock stands still meanwhile; then each try counts as the time that SQLite has
        // waited.
        const waitedMs = elapsedMs > 0 ? elapsedMs : tries * lockWaitMs;
        if (waitedMs >= waitMs) throw storeError(error, this.path);
        await clock.yield();
      }
    }
  }

  close(): void {
    if (!this.#db.isOpen) return;
    this.#statements.clear();
    this.#db.close();
  }

  #guard<Result>(action: () => Result): Result {
    try {
      return action();
    } catch (error) {
      throw statementError(error, this.path);
    }
  }

  #setSynchronous(level: "FULL" | "NORMAL"): void {
    if (this.#synchronous === level) return;
    this.#db.exec(`PRAGMA synchronous = ${level}`);
    this.#synchronous = level;
  }

  #assertOpen(): void {
    if (this.#db.isOpen) return;
    throw new CadreError("CLOSED", `The log "${this.path}" is closed.`, { what: this.path });
  }
}

function openError(error: unknown, path: string): unknown {
  // What the file system says; where it is read-only it doesn't always say so.
  if (error instanceof Error && "syscall" in error) {
    return isWritable(nearestFolder(path))
      ? unavailable(path, error.message, error)
      : readOnly(path, error);
  }
  return storeError(error, path);
}

function nearestFolder(path: string): string {
  let folder = dirname(path);
  while (!existsSync(folder) && folder !== dirname(folder)) folder = dirname(folder);
  return folder;
}
