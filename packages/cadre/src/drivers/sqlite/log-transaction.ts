/**
 * One transaction, shared by all requests of one turn.
 *
 * A request checks everything that could refuse it before it writes anything, against the file and
 * against what the requests before it in the same transaction have written; so a refused one leaves
 * nothing behind and needs no savepoint. Rows of events wait in the inserter until somebody needs
 * to read them or the transaction ends.
 */
import { CadreError } from "../../core/errors.ts";
import type { AgentEvent } from "../../core/event.ts";
import type { StoredEvent } from "../../store/event-store.ts";
import { sameEvent } from "../../store/same-event.ts";
import type { Connection } from "./connection.ts";
import { EventInserter } from "./event-inserter.ts";
import { decodeEvent, decodeStored, eventSelection, eventTables } from "./event-rows.ts";
import {
  directedFlag,
  packedIdSql,
  privateFlag,
  unpackId,
  type EncodedEvent,
} from "./event-rows.ts";
import type { Appended, RecentEvent } from "./recent-events.ts";

/** An event that is in the log, or will be with this transaction. */
export interface KnownEvent {
  readonly position: number;
  readonly stream: string | undefined;
  readonly version: number;
  readonly flags: number;
  /** Loaded when somebody compares. */
  event?: AgentEvent;
}

/** The last event of the log. */
export interface LogTail {
  readonly position: number;
  readonly recordedAt: number;
}

interface StreamHead {
  readonly no: number;
  version: number;
  stored: boolean;
  changed: boolean;
}

const idsPerLookup = 64;
const headSql = "SELECT position, recorded_at FROM events ORDER BY position DESC LIMIT 1";
const knownSelection = `SELECT ${packedIdSql("e.id")}, e.position, s.name, e.version, e.flags
  FROM events e LEFT JOIN streams s ON s.no = e.stream WHERE e.id IN `;
const manyKnownSql = `${knownSelection}(?${", ?".repeat(idsPerLookup - 1)})`;
const oneKnownSql = `${knownSelection}(?)`;

export class LogTransaction implements Appended {
  readonly connection: Connection;
  readonly now: number;
  readonly #inserter: EventInserter;
  readonly #known: Map<string, KnownEvent>;
  readonly #streams = new Map<string, StreamHead>();
  /** What is appended now was recorded then. */
  #recordedAt: number;
  /** When the last event that is written was recorded. */
  #tailRecordedAt: number;
  /** Where the log ended before. */
  readonly after: number;
  readonly events: RecentEvent[] = [];
  isGapless = true;
  #head: number;
  #nextStream: number | undefined;
  /**
   * Whether somebody may wait for what was written: events, slots, deliveries that are free to
   * take.
   */
  isNews = false;

  /** Reads where the log ends and which of `events` are in it. */
  static begin(
    connection: Connection,
    inserter: EventInserter,
    now: number,
    events: readonly EncodedEvent[],
  ): LogTransaction {
    const row = connection.sql(headSql).get();
    const tail = { position: Number(row?.[0] ?? 0), recordedAt: Number(row?.[1] ?? 0) };
    return new LogTransaction(connection, inserter, now, tail, findKnown(connection, events));
  }

  /**
   * Takes it that the log ends at `tail` and holds none of the events to come. If that is not so,
   * the insert breaks a unique index and nothing is written.
   */
  static guess(
    connection: Connection,
    inserter: EventInserter,
    now: number,
    tail: LogTail,
  ): LogTransaction {
    return new LogTransaction(connection, inserter, now, tail, new Map());
  }

  private constructor(
    connection: Connection,
    inserter: EventInserter,
    now: number,
    tail: LogTail,
    known: Map<string, KnownEvent>,
  ) {
    this.connection = connection;
    this.#inserter = inserter;
    this.now = now;
    this.after = tail.position;
    this.#head = tail.position;
    this.#recordedAt = Math.max(now, tail.recordedAt);
    this.#tailRecordedAt = tail.recordedAt;
    this.#known = known;
  }

  get head(): number {
    return this.#head;
  }

  /** Where the log ends now. */
  get tail(): LogTail {
    return { position: this.#head, recordedAt: this.#tailRecordedAt };
  }

  get rows(): number {
    return this.#known.size;
  }

  known(id: string): KnownEvent | undefined {
    return this.#known.get(id);
  }

  /**
   * Whether this very event is in the log, in this stream. @throws {CadreError} DUPLICATE_ID when
   * another is
   */
  holds(event: AgentEvent, stream: string | undefined): boolean {
    const known = this.#known.get(event.id);
    if (!known) return false;
    if (known.stream !== stream || !sameEvent(this.load(known), event)) {
      throw duplicateId(event.id, known.stream);
    }
    return true;
  }

  /** The content of an event that is known to be in the log. */
  load(known: KnownEvent): AgentEvent {
    if (!known.event) {
      const row = this.connection
        .sql(`SELECT ${eventSelection} FROM ${eventTables} WHERE e.position = ?`)
        .get(known.position)!;
      known.event = decodeEvent(row);
    }
    return known.event;
  }

  version(stream: string): number {
    return this.#stream(stream).version;
  }

  /** Appends to the log's end, and to the stream's. Returns the position. */
  append(encoded: EncodedEvent, stream: string | undefined, flags: number): number {
    const position = this.#head + 1;
    const head = stream === undefined ? undefined : this.#stream(stream);
    const version = head ? head.version + 1 : 0;
    const place = [position, this.#recordedAt] as const;
    if (!head && flags === 0 && !encoded.further) this.#inserter.addPlain(place, encoded);
    else {
      const within = [head?.no ?? null, head ? version : null, flags === 0 ? null : flags] as const;
      this.#inserter.add(place, within, encoded);
    }
    if (head) {
      head.version = version;
      head.changed = true;
    }
    this.#head = position;
    this.#tailRecordedAt = this.#recordedAt;
    const { event, bytes } = encoded;
    this.#known.set(event.id, { position, stream, version, flags, event });
    const recordedAt = this.#recordedAt;
    const stored = {
      position,
      event,
      ...(stream === undefined ? {} : { stream, version }),
      ...((flags & privateFlag) === 0 ? {} : { private: true }),
      ...((flags & directedFlag) === 0 ? {} : { directed: true }),
      recordedAt,
    };
    this.events.push({ stored, flags, bytes });
    this.isNews = true;
    return position;
  }

  /** Appends a row of another log at its own place, behind the end of this one. */
  appendAt(row: StoredEvent, encoded: EncodedEvent, flags: number): void {
    const { position, stream, version = 0, recordedAt, event } = row;
    const head = stream === undefined ? undefined : this.#stream(stream);
    const within = [head?.no ?? null, head ? version : null, flags === 0 ? null : flags] as const;
    this.#inserter.add([position, recordedAt], within, encoded);
    if (head) {
      head.version = version;
      head.changed = true;
    }
    this.#head = position;
    this.isGapless = false;
    this.#recordedAt = Math.max(this.#recordedAt, recordedAt);
    this.#tailRecordedAt = recordedAt;
    this.#known.set(event.id, { position, stream, version, flags, event });
    this.isNews = true;
  }

  /** The row of an event of this transaction that is in the log. */
  stored(id: string): StoredEvent | undefined {
    const known = this.#known.get(id);
    const row =
      known &&
      this.connection
        .sql(`SELECT ${eventSelection} FROM ${eventTables} WHERE e.position = ?`)
        .get(known.position);
    return row && decodeStored(row);
  }

  /** Takes rows out of the log. */
  remove(positions: readonly number[]): void {
    const statement = this.connection.sql("DELETE FROM events WHERE position = ?");
    for (const position of positions) statement.run(position);
    if (positions.length > 0) this.isGapless = false;
  }

  /** Writes the events that wait, so that statements see them. */
  flush(): void {
    this.#inserter.flush();
    for (const [name, head] of this.#streams) {
      if (!head.changed) continue;
      if (head.stored) {
        this.connection
          .sql("UPDATE streams SET version = ? WHERE no = ?")
          .run(head.version, head.no);
      } else {
        this.connection
          .sql("INSERT INTO streams (no, name, version) VALUES (?, ?, ?)")
          .run(head.no, name, head.version);
        head.stored = true;
      }
      head.changed = false;
    }
  }

  #stream(name: string): StreamHead {
    let head = this.#streams.get(name);
    if (head) return head;
    const row = this.connection.sql("SELECT no, version FROM streams WHERE name = ?").get(name);
    head = row
      ? { no: Number(row[0]), version: Number(row[1]), stored: true, changed: false }
      : { no: this.#takeStreamNo(), version: 0, stored: false, changed: false };
    this.#streams.set(name, head);
    return head;
  }

  #takeStreamNo(): number {
    this.#nextStream ??= Number(this.connection.sql("SELECT max(no) FROM streams").get()?.[0] ?? 0);
    this.#nextStream += 1;
    return this.#nextStream;
  }
}

export function duplicateId(id: string, stream: string | undefined): CadreError<"DUPLICATE_ID"> {
  const where = stream === undefined ? "the log" : `the stream "${stream}"`;
  return new CadreError(
    "DUPLICATE_ID",
    `The event ${id} is in ${where} already, and this commit is no repetition of that one. Give new events new ids.`,
    { id },
  );
}

/** Which of the events' ids are in the log. */
function findKnown(
  connection: Connection,
  events: readonly EncodedEvent[],
): Map<string, KnownEvent> {
  const known = new Map<string, KnownEvent>();
  const ids = events.map((event) => event.packedId);
  const take = (rows: readonly (readonly unknown[])[]): void => {
    for (const [id, position, stream, version, flags] of rows) {
      known.set(unpackId(String(id)), {
        position: Number(position),
        stream: typeof stream === "string" ? stream : undefined,
        version: Number(version ?? 0),
        flags: Number(flags ?? 0),
      });
    }
  };
  let start = 0;
  for (; start + idsPerLookup <= ids.length; start += idsPerLookup) {
    take(connection.sql(manyKnownSql).all(...ids.slice(start, start + idsPerLookup)));
  }
  for (const id of ids.slice(start)) take(connection.sql(oneKnownSql).all(id));
  return known;
}
