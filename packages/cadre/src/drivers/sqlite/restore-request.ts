/** Rows of another log, written with their own positions, versions and times. */
import type { StoredEvent } from "../../store/event-store.ts";
import { RestorePlan } from "../../store/restore-plan.ts";
import { directedFlag, encodeEvent, privateFlag, type EncodedEvent } from "./event-rows.ts";
import type { LogTransaction } from "./log-transaction.ts";

export interface PreparedRow {
  readonly row: StoredEvent;
  readonly encoded: EncodedEvent;
}

export function prepareRow(row: StoredEvent): PreparedRow {
  return { row, encoded: encodeEvent(row.event) };
}

/**
 * Checks all rows, then writes those that are not there.
 * @throws {CadreError} IMPORT_CONFLICT
 */
export function restoreRows(rows: readonly PreparedRow[], transaction: LogTransaction): number {
  transaction.flush();
  const plan = new RestorePlan(transaction.head, transaction.tail.recordedAt);
  const fresh = rows.filter(({ row }) => {
    const there = transaction.stored(row.event.id);
    return plan.isNew(row, there, () => transaction.version(row.stream ?? ""));
  });
  for (const { row, encoded } of fresh) {
    const flags = (row.private ? privateFlag : 0) | (row.directed ? directedFlag : 0);
    transaction.appendAt(row, encoded, flags);
  }
  return fresh.length;
}
