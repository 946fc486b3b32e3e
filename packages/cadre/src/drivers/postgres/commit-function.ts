/**
 * The function that writes: one call is one batch of requests, in one short transaction.
 *
 *   lock the log's end ─▶ look up versions, marks ─▶ check each request ─▶ write those that pass
 *                            ▲                                                │ an id is there
 *                            └────────── with the requests that have one ─────┘
 *
 * A request that is refused writes nothing and disturbs none of the others. The lock is held until
 * the transaction has become visible, so that positions become visible in their order. Nothing else
 * is waited for under the lock, so that no foreign transaction can hold up writers or readers.
 *
 * Requests are numbered from 1 in the batch; so are events, appends, slots and their writes, each
 * in the order of their requests. The client takes care that no id and no mark comes twice in a
 * batch.
 */
import { announce, lookAtEnd, recall, remember, setDurability, takeTurn } from "./log-turn.ts";

/** The function's parameters in their order, with their types. */
export const commitParameters = [
  ["writer", "uuid"],
  ["batch", "bigint"],
  ["durable", "boolean"],
  ["requests", "integer"],
  ["ids", "uuid[]"],
  ["types", "text[]"],
  ["sources", "text[]"],
  ["timestamps", "double precision[]"],
  ["correlations", "uuid[]"],
  ["causations", "uuid[]"],
  ["payloads", "text[]"],
  ["deliver_ats", "double precision[]"],
  ["keys", "text[]"],
  ["ranks", "smallint[]"],
  ["schemas", "text[]"],
  ["extras", "text[]"],
  ["flags", "smallint[]"],
  ["event_requests", "integer[]"],
  ["event_appends", "integer[]"],
  ["event_indexes", "integer[]"],
  ["streams", "text[]"],
  ["append_requests", "integer[]"],
  ["append_streams", "integer[]"],
  ["append_expected", "bigint[]"],
  ["append_counts", "integer[]"],
  ["slots", "text[]"],
  ["write_requests", "integer[]"],
  ["write_slots", "integer[]"],
  ["write_expected", "bigint[]"],
  ["write_values", "text[]"],
  ["mark_requests", "integer[]"],
  ["mark_subscriptions", "text[]"],
  ["mark_events", "uuid[]"],
  ["removal_requests", "integer[]"],
  ["removals", "bigint[]"],
  ["guard_requests", "integer[]"],
  ["guards", "text[]"],
] as const;

export type CommitParameter = (typeof commitParameters)[number][0];

/** SQL that makes the function, and the guard that a transport puts its own in place of. */
export function commitFunction(schema: string): string {
  const parameters = commitParameters.map(([name, type]) => `p_${name} ${type}`).join(",\n  ");
  return `
-- Settles the delivery that a request belongs to. Anything but 'ok' refuses the request.
CREATE FUNCTION ${schema}.settle_guard(p_guard text) RETURNS text LANGUAGE plpgsql AS $body$
BEGIN
  RAISE EXCEPTION 'no transport has made its guard here';
END $body$;

CREATE FUNCTION ${schema}.commit_batch(
  ${parameters}
) RETURNS text LANGUAGE plpgsql
-- The tables grow while plans are kept: whatever their size, every look-up goes by an index. No
-- plan is made twice, which would cost more than the work itself.
SET plan_cache_mode = force_generic_plan
SET enable_seqscan = off
SET enable_hashjoin = off
SET enable_mergejoin = off
SET jit = off
AS $body$
${declarations}
BEGIN
${beginning(schema)}
LOOP
BEGIN
${lookups(schema)}
${checks(schema)}
${writes(schema)}
EXCEPTION WHEN unique_violation THEN
  -- An id is in the log already, which few commits are to find out: nothing is kept of this pass,
  -- and in the next the requests are known that have such ids.
  IF l_known IS NOT NULL THEN RAISE; END IF;
  SELECT array_agg(u.request) INTO l_known FROM unnest(p_ids, p_event_requests) u(id, request)
    WHERE EXISTS (SELECT FROM ${schema}.events e WHERE e.id = u.id);
  IF l_known IS NULL THEN RAISE; END IF;
END;
END LOOP;
END $body$;
`;
}

const declarations = `
DECLARE
  l_batch bigint;
  l_answer text;
  l_events integer := coalesce(cardinality(p_ids), 0);
  l_appends integer := coalesce(cardinality(p_append_requests), 0);
  l_writes integer := coalesce(cardinality(p_write_requests), 0);
  l_guards integer := coalesce(cardinality(p_guard_requests), 0);
  l_head bigint;
  l_at double precision;
  l_base bigint;
  l_ok boolean[];
  l_failed boolean;
  l_failures text;
  l_failure text;
  l_known integer[];
  l_marked integer[];
  l_stream_nos bigint[];
  l_versions bigint[];
  l_versions_before bigint[];
  l_starts bigint[] := array_fill(0::bigint, ARRAY[l_appends]);
  l_slot_versions bigint[];
  l_slot_writes integer[];
  l_write_versions bigint[] := array_fill(0::bigint, ARRAY[l_writes]);
  l_write_before integer[] := array_fill(0, ARRAY[l_writes]);
  l_append integer;
  l_write integer;
  l_guard integer;
  l_first_append integer;
  l_first_write integer;
  l_index integer;
  l_verdict text;`;

function beginning(schema: string): string {
  return `${takeTurn(schema)}
  IF p_batch IS NOT NULL THEN${recall(schema)}
  END IF;${setDurability}`;
}

function lookups(schema: string): string {
  return `${lookAtEnd(schema)}
  l_ok := array_fill(true, ARRAY[p_requests]);
  l_failed := false;
  l_failures := '';
  l_append := 1;
  l_write := 1;
  l_guard := 1;
  IF l_appends > 0 THEN
    SELECT array_agg(coalesce(s.no, 0) ORDER BY u.ord),
           array_agg(coalesce(s.version, 0)::bigint ORDER BY u.ord)
      INTO l_stream_nos, l_versions
      FROM unnest(p_streams) WITH ORDINALITY u(name, ord)
      LEFT JOIN ${schema}.streams s ON s.name = u.name;
    l_versions_before := l_versions;
  END IF;
  IF l_writes > 0 THEN
    SELECT array_agg(coalesce(s.version, 0) ORDER BY u.ord), array_agg(0 ORDER BY u.ord)
      INTO l_slot_versions, l_slot_writes
      FROM unnest(p_slots) WITH ORDINALITY u(name, ord)
      LEFT JOIN ${schema}.slots s ON s.name = u.name;
  END IF;
  IF p_mark_requests IS NOT NULL THEN
    l_marked := array_fill(0, ARRAY[p_requests]);
    FOR l_index IN SELECT u.ord FROM unnest(p_mark_subscriptions, p_mark_events)
        WITH ORDINALITY u(subscription, event, ord)
      WHERE EXISTS (SELECT FROM ${schema}.inbox i
        WHERE i.subscription = u.subscription AND i.event = u.event)
    LOOP
      l_marked[p_mark_requests[l_index]] := l_index;
    END LOOP;
  END IF;`;
}

function checks(schema: string): string {
  return `
  IF l_appends + l_writes + l_guards > 0 OR l_known IS NOT NULL OR l_marked IS NOT NULL THEN
  FOR l_request IN 1..p_requests LOOP
    l_failure := NULL;
    l_first_append := l_append;
    l_first_write := l_write;
    IF l_known IS NOT NULL AND l_request = ANY (l_known) THEN
      l_failure := format('[%s,"known"]', l_request);
    END IF;
${appendChecks}
${slotChecks}
    IF l_failure IS NULL AND l_marked IS NOT NULL AND l_marked[l_request] > 0 THEN
      l_failure := format('[%s,"mark",%s]', l_request, l_marked[l_request]);
    END IF;
    IF l_guard <= l_guards AND p_guard_requests[l_guard] = l_request THEN
      IF l_failure IS NULL THEN
        l_verdict := ${schema}.settle_guard(p_guards[l_guard]);
        IF l_verdict <> 'ok' THEN
          l_failure := format('[%s,"guard",%s]', l_request, to_json(l_verdict));
        END IF;
      END IF;
      l_guard := l_guard + 1;
    END IF;
    IF l_failure IS NOT NULL THEN
      -- What the request has counted is taken back, the last first.
      FOR l_undo IN REVERSE l_append - 1..l_first_append LOOP
        l_versions[p_append_streams[l_undo]] := l_starts[l_undo];
      END LOOP;
      FOR l_undo IN REVERSE l_write - 1..l_first_write LOOP
        l_slot_versions[p_write_slots[l_undo]] := l_write_versions[l_undo];
        l_slot_writes[p_write_slots[l_undo]] := l_write_before[l_undo];
      END LOOP;
      l_ok[l_request] := false;
      l_failures := l_failures || CASE WHEN l_failed THEN ',' ELSE '' END || l_failure;
      l_failed := true;
    END IF;
  END LOOP;
  END IF;`;
}

/** Each append against its stream, as those before it in the batch leave it. */
const appendChecks = `
    WHILE l_append <= l_appends AND p_append_requests[l_append] = l_request LOOP
      l_index := p_append_streams[l_append];
      l_starts[l_append] := l_versions[l_index];
      IF l_failure IS NULL AND p_append_expected[l_append] >= 0
          AND p_append_expected[l_append] <> l_versions[l_index] THEN
        l_failure := format('[%s,"stream",%s,%s]', l_request, l_append, l_versions[l_index]);
      END IF;
      l_versions[l_index] := l_versions[l_index] + p_append_counts[l_append];
      l_append := l_append + 1;
    END LOOP;`;

/** The same for slots. */
const slotChecks = `
    WHILE l_write <= l_writes AND p_write_requests[l_write] = l_request LOOP
      l_index := p_write_slots[l_write];
      l_write_versions[l_write] := l_slot_versions[l_index];
      l_write_before[l_write] := l_slot_writes[l_index];
      IF l_failure IS NULL AND p_write_expected[l_write] >= 0
          AND p_write_expected[l_write] <> l_slot_versions[l_index] THEN
        l_failure := format('[%s,"slot",%s,%s]', l_request, l_write, l_slot_versions[l_index]);
      END IF;
      l_slot_versions[l_index] :=
        CASE WHEN p_write_values[l_write] IS NULL THEN 0 ELSE l_slot_versions[l_index] + 1 END;
      l_slot_writes[l_index] := l_write;
      l_write := l_write + 1;
    END LOOP;`;

function writes(schema: string): string {
  return `
  -- A conflict may be the repetition of what has been written: ids are looked at before versions.
  IF l_failed AND l_known IS NULL AND EXISTS (
      SELECT FROM unnest(p_ids, p_event_requests) u(id, request) WHERE NOT l_ok[u.request]
        AND EXISTS (SELECT FROM ${schema}.events e WHERE e.id = u.id)) THEN
    RAISE unique_violation;
  END IF;
  IF p_removals IS NOT NULL THEN
    DELETE FROM ${schema}.events e USING unnest(p_removals, p_removal_requests) u(position, request)
      WHERE e.position = u.position AND l_ok[u.request];
  END IF;
  IF l_appends > 0 THEN
    IF 0 < ANY (l_stream_nos) THEN
      UPDATE ${schema}.streams s SET version = u.version
        FROM unnest(l_stream_nos, l_versions, l_versions_before) u(no, version, before)
        WHERE s.no = u.no AND u.version <> u.before;
    END IF;
    IF 0 = ANY (l_stream_nos) THEN
      SELECT array_agg(CASE WHEN u.no = 0 AND u.version > 0
          THEN nextval('${schema}.streams_no_seq') ELSE u.no END ORDER BY u.ord) INTO l_stream_nos
        FROM unnest(l_stream_nos, l_versions) WITH ORDINALITY u(no, version, ord);
      INSERT INTO ${schema}.streams (no, version, name) OVERRIDING SYSTEM VALUE
        SELECT u.no, u.version, u.name
        FROM unnest(l_stream_nos, l_versions, l_versions_before, p_streams)
          u(no, version, before, name)
        WHERE u.no > 0 AND u.before = 0 AND u.version > 0;
    END IF;
  END IF;
  IF l_events > 0 THEN
    l_base := nextval('${schema}.positions');
    IF l_events > 1 THEN PERFORM setval('${schema}.positions', l_base + l_events - 1); END IF;
    INSERT INTO ${schema}.events (position, recorded_at, timestamp, deliver_at, stream, id,
        correlation, causation, version, flags, rank, type, source, key, schema, extra, payload)
      SELECT l_base + u.ord - 1, l_at, u.timestamp, u.deliver_at,
        CASE WHEN u.append > 0 THEN l_stream_nos[p_append_streams[u.append]] END, u.id,
        u.correlation, u.causation, CASE WHEN u.append > 0 THEN l_starts[u.append] + u.index END,
        u.flags, u.rank, u.type, u.source, u.key, u.schema, u.extra, u.payload
      FROM unnest(p_timestamps, p_deliver_ats, p_ids, p_correlations, p_causations, p_flags,
          p_ranks, p_types, p_sources, p_keys, p_schemas, p_extras, p_payloads, p_event_requests,
          p_event_appends, p_event_indexes)
        WITH ORDINALITY u(timestamp, deliver_at, id, correlation, causation, flags, rank, type,
          source, key, schema, extra, payload, request, append, index, ord)
      WHERE NOT l_failed OR l_ok[u.request];
  END IF;${writeRest(schema)}`;
}

/** Slots and marks, the announcement and the answer. */
function writeRest(schema: string): string {
  return `
  IF l_writes > 0 THEN
    INSERT INTO ${schema}.slots (name, version, value)
      SELECT u.name, u.version, p_write_values[u.write]
      FROM unnest(p_slots, l_slot_versions, l_slot_writes) u(name, version, write)
      WHERE u.write > 0 AND p_write_values[u.write] IS NOT NULL
      ON CONFLICT (name) DO UPDATE SET version = excluded.version, value = excluded.value;
    DELETE FROM ${schema}.slots s USING unnest(p_slots, l_slot_writes) u(name, write)
      WHERE u.write > 0 AND p_write_values[u.write] IS NULL AND s.name = u.name;
  END IF;
  IF p_mark_requests IS NOT NULL THEN
    INSERT INTO ${schema}.inbox (subscription, event, marked_at)
      SELECT u.subscription, u.event, l_at
      FROM unnest(p_mark_requests, p_mark_subscriptions, p_mark_events)
        u(request, subscription, event)
      WHERE l_ok[u.request];
  END IF;
  IF true = ANY (l_ok) THEN${announce(schema, "coalesce(l_base + l_events - 1, 0)")}
  END IF;
  l_answer := format('{"base":%s,"head":%s,"at":%s,"starts":%s,"failed":[%s]}',
    coalesce(l_base, 0), l_head, l_at, to_json(l_starts), l_failures);
  IF p_batch IS NOT NULL THEN${remember(schema)}
  END IF;
  RETURN l_answer;`;
}

/** SQL that calls it, with one parameter for each. */
export function commitCall(schema: string): string {
  const places = commitParameters.map(([, type], index) => `$${index + 1}::${type}`).join(", ");
  return `SELECT ${schema}.commit_batch(${places})`;
}
