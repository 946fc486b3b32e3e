import { resolve } from "node:path";
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
import type { LogFile } from "./sqlite-log.ts";
import { SqliteStore } from "./sqlite-store.ts";
import { closedError } from "./writer.ts";

/** A store whose file is opened at its first use. */
export class LazyStore implements EventStore {
  readonly name: string = "sqlite";
  readonly log: string;
  readonly #open: () => Promise<LogFile>;
  #store: Promise<SqliteStore> | undefined;
  #closed = false;

  constructor(path: string, open: () => Promise<LogFile>) {
    this.log = resolve(path);
    this.#open = open;
  }

  async commit(commit: Commit): Promise<CommitResult> {
    return (await this.#opened()).commit(commit);
  }

  async *read(query?: StoreQuery): AsyncIterable<StoredEvent> {
    yield* (await this.#opened()).read(query);
  }

  async version(stream: string): Promise<number> {
    return (await this.#opened()).version(stream);
  }

  async head(): Promise<LogPosition> {
    return (await this.#opened()).head();
  }

  /**
   * Watches as soon as the file is open. A file that cannot be opened has nothing to watch: other
   * calls say why.
   */
  watch(wake: () => void): () => void {
    let end: (() => void) | undefined;
    let ended = false;
    this.#opened().then(
      (store) => {
        if (!ended) end = store.watch(wake);
      },
      () => {},
    );
    return () => {
      ended = true;
      end?.();
    };
  }

  async slot(name: string): Promise<Slot | undefined> {
    return (await this.#opened()).slot(name);
  }

  async slots(prefix: string): Promise<readonly (Slot & { readonly name: string })[]> {
    return (await this.#opened()).slots(prefix);
  }

  async marked(marks: readonly InboxMark[]): Promise<readonly InboxMark[]> {
    return (await this.#opened()).marked(marks);
  }

  async pruneInbox(olderThanMs: number): Promise<number> {
    return (await this.#opened()).pruneInbox(olderThanMs);
  }

  async *inspect(range?: LogRange): AsyncIterable<InspectedRow> {
    yield* (await this.#opened()).inspect(range);
  }

  async restore(rows: readonly StoredEvent[]): Promise<number> {
    return (await this.#opened()).restore(rows);
  }

  async holds(): Promise<readonly Hold[]> {
    return (await this.#opened()).holds();
  }

  async usage(options?: { readonly byType?: boolean }): Promise<StoreUsage> {
    return (await this.#opened()).usage(options);
  }

  async compact(): Promise<void> {
    await (await this.#opened()).compact();
  }

  async backup(path: string): Promise<BackupResult> {
    return (await this.#opened()).backup(path);
  }

  async close(): Promise<void> {
    this.#closed = true;
    const store = this.#store;
    // What could not be opened has been said to whoever used it, and leaves nothing to close.
    await store?.then((open) => open.close()).catch(() => {});
  }

  #opened(): Promise<SqliteStore> {
    if (this.#closed) return Promise.reject(closedError("sqlite"));
    this.#store ??= this.#open().then((file) => new SqliteStore(file));
    // A file that could not be opened is tried again at the next use.
    this.#store.catch(() => (this.#store = undefined));
    return this.#store;
  }
}
