import type { StartFrom } from "../../bus/transport.ts";
import type { Parameter } from "./client.ts";
import { fromPosition } from "./recorded.ts";

/**
 * SQL of the position after which a subscription starts that begins at `from`; its parameters are
 * numbered from `first`.
 *
 * @throws {CadreError} INVALID_OPTION
 */
export function startSql(
  schema: string,
  from: StartFrom,
  first: number,
): { readonly sql: string; readonly values: readonly Parameter[] } {
  if (from === "new") {
    return { sql: `coalesce((SELECT max(position) FROM ${schema}.events), 0)`, values: [] };
  }
  if (from === "earliest") return { sql: "0::bigint", values: [] };
  if ("after" in from) return { sql: `$${first}::bigint`, values: [fromPosition(from.after)] };
  const sql = `${schema}.position_before($${first}::bigint)`;
  return { sql, values: [Math.ceil(from.time)] };
}
