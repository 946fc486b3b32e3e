/**
 * The other end of the outbox: what a handler writes to the user's own database, and the mark that
 * the event is handled, in one transaction.
 *
 *   BEGIN ─▶ mark ──new──▶ the handler's writes ─▶ COMMIT
 *               └──there already──▶ duplicate: the handler is not called
 *
 * The mark's key is unique, so that of two who handle one event at once the second waits for the
 * first: it is a duplicate if the first commits, and handles the event if the first rolls back.
 */
import { systemClock, type Clock } from "../core/clock.ts";
import type { InboxMark } from "../core/commit.ts";
import { CadreError } from "../core/errors.ts";
import { checkOptions, someObject, someText } from "../core/options.ts";
import { inDialect, type SqlClient, type SqlDialect, type SyncSqlClient } from "../core/sql.ts";
import { nowSql } from "./outbox-rows.ts";
import { assertTableName, inboxMigration, migrate } from "./outbox-table.ts";

const defaultTable = "cadre_inbox";
const maxNameLength = 255; // MySQL would cut a longer one, and take two events for one
const marksPerDelete = 1_000;

export interface InboxOptions {
  /** The table's name, with its schema before a dot if need be. @default "cadre_inbox" */
  readonly table?: string;
  readonly clock?: Clock;
}

export type Once<Result> =
  | { readonly duplicate: false; readonly result: Result }
  | { readonly duplicate: true };

/** What became of a batch. */
export interface OnceEach<Item> {
  readonly handled: readonly Item[];
  /** Handled before, or by an earlier item of the same batch. */
  readonly duplicates: readonly Item[];
}

export interface Inbox {
  readonly table: string;
  /** Makes the table where it is missing. Any number of processes may do so at once. */
  setup(client: SqlClient): Promise<void>;
  /**
   * Calls `handler` unless `delivery` was handled before, in the transaction that is open on `tx`.
   * When it throws, roll back: the mark goes with the handler's writes.
   *
   * @throws what `handler` throws
   */
  once<Result>(
    tx: SqlClient,
    delivery: InboxMark,
    handler: () => Result | Promise<Result>,
  ): Promise<Once<Result>>;
  /** The same on a synchronous client; `handler` is done when it returns. */
  onceSync<Result>(tx: SyncSqlClient, delivery: InboxMark, handler: () => Result): Once<Result>;
  /** One after the other, in order; when one throws, roll back the whole batch. */
  onceEach<Item extends InboxMark>(
    tx: SqlClient,
    deliveries: readonly Item[],
    handler: (delivery: Item) => unknown,
  ): Promise<OnceEach<Item>>;
  /**
   * Forgets marks that are older than `olderThanMs`, in small batches, and returns how many. What
   * may still come again must be younger: broker's retention, and the longest retry.
   */
  prune(client: SqlClient, olderThanMs: number): Promise<number>;
}

/** @throws {CadreError} INVALID_OPTION */
export function createInbox(options: InboxOptions = {}): Inbox {
  checkOptions("createInbox", options, { table: someText, clock: someObject });
  const { table = defaultTable, clock = systemClock } = options;
  assertTableName("table", table);
  return new TableInbox(table, clock);
}

class TableInbox implements Inbox {
  readonly table: string;
  readonly #clock: Clock;

  constructor(table: string, clock: Clock) {
    this.table = table;
    this.#clock = clock;
  }

  setup(client: SqlClient): Promise<void> {
    return migrate(client, inboxMigration(client.dialect, this.table));
  }

  async once<Result>(
    tx: SqlClient,
    delivery: InboxMark,
    handler: () => Result | Promise<Result>,
  ): Promise<Once<Result>> {
    const { changes } = await tx.query(this.#insert(tx), marked(delivery));
    if (changes === 0) return { duplicate: true };
    return { duplicate: false, result: await handler() };
  }

  onceSync<Result>(tx: SyncSqlClient, delivery: InboxMark, handler: () => Result): Once<Result> {
    const { changes } = tx.querySync(this.#insert(tx), marked(delivery));
    if (changes === 0) return { duplicate: true };
    return { duplicate: false, result: handler() };
  }

  async onceEach<Item extends InboxMark>(
    tx: SqlClient,
    deliveries: readonly Item[],
    handler: (delivery: Item) => unknown,
  ): Promise<OnceEach<Item>> {
    const handled: Item[] = [];
    const duplicates: Item[] = [];
    for (const delivery of deliveries) {
      const { duplicate } = await this.once(tx, delivery, () => handler(delivery));
      (duplicate ? duplicates : handled).push(delivery);
    }
    return { handled, duplicates };
  }

  async prune(client: SqlClient, olderThanMs: number): Promise<number> {
    if (!(olderThanMs >= 0)) {
      const message = `olderThanMs of prune is ${olderThanMs}. Give a number of milliseconds.`;
      throw new CadreError("INVALID_OPTION", message, { option: "olderThanMs" });
    }
    const before = `${nowSql(client, this.#clock)} - ${Math.floor(olderThanMs)}`;
    const sql = pruneSql(client.dialect, this.table, before);
    let pruned = 0;
    for (;;) {
      const { changes } = await client.query(sql);
      pruned += changes;
      if (changes < marksPerDelete) return pruned;
    }
  }

  #insert(tx: SqlClient): string {
    const columns = `INTO ${this.table} (subscription, event_id, handled_at)`;
    const values = `VALUES (?, ?, ${nowSql(tx, this.#clock)})`;
    const sql =
      tx.dialect === "mysql"
        ? `INSERT IGNORE ${columns} ${values}`
        : `INSERT ${columns} ${values} ON CONFLICT DO NOTHING`;
    return inDialect(tx.dialect, sql);
  }
}

function pruneSql(dialect: SqlDialect, table: string, before: string): string {
  const old = `handled_at <= ${before}`;
  if (dialect === "mysql") return `DELETE FROM ${table} WHERE ${old} LIMIT ${marksPerDelete}`;
  return `DELETE FROM ${table} WHERE (subscription, event_id) IN (
    SELECT subscription, event_id FROM ${table} WHERE ${old} LIMIT ${marksPerDelete})`;
}

/** @throws {CadreError} INVALID_OPTION: a name that a database could not keep as it is */
function marked({ subscription, eventId }: InboxMark): readonly [string, string] {
  for (const [option, value] of Object.entries({ subscription, eventId })) {
    if (value !== "" && value.length <= maxNameLength && isKept(value)) continue;
    const message =
      `The ${option} of a delivery is ${JSON.stringify(value)}. ` +
      `Give text of up to ${maxNameLength} characters.`;
    throw new CadreError("INVALID_OPTION", message, { option, value });
  }
  return [subscription, eventId];
}

/**
 * No NUL, no half of a pair, and no space at the end, which some databases don't tell from none.
 */
function isKept(value: string): boolean {
  return value.isWellFormed() && !value.includes("\0") && !value.endsWith(" ");
}
