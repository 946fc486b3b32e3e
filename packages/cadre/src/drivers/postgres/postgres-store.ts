import type { Commit, InboxMark } from "../../core/commit.ts";
import type {
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
import { Paged } from "../../store/paged.ts";
import { checkRow } from "../../store/row-line.ts";
import { checkQuery } from "../../store/store-query.ts";
import { plainArray, textArray } from "./array-literal.ts";
import type { Row } from "./client.ts";
import { commitPrepared, versionOf } from "./commit.ts";
import { decodeStored, packId } from "./event-rows.ts";
import { inspectPages } from "./inspect.ts";
import { headOf, readRows } from "./log-reader.ts";
import type { Log } from "./postgres-log.ts";
import { restoreRows } from "./restore.ts";
import { fromStoredText, toStoredText } from "./stored-text.ts";
import { readHolds, readUsage } from "./usage.ts";

/** The store's side of the log. */
export class PostgresStore implements EventStore {
  readonly name: string = "postgres";
  readonly log: unknown;
  readonly #log: Log;

  constructor(log: Log) {
    this.#log = log;
    this.log = log.identity;
  }

  async commit(commit: Commit): Promise<CommitResult> {
    this.#log.assertOpen();
    const prepared = this.#log.prepare(commit);
    await this.#log.ready();
    return commitPrepared(this.#log, prepared);
  }

  read(query: StoreQuery = {}): AsyncIterable<StoredEvent> {
    return new Paged(this.#readPages(query), decodeStored);
  }

  async version(stream: string): Promise<number> {
    await this.#log.ready();
    return versionOf(this.#log, stream);
  }

  async head(): Promise<LogPosition> {
    await this.#log.ready();
    return headOf(this.#log.connection);
  }

  watch(wake: () => void): () => void {
    this.#log.assertOpen();
    return this.#log.wake.listen(wake);
  }

  async slot(name: string): Promise<Slot | undefined> {
    const rows = await this.#rows("SELECT value, version FROM $S.slots WHERE name = $1", [
      toStoredText(name),
    ]);
    const row = rows[0];
    return row && Object.freeze({ value: fromStoredText(String(row[0])), version: Number(row[1]) });
  }

  async slots(prefix: string): Promise<readonly (Slot & { readonly name: string })[]> {
    const rows = await this.#rows("SELECT name, value, version FROM $S.slots WHERE name LIKE $1", [
      `${toStoredText(prefix).replace(/[\\%_]/g, "\\$&")}%`,
    ]);
    return rows
      .map(([name, value, version]) => ({
        name: fromStoredText(String(name)),
        value: fromStoredText(String(value)),
        version: Number(version),
      }))
      .toSorted((left, right) => (left.name < right.name ? -1 : 1));
  }

  /** The look-ups are one by one: a join would read all marks for each call. */
  async marked(marks: readonly InboxMark[]): Promise<readonly InboxMark[]> {
    const rows = await this.#rows(
      `SELECT u.ord FROM unnest($1::text[], $2::uuid[]) WITH ORDINALITY u(subscription, event, ord)
       WHERE (SELECT true FROM $S.inbox i
         WHERE i.subscription = u.subscription AND i.event = u.event LIMIT 1)`,
      [
        textArray(marks.map(({ subscription }) => toStoredText(subscription))),
        plainArray(marks.map(({ eventId }) => packId(eventId))),
      ],
    );
    const found = new Set(rows.map(([ord]) => Number(ord) - 1));
    return marks.filter((_, index) => found.has(index));
  }

  async pruneInbox(olderThanMs: number): Promise<number> {
    const rows = await this.#rows(
      `WITH dropped AS (DELETE FROM $S.inbox
         WHERE marked_at < extract(epoch FROM clock_timestamp()) * 1000 - $1 RETURNING 1)
       SELECT count(*) FROM dropped`,
      [olderThanMs],
    );
    return Number(rows[0]![0]);
  }

  inspect(range: LogRange = {}): AsyncIterable<InspectedRow> {
    checkQuery(range);
    return new Paged(this.#inspectPages(range), (row) => row);
  }

  async restore(rows: readonly StoredEvent[]): Promise<number> {
    this.#log.assertOpen();
    return restoreRows(this.#log, rows.map(checkRow));
  }

  async now(): Promise<number> {
    const rows = await this.#rows("SELECT $S.now_ms()", []);
    return Number(rows[0]![0]);
  }

  async holds(): Promise<readonly Hold[]> {
    await this.#log.ready();
    return readHolds(this.#log.connection);
  }

  async usage(options: { readonly byType?: boolean } = {}): Promise<StoreUsage> {
    await this.#log.ready();
    return readUsage(this.#log.connection, options.byType ?? false);
  }

  close(): Promise<void> {
    return this.#log.close();
  }

  /** `$S` stands for the schema. */
  async #rows(text: string, values: readonly (string | number)[]): Promise<readonly Row[]> {
    await this.#log.ready();
    return this.#log.connection.query(text.replaceAll("$S", this.#log.settings.schema), values);
  }

  async *#readPages(query: StoreQuery): AsyncIterable<readonly Row[]> {
    await this.#log.ready();
    yield* readRows(this.#log.connection, query);
  }

  async *#inspectPages(range: LogRange): AsyncIterable<readonly InspectedRow[]> {
    await this.#log.ready();
    yield* inspectPages(this.#log.connection, range);
  }
}
