/** The log, its streams, slots and marks: the first version of the tables. */
import { appendFunction } from "./append-function.ts";
import { commitFunction } from "./commit-function.ts";
import type { MigrationStep } from "./schema.ts";

export const logStep: MigrationStep = {
  name: "log",
  sql: (schema) =>
    [logTables, otherTables, commitFunction, appendFunction].map((make) => make(schema)).join("\n"),
};

// Text that orders or compares is of collation "C": bytes, whatever the database's language is.
// Fixed lengths come first, so that no row is padded.
function logTables(schema: string): string {
  return `
CREATE TABLE ${schema}.meta (
  name text PRIMARY KEY,
  value text NOT NULL
);

CREATE TABLE ${schema}.events (
  position bigint NOT NULL,
  recorded_at double precision NOT NULL,
  timestamp double precision NOT NULL,
  deliver_at double precision,
  stream bigint,
  id uuid NOT NULL,
  correlation uuid,
  causation uuid,
  version integer,
  flags smallint,
  rank smallint,
  type text COLLATE "C" NOT NULL,
  source text COLLATE "C" NOT NULL,
  key text COLLATE "C",
  schema text COLLATE "C",
  extra text COLLATE "C",
  payload text COLLATE "C" NOT NULL,
  CONSTRAINT events_by_position PRIMARY KEY (position)
);
CREATE UNIQUE INDEX events_by_id ON ${schema}.events (id);
CREATE UNIQUE INDEX events_by_stream ON ${schema}.events (stream, version)
  WHERE stream IS NOT NULL;
CREATE INDEX events_by_correlation ON ${schema}.events (correlation, position)
  WHERE correlation IS NOT NULL;
CREATE SEQUENCE ${schema}.positions AS bigint;
CREATE SEQUENCE ${schema}.changes AS bigint;

CREATE TABLE ${schema}.streams (
  no bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  version integer NOT NULL,
  name text COLLATE "C" NOT NULL UNIQUE
) WITH (fillfactor = 80);

`;
}

function otherTables(schema: string): string {
  return `
CREATE TABLE ${schema}.slots (
  name text COLLATE "C" PRIMARY KEY,
  version bigint NOT NULL,
  value text COLLATE "C" NOT NULL
) WITH (fillfactor = 50);

CREATE TABLE ${schema}.inbox (
  subscription text COLLATE "C" NOT NULL,
  event uuid NOT NULL,
  marked_at bigint NOT NULL,
  PRIMARY KEY (subscription, event)
);
CREATE INDEX inbox_by_age ON ${schema}.inbox (marked_at);

CREATE TABLE ${schema}.answers (
  writer uuid PRIMARY KEY,
  batch bigint NOT NULL,
  answered_at bigint NOT NULL,
  answer text NOT NULL
) WITH (fillfactor = 50);
`;
}
