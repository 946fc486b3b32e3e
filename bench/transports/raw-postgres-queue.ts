import pg from "pg";
import { RawPostgres } from "../raw-postgres.ts";
import { inFlight, kilobyte, type Kilobyte, type Side } from "./side.ts";

const leaseSeconds = 30;

// Who waits is told of each append, as by the driver. A group is a place in the log; what it has
// handed out is leased until it is done, and comes again when its lease is over. What is done is
// marked together with the end of its lease, unless somebody else has it by then.
const tables = `
CREATE FUNCTION tell() RETURNS trigger LANGUAGE plpgsql AS
  $$ BEGIN PERFORM pg_notify('raw', ''); RETURN NULL; END $$;
CREATE TRIGGER told AFTER INSERT ON events FOR EACH STATEMENT EXECUTE FUNCTION tell();
CREATE TABLE groups (name text PRIMARY KEY, at bigint NOT NULL);
CREATE TABLE leases (
  name text NOT NULL, position bigint NOT NULL, attempt integer NOT NULL, token bigint NOT NULL,
  until timestamptz NOT NULL, PRIMARY KEY (name, position)
);
CREATE INDEX leases_by_end ON leases (name, until);
CREATE TABLE handled (
  name text NOT NULL, id uuid NOT NULL, at timestamptz NOT NULL, PRIMARY KEY (name, id)
);
CREATE INDEX handled_by_age ON handled (at);
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
  INSERT INTO leases SELECT $1, position, 1, $3, now() + interval '${leaseSeconds} s' FROM page
), over AS (
  SELECT position FROM leases WHERE name = $1 AND until < now()
    ORDER BY until LIMIT $2 FOR UPDATE SKIP LOCKED
), again AS (
  UPDATE leases l SET attempt = attempt + 1, token = $3,
      until = now() + interval '${leaseSeconds} s'
    FROM over WHERE l.name = $1 AND l.position = over.position RETURNING l.position
), taken AS (
  SELECT * FROM page UNION ALL
  SELECT e.position, id, type, source, timestamp, payload
    FROM again JOIN events e ON e.position = again.position
)
SELECT taken.*, (
  SELECT true FROM handled h WHERE h.name = $1 AND h.id = taken.id LIMIT 1
) AS handled FROM taken`;

const ack = `WITH done AS (
  DELETE FROM leases WHERE name = $1 AND position = ANY($2) AND token = $3 RETURNING position
)
INSERT INTO handled
  SELECT $1, (SELECT id FROM events e WHERE e.position = done.position), now() FROM done`;

// A queue's statistics are always old: without these, plans are made that read whole tables.
const byIndex = ["seqscan", "bitmapscan", "hashjoin", "mergejoin"]
  .map((name) => `-c enable_${name}=off`)
  .join(" ");

interface Taken {
  readonly position: string;
  readonly payload: string;
  readonly handled: true | null;
}

/** The log of `RawPostgres`, and a group over it. Pages are read one after the other. */
export async function openRawPostgres(url: string): Promise<Side> {
  const log = new RawPostgres(url, (index) => JSON.stringify(kilobyte(index)));
  await log.prepare();
  const pool = new pg.Pool({ connectionString: url, max: 4, options: byIndex });
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
      let claims = 0;
      const reading = (async () => {
        let acked: Promise<unknown> | undefined;
        while (!stopped) {
          const told = wake.promise;
          const token = (claims += 1);
          const values = ["workers", inFlight, token];
          const { rows } = await pool.query<Taken>({ name: "claim", text: claim, values });
          for (const { payload, handled } of rows) {
            if (!handled) handle(JSON.parse(payload) as Kilobyte);
          }
          await acked;
          if (rows.length === 0) {
            await told;
            wake = Promise.withResolvers();
            continue;
          }
          const positions = rows.map(({ position }) => position);
          acked = pool.query({ name: "ack", text: ack, values: ["workers", positions, token] });
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
