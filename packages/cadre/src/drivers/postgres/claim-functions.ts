/**
 * How the server takes deliveries for a member of a group.
 *
 *   due rows ──(by priority and age)──▶ leased      ready, retried, scheduled, or a lease that is
 *                                                   over: then the attempt counts
 *   events after the cursor ──▶ leased, or a row that waits: scheduled, blocked, ready for its turn
 *
 * The group's row is locked while the cursor moves, so that no member can miss an event or take it
 * twice. Rows that an owner settles or extends in the same moment are skipped, never waited for.
 * All times are the server's.
 *
 * The cursor passes an event in the transaction that makes its row, and no client remembers how far
 * it is: a server that crashed may have lost the last claims, rows and cursor together. Where
 * nothing matches, the cursor is written only now and then.
 */

import { byIndex } from "./by-index.ts";

/** Whether the subscription of `g` sees the event `e`: not private, directed to nobody. */
const isAhead = `e.position > g.cursor AND e.position <= last
        AND coalesce(e.flags, 0) = 0
        AND (e.type = ANY (g.exact) OR (e.type || '.') ~ g.regex)`;

/** The columns of `eventSelection`, but for the stream's name, which no delivery needs. */
const eventColumns = `e_position bigint, e_recorded_at double precision, e_id uuid, e_type text,
  e_source text, e_timestamp double precision, e_payload text, e_correlation uuid,
  e_causation uuid, e_stream text, e_version integer, e_flags smallint, e_key text,
  e_rank smallint, e_deliver_at double precision, e_schema text, e_extra text`;

/** The first row says how far the group is; one for each delivery that was taken follows. */
const claim = `
CREATE FUNCTION $S.claim(
  in_group bigint, in_max integer, in_lease bigint, in_owner bigint, in_token bigint
) RETURNS TABLE (
  reached bigint, next_in bigint, more boolean,
  place bigint, copy integer, attempt integer, own text, marked boolean, ${eventColumns}
) LANGUAGE plpgsql
${byIndex}
AS $$
#variable_conflict use_column
DECLARE
  g $S.groups;
  at_ms bigint := $S.now_ms();
  head bigint;
  last bigint;
  written bigint;
  ends bigint;
  taken integer := 0;
  made integer := 0;
  passed record;
  stuck boolean := false;
BEGIN
  SELECT * INTO g FROM $S.groups WHERE no = in_group;
  IF NOT FOUND THEN RETURN; END IF;
  head := coalesce((SELECT max(position) FROM $S.events), 0);
  last := head;
  IF head > g.cursor + 8191 THEN
    SELECT f.last INTO last FROM $S.frontier(g.cursor) f;
  END IF;
  -- Who finds nothing has written nothing, and locked nothing.
  IF last > g.cursor + 1000 OR EXISTS (
    SELECT 1 FROM $S.deliveries WHERE group_no = in_group AND due <= at_ms
  ) OR EXISTS (SELECT 1 FROM $S.events e WHERE ${isAhead}) THEN
    PERFORM set_config('synchronous_commit', 'off', true);
    SELECT * INTO g FROM $S.groups WHERE no = in_group FOR UPDATE;
    IF NOT FOUND THEN RETURN; END IF;
    written := g.cursor;
    at_ms := $S.now_ms();
    ends := at_ms + in_lease;
    IF $S.has_ranks(g, at_ms, last) THEN
      -- Priority decides: what is ahead is lined up as rows first.
      passed := $S.pass(g, at_ms, last, 1024 - (
        SELECT count(*) FROM (
          SELECT 1 FROM $S.deliveries WHERE group_no = in_group AND due <= at_ms LIMIT 1024
        ) due
      )::integer, NULL, NULL, NULL);
      g.cursor := passed.new_cursor;
      made := passed.made;
      stuck := passed.stuck;
      taken := $S.take_due(g, at_ms, in_max, ends, in_owner, in_token);
    ELSE
      taken := $S.take_due(g, at_ms, in_max, ends, in_owner, in_token);
      IF taken < in_max THEN
        passed := $S.pass(g, at_ms, last, in_max - taken, ends, in_owner, in_token);
        g.cursor := passed.new_cursor;
        made := passed.made;
        stuck := passed.stuck;
      END IF;
    END IF;
    -- So many rows that match nothing are looked at again; beyond it their passing is written down.
    IF made > 0 OR g.cursor > written + 1000 THEN
      UPDATE $S.groups SET cursor = g.cursor WHERE no = in_group;
    END IF;
  ELSE
    g.cursor := last;
  END IF;
  reached := g.cursor;
  more := g.cursor < head AND NOT stuck;
  next_in := (
    SELECT min(due) FROM $S.deliveries WHERE group_no = in_group AND due IS NOT NULL
  ) - at_ms;
  RETURN NEXT;
  IF taken + made = 0 THEN RETURN; END IF;
  RETURN QUERY
    SELECT NULL::bigint, NULL::bigint, NULL::boolean, d.position, d.copy, d.attempt, d.event,
      EXISTS (SELECT 1 FROM $S.inbox i WHERE i.subscription = g.name AND i.event = e.id),
      e.position, e.recorded_at, e.id, e.type, e.source, e.timestamp, e.payload, e.correlation,
      e.causation, NULL::text, e.version, e.flags, e.key, e.rank, e.deliver_at, e.schema, e.extra
    FROM $S.deliveries d LEFT JOIN $S.events e ON e.position = d.position
    WHERE d.group_no = in_group AND d.due = ends AND d.owner = in_owner AND d.token = in_token
    ORDER BY d.since - d.rank * 10000, d.position, d.copy;
END $$;
`;

/** Those of several groups for which a claim would find something, or which are gone. */
const waiting = `
CREATE FUNCTION $S.waiting(in_groups bigint[]) RETURNS SETOF bigint LANGUAGE plpgsql
${byIndex}
AS $$
DECLARE
  in_group bigint;
  g $S.groups;
  at_ms bigint := $S.now_ms();
  last bigint;
BEGIN
  FOREACH in_group IN ARRAY in_groups LOOP
    SELECT * INTO g FROM $S.groups WHERE no = in_group;
    IF FOUND THEN
      SELECT f.last INTO last FROM $S.frontier(g.cursor) f;
      CONTINUE WHEN last <= g.cursor + 1000
        AND NOT EXISTS (SELECT 1 FROM $S.deliveries WHERE group_no = in_group AND due <= at_ms)
        AND NOT EXISTS (SELECT 1 FROM $S.events e WHERE ${isAhead});
    END IF;
    RETURN NEXT in_group;
  END LOOP;
END $$;
`;

/** Where the log ends, and how far one claim looks. */
const frontier = `
CREATE FUNCTION $S.frontier(from_position bigint, OUT head bigint, OUT last bigint)
LANGUAGE plpgsql AS $$
BEGIN
  head := coalesce((SELECT max(position) FROM $S.events), 0);
  last := least(head, coalesce((
    SELECT position FROM $S.events WHERE position > from_position ORDER BY position LIMIT 1
  ), head) + 8191);
END $$;

CREATE FUNCTION $S.position_before(ms bigint) RETURNS bigint LANGUAGE plpgsql AS $$
DECLARE
  low bigint := 0;
  high bigint := coalesce((SELECT max(position) FROM $S.events), 0);
  middle bigint;
  found record;
BEGIN
  -- Times never go back along the log: halving finds the last event that was recorded before.
  WHILE low < high LOOP
    middle := (low + high) / 2 + 1;
    SELECT position, recorded_at INTO found FROM $S.events
      WHERE position >= middle ORDER BY position LIMIT 1;
    IF found.recorded_at < ms THEN low := least(found.position, high);
    ELSE high := middle - 1;
    END IF;
  END LOOP;
  RETURN low;
END $$;
`;

const hasRanks = `
CREATE FUNCTION $S.has_ranks(g $S.groups, at_ms bigint, last bigint) RETURNS boolean
LANGUAGE plpgsql AS $$
BEGIN
  RETURN EXISTS (
    SELECT 1 FROM (
      SELECT rank FROM $S.deliveries
      WHERE group_no = g.no AND due <= at_ms ORDER BY due LIMIT 1024
    ) due WHERE rank <> 1
  ) OR EXISTS (
    SELECT 1 FROM $S.events e WHERE e.rank IS NOT NULL AND e.rank <> 1 AND ${isAhead}
  );
END $$;
`;

const takeDue = `
CREATE FUNCTION $S.take_due(
  g $S.groups, at_ms bigint, room integer, ends bigint, in_owner bigint, in_token bigint
) RETURNS integer LANGUAGE plpgsql AS $$
DECLARE
  d record;
  taken integer := 0;
BEGIN
  FOR d IN
    SELECT * FROM (
      SELECT position, copy, state, key, since, rank FROM $S.deliveries
      WHERE group_no = g.no AND due <= at_ms ORDER BY due LIMIT 1024
    ) due ORDER BY due.since - due.rank * 10000, due.position, due.copy
  LOOP
    EXIT WHEN taken >= room;
    PERFORM 1 FROM $S.deliveries
      WHERE group_no = g.no AND position = d.position AND copy = d.copy AND due <= at_ms
      FOR UPDATE SKIP LOCKED;
    CONTINUE WHEN NOT FOUND;
    IF d.key IS NOT NULL AND d.state NOT IN (0, 1)
      AND $S.is_held(g, d.key, d.position, d.copy) THEN
      UPDATE $S.deliveries SET state = 5, due = NULL
        WHERE group_no = g.no AND position = d.position AND copy = d.copy;
    ELSE
      UPDATE $S.deliveries SET attempt = attempt + (state = 1)::integer,
          state = 1, due = ends, owner = in_owner, token = in_token
        WHERE group_no = g.no AND position = d.position AND copy = d.copy;
      taken := taken + 1;
    END IF;
  END LOOP;
  RETURN taken;
END $$;
`;

/** Moves the cursor as far as `last`, until `room` rows are made, leased where `ends` says so. */
const pass = `
CREATE FUNCTION $S.pass(
  g $S.groups, at_ms bigint, last bigint, room integer, ends bigint,
  in_owner bigint, in_token bigint,
  OUT new_cursor bigint, OUT made integer, OUT stuck boolean
) LANGUAGE plpgsql AS $$
DECLARE
  reached bigint;
BEGIN
  new_cursor := g.cursor;
  made := 0;
  stuck := false;
  IF room < 1 THEN RETURN; END IF;
  IF g.ordered IS NOT NULL THEN
    SELECT p.new_cursor, p.made, p.stuck INTO new_cursor, made, stuck
      FROM $S.pass_ordered(g, at_ms, last, room, ends, in_owner, in_token) p;
    RETURN;
  END IF;
  WITH ahead AS (
    SELECT e.position, coalesce(e.rank, 1) AS rank, e.recorded_at,
      e.deliver_at > at_ms AS waits, e.deliver_at
    FROM $S.events e WHERE ${isAhead} ORDER BY e.position LIMIT room
  ), rows AS (
    INSERT INTO $S.deliveries
      (group_no, position, copy, state, attempt, due, owner, token, rank, since)
    SELECT g.no, position, 0,
      CASE WHEN waits THEN 3 WHEN ends IS NULL THEN 0 ELSE 1 END, 1,
      CASE WHEN waits THEN $S.whole(deliver_at) ELSE coalesce(ends, at_ms) END,
      CASE WHEN NOT coalesce(waits, false) THEN in_owner END,
      CASE WHEN NOT coalesce(waits, false) THEN in_token END, rank, recorded_at
    FROM ahead ON CONFLICT DO NOTHING
  )
  SELECT count(*), max(position) INTO made, reached FROM ahead;
  new_cursor := greatest(g.cursor, CASE WHEN made = room THEN reached ELSE last END);
END $$;
`;

const passOrdered = `
CREATE FUNCTION $S.pass_ordered(
  g $S.groups, at_ms bigint, last bigint, room integer, ends bigint,
  in_owner bigint, in_token bigint,
  OUT new_cursor bigint, OUT made integer, OUT stuck boolean
) LANGUAGE plpgsql AS $$
DECLARE
  c record;
  free integer := room;
  blocked integer;
  is_blocked boolean;
BEGIN
  new_cursor := g.cursor;
  made := 0;
  stuck := false;
  FOR c IN
    SELECT e.position, e.key, coalesce(e.rank, 1) AS rank, e.recorded_at,
      coalesce(e.deliver_at > at_ms, false) AS waits, e.deliver_at
    FROM $S.events e WHERE ${isAhead} ORDER BY e.position LIMIT 512
  LOOP
    IF free < 1 THEN RETURN; END IF;
    is_blocked := c.key IS NOT NULL AND EXISTS (
      SELECT 1 FROM $S.deliveries
      WHERE group_no = g.no AND key = c.key AND state = ANY ($S.lane(g) || 5::smallint)
    );
    IF is_blocked THEN
      -- So many wait behind their keys at most; then the cursor waits with them.
      blocked := coalesce(blocked, (
        SELECT count(*) FROM (
          SELECT 1 FROM $S.deliveries
          WHERE group_no = g.no AND key IS NOT NULL AND state = 5 LIMIT 10000
        ) waiting
      )::integer);
      IF blocked >= 10000 THEN
        stuck := true;
        RETURN;
      END IF;
      blocked := blocked + 1;
    END IF;
    INSERT INTO $S.deliveries
      (group_no, position, copy, state, attempt, due, owner, token, key, rank, since)
    VALUES (g.no, c.position, 0,
      CASE WHEN c.waits THEN 3 WHEN is_blocked THEN 5 WHEN ends IS NULL THEN 0 ELSE 1 END, 1,
      CASE WHEN c.waits THEN $S.whole(c.deliver_at) WHEN is_blocked THEN NULL
        ELSE coalesce(ends, at_ms) END,
      CASE WHEN NOT c.waits AND NOT is_blocked THEN in_owner END,
      CASE WHEN NOT c.waits AND NOT is_blocked THEN in_token END,
      c.key, c.rank, c.recorded_at)
    ON CONFLICT DO NOTHING;
    new_cursor := c.position;
    made := made + 1;
    -- A line-up counts all that it makes, a claim only what its member gets.
    IF ends IS NULL OR NOT (c.waits OR is_blocked) THEN free := free - 1; END IF;
  END LOOP;
  IF made < 512 THEN new_cursor := greatest(g.cursor, last); END IF;
END $$;
`;

/**
 * Order by key: of each key at most one delivery, the lane's holder, is ready or leased at any
 * time; those behind it are blocked and are let go one by one, in the order of their positions.
 *
 *   block, park-key   the holder keeps the lane until it is acked, also while retrying or parked
 *   skip              a retrying or parked holder leaves the lane, and waits for it again when due
 */
const lanes = `
CREATE FUNCTION $S.lane(g $S.groups) RETURNS smallint[] LANGUAGE sql IMMUTABLE AS $$
  SELECT CASE g.ordered WHEN 'skip' THEN '{0,1}'::smallint[] ELSE '{0,1,2,4}'::smallint[] END
$$;

CREATE FUNCTION $S.is_held(g $S.groups, in_key text, in_place bigint, in_copy integer)
RETURNS boolean LANGUAGE plpgsql AS $$
BEGIN
  RETURN EXISTS (
    SELECT 1 FROM $S.deliveries
    WHERE group_no = g.no AND key = in_key AND state = ANY ($S.lane(g))
      AND (position <> in_place OR copy <> in_copy)
  );
END $$;

CREATE FUNCTION $S.whole(ms double precision) RETURNS bigint LANGUAGE sql IMMUTABLE AS $$
  SELECT ceil(least(ms, 9e15))::bigint
$$;
`;

export const claimFunctions: string = [
  lanes,
  frontier,
  hasRanks,
  takeDue,
  passOrdered,
  pass,
  claim,
  waiting,
].join("");
