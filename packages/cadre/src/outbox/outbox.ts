/**
 * The outbox in the user's own database: an event is written in the transaction that makes it true,
 * and published by a relay when that transaction has committed.
 *
 *   BEGIN ─▶ the user's rows ─▶ outbox.add ─▶ COMMIT ┄┄▶ relay ─▶ bus ─▶ inbox.once
 *                 rolled back: never published          at least once     once
 *
 * The row holds the finished event. Its id and its time are those of `add`, however late and
 * however often it is published. Without a signature the relay's process answers for it.
 */
import type { Identity } from "../bus/identity/identity.ts";
import { signEvent } from "../bus/identity/signed-event.ts";
import { decodeEvent, encodeEvent } from "../core/codec/json.ts";
import { systemClock, type Clock } from "../core/clock.ts";
import { CadreError, describeError, isCadreError } from "../core/errors.ts";
import { createEvent, type AgentEvent, type EventOptions } from "../core/event.ts";
import type { EventMap, TopicsOf } from "../core/event-types.ts";
import { toFrozenJson } from "../core/json.ts";
import { checkOptions, someObject, someText, trueOrFalse, wholeNumber } from "../core/options.ts";
import { secureRandom, type Random } from "../core/random.ts";
import type { EventRegistry } from "../core/registry.ts";
import { inDialect, type SqlClient, type SqlValue, type SyncSqlClient } from "../core/sql.ts";
import { listEntries, readBacklog, retryRows, skipRows } from "./outbox-backlog.ts";
import type { OutboxBacklog, OutboxEntry, OutboxQuery } from "./outbox-backlog.ts";
import { assertTableName, migrate, outboxMigration } from "./outbox-table.ts";

const defaults = {
  table: "cadre_outbox",
  source: "cadre",
  notify: true,
  maxEventBytes: 1_000_000, // what brokers take without being told otherwise
};

const rowsPerInsert = 64; // eight values each: far below what a statement may have
const maxKeyLength = 200; // longer keys with the same beginning share their order

export interface OutboxOptions<Events extends object = EventMap> {
  /** The registry; without one every type is taken, with any JSON object as its payload. */
  readonly events?: EventRegistry<Events>;
  /** Who publishes: the `source` of events that name none. @default "cadre" */
  readonly source?: string;
  /** Signs the events that are made here. @default whoever relays them signs */
  readonly identity?: Identity;
  /** The table's name, with its schema before a dot if need be. @default "cadre_outbox" */
  readonly table?: string;
  /**
   * On Postgres, wakes the relays when the transaction commits. Commits that notify wait for each
   * other for a moment; without it the relays' polling finds the rows. @default true
   */
  readonly notify?: boolean;
  /** An event that is larger is refused. @default 1_000_000 */
  readonly maxEventBytes?: number;
  readonly clock?: Clock;
  readonly random?: Random;
}

/** An event still to be made. */
export interface OutboxItem<Type extends string = string, Payload = unknown> {
  readonly type: Type;
  readonly payload: Payload;
  /** `key` is what keeps the order: events of one key are published in the order of `add`. */
  readonly options?: EventOptions & { readonly source?: string };
}

/** An item whose payload fits its type, or an event that is finished already. */
export type OutboxInput<Events extends object> =
  | AgentEvent
  | (string extends keyof Events
      ? OutboxItem
      : {
          readonly [Key in keyof Events & string]: OutboxItem<TopicsOf<Key>, Events[Key]>;
        }[keyof Events & string]);

export interface Outbox<Events extends object = EventMap> {
  readonly table: string;
  /** Whether it signs the events that it makes. */
  readonly signs: boolean;
  /** Makes the table where it is missing. Any number of processes may do so at once. */
  setup(client: SqlClient): Promise<void>;
  /**
   * Writes events into the transaction that is open on `tx`, and returns them finished. Await it
   * before the commit. All are checked before the first is written.
   *
   * @throws {CadreError} INVALID_TOPIC | UNKNOWN_TYPE | UNKNOWN_VERSION | INVALID_PAYLOAD |
   * NOT_JSON |
   *   INVALID_EVENT | TOO_LARGE: nothing was written
   */
  add(tx: SqlClient, event: OutboxInput<Events>): Promise<AgentEvent>;
  add(tx: SqlClient, events: readonly OutboxInput<Events>[]): Promise<readonly AgentEvent[]>;
  /** The same on a synchronous client: the rows are written when it returns. */
  addSync(tx: SyncSqlClient, event: OutboxInput<Events>): AgentEvent;
  addSync(tx: SyncSqlClient, events: readonly OutboxInput<Events>[]): readonly AgentEvent[];
  /** How many rows wait, are stuck, set aside, done. */
  backlog(client: SqlClient): Promise<OutboxBacklog>;
  /** Rows by position. */
  list(client: SqlClient, query?: OutboxQuery): Promise<readonly OutboxEntry[]>;
  /**
   * Makes rows due now: those that wait for another attempt, and those that were set aside, which
   * then come before what waits of their key. Rows that a relay has in hand are left alone. Returns
   * how many.
   */
  retry(client: SqlClient, positions: readonly number[]): Promise<number>;
  /**
   * Gives rows up: they are never published, and their key goes on. Rows that a relay has in hand
   * are left alone. Returns how many.
   */
  skip(client: SqlClient, positions: readonly number[]): Promise<number>;
  /** Wakes the relays of this process that were started with this outbox; for after the commit. */
  wake(): void;
  /** Calls `woken` at each {@link Outbox.wake}; returns what ends that. */
  onWake(woken: () => void): () => void;
}

/** @throws {CadreError} INVALID_OPTION */
export function createOutbox<Events extends object = EventMap>(
  options: OutboxOptions<Events> = {},
): Outbox<Events> {
  checkOptions("createOutbox", options, {
    events: someObject,
    source: someText,
    identity: someObject,
    table: someText,
    notify: trueOrFalse,
    maxEventBytes: wholeNumber(1),
    clock: someObject,
    random: someObject,
  });
  const { table = defaults.table } = options;
  assertTableName("table", table);
  return new TableOutbox(table, options);
}

type Insert = { readonly sql: string; readonly params: readonly SqlValue[] };

class TableOutbox implements Outbox {
  readonly table: string;
  readonly #options: Required<Omit<OutboxOptions, "events" | "identity">>;
  readonly #registry: EventRegistry | undefined;
  readonly #identity: Identity | undefined;
  readonly signs: boolean;
  readonly #listeners = new Set<() => void>();

  constructor(table: string, { events, identity, ...options }: OutboxOptions) {
    this.table = table;
    this.#identity = identity;
    this.signs = identity !== undefined;
    this.#registry = events;
    this.#options = { ...defaults, clock: systemClock, random: secureRandom, ...options, table };
  }

  setup(client: SqlClient): Promise<void> {
    return migrate(client, outboxMigration(client.dialect, this.table));
  }

  add(tx: SqlClient, event: OutboxInput<EventMap>): Promise<AgentEvent>;
  add(tx: SqlClient, events: readonly OutboxInput<EventMap>[]): Promise<readonly AgentEvent[]>;
  async add(
    tx: SqlClient,
    input: OutboxInput<EventMap> | readonly OutboxInput<EventMap>[],
  ): Promise<AgentEvent | readonly AgentEvent[]> {
    const events = asList(input).map((each) => this.#finish(each));
    for (const { sql, params } of this.#inserts(tx, events)) await tx.query(sql, params);
    return isList(input) ? events : events[0]!;
  }

  addSync(tx: SyncSqlClient, event: OutboxInput<EventMap>): AgentEvent;
  addSync(tx: SyncSqlClient, events: readonly OutboxInput<EventMap>[]): readonly AgentEvent[];
  addSync(
    tx: SyncSqlClient,
    input: OutboxInput<EventMap> | readonly OutboxInput<EventMap>[],
  ): AgentEvent | readonly AgentEvent[] {
    const events = asList(input).map((each) => this.#finish(each));
    for (const { sql, params } of this.#inserts(tx, events)) tx.querySync(sql, params);
    return isList(input) ? events : events[0]!;
  }

  backlog(client: SqlClient): Promise<OutboxBacklog> {
    return readBacklog(client, this.table);
  }

  list(client: SqlClient, query: OutboxQuery = {}): Promise<readonly OutboxEntry[]> {
    const { key, ...rest } = query;
    const lane = laneOf(key); // as the row has it
    return listEntries(client, this.table, this.#options.clock, {
      ...rest,
      ...(lane === null ? {} : { key: lane }),
    });
  }

  retry(client: SqlClient, positions: readonly number[]): Promise<number> {
    return retryRows(client, this.table, this.#options.clock, positions);
  }

  skip(client: SqlClient, positions: readonly number[]): Promise<number> {
    return skipRows(client, this.table, this.#options.clock, positions);
  }

  wake(): void {
    for (const woken of this.#listeners) woken();
  }

  onWake(woken: () => void): () => void {
    const listener = (): void => woken(); // one that is given twice counts twice
    this.#listeners.add(listener);
    return () => void this.#listeners.delete(listener);
  }

  #finish(input: OutboxInput<EventMap>): AgentEvent {
    return "metadata" in input ? this.#adopt(input) : this.#make(input);
  }

  #make({ type, payload, options = {} }: OutboxItem): AgentEvent {
    const { clock, random, source: preset } = this.#options;
    const { source = preset, ...rest } = options;
    const registry = this.#registry;
    const checked = registry ? registry.validate(type, payload, rest.version) : payload;
    if (!registry) assertObject(type, payload);
    const version = rest.version ?? registry?.find(type)?.version;
    const context = { clock, random, source };
    const versioned = version === undefined ? context : { ...context, version };
    const event = createEvent(versioned, type, checked, rest);
    return this.#identity ? signEvent(event, this.#identity) : event;
  }

  #adopt(event: AgentEvent): AgentEvent {
    let adopted: AgentEvent;
    try {
      const copy: unknown = toFrozenJson(event); // decoding says whether it is an event
      const { maxEventBytes: maxBytes } = this.#options;
      adopted = decodeEvent(encodeEvent(copy as AgentEvent, { maxBytes }), { maxBytes });
    } catch (error) {
      if (!isCadreError(error, "UNDECODABLE")) throw error;
      const { reason } = error.details;
      const message = `The finished event for the outbox is none: ${reason}.`;
      throw new CadreError("INVALID_EVENT", message, { field: "event" }, error);
    }
    if (this.#registry) {
      this.#registry.validate(adopted.type, adopted.payload, adopted.metadata.version);
    } else assertObject(adopted.type, adopted.payload);
    return adopted;
  }

  #inserts(tx: SqlClient, events: readonly AgentEvent[]): readonly Insert[] {
    const now = this.#options.clock.now();
    const rows = events.map((event) => this.#row(event, now));
    const inserts: Insert[] = [];
    for (let start = 0; start < rows.length; start += rowsPerInsert) {
      const chunk = rows.slice(start, start + rowsPerInsert);
      const values = chunk.map(() => "(?, ?, ?, ?, ?)").join(", ");
      let sql = `INSERT INTO ${this.table} (id, type, event_key, event, added_at) VALUES ${values}`;
      if (tx.dialect === "postgres" && this.#options.notify && start === 0) {
        sql = `WITH added AS (${sql}) SELECT pg_notify('${channelOf(this.table)}', '')`;
      }
      inserts.push({ sql: inDialect(tx.dialect, sql), params: chunk.flat() });
    }
    return inserts;
  }

  #row(event: AgentEvent, now: number): readonly SqlValue[] {
    const maxBytes = this.#options.maxEventBytes;
    const text = new TextDecoder().decode(encodeEvent(event, { maxBytes }));
    return [event.id, event.type, laneOf(event.metadata.key), text, now];
  }
}

const maxChannelLength = 63; // of Postgres' names

/** Where Postgres tells of new rows. Two tables may share one: then both relays look. */
export function channelOf(table: string): string {
  return table.replace(".", "_").slice(0, maxChannelLength);
}

/** A key as every database can keep it. Two keys may become one: they then share their order. */
function laneOf(key: string | undefined): string | null {
  if (key === undefined) return null;
  return key.slice(0, maxKeyLength).toWellFormed().replaceAll("\0", "\uFFFD");
}

function isList<Item>(input: Item | readonly Item[]): input is readonly Item[] {
  return Array.isArray(input);
}

function asList<Item>(input: Item | readonly Item[]): readonly Item[] {
  return isList(input) ? input : [input];
}

function assertObject(type: string, payload: unknown): void {
  if (typeof payload === "object" && payload !== null && !Array.isArray(payload)) return;
  const { message: shown } = describeError(payload);
  throw new CadreError("INVALID_PAYLOAD", `The payload of "${type}" is ${shown}. Give an object.`, {
    type,
    version: "1.0.0",
    issues: [{ path: "", message: "must be an object" }],
  });
}
