/**
 * What an owner does with its delivery. Each acts only while the row is leased under the owner's
 * token.
 */
import type { Settlement } from "../../bus/transport.ts";
import type { Connection } from "./connection.ts";
import { state, type DeliveryKey } from "./delivery-row.ts";
import type { Group } from "./group-table.ts";
import { letNextGo } from "./key-lane.ts";
import type { LogTransaction } from "./log-transaction.ts";

/** A delivery in its owner's hands. */
export interface OwnedDelivery extends DeliveryKey {
  readonly token: number;
}

const owned = `group_no = ? AND position = ? AND copy = ? AND token = ?
  AND state = ${state.leased}`;

const isOwnedSql = `SELECT 1 FROM deliveries WHERE ${owned}`;
const keySql = `SELECT key FROM deliveries WHERE ${owned}`;
const ackSql = `DELETE FROM deliveries WHERE ${owned}`;
const releaseSql = updateSql(`state = ${state.ready}, due = ?`);
const retrySql = updateSql("state = ?, attempt = attempt + 1, due = ?");
const parkSql = updateSql(`state = ${state.parked}, due = NULL`);
const extendSql = `UPDATE deliveries SET renewals = renewals + 1, lease_ms = ? WHERE ${owned}`;

function updateSql(assignments: string): string {
  return `UPDATE deliveries SET token = NULL, ${assignments} WHERE ${owned}`;
}

export function isOwned(connection: Connection, delivery: OwnedDelivery): boolean {
  const { group, position, copy, token } = delivery;
  const statement = connection.sql(isOwnedSql);
  return statement.get(group, position, copy, token) !== undefined;
}

export function settleDelivery(
  transaction: LogTransaction,
  group: Group,
  delivery: OwnedDelivery,
  settlement: Settlement,
  time: number,
): "ok" | "lost" {
  const { connection } = transaction;
  const { position, copy, token } = delivery;
  const key = group.ordered ? keyOf(connection, delivery) : undefined;
  const change = (text: string, ...values: readonly number[]): number =>
    connection.sql(text).run(...values, delivery.group, position, copy, token);
  let changed: number;
  switch (settlement.kind) {
    case "ack":
      changed = change(ackSql);
      break;
    case "release":
      changed = change(releaseSql, time);
      break;
    case "retry": {
      const waits = settlement.delayMs > 0;
      const to = waits ? state.retrying : state.ready;
      changed = change(retrySql, to, time + Math.max(0, settlement.delayMs));
      break;
    }
    case "park":
      changed = change(parkSql);
  }
  if (changed === 0) return "lost";
  if (key !== undefined) {
    letNextGo(connection, group, key, time);
    transaction.isNews = true;
  } else if (settlement.kind !== "ack" && settlement.kind !== "park") transaction.isNews = true;
  return "ok";
}

export function extendDelivery(
  { connection }: LogTransaction,
  { group, position, copy, token }: OwnedDelivery,
  ms: number,
): "ok" | "lost" {
  const changed = connection.sql(extendSql).run(ms, group, position, copy, token);
  return changed === 0 ? "lost" : "ok";
}

/** Gives back what all leases with a token in the range hold; the attempt counts. */
export function giveBackAll(
  transaction: LogTransaction,
  [first, last]: readonly [number, number],
  time: number,
): void {
  const changed = transaction.connection
    .sql(
      `UPDATE deliveries SET state = ${state.ready}, attempt = attempt + 1, due = ?, token = NULL
       WHERE state = ${state.leased} AND token >= ? AND token <= ?`,
    )
    .run(time, first, last);
  if (changed > 0) transaction.isNews = true;
}

function keyOf(
  connection: Connection,
  { group, position, copy, token }: OwnedDelivery,
): string | undefined {
  const statement = connection.sql(keySql);
  const key = statement.get(group, position, copy, token)?.[0];
  return typeof key === "string" ? key : undefined;
}
