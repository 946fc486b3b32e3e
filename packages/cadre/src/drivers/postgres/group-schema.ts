/**
 * The tables of consumer groups, and what the server does for them. `docs/reference/
 * postgres-format.md` says what each column means.
 *
 * A claim, and a turn's worth of settling, is one call of a function: one round trip and one short
 * transaction on the server. No transaction is open while a client thinks, so that one that freezes
 * holds up nobody.
 */
import { ackFunction } from "./ack-function.ts";
import { claimFunctions } from "./claim-functions.ts";
import type { MigrationStep } from "./schema.ts";
import { settleFunctions } from "./settle-functions.ts";

/** Names one delivery's state in a row. The drawing is in `delivery-row.ts`. */
const tables = `
CREATE TABLE $S.groups (
  no bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  name text COLLATE "C" NOT NULL UNIQUE,
  definition text COLLATE "C" NOT NULL,
  ordered text COLLATE "C",
  patterns text COLLATE "C" NOT NULL,
  exact text[] COLLATE "C" NOT NULL,
  regex text COLLATE "C",
  cursor bigint NOT NULL
) WITH (fillfactor = 20);

CREATE TABLE $S.deliveries (
  group_no bigint NOT NULL,
  position bigint NOT NULL,
  copy integer NOT NULL,
  state smallint NOT NULL,
  attempt integer NOT NULL,
  due bigint,
  owner bigint,
  token bigint,
  key text COLLATE "C",
  rank smallint NOT NULL,
  since bigint NOT NULL,
  event text COLLATE "C",
  PRIMARY KEY (group_no, position, copy)
) WITH (fillfactor = 70, autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 5000);
CREATE INDEX deliveries_due ON $S.deliveries (group_no, due) WHERE due IS NOT NULL;
CREATE INDEX deliveries_by_key ON $S.deliveries (group_no, key, state, position)
  WHERE key IS NOT NULL;
CREATE INDEX events_ranked ON $S.events (position) WHERE rank IS NOT NULL;

CREATE TABLE $S.dead_letters (
  no bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  id text COLLATE "C" NOT NULL UNIQUE,
  group_name text COLLATE "C" NOT NULL,
  reason text COLLATE "C" NOT NULL,
  type text COLLATE "C",
  letter text COLLATE "C" NOT NULL
);

CREATE FUNCTION $S.now_ms() RETURNS bigint LANGUAGE sql VOLATILE AS $$
  SELECT floor(extract(epoch FROM clock_timestamp()) * 1000)::bigint
$$;
`;

/** What a schema needs for groups, after the log's own tables. */
export const groupStep: MigrationStep = {
  name: "groups",
  sql: (schema) =>
    [tables, claimFunctions, settleFunctions, ackFunction("$S")]
      .join("\n")
      .replaceAll("$S.", `${schema}.`),
};
