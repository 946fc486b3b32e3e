import { CadreError } from "../../core/errors.ts";
import type { ConsumeSpec, GroupState, OnRetry } from "../../bus/transport.ts";
import type { Connection, Row } from "./connection.ts";
import { headOf } from "./log-reader.ts";
import { toPosition } from "./recorded.ts";

/** A group as the file has it. */
export interface Group {
  readonly no: number;
  readonly name: string;
  readonly definition: string;
  readonly ordered: OnRetry | undefined;
  readonly patterns: readonly string[];
}

const selection = "SELECT no, name, definition, ordered, patterns";

export function findGroup(connection: Connection, name: string): Group | undefined {
  const row = connection.sql(`${selection} FROM groups WHERE name = ?`).get(name);
  return row && toGroup(row);
}

function toGroup([no, name, definition, ordered, patterns]: Row): Group {
  return {
    no: Number(no),
    name: String(name),
    definition: String(definition),
    ordered: isOrder(ordered) ? ordered : undefined,
    patterns: JSON.parse(String(patterns)) as string[], // written below
  };
}

function isOrder(value: unknown): value is OnRetry {
  return value === "block" || value === "park-key" || value === "skip";
}

/**
 * The group of `spec`, made where there is none. Inside a transaction.
 *
 * @param start the position after which a new group begins
 * @throws {CadreError} GROUP_MISMATCH, when the group has another definition
 */
export function joinGroup(connection: Connection, spec: ConsumeSpec, start: () => number): Group {
  const found = findGroup(connection, spec.subscription);
  if (found) return assertSameGroup(found, spec);
  connection
    .sql("INSERT INTO groups (name, definition, ordered, patterns, cursor) VALUES (?, ?, ?, ?, ?)")
    .run(
      spec.subscription,
      spec.definition,
      spec.ordered ?? null,
      JSON.stringify(spec.patterns),
      start(),
    );
  return findGroup(connection, spec.subscription)!;
}

/** The group, if `spec` says the same. @throws {CadreError} GROUP_MISMATCH */
export function assertSameGroup(group: Group, spec: ConsumeSpec): Group {
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

/**
 * Where the group is: events up to here have been turned into deliveries. `undefined` when the
 * group is gone.
 */
export function cursorOf(connection: Connection, group: number): number | undefined {
  const row = connection.sql("SELECT cursor FROM groups WHERE no = ?").get(group);
  return row && Number(row[0]);
}

export function moveCursor(connection: Connection, group: number, cursor: number): void {
  connection.sql("UPDATE groups SET cursor = ? WHERE no = ?").run(cursor, group);
}

/** What is known of all groups, by name. */
export function listGroups(connection: Connection): GroupState[] {
  const head = headOf(connection);
  const rows = connection
    .sql(
      `${selection}, cursor, (SELECT count(*) FROM deliveries WHERE group_no = no)
       FROM groups ORDER BY name`,
    )
    .all();
  return rows.map((row) => {
    const { name, definition, ordered } = toGroup(row);
    const cursor = Number(row[5]);
    return {
      name,
      definition: describe(definition, ordered),
      position: toPosition(cursor),
      behind: Math.max(0, head - cursor),
      open: Number(row[6]),
    };
  });
}

/** Deletes the group, its place and its deliveries. */
export function dropGroup(connection: Connection, name: string): void {
  const group = findGroup(connection, name);
  if (!group) return;
  connection.sql("DELETE FROM deliveries WHERE group_no = ?").run(group.no);
  connection.sql("DELETE FROM groups WHERE no = ?").run(group.no);
}
