/**
 * Order by key: of each key at most one delivery, the lane's holder, is ready or leased at any time; those behind it are
 * blocked and are let go one by one, in the order of their positions.
 *
 *   block, park-key   the holder keeps the lane until it is acked, also while it is retrying or parked
 *   skip              a retrying or parked holder leaves the lane; when it is due it waits for the lane again
 */
import type { Connection } from "./connection.ts";
import { state, type DeliveryKey } from "./delivery-row.ts";
import type { Group } from "./group-table.ts";

function holders(group: Group): string {
  const always = [state.ready, state.leased];
  return (group.ordered === "skip" ? always : [...always, state.parked, state.retrying]).join(", ");
}

/** Whether a new event of the key has to wait. */
export function isLaneTaken(connection: Connection, group: Group, key: string): boolean {
  const states = `${holders(group)}, ${state.blocked}`;
  return (
    connection
      .sql(
        `SELECT 1 FROM deliveries WHERE group_no = ? AND key = ? AND state IN (${states}) LIMIT 1`,
      )
      .get(group.no, key) !== undefined
  );
}

/** Whether another delivery than this one holds the lane of the key. */
export function isHeldByOther(
  connection: Connection,
  group: Group,
  key: string,
  delivery: DeliveryKey,
): boolean {
  return (
    connection
      .sql(
        `SELECT 1 FROM deliveries WHERE group_no = ? AND key = ? AND state IN (${holders(group)})
         AND (position <> ? OR copy <> ?) LIMIT 1`,
      )
      .get(group.no, key, delivery.position, delivery.copy) !== undefined
  );
}

/** Lets the next of the key go, if nobody holds its lane any more. */
export function letNextGo(connection: Connection, group: Group, key: string, time: number): void {
  const held = connection
    .sql(
      `SELECT 1 FROM deliveries WHERE group_no = ? AND key = ? AND state IN (${holders(group)}) LIMIT 1`,
    )
    .get(group.no, key);
  if (held) return;
  const next = connection
    .sql(
      `SELECT position, copy FROM deliveries
       WHERE group_no = ? AND key = ? AND state = ${state.blocked} ORDER BY position, copy LIMIT 1`,
    )
    .get(group.no, key);
  if (!next) return;
  connection
    .sql(
      `UPDATE deliveries SET state = ${state.ready}, due = ?
       WHERE group_no = ? AND position = ? AND copy = ?`,
    )
    .run(time, group.no, next[0]!, next[1]!);
}
