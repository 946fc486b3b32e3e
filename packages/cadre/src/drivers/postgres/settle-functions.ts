/**
 * What the server does for an owner that settles; for one that is late, nothing. A row is its
 * owner's while it is leased under the owner's number and the token of the claim.
 *
 * Settling in an ordered group lets the next of the key go; there the group's row is locked, as a
 * claim locks it, so that no event waits behind one that has just been acked. No transaction locks
 * two groups, but for a commit's, of which there is one at a time: nobody waits in a circle.
 */
import { byIndex } from "./by-index.ts";

const settle = `
CREATE FUNCTION $S.settle(
  in_owner bigint, in_groups bigint[], in_places bigint[], in_copies integer[], in_tokens bigint[],
  in_kinds text[], in_delays bigint[], in_relaxed boolean, in_channel text
) RETURNS TABLE (item integer) LANGUAGE plpgsql
${byIndex}
AS $$
#variable_conflict use_column
DECLARE
  at_ms bigint;
  done record;
  news bigint[] := '{}';
BEGIN
  IF in_relaxed THEN PERFORM set_config('synchronous_commit', 'off', true); END IF;
  PERFORM 1 FROM $S.groups
    WHERE no = ANY (in_groups) AND ordered IS NOT NULL ORDER BY no FOR UPDATE;
  at_ms := $S.now_ms();
  FOR done IN
    WITH asked AS (
      SELECT * FROM unnest(in_groups, in_places, in_copies, in_tokens, in_kinds, in_delays)
        WITH ORDINALITY AS a (group_no, position, copy, token, kind, delay, item)
    ), acked AS (
      DELETE FROM $S.deliveries d USING asked a
      WHERE a.kind = 'ack' AND d.group_no = a.group_no AND d.position = a.position
        AND d.copy = a.copy AND d.owner = in_owner AND d.token = a.token AND d.state = 1
      RETURNING a.item, a.kind, d.group_no, d.key
    ), changed AS (
      UPDATE $S.deliveries d SET owner = NULL, token = NULL,
        state = CASE a.kind WHEN 'release' THEN 0 WHEN 'park' THEN 2
          ELSE CASE WHEN a.delay > 0 THEN 4 ELSE 0 END END,
        attempt = d.attempt + (a.kind = 'retry')::integer,
        due = CASE WHEN a.kind <> 'park' THEN at_ms + a.delay END
      FROM asked a
      WHERE a.kind <> 'ack' AND d.group_no = a.group_no AND d.position = a.position
        AND d.copy = a.copy AND d.owner = in_owner AND d.token = a.token AND d.state = 1
      RETURNING a.item, a.kind, d.group_no, d.key
    )
    SELECT * FROM acked UNION ALL SELECT * FROM changed
  LOOP
    item := done.item;
    RETURN NEXT;
    IF done.key IS NOT NULL THEN PERFORM $S.let_next_go(done.group_no, done.key, at_ms); END IF;
    IF (done.key IS NOT NULL OR done.kind NOT IN ('ack', 'park'))
      AND NOT done.group_no = ANY (news) THEN
      news := news || done.group_no;
      PERFORM pg_notify(in_channel, 'group ' || done.group_no);
    END IF;
  END LOOP;
END $$;

CREATE FUNCTION $S.let_next_go(in_group bigint, in_key text, at_ms bigint)
RETURNS void LANGUAGE plpgsql AS $$
DECLARE
  g $S.groups;
BEGIN
  SELECT * INTO g FROM $S.groups WHERE no = in_group;
  IF $S.is_held(g, in_key, 0, 0) THEN RETURN; END IF;
  UPDATE $S.deliveries SET state = 0, due = at_ms
  WHERE (group_no, position, copy) = (
    SELECT group_no, position, copy FROM $S.deliveries
    WHERE group_no = in_group AND key = in_key AND state = 5
    ORDER BY position, copy LIMIT 1
  );
END $$;
`;

/**
 * Renews leases. A row that is locked is just being settled by its owner, or taken because it is
 * over: it is left alone, and its settling says which. Waiting for it could wait in a circle.
 */
const extend = `
CREATE FUNCTION $S.extend(
  in_owner bigint, in_groups bigint[], in_places bigint[], in_copies integer[], in_tokens bigint[],
  in_leases bigint[]
) RETURNS TABLE (item integer) LANGUAGE plpgsql
${byIndex}
AS $$
#variable_conflict use_column
BEGIN
  PERFORM set_config('synchronous_commit', 'off', true);
  RETURN QUERY
    WITH mine AS (
      SELECT a.* FROM unnest(in_groups, in_places, in_copies, in_tokens, in_leases)
        WITH ORDINALITY AS a (group_no, position, copy, token, lease, item)
      JOIN $S.deliveries d ON d.group_no = a.group_no AND d.position = a.position
        AND d.copy = a.copy AND d.owner = in_owner AND d.token = a.token AND d.state = 1
    ), free AS (
      SELECT d.group_no, d.position, d.copy, a.lease FROM mine a
      JOIN $S.deliveries d ON d.group_no = a.group_no AND d.position = a.position
        AND d.copy = a.copy AND d.owner = in_owner AND d.token = a.token AND d.state = 1
      FOR UPDATE OF d SKIP LOCKED
    ), renewed AS (
      UPDATE $S.deliveries d SET due = $S.now_ms() + f.lease FROM free f
      WHERE d.group_no = f.group_no AND d.position = f.position AND d.copy = f.copy
    )
    SELECT mine.item::integer FROM mine;
END $$;
`;

/** Gives back what all leases of one owner hold; the attempt counts. */
const giveBack = `
CREATE FUNCTION $S.give_back(in_owner bigint, in_channel text)
RETURNS void LANGUAGE plpgsql AS $$
DECLARE
  given record;
BEGIN
  FOR given IN
    WITH changed AS (
      UPDATE $S.deliveries SET state = 0, attempt = attempt + 1, due = $S.now_ms(),
        owner = NULL, token = NULL
      WHERE owner = in_owner AND state = 1 RETURNING group_no
    )
    SELECT DISTINCT group_no FROM changed
  LOOP
    PERFORM pg_notify(in_channel, 'group ' || given.group_no);
  END LOOP;
END $$;
`;

/**
 * Hands one event of the log to one group alone. One that waits there already is not doubled, nor
 * one that the group is yet to come to; one that is parked waits no more. Answers false when the
 * group is gone.
 */
const direct = `
CREATE FUNCTION $S.direct(
  in_group text, in_place bigint, in_attempt integer, in_rank smallint,
  in_deliver_at double precision, in_own text, in_channel text
) RETURNS boolean LANGUAGE plpgsql
${byIndex}
AS $$
DECLARE
  g $S.groups;
  at_ms bigint;
  waits boolean;
  waiting $S.deliveries;
  event_key text;
  blocked boolean;
  new_state smallint;
  new_due bigint;
BEGIN
  SELECT * INTO g FROM $S.groups WHERE name = in_group FOR UPDATE;
  IF NOT FOUND THEN RETURN false; END IF;
  IF in_place > g.cursor AND EXISTS (
    SELECT 1 FROM $S.events e WHERE e.position = in_place AND coalesce(e.flags, 0) = 0
      AND (e.type = ANY (g.exact) OR (e.type || '.') ~ g.regex)
  ) THEN
    RETURN true;
  END IF;
  at_ms := $S.now_ms();
  waits := coalesce(in_deliver_at > at_ms, false);
  SELECT * INTO waiting FROM $S.deliveries
    WHERE group_no = g.no AND position = in_place AND state <> 1
    ORDER BY copy DESC LIMIT 1;
  IF FOUND AND waiting.state <> 2 THEN
    UPDATE $S.deliveries SET event = in_own
      WHERE group_no = g.no AND position = in_place AND copy = waiting.copy;
    RETURN true;
  END IF;
  IF g.ordered IS NOT NULL THEN
    event_key := (SELECT key FROM $S.events WHERE position = in_place);
  END IF;
  -- One that is parked holds its lane itself, but for skip.
  blocked := event_key IS NOT NULL AND (waiting.state IS NULL OR g.ordered = 'skip') AND EXISTS (
    SELECT 1 FROM $S.deliveries
    WHERE group_no = g.no AND key = event_key AND state = ANY ($S.lane(g) || 5::smallint)
  );
  new_state := CASE WHEN waits THEN 3 WHEN blocked THEN 5 ELSE 0 END;
  new_due := CASE WHEN waits THEN $S.whole(in_deliver_at) WHEN NOT blocked THEN at_ms END;
  IF waiting.state = 2 THEN
    UPDATE $S.deliveries
      SET event = in_own, state = new_state, due = new_due, attempt = in_attempt
      WHERE group_no = g.no AND position = in_place AND copy = waiting.copy;
  ELSE
    INSERT INTO $S.deliveries
      (group_no, position, copy, state, attempt, due, key, rank, since, event)
    SELECT g.no, in_place, coalesce(max(copy), -1) + 1, new_state, in_attempt, new_due,
      event_key, in_rank, at_ms, in_own
    FROM $S.deliveries WHERE group_no = g.no AND position = in_place;
  END IF;
  PERFORM pg_notify(in_channel, 'group ' || g.no);
  RETURN true;
END $$;
`;

/**
 * Acks the delivery of a unit of work within the transaction that commits it: JSON of `settle`'s
 * first five arguments, the lists of one item each, and its channel. What has no key lets nobody
 * go, and needs none of the rest.
 */
const guard = `
CREATE OR REPLACE FUNCTION $S.settle_guard(p_guard text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
  a jsonb := p_guard::jsonb;
BEGIN
  DELETE FROM $S.deliveries
    WHERE group_no = (a ->> 1)::bigint AND position = (a ->> 2)::bigint
      AND copy = (a ->> 3)::integer AND owner = (a ->> 0)::bigint
      AND token = (a ->> 4)::bigint AND state = 1 AND key IS NULL;
  IF FOUND THEN RETURN 'ok'; END IF;
  PERFORM 1 FROM $S.settle(
    (a ->> 0)::bigint, ARRAY[(a ->> 1)::bigint], ARRAY[(a ->> 2)::bigint],
    ARRAY[(a ->> 3)::integer], ARRAY[(a ->> 4)::bigint], '{ack}', '{0}', false, a ->> 5
  );
  RETURN CASE WHEN FOUND THEN 'ok' ELSE 'lost' END;
END $$;
`;

export const settleFunctions: string = [settle, extend, giveBack, direct, guard].join("");
