/**
 * The EventStore port: history with compare-and-set.
 *
 * A store is one log. Each event in it has a position (its place in the whole log, strictly
 * increasing, visible in order: a reader that has seen p never later finds a p' < p) and, if it
 * belongs to a stream, a version (its place in the stream, from 1, without gaps). `commit` is all
 * or nothing. Its compare-and-set on versions is the only lock in the system.
 */
import type { AgentEvent } from "../core/event.ts";
import type { Commit, InboxMark } from "../core/commit.ts";

/** A place in the log: 1, 2, 3 … with gaps allowed. 0 is before the first event. */
export type LogPosition = number;

export interface StoredEvent {
  readonly position: LogPosition;
  readonly event: AgentEvent;
  /** The stream and the version in it; absent for an event that belongs to the bus alone. */
  readonly stream?: string;
  readonly version?: number;
  /** Kept from the bus. */
  readonly private?: boolean;
  /** In the log for one consumer group alone, which has it as a delivery of its own. */
  readonly directed?: boolean;
  /** Unix milliseconds by the store's clock; never goes back along the log. */
  readonly recordedAt: number;
}

/** All conditions must hold. Oldest first unless `backward`. */
export interface StoreQuery {
  readonly stream?: string;
  /** Streams whose name starts with this. */
  readonly streamPrefix?: string;
  /** Versions of `stream` from here, inclusive. */
  readonly fromVersion?: number;
  /** Positions after this one, exclusive. */
  readonly after?: LogPosition;
  /** Positions up to this one, inclusive. */
  readonly upTo?: LogPosition;
  /** Topic pattern. */
  readonly type?: string;
  readonly source?: string;
  readonly correlationId?: string;
  readonly id?: string;
  /** Unix milliseconds of the event's timestamp; `since` inclusive, `until` exclusive. */
  readonly since?: number;
  readonly until?: number;
  readonly backward?: boolean;
  readonly limit?: number;
}

export interface CommitResult {
  /** The last position written; the head of the log when nothing was. */
  readonly position: LogPosition;
  /**
   * The version of the last event of each append, in their order: where the stream was left by this
   * commit, also if it was skipped and others have written since.
   */
  readonly versions: readonly number[];
  /**
   * True when every event of the commit was in the log already, by id: nothing was written again.
   */
  readonly duplicate: boolean;
}

export interface Slot {
  readonly value: string;
  readonly version: number;
}

/** Positions after `after`, exclusive, up to `upTo`, inclusive. */
export interface LogRange {
  readonly after?: LogPosition;
  readonly upTo?: LogPosition;
}

/** One row of the log as an audit sees it. */
export interface InspectedRow {
  readonly position: LogPosition;
  /** Absent when the row cannot be read as an event. */
  readonly stored?: StoredEvent;
  /**
   * What is wrong with the row: it cannot be read, or its columns are not what the store writes for
   * the event that is read from it.
   */
  readonly fault?: string;
}

/** What a reader that the store itself keeps (a consumer group) still needs of the log. */
export interface Hold {
  /** Who needs it: `group billing`. */
  readonly by: string;
  /** Everything after this position is needed. */
  readonly after: LogPosition;
  /** Needed before it. */
  readonly positions: readonly LogPosition[];
}

export interface TypeUsage {
  readonly type: string;
  readonly events: number;
  /** Of their payloads, as JSON. */
  readonly payloadBytes: number;
}

/** How much there is, and what it takes. */
export interface StoreUsage {
  readonly head: LogPosition;
  readonly events: number;
  readonly streams: number;
  readonly slots: number;
  /** On disk, all in all. Absent where there is no disk. */
  readonly bytes?: number;
  /** Of these, the write-ahead log. */
  readonly walBytes?: number;
  /** Of these, free inside the file: used again before it grows, given back by `compact`. */
  readonly freeBytes?: number;
  /** By type, the most bytes first. Only when asked for: the whole log is read. */
  readonly types?: readonly TypeUsage[];
}

export interface BackupResult {
  /** The last position in the copy. */
  readonly head: LogPosition;
  readonly bytes: number;
}

export interface EventStore {
  readonly name: string;
  /** Which log it is: equal to `unitOfWork.log` of a transport that is the same one. */
  readonly log?: unknown;
  /**
   * Writes everything in `commit`, or nothing. When the promise resolves it is on disk, as far as
   * the store has one.
   *
   * Idempotent by event id: an append all of whose events are in its stream already is skipped;
   * this is checked before the expected version, so that a writer that lost the answer may simply
   * commit again. A commit all of whose events are there is skipped as a whole, its slots and marks
   * with it: they were written with the events. An append without events writes nothing and only
   * checks the version. Several appends to one stream, or writes to one slot, count one after the
   * other. A slot that was deleted begins again at version 1. Removals come before everything else
   * that the commit writes.
   *
   * @throws {CadreError} VERSION_CONFLICT, when a stream or slot is not at its expected version, or
   *   an inbox mark is there already: the same work must not take effect twice
   * @throws {CadreError} DUPLICATE_ID, when an event's id is in the log with other content or in
   *   another stream, twice in the commit, or when only a part of an append is there
   * @throws {CadreError} INVALID_OPTION | INVALID_EVENT | INVALID_TOPIC | NOT_JSON, when the commit
   *   is not well formed
   * @throws {CadreError} STORE_FULL | STORE_READ_ONLY | CLOSED
   */
  commit(commit: Commit): Promise<CommitResult>;
  /** In pages, never all at once. A reader sees what was committed before it asked for the page. */
  read(query?: StoreQuery): AsyncIterable<StoredEvent>;
  /**
   * What `read` gives, with payloads as the rows have them: for who digests, exports or counts
   * rows. Absent where that is the same.
   */
  readRows?(query?: StoreQuery): AsyncIterable<StoredEvent>;
  /** The version of a stream; 0 when it does not exist. */
  version(stream: string): Promise<number>;
  /** The position of the last event; 0 when the log is empty. */
  head(): Promise<LogPosition>;
  /**
   * Calls `wake` soon after a commit, by this process or another. Calls may be merged; never one a
   * commit. Returns the end of it.
   */
  watch(wake: () => void): () => void;
  slot(name: string): Promise<Slot | undefined>;
  /** Slots whose name starts with `prefix`, by name. */
  slots(prefix: string): Promise<readonly (Slot & { readonly name: string })[]>;
  /** Those of `marks` that are there. */
  marked(marks: readonly InboxMark[]): Promise<readonly InboxMark[]>;
  /** Drops inbox marks older than `olderThanMs` by the store's clock. Returns how many. */
  pruneInbox(olderThanMs: number): Promise<number>;
  /**
   * The rows of the log as they are kept, each compared with what the store would write for its
   * event. Never rejects for a row that is damaged.
   */
  inspect(range?: LogRange): AsyncIterable<InspectedRow>;
  /**
   * Writes rows that another store has given, with their positions, versions and times, behind the
   * end of the log, or nothing. A row that is there already, the same in everything, is passed
   * over. Returns how many were written.
   *
   * @throws {CadreError} IMPORT_CONFLICT, when a row's position is taken or lies before the end of
   *   the log, its version is not behind its stream's, or its id is at another position
   * @throws {CadreError} INVALID_OPTION | INVALID_EVENT | INVALID_TOPIC | NOT_JSON
   */
  restore(rows: readonly StoredEvent[]): Promise<number>;
  /** Unix milliseconds by the store's clock, where that is another than this host's. */
  now?(): Promise<number>;
  /** What the store's own readers still need. */
  holds(): Promise<readonly Hold[]>;
  usage(options?: { readonly byType?: boolean }): Promise<StoreUsage>;
  /**
   * Gives the room of what was removed back to the disk. Nobody can write meanwhile. Absent where
   * the database does it by itself.
   */
  compact?(): Promise<void>;
  /**
   * Copies the log, as it is at one moment, into a new file, while others write. Absent where the
   * carrier has tools of its own for it.
   * @throws {CadreError} WRONG_STATE, when the file is there already
   */
  backup?(path: string): Promise<BackupResult>;
  /** Closing twice is allowed. */
  close(): Promise<void>;
}
