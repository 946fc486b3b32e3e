/**
 * Takes deliveries for members of a group, inside a transaction.
 *
 *   leases that ran out ──▶ due rows ──(by priority and age)──▶ leased
 *   events after the cursor ──▶ leased, or a row that waits: scheduled, blocked, ready for its turn
 *
 * The cursor passes an event in the transaction that makes its row, so that no member can miss it
 * or take it twice.
 */
import type { LogTransaction } from "./log-transaction.ts";
import type { Connection, Row } from "./connection.ts";
import { normalRank, state, turnOf, type DeliveryKey } from "./delivery-row.ts";
import { cursorOf, moveCursor, type Group } from "./group-table.ts";
import { isHeldByOther, isLaneTaken } from "./key-lane.ts";
import type { Candidate, Lookahead } from "./lookahead.ts";

const window = 1_024; // rows among which priority chooses
const maxBlocked = 10_000; // rows that wait behind their keys; beyond it the cursor waits with them
const claimsPerCount = 100; // counting them takes a millisecond
const maxInserts = 512; // rows made within one transaction, so that nothing else waits for long
const scanRows = 4_096; // rows looked at within one transaction

const insertSql = `INSERT OR IGNORE INTO deliveries
  (group_no, position, copy, state, attempt, due, token, renewals, lease_ms, key, rank, since)
  VALUES (?, ?, 0, ?, 1, ?, ?, 0, ?, ?, ?, ?)`;
const leaseSql = `UPDATE deliveries
  SET state = ${state.leased}, due = NULL, token = ?, renewals = 0, lease_ms = ?
  WHERE group_no = ? AND position = ? AND copy = ?`;
const dueSql = `SELECT position, copy, state, attempt, key, rank, since, event FROM deliveries
  WHERE group_no = ? AND due <= ? ORDER BY due LIMIT ${window}`;

export interface Claimed extends DeliveryKey {
  readonly attempt: number;
  readonly token: number;
  /** The event as it was directed to the group, where that differs from the log. */
  readonly event: string | undefined;
}

export interface ExpiredLease extends DeliveryKey {
  readonly token: number;
  readonly renewals: number;
}

export class Claim {
  readonly #connection: Connection;
  readonly #group: Group;
  readonly #ahead: Lookahead;
  readonly #time: number;
  readonly #nextToken: () => number;
  readonly #head: number;
  #cursor: number;
  #due: DueRow[] | undefined;
  #inserts = 0;

  /** @returns nothing when the group is gone */
  static begin(
    transaction: LogTransaction,
    group: Group,
    ahead: Lookahead,
    time: number,
    nextToken: () => number,
  ): Claim | undefined {
    transaction.flush();
    const cursor = cursorOf(transaction.connection, group.no);
    if (cursor === undefined) return undefined;
    return new Claim(transaction, group, ahead, time, nextToken, cursor);
  }

  private constructor(
    transaction: LogTransaction,
    group: Group,
    ahead: Lookahead,
    time: number,
    nextToken: () => number,
    cursor: number,
  ) {
    this.#connection = transaction.connection;
    this.#group = group;
    this.#ahead = ahead;
    this.#time = time;
    this.#nextToken = nextToken;
    this.#head = transaction.head;
    this.#cursor = cursor;
    ahead.passTo(cursor);
  }

  /** Whether there was more to do than one transaction should hold. */
  get isCutShort(): boolean {
    return this.#inserts >= maxInserts;
  }

  /** Frees what its owners have left: the attempt counts. */
  reclaim(leases: readonly ExpiredLease[]): void {
    const statement = this.#connection.sql(
      `UPDATE deliveries SET state = ${state.ready}, attempt = attempt + 1, due = ?, token = NULL
       WHERE group_no = ? AND position = ? AND copy = ? AND token = ? AND renewals = ?`,
    );
    for (const { position, copy, token, renewals } of leases) {
      statement.run(this.#time, this.#group.no, position, copy, token, renewals);
    }
  }

  /** Up to `max` deliveries, owned for `leaseMs`. */
  take(max: number, leaseMs: number): readonly Claimed[] {
    const claimed: Claimed[] = [];
    if (this.#needsTurns()) this.#lineUp();
    const due = this.#dueRows();
    while (claimed.length < max && due.length > 0) {
      const row = due.shift()!;
      if (this.#mustWait(row)) this.#setBlocked(row);
      else claimed.push(this.#lease(row, leaseMs));
    }
    this.#advance(
      () => claimed.length < max,
      leaseMs,
      (row) => claimed.push(row),
    );
    return claimed;
  }

  /** Writes where the group is now. */
  end(): void {
    const { scannedTo, size } = this.#ahead;
    if (size === 0 && scannedTo > this.#cursor) this.#cursor = scannedTo;
    moveCursor(this.#connection, this.#group.no, this.#cursor);
  }

  /** Whether priority decides: then what is ahead is lined up as rows first. */
  #needsTurns(): boolean {
    this.#fill(window);
    return this.#ahead.hasRanks || this.#dueRows().some((row) => row.rank !== normalRank);
  }

  #fill(enough: number): void {
    if (this.#ahead.scannedTo < this.#head) this.#ahead.fill(this.#connection, enough, scanRows);
  }

  #lineUp(): void {
    let room = window - this.#dueRows().length;
    this.#advance(
      () => room-- > 0,
      undefined,
      () => {},
    );
    this.#due = undefined;
  }

  /** Moves the cursor over candidates while `wants`. */
  #advance(wants: () => boolean, leaseMs: number | undefined, use: (row: Claimed) => void): void {
    while (wants() && !this.isCutShort) {
      if (this.#ahead.size === 0) this.#fill(window);
      const candidate = this.#ahead.peek();
      if (!candidate) return;
      const key = this.#group.ordered ? candidate.key : null;
      const isBlocked = key !== null && isLaneTaken(this.#connection, this.#group, key);
      if (isBlocked && !this.#mayBlock()) return;
      this.#ahead.shift();
      this.#inserts += 1;
      this.#cursor = candidate.position;
      const row = this.#insert(candidate, key, isBlocked, leaseMs);
      if (row) use(row);
    }
  }

  /** Whether one more may wait behind its key. */
  #mayBlock(): boolean {
    const { blocked } = this.#ahead;
    // Those that were let go since are still counted, so a full count is made anew, but not each
    // time.
    if (blocked.count >= maxBlocked && (blocked.claims += 1) >= claimsPerCount) {
      blocked.claims = 0;
      blocked.count = countBlocked(this.#connection, this.#group);
    }
    if (blocked.count >= maxBlocked) return false;
    blocked.count += 1;
    return true;
  }

  /** Makes the row of an event that the cursor passes: leased for `leaseMs`, if it needn't wait. */
  #insert(
    candidate: Candidate,
    key: string | null,
    isBlocked: boolean,
    leaseMs: number | undefined,
  ): Claimed | undefined {
    const { position, rank, recordedAt, deliverAt } = candidate;
    const group = this.#group.no;
    const put = (to: number, due: number | null, token: number | null): void => {
      this.#connection
        .sql(insertSql)
        .run(group, position, to, due, token, leaseMs ?? null, key, rank, recordedAt);
    };
    if (deliverAt !== null && deliverAt > this.#time) put(state.scheduled, deliverAt, null);
    else if (isBlocked) put(state.blocked, null, null);
    else if (leaseMs === undefined) put(state.ready, this.#time, null);
    else {
      const token = this.#nextToken();
      put(state.leased, null, token);
      return { group, position, copy: 0, attempt: 1, token, event: undefined };
    }
    return undefined;
  }

  #dueRows(): DueRow[] {
    this.#due ??= this.#connection
      .sql(dueSql)
      .all(this.#group.no, this.#time)
      .map(toDueRow)
      .toSorted((left, right) => left.turn - right.turn || left.position - right.position);
    return this.#due;
  }

  #mustWait({ key, from, position, copy }: DueRow): boolean {
    if (key === null || from === state.ready) return false;
    const delivery = { group: this.#group.no, position, copy };
    return isHeldByOther(this.#connection, this.#group, key, delivery);
  }

  #setBlocked({ position, copy }: DueRow): void {
    this.#connection
      .sql(
        `UPDATE deliveries SET state = ${state.blocked}, due = NULL
         WHERE group_no = ? AND position = ? AND copy = ?`,
      )
      .run(this.#group.no, position, copy);
  }

  #lease({ position, copy, attempt, event }: DueRow, leaseMs: number): Claimed {
    const token = this.#nextToken();
    this.#connection.sql(leaseSql).run(token, leaseMs, this.#group.no, position, copy);
    return { group: this.#group.no, position, copy, attempt, token, event };
  }
}

function countBlocked(connection: Connection, group: Group): number {
  const row = connection
    .sql(
      `SELECT count(*) FROM (SELECT 1 FROM deliveries
       WHERE group_no = ? AND state = ${state.blocked} LIMIT ${maxBlocked})`,
    )
    .get(group.no);
  return Number(row?.[0] ?? 0);
}

interface DueRow {
  readonly position: number;
  readonly copy: number;
  readonly from: number;
  readonly attempt: number;
  readonly key: string | null;
  readonly rank: number;
  readonly turn: number;
  readonly event: string | undefined;
}

function toDueRow([position, copy, from, attempt, key, rank, since, event]: Row): DueRow {
  return {
    position: Number(position),
    copy: Number(copy),
    from: Number(from),
    attempt: Number(attempt),
    key: typeof key === "string" ? key : null,
    rank: Number(rank),
    turn: turnOf(Number(since), Number(rank)),
    event: typeof event === "string" ? event : undefined,
  };
}
