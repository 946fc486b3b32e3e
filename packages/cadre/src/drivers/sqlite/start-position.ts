import type { StartFrom } from "../../bus/transport.ts";
import type { Connection } from "./connection.ts";
import { fromPosition } from "./recorded.ts";

/**
 * The position after which a subscription starts that begins at `from`. @throws {CadreError}
 * INVALID_OPTION
 */
export function startPosition(connection: Connection, from: StartFrom, head: number): number {
  if (from === "new") return head;
  if (from === "earliest") return 0;
  if ("after" in from) return fromPosition(from.after);
  return positionBefore(connection, from.time, head);
}

/**
 * The last position that was recorded before `time`: times never go back along the log, so halving
 * finds it.
 */
function positionBefore(connection: Connection, time: number, head: number): number {
  const statement = connection.sql(
    "SELECT position, recorded_at FROM events WHERE position >= ? ORDER BY position LIMIT 1",
  );
  let low = 0;
  let high = head;
  while (low < high) {
    const middle = Math.floor((low + high) / 2) + 1;
    const row = statement.get(middle);
    if (row && Number(row[1]) < time) low = Math.min(Number(row[0]), high);
    else high = middle - 1;
  }
  return low;
}
