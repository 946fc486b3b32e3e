/** Groups from outside: joining, listing, deleting. */
import type { ConsumeSpec, GroupState } from "../../bus/transport.ts";
import { directedPartition, newDirectedPartition } from "./copies.ts";
import { committedOffsets } from "./group-offsets.ts";
import type { GroupRecord } from "./group-records.ts";
import { codes, KafkaRefusal, passes } from "./kafka-error.ts";
import { nameOf, offsetsAt, partitionsOf } from "./log-access.ts";
import { decodeMarks } from "./marks.ts";
import type { Session } from "./session.ts";
import { knownTopics, startOffsets } from "./start-offsets.ts";
import { planTopics } from "./topics.ts";

/** The consumer group's name on the cluster. */
export function groupIdOf(session: Session, group: string): string {
  return `${session.settings.group}.${group}`;
}

/** The group's record, made by the first member. @throws {CadreError} GROUP_MISMATCH */
export async function joinGroup(session: Session, spec: ConsumeSpec): Promise<GroupRecord> {
  const { settings } = session;
  const definition = spec.ordered ? `${spec.definition} ordered: ${spec.ordered}` : spec.definition;
  return session.groups.join(spec.subscription, definition, async () => {
    await forgetPlace(session, groupIdOf(session, spec.subscription));
    const starts = await startOffsets(session, spec.patterns, spec.from);
    const copies = newDirectedPartition(session, spec.subscription);
    for (const [name, offset] of await offsetsAt(session.cluster, [copies], "end")) {
      starts.set(name, offset);
    }
    return {
      name: spec.subscription,
      incarnation: settings.random.id(settings.clock.now()),
      definition,
      patterns: spec.patterns,
      copies: copies.partition,
      starts: Object.fromEntries(starts),
    };
  });
}

/** A deletion that was cut short has left the offsets: they are not those of the next group. */
async function forgetPlace(session: Session, groupId: string): Promise<void> {
  const { cluster } = session;
  await cluster.patiently(`make group ${groupId}`, async () => {
    const node = await cluster.coordinatorOf(groupId);
    const answer = await cluster.ask({ node }, "delete the group", (connection) =>
      cluster.protocol.deleteGroups(connection, [groupId]),
    );
    const code = answer.results[0]?.errorCode ?? 0;
    // Mostly there is none. One with members is in use; who may not delete has left none so.
    if (!passes(code)) return;
    cluster.forgetCoordinator(groupId);
    throw new KafkaRefusal(code, `make group ${groupId}`);
  });
}

/** By name. */
export async function listGroups(session: Session): Promise<GroupState[]> {
  const states: GroupState[] = [];
  for (const record of await session.groups.list()) {
    states.push({
      name: record.name,
      definition: record.definition,
      ...(await placeOf(session, record)),
    });
  }
  return states.sort((left, right) => (left.name < right.name ? -1 : 1));
}

async function placeOf(
  session: Session,
  record: GroupRecord,
): Promise<{ behind: number; open: number }> {
  const { cluster, settings } = session;
  const topics = await knownTopics(session, planTopics(settings, record.patterns));
  const partitions = [...partitionsOf(cluster, topics), directedPartition(session, record)];
  const ends = await offsetsAt(cluster, partitions, "end");
  const starts = await offsetsAt(cluster, partitions, "start");
  const groupId = groupIdOf(session, record.name);
  const committed = await committedOffsets(session, groupId, partitions);
  let behind = 0;
  let open = 0;
  for (const partition of partitions) {
    const name = nameOf(partition);
    const kept = committed.get(name);
    const base = Math.max(kept?.offset ?? record.starts[name] ?? 0, starts.get(name)!);
    const { done, attempts } = decodeMarks(base, kept?.marks);
    open += attempts.size;
    behind += Math.max(0, ends.get(name)! - base - done.size - attempts.size);
  }
  return { behind, open };
}

/** The definition goes first: members that are still there do not join again. */
export async function deleteGroup(session: Session, group: string): Promise<void> {
  if (await session.groups.find(group)) await session.groups.remove(group);
  const { cluster } = session;
  const groupId = groupIdOf(session, group);
  await cluster.patiently(`delete group ${group}`, async () => {
    const node = await cluster.coordinatorOf(groupId);
    const { groups } = await cluster.ask({ node }, "who is in the group", (connection) =>
      cluster.protocol.describeGroups(connection, [groupId], false),
    );
    const members = (groups[0]?.members ?? []).map(({ memberId }) => ({ memberId }));
    if (members.length > 0) {
      await cluster.ask({ node }, "end the members", (connection) =>
        cluster.protocol.leaveGroup(connection, groupId, members),
      );
    }
    const answer = await cluster.ask({ node }, "delete the group", (connection) =>
      cluster.protocol.deleteGroups(connection, [groupId]),
    );
    const code = answer.results[0]?.errorCode ?? 0;
    if (code === 0 || code === codes.groupNotFound) return;
    // One that was just joining: it hears at its next join that the group is gone.
    throw new KafkaRefusal(code === codes.nonEmptyGroup ? 7 : code, `delete group ${group}`);
  });
}
