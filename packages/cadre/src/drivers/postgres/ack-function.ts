import { byIndex } from "./by-index.ts";
import { recall, remember, setDurability, takeWritersTurn } from "./log-turn.ts";

/**
 * Acks deliveries and writes the marks of their handled events, in one transaction that takes no
 * turn in the log. What has a key, is another's by now, or is not there, is left alone: the answer
 * tells its place, and `commit_batch` what is wrong with it. A mark that is there already is an
 * error, and nothing is written.
 */
export function ackFunction(schema: string): string {
  return `
CREATE FUNCTION ${schema}.ack(
  p_owner bigint, p_groups bigint[], p_places bigint[], p_copies integer[], p_tokens bigint[],
  p_names text[], p_events uuid[], p_durable boolean, p_writer uuid, p_batch bigint
) RETURNS text LANGUAGE plpgsql
${byIndex}
AS $body$
DECLARE
  l_batch bigint;
  l_answer text;
  l_at bigint;
  l_done bigint[];
BEGIN
${takeWritersTurn}
${recall(schema)}
${setDurability}
  l_at := ${schema}.now_ms();
  WITH acked AS (
    DELETE FROM ${schema}.deliveries d
    USING unnest(p_groups, p_places, p_copies, p_tokens, p_names, p_events)
      WITH ORDINALITY AS a (group_no, position, copy, token, name, event, item)
    WHERE d.group_no = a.group_no AND d.position = a.position AND d.copy = a.copy
      AND d.owner = p_owner AND d.token = a.token AND d.state = 1 AND d.key IS NULL
    RETURNING a.item, a.name, a.event
  ), marked AS (
    INSERT INTO ${schema}.inbox (subscription, event, marked_at)
      SELECT name, event, l_at FROM acked WHERE name IS NOT NULL
  )
  SELECT array_agg(item) INTO l_done FROM acked;
  IF cardinality(l_done) = cardinality(p_places) THEN
    l_answer := '[]';
  ELSE
    SELECT to_json(array_agg(item)) INTO l_answer FROM generate_subscripts(p_places, 1) AS item
      WHERE l_done IS NULL OR NOT item = ANY (l_done);
  END IF;
${remember(schema)}
  RETURN l_answer;
END $body$;
`;
}
