/** Groups: a definition that the first member writes, and a place in each stream. */
import type { ConsumeSpec, GroupState } from "../../bus/transport.ts";
import { CadreError } from "../../core/errors.ts";
import { deleteGroupScript, joinScript, listScript } from "./lua-groups.ts";
import type { Session } from "./session.ts";
import { planWanted, type Wanted } from "./topics.ts";
import { startId, toPosition } from "./wire.ts";

/** What is kept of a group. */
export interface GroupRecord extends Wanted {
  readonly definition: string;
  readonly ordered?: string;
}

export function recordOf(spec: ConsumeSpec, session: Session): GroupRecord {
  const { definition, ordered, patterns } = spec;
  const wanted = planWanted(patterns, session.settings);
  return { definition, ...(ordered ? { ordered } : {}), ...wanted };
}

/**
 * Joins the group, or makes it if this is the first member. Returns the mark of the bus: another
 * one later says that it was flushed.
 *
 * @throws {CadreError} GROUP_MISMATCH
 */
export async function joinGroup(
  session: Session,
  group: string,
  record: GroupRecord,
  from: ConsumeSpec["from"],
): Promise<string> {
  const { random, clock } = session.settings;
  const args = [group, JSON.stringify(record), startId(from) ?? "new", random.id(clock.now())];
  const answer = await session.run(`the joining of group "${group}"`, joinScript, args);
  const [kept = "", mark = ""] = (answer as Buffer[]).map(String);
  const found = JSON.parse(kept) as GroupRecord; // written by this function
  if (found.definition === record.definition && found.ordered === record.ordered) return mark;
  const shown = ({ definition, ordered }: GroupRecord): string =>
    ordered === undefined ? definition : `${definition} (ordered: ${ordered})`;
  const [expected, actual] = [shown(found), shown(record)];
  const message =
    `Group "${group}" is defined as ${expected}, and this member says ${actual}. ` +
    "Give all members one definition, use another group name, or forget this group, and what it " +
    `had not handled, with: cadre groups delete ${group} --yes`;
  throw new CadreError("GROUP_MISMATCH", message, { group, expected, actual });
}

export async function deleteGroup(session: Session, group: string): Promise<void> {
  await session.run(`the deletion of group "${group}"`, deleteGroupScript, [group]);
}

/** By name. */
export async function listGroups(session: Session): Promise<GroupState[]> {
  const flat = (await session.run("the list of groups", listScript, [])) as (Buffer | number)[];
  const groups: GroupState[] = [];
  for (let at = 0; at < flat.length; at += 5) {
    const [name, definition, place, behind, open] = flat.slice(at, at + 5);
    groups.push({
      name: String(name),
      definition: String(definition),
      position: toPosition(String(place)),
      ...(Number(behind) < 0 ? {} : { behind: Number(behind) }),
      open: Number(open),
    });
  }
  return groups.sort((left, right) => (left.name < right.name ? -1 : 1));
}
