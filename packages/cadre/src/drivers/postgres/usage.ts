/** What the log takes, and what is in it. */
import type { Hold, StoreUsage } from "../../store/event-store.ts";
import { byBytes } from "../../store/type-usage.ts";
import type { Connection } from "./connection.ts";
import { headOf } from "./log-reader.ts";
import { fromStoredText } from "./stored-text.ts";

const windowWidth = 65_536; // positions looked at in one statement: some tens of milliseconds

/** The bytes are those of the schema's tables, with their indexes. */
export async function readUsage(connection: Connection, byType: boolean): Promise<StoreUsage> {
  const { schema } = connection.settings;
  const head = await headOf(connection);
  const first = Number((await connection.value(`SELECT min(position) FROM ${schema}.events`)) ?? 1);
  const types = new Map<string, { events: number; payloadBytes: number }>();
  let events = 0;
  for (let from = first - 1; from < head; from += windowWidth) {
    const rows = await connection.query(
      `SELECT ${byType ? "type, count(*), sum(octet_length(payload))" : "NULL, count(*), 0"}
       FROM ${schema}.events WHERE position > $1 AND position <= $2
       ${byType ? "GROUP BY type" : ""}`,
      [from, from + windowWidth],
    );
    for (const [name, count, bytes] of rows) {
      events += Number(count);
      if (!byType) continue;
      const type = fromStoredText(String(name));
      const known = types.get(type) ?? { events: 0, payloadBytes: 0 };
      known.events += Number(count);
      known.payloadBytes += Number(bytes);
      types.set(type, known);
    }
  }
  const [row] = await connection.query(
    `SELECT (SELECT count(*) FROM ${schema}.streams), (SELECT count(*) FROM ${schema}.slots),
       (SELECT sum(pg_total_relation_size(c.oid)) FROM pg_class c
        JOIN pg_namespace n ON n.oid = c.relnamespace WHERE n.nspname = $1 AND c.relkind = 'r')`,
    [schema],
  );
  return {
    head,
    events,
    streams: Number(row?.[0]),
    slots: Number(row?.[1]),
    bytes: Number(row?.[2]),
    ...(byType ? { types: byBytes(types) } : {}),
  };
}

/** What the groups have not reached or not settled yet. */
export async function readHolds(connection: Connection): Promise<readonly Hold[]> {
  const { schema } = connection.settings;
  const rows = await connection.query(
    `SELECT g.name, g.cursor, (SELECT string_agg(DISTINCT d.position::text, ',')
       FROM ${schema}.deliveries d WHERE d.group_no = g.no AND d.position <= g.cursor)
     FROM ${schema}.groups g ORDER BY g.name`,
  );
  return rows.map(([name, cursor, positions]) => ({
    by: `group ${fromStoredText(String(name))}`,
    after: Number(cursor),
    positions: (positions ?? null) === null ? [] : String(positions).split(",").map(Number),
  }));
}
