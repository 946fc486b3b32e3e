/**
 * Order by key: of each key at most one delivery, the lane's holder, is ready or leased at any
 * time; those behind it are blocked and are let go one by one, in the order of their positions.
 *
 *   block, park-key   the holder keeps the lane until it is acked, also while retrying or parked
 *   skip              a retrying or parked holder leaves the lane, and waits for it again when due
 */
import type { Connection } from "./connection.ts";
import { state, type DeliveryKey } from "./delivery-row.ts";
import type { Group } from "./group-table.ts";

/** The statements of one kind of order, made once: their texts are looked up on every claim. */
function statements(skips: boolean): Record<"taken" | "heldByOther" | "held", string> {
  const always = [state.ready, state.leased];
  const holders = skips ? always : [...always, state.parked, state.retrying];
  const of = "SELECT 1 FROM deliveries WHERE group_no = ? AND key = ? AND state IN";
  return {
    taken: `${of} (${[...holders, state.blocked].join(", ")}) LIMIT 1`,
    heldByOther: `${of} (${holders.join(", ")}) AND (position <> ? OR copy <> ?) LIMIT 1`,
    held: `${of} (${holders.join(", ")}) LIMIT 1`,
  };
}

const skipping = statements(true);
const keeping = statements(false);
const nextSql = `SELECT position, copy FROM deliveries
  WHERE group_no = ? AND key = ? AND state = ${state.blocked} ORDER BY position, copy LIMIT 1`;
const letGoSql = `UPDATE deliveries SET state = ${state.ready}, due = ?
  WHERE group_no = ? AND position = ? AND copy = ?`;

function statementsOf(group: Group): ReturnType<typeof statements> {
  return group.ordered === "skip" ? skipping : keeping;
}

/** Whether a new event of the key has to wait. */
export function isLaneTaken(connection: Connection, group: Group, key: string): boolean {
  return connection.sql(statementsOf(group).taken).get(group.no, key) !== undefined;
}

/** Whether another delivery than this one holds the lane of the key. */
export function isHeldByOther(
  connection: Connection,
  group: Group,
  key: string,
  { position, copy }: DeliveryKey,
): boolean {
  const statement = connection.sql(statementsOf(group).heldByOther);
  return statement.get(group.no, key, position, copy) !== undefined;
}

/** Lets the next of the key go, if nobody holds its lane any more. */
export function letNextGo(connection: Connection, group: Group, key: string, time: number): void {
  if (connection.sql(statementsOf(group).held).get(group.no, key)) return;
  const next = connection.sql(nextSql).get(group.no, key);
  if (next) connection.sql(letGoSql).run(time, group.no, next[0]!, next[1]!);
}
