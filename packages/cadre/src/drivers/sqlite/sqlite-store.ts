import type { Commit, InboxMark } from "../../core/commit.ts";
import type {
  BackupResult,
  CommitResult,
  EventStore,
  Hold,
  InspectedRow,
  LogPosition,
  LogRange,
  Slot,
  StoredEvent,
  StoreQuery,
  StoreUsage,
} from "../../store/event-store.ts";
import { checkRow } from "../../store/row-line.ts";
import { checkQuery } from "../../store/store-query.ts";
import { backUp } from "./backup.ts";
import type { Row } from "./connection.ts";
import { decodeStored, packId } from "./event-rows.ts";
import { inspectPages } from "./inspect.ts";
import { headOf, isRow, readRows } from "./log-reader.ts";
import { prepareRow, restoreRows } from "./restore-request.ts";
import { Paged } from "../../store/paged.ts";
import type { LogFile } from "./sqlite-log.ts";
import { planCommit, writeCommit } from "./store-request.ts";
import { readHolds, readUsage } from "./usage.ts";

/** The store's side of the file. */
export class SqliteStore implements EventStore {
  readonly name: string = "sqlite";
  readonly log: string;
  readonly #file: LogFile;

  constructor(file: LogFile) {
    this.#file = file;
    this.log = file.path;
  }

  async commit(commit: Commit): Promise<CommitResult> {
    this.#file.assertOpen();
    const prepared = this.#file.prepare(commit);
    return this.#file.writer.write({
      toDisk: true,
      events: prepared.events,
      run: (transaction) => writeCommit(prepared, planCommit(prepared, transaction), transaction),
    });
  }

  read(query: StoreQuery = {}): AsyncIterable<StoredEvent> {
    const assertOpen = (): void => this.#file.assertOpen();
    const pages = readRows(this.#file, query, assertOpen);
    return new Paged(pages, (item) => (isRow(item) ? decodeStored(item) : item));
  }

  async version(stream: string): Promise<number> {
    return Number(this.#get("SELECT version FROM streams WHERE name = ?", stream)?.[0] ?? 0);
  }

  async head(): Promise<LogPosition> {
    this.#file.assertOpen();
    return headOf(this.#file.connection);
  }

  watch(wake: () => void): () => void {
    this.#file.assertOpen();
    return this.#file.wake.listen(wake);
  }

  async slot(name: string): Promise<Slot | undefined> {
    const row = this.#get("SELECT value, version FROM slots WHERE name = ?", name);
    return row && Object.freeze({ value: String(row[0]), version: Number(row[1]) });
  }

  async slots(prefix: string): Promise<readonly (Slot & { readonly name: string })[]> {
    this.#file.assertOpen();
    const { connection } = this.#file;
    const statement = connection.sql(
      `SELECT name, value, version FROM slots
       WHERE name >= ?1 AND substr(name, 1, length(?1)) = ?1 ORDER BY name`,
    );
    return statement.all(prefix).map(([name, value, version]) => ({
      name: String(name),
      value: String(value),
      version: Number(version),
    }));
  }

  async marked(marks: readonly InboxMark[]): Promise<readonly InboxMark[]> {
    this.#file.assertOpen();
    return marks.filter(({ subscription, eventId }) => isMarked(this.#file, subscription, eventId));
  }

  async pruneInbox(olderThanMs: number): Promise<number> {
    this.#file.assertOpen();
    const before = this.#file.settings.clock.now() - olderThanMs;
    return this.#file.writer.write({
      toDisk: true,
      events: [],
      run: ({ connection }) => connection.sql("DELETE FROM inbox WHERE marked_at < ?").run(before),
    });
  }

  inspect(range: LogRange = {}): AsyncIterable<InspectedRow> {
    checkQuery(range);
    const { connection, settings } = this.#file;
    const assertOpen = (): void => this.#file.assertOpen();
    return new Paged(inspectPages(connection, settings.clock, range, assertOpen), (row) => row);
  }

  async restore(rows: readonly StoredEvent[]): Promise<number> {
    this.#file.assertOpen();
    const prepared = rows.map((row) => prepareRow(checkRow(row)));
    for (const { encoded } of prepared) this.#file.checkSize(encoded);
    return this.#file.writer.write({
      toDisk: true,
      events: prepared.map(({ encoded }) => encoded),
      run: (transaction) => restoreRows(prepared, transaction),
    });
  }

  async holds(): Promise<readonly Hold[]> {
    this.#file.assertOpen();
    return readHolds(this.#file.connection);
  }

  async usage(options: { readonly byType?: boolean } = {}): Promise<StoreUsage> {
    this.#file.assertOpen();
    const { connection, settings } = this.#file;
    const assertOpen = (): void => this.#file.assertOpen();
    return readUsage(connection, settings.clock, options.byType ?? false, assertOpen);
  }

  async compact(): Promise<void> {
    this.#file.assertOpen();
    await this.#file.compact();
  }

  async backup(path: string): Promise<BackupResult> {
    this.#file.assertOpen();
    return backUp(this.#file.path, path);
  }

  async close(): Promise<void> {
    await this.#file.close();
  }

  #get(text: string, name: string): Row | undefined {
    this.#file.assertOpen();
    return this.#file.connection.sql(text).get(name);
  }
}

export function isMarked({ connection }: LogFile, subscription: string, eventId: string): boolean {
  const statement = connection.sql("SELECT 1 FROM inbox WHERE subscription = ? AND event = ?");
  return statement.get(subscription, packId(eventId)) !== undefined;
}
