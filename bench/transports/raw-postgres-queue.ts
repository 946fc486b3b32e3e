import pg from "pg";
import { RawPostgres } from "../raw-postgres.ts";
import { inFlight, kilobyte, type Kilobyte, type Side } from "./side.ts";

const leaseSeconds = 30;

// Who waits is told of each append, as by the driver. A group is a place in the log, and what it
// has handed out is leased until it is done.
const tables = `
CREATE FUNCTION tell() RETURNS trigger LANGUAGE plpgsql AS
  $$ BEGIN PERFORM pg_notify('raw', ''); RETURN NULL; END $$;
CREATE TRIGGER told AFTER INSERT ON events FOR EACH STATEMENT EXECUTE FUNCTION tell();
CREATE TABLE groups (name text PRIMARY KEY, at bigint NOT NULL);
CREATE TABLE leases (
  name text NOT NULL, position bigint NOT NULL, attempt integer NOT NULL,
  until timestamptz NOT NULL, PRIMARY KEY (name, position)
);
INSERT INTO groups VALUES ('workers', 0);
`;

const claim = `WITH place AS (SELECT at FROM groups WHERE name = $1 FOR UPDATE),
page AS (
  SELECT position, id, type, source, timestamp, payload FROM events
    WHERE position > (SELECT at FROM place) ORDER BY position LIMIT $2
), moved AS (
  UPDATE groups SET at = (SELECT max(position) FROM page)
    WHERE name = $1 AND EXISTS (SELECT FROM page)
), leased AS (
  INSERT INTO leases SELECT $1, position, 1, now() + interval '${leaseSeconds} s' FROM page
)
SELECT * FROM page`;

interface Taken {
  readonly position: string;
  readonly payload: string;
}

/** The log of `RawPostgres`, and a group over it. Pages are read one after the other. */
export async function openRawPostgres(url: string): Promise<Side> {
  const log = new RawPostgres(url, (index) => JSON.stringify(kilobyte(index)));
  await log.prepare();
  const pool = new pg.Pool({ connectionString: url, max: 4 });
  await pool.query(tables);
  return {
    publish: (from, to) => log.append(from, to),
    async consume(handle) {
      const listener = new pg.Client(url);
      await listener.connect();
      let wake = Promise.withResolvers<void>();
      listener.on("notification", () => wake.resolve());
      await listener.query("LISTEN raw");
      let stopped = false;
      const reading = (async () => {
        let acked: Promise<unknown> | undefined;
        while (!stopped) {
          const told = wake.promise;
          const { rows } = await pool.query<{
            readonly position: string;
            readonly payload: string;
          }>({ name: "claim", text: claim, values: ["workers", inFlight] });
          for (const { payload } of rows) handle(JSON.parse(payload) as Kilobyte);
          await acked;
          if (rows.length === 0) {
            await told;
            wake = Promise.withResolvers();
            continue;
          }
          const positions = rows.map(({ position }) => position);
          acked = pool.query({
            name: "ack",
            text: "DELETE FROM leases WHERE name = $1 AND position = ANY($2)",
            values: ["workers", positions],
          });
        }
        await acked;
      })();
      return {
        async stop() {
          stopped = true;
          wake.resolve();
          await reading;
          await listener.end();
        },
      };
    },
    async close() {
      await pool.end();
      await log.close();
    },
  };
}
