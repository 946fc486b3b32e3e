/** What the file takes, and what is in it. */
import { statSync } from "node:fs";
import type { Clock } from "../../core/clock.ts";
import type { Hold, StoreUsage } from "../../store/event-store.ts";
import { byBytes } from "../../store/type-usage.ts";
import type { Connection } from "./connection.ts";
import { headOf } from "./log-reader.ts";

const countWindow = 65_536; // rows counted in one statement: some milliseconds
const typeWindow = 8_192; // rows whose types and sizes are read in one statement

export async function readUsage(
  connection: Connection,
  clock: Clock,
  byType: boolean,
  assertOpen: () => void,
): Promise<StoreUsage> {
  const head = headOf(connection);
  const types = new Map<string, { events: number; payloadBytes: number }>();
  const step = byType ? typeWindow : countWindow;
  let events = 0;
  for (let from = 0; from < head; from += step) {
    assertOpen();
    if (byType) {
      const rows = connection
        .sql(
          `SELECT type, count(*), sum(length(CAST(payload AS BLOB))) FROM events
           WHERE position > ? AND position <= ? GROUP BY type`,
        )
        .all(from, from + step);
      for (const [type, count, bytes] of rows) {
        const known = types.get(String(type)) ?? { events: 0, payloadBytes: 0 };
        known.events += Number(count);
        known.payloadBytes += Number(bytes);
        types.set(String(type), known);
        events += Number(count);
      }
    } else {
      const text = "SELECT count(*) FROM events WHERE position > ? AND position <= ?";
      events += Number(connection.sql(text).get(from, from + step)?.[0]);
    }
    await clock.yield();
  }
  assertOpen();
  const count = (table: string): number =>
    Number(connection.sql(`SELECT count(*) FROM ${table}`).get()?.[0]);
  const walBytes = sizeOf(`${connection.path}-wal`);
  return {
    head,
    events,
    streams: count("streams"),
    slots: count("slots"),
    bytes: sizeOf(connection.path) + walBytes + sizeOf(`${connection.path}-shm`),
    walBytes,
    freeBytes: connection.pragma("freelist_count") * connection.pragma("page_size"),
    ...(byType ? { types: byBytes(types) } : {}),
  };
}

function sizeOf(path: string): number {
  return statSync(path, { throwIfNoEntry: false })?.size ?? 0;
}

/** What the groups have not reached or not settled yet. */
export function readHolds(connection: Connection): readonly Hold[] {
  const groups = connection.sql("SELECT no, name, cursor FROM groups ORDER BY name").all();
  return groups.map(([no, name, cursor]) => ({
    by: `group ${String(name)}`,
    after: Number(cursor),
    positions: connection
      .sql("SELECT DISTINCT position FROM deliveries WHERE group_no = ? AND position <= ?")
      .all(no ?? null, cursor ?? null)
      .map(([position]) => Number(position)),
  }));
}
