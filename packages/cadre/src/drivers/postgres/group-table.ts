import { CadreError } from "../../core/errors.ts";
import type { ConsumeSpec, GroupState, OnRetry } from "../../bus/transport.ts";
import { textArray } from "./array-literal.ts";
import type { Parameter, Row } from "./client.ts";
import type { Connection } from "./connection.ts";
import { channelOf } from "./log-turn.ts";
import { startSql } from "./group-start.ts";
import { serverPatterns } from "./group-patterns.ts";
import { toPosition } from "./recorded.ts";
import { fromStoredText, toStoredText } from "./stored-text.ts";

/** A group as the log has it. */
export interface Group {
  readonly no: number;
  readonly name: string;
  readonly definition: string;
  readonly ordered: OnRetry | undefined;
}

export async function findGroup(connection: Connection, name: string): Promise<Group | undefined> {
  const { schema } = connection.settings;
  const text = `SELECT no, name, definition, ordered FROM ${schema}.groups WHERE name = $1`;
  const [row] = await connection.query(text, [toStoredText(name)]);
  return row && toGroup(row);
}

function toGroup([no, name, definition, ordered]: Row): Group {
  return {
    no: Number(no),
    name: fromStoredText(String(name)),
    definition: fromStoredText(String(definition)),
    ordered: isOrder(ordered) ? ordered : undefined,
  };
}

function isOrder(value: unknown): value is OnRetry {
  return value === "block" || value === "park-key" || value === "skip";
}

/**
 * The group of `spec`, made where there is none: then it begins where the log ends in that moment,
 * or where `spec` says.
 *
 * @throws {CadreError} GROUP_MISMATCH, when the group has another definition
 * @throws {CadreError} INVALID_OPTION, when it should start after what is no position
 */
export async function joinGroup(connection: Connection, spec: ConsumeSpec): Promise<Group> {
  const found = await findGroup(connection, spec.subscription);
  if (found) return assertSameGroup(found, spec);
  const { schema } = connection.settings;
  const { exact, regex } = serverPatterns(spec.patterns);
  const start = startSql(schema, spec.from, 7);
  const values: Parameter[] = [
    toStoredText(spec.subscription),
    toStoredText(spec.definition),
    spec.ordered ?? null,
    JSON.stringify(spec.patterns),
    textArray(exact),
    regex,
    ...start.values,
  ];
  await connection.query(
    `INSERT INTO ${schema}.groups (name, definition, ordered, patterns, exact, regex, cursor)
     SELECT $1, $2, $3, $4, $5::text[], $6, ${start.sql} ON CONFLICT (name) DO NOTHING`,
    values,
  );
  const made = await findGroup(connection, spec.subscription);
  if (made) return assertSameGroup(made, spec);
  return joinGroup(connection, spec); // somebody deleted it in between
}

/** The group, if `spec` says the same. @throws {CadreError} GROUP_MISMATCH */
function assertSameGroup(group: Group, spec: ConsumeSpec): Group {
  const expected = describe(group.definition, group.ordered);
  const actual = describe(spec.definition, spec.ordered);
  if (expected === actual) return group;
  throw new CadreError(
    "GROUP_MISMATCH",
    `Group "${group.name}" is defined as ${expected}, and this member says ${actual}. ` +
      "Give all members one definition, use another group name, or forget this group, and what " +
      `it had not handled, with: cadre groups delete ${group.name} --yes`,
    { group: group.name, expected, actual },
  );
}

function describe(definition: string, ordered: OnRetry | undefined): string {
  return ordered === undefined ? definition : `${definition}, ordered: ${ordered}`;
}

/** What is known of all groups, by name. */
export async function listGroups(connection: Connection): Promise<GroupState[]> {
  const { schema } = connection.settings;
  const rows = await connection.query(
    `SELECT no, name, definition, ordered, cursor,
       (SELECT coalesce(max(position), 0) FROM ${schema}.events),
       (SELECT count(*) FROM ${schema}.deliveries WHERE group_no = no)
     FROM ${schema}.groups ORDER BY name`,
    [],
  );
  return rows.map((row) => {
    const { name, definition, ordered } = toGroup(row);
    const [cursor, head, open] = row.slice(4).map(Number) as [number, number, number];
    return {
      name,
      definition: describe(definition, ordered),
      position: toPosition(cursor),
      behind: Math.max(0, head - cursor),
      open,
    };
  });
}

/** Deletes the group, its place and its deliveries. */
export async function dropGroup(connection: Connection, name: string): Promise<void> {
  const { schema } = connection.settings;
  await connection.transaction(async (session) => {
    // The lock keeps claims away: what they make after it would be left behind.
    const [row] = await session.query(
      `SELECT no FROM ${schema}.groups WHERE name = $1 FOR UPDATE`,
      [toStoredText(name)],
    );
    if (!row) return;
    const no = Number(row[0]);
    await session.query(`DELETE FROM ${schema}.deliveries WHERE group_no = $1`, [no]);
    await session.query(`DELETE FROM ${schema}.groups WHERE no = $1`, [no]);
    await session.query("SELECT pg_notify($1, $2)", [channelOf(schema), `group ${no}`]);
  });
}
