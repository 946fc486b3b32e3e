/**
 * What most publishes come to: events that belong to no stream, and nothing else. `commit_batch`
 * would do the same at twice the server's time; an id that is in the log already is an error here,
 * and found out there.
 */
import { byIndex } from "./by-index.ts";
import { commitParameters, type CommitParameter } from "./commit-function.ts";
import { announce, lookAtEnd, setDurability, takeTurn } from "./log-turn.ts";

/** The function's parameters in their order: the same as those of `commit_batch`. */
export const appendParameters: readonly CommitParameter[] = [
  "durable",
  "ids",
  "types",
  "sources",
  "timestamps",
  "correlations",
  "causations",
  "payloads",
  "deliver_ats",
  "keys",
  "ranks",
  "schemas",
  "extras",
  "flags",
];

const types = new Map<CommitParameter, string>(commitParameters);

/** SQL that makes the function. */
export function appendFunction(schema: string): string {
  const parameters = appendParameters.map((name) => `p_${name} ${types.get(name)}`).join(", ");
  return `
CREATE FUNCTION ${schema}.append_events(${parameters}) RETURNS text LANGUAGE plpgsql
${byIndex}
AS $body$
DECLARE
  l_events integer := cardinality(p_ids);
  l_head bigint;
  l_at double precision;
  l_base bigint;
BEGIN
${takeTurn(schema)}
${setDurability}
${lookAtEnd(schema)}
  l_base := nextval('${schema}.positions');
  IF l_events > 1 THEN PERFORM setval('${schema}.positions', l_base + l_events - 1); END IF;
${inserts(schema)}
${announce(schema, "l_base + l_events - 1")}
  RETURN format('{"base":%s,"head":%s,"at":%s,"starts":[],"failed":[]}', l_base, l_head, l_at);
END $body$;
`;
}

const plain = [
  ["timestamp", "p_timestamps"],
  ["id", "p_ids"],
  ["correlation", "p_correlations"],
  ["causation", "p_causations"],
  ["type", "p_types"],
  ["source", "p_sources"],
  ["payload", "p_payloads"],
] as const;

const rich = [
  ["deliver_at", "p_deliver_ats"],
  ["key", "p_keys"],
  ["rank", "p_ranks"],
  ["schema", "p_schemas"],
  ["extra", "p_extras"],
  ["flags", "p_flags"],
] as const;

/** Each array is unpacked into memory of its own: those that hold nothing are left out. */
function inserts(schema: string): string {
  return `
  IF p_schemas IS NULL AND p_flags IS NULL THEN
${insert(schema, plain)}
  ELSE
${insert(schema, [...plain, ...rich])}
  END IF;`;
}

function insert(schema: string, columns: readonly (readonly [string, string])[]): string {
  const names = columns.map(([name]) => name).join(", ");
  return `
    INSERT INTO ${schema}.events (position, recorded_at, ${names})
      SELECT l_base + u.ord - 1, l_at, ${columns.map(([name]) => `u.${name}`).join(", ")}
      FROM unnest(${columns.map(([, array]) => array).join(", ")})
        WITH ORDINALITY u(${names}, ord);`;
}

/** SQL that calls it, with one parameter for each. */
export function appendCall(schema: string): string {
  const places = appendParameters.map((name, index) => `$${index + 1}::${types.get(name)}`);
  return `SELECT ${schema}.append_events(${places.join(", ")})`;
}
