/**
 * What somebody would write by hand on `pg`: the tables and indexes of Cadre's log, one prepared
 * statement an append, which takes the turn in the log, checks and moves the stream's version, and
 * inserts all of its rows from arrays.
 *
 * As with Cadre, positions become visible in their order, a conflict writes nothing, and an id is
 * in the log once. Left to the caller: what to do when an answer is lost, events larger than a
 * limit, U+0000, ids that are no UUIDs, and waking those who wait for an event.
 */
import { randomUUID } from "node:crypto";
import pg from "pg";
import { report, type Report } from "./load.ts";

const tables = `
CREATE TABLE events (
  position bigint NOT NULL, recorded_at double precision NOT NULL,
  timestamp double precision NOT NULL, deliver_at double precision, stream bigint,
  id uuid NOT NULL, correlation uuid, causation uuid, version integer, flags smallint,
  rank smallint, type text NOT NULL, source text NOT NULL, key text, schema text, extra text,
  payload text NOT NULL, CONSTRAINT events_by_position PRIMARY KEY (position)
);
CREATE UNIQUE INDEX events_by_id ON events (id);
CREATE UNIQUE INDEX events_by_stream ON events (stream, version) WHERE stream IS NOT NULL;
CREATE INDEX events_by_correlation ON events (correlation, position)
  WHERE correlation IS NOT NULL;
CREATE SEQUENCE positions AS bigint;
CREATE TABLE streams (
  no bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, version integer NOT NULL,
  name text NOT NULL UNIQUE
) WITH (fillfactor = 80);
`;

const rows = `nextval('positions'), extract(epoch FROM clock_timestamp()) * 1000,
  u.timestamp, u.id, u.type, u.source, u.payload`;
const given = `unnest($1::uuid[], $2::text[], $3::text[], $4::float8[], $5::text[])
  WITH ORDINALITY u(id, type, source, timestamp, payload, ord)`;
const columns = "position, recorded_at, timestamp, id, type, source, payload";

// Whoever appends next waits until this has become visible.
const turn = "turn AS MATERIALIZED (SELECT pg_advisory_xact_lock(1))";

const insertLoose = `WITH ${turn}
INSERT INTO events (${columns}) SELECT ${rows} FROM turn, ${given}`;

const insertInStream = `WITH ${turn}, moved AS (
  INSERT INTO streams AS s (name, version)
    SELECT $6::text, $7::integer + cardinality($1::uuid[]) FROM turn
    WHERE $7 = 0 OR EXISTS (SELECT FROM streams WHERE name = $6)
  ON CONFLICT (name) DO UPDATE SET version = excluded.version WHERE s.version = $7
  RETURNING no
)
INSERT INTO events (${columns}, stream, version)
SELECT ${rows}, moved.no, $7 + u.ord FROM moved, ${given}`;

export class RawPostgres {
  readonly #pool: pg.Pool;
  readonly #payload: (index: number) => string;

  constructor(url: string, payload = (index: number): string => JSON.stringify(report(index))) {
    this.#payload = payload;
    this.#pool = new pg.Pool({ connectionString: url, max: 10 });
  }

  async prepare(): Promise<void> {
    await this.#pool.query(tables);
  }

  /** Events `from` to `to`; in a stream that has to be at `version`, or in none. */
  async append(from: number, to: number, stream?: string, version = 0): Promise<void> {
    const indexes = Array.from({ length: to - from }, (_, index) => from + index);
    const now = Date.now();
    const values: unknown[] = [
      indexes.map(() => randomUUID()),
      indexes.map(() => "task.created"),
      indexes.map(() => "bench"),
      indexes.map(() => now),
      indexes.map(this.#payload),
    ];
    const query =
      stream === undefined
        ? { name: "loose", text: insertLoose, values }
        : { name: "stream", text: insertInStream, values: [...values, stream, version] };
    const { rowCount } = await this.#pool.query(query);
    if (rowCount !== to - from) throw new Error(`${stream} is not at version ${version}`);
  }

  /** Whole events, in the order of the log. */
  async *read(): AsyncGenerator<{ readonly type: string; readonly payload: Report }> {
    for (let after = "0"; ;) {
      const page = await this.#pool.query<Record<string, string>>({
        name: "page",
        text: `SELECT position, id, type, source, timestamp, payload, s.name, e.version
          FROM events e LEFT JOIN streams s ON s.no = e.stream
          WHERE position > $1 ORDER BY position LIMIT 1000`,
        values: [after],
      });
      for (const row of page.rows) {
        yield {
          ...row,
          type: String(row["type"]),
          payload: JSON.parse(row["payload"]!) as Report,
        };
      }
      if (page.rows.length < 1_000) return;
      after = page.rows.at(-1)!["position"]!;
    }
  }

  async close(): Promise<void> {
    await this.#pool.end();
  }
}
