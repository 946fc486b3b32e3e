/**
 * Copies of events for one group alone: what is directed to it, and retries that wait longer than a
 * moment. All groups share one topic; a group reads one partition of it, which its record names: it
 * stays the same when the topic is given more partitions.
 */
import type { AgentEvent } from "../../core/event.ts";
import type { GroupRecord } from "./group-records.ts";
import type { Partition } from "./log-access.ts";
import type { Session } from "./session.ts";
import { internalTopic, partitionOfKey } from "./topics.ts";
import { headerOf, type Read } from "./wire.ts";

/** Where copies for a group that is made now will lie. */
export function newDirectedPartition(session: Session, group: string): Partition {
  const topic = internalTopic(session.settings, "copies");
  const count = Math.max(1, session.cluster.partitionsOf(topic));
  return { topic, partition: partitionOfKey(group, count) };
}

/** Where copies for the group lie. */
export function directedPartition(
  { settings }: Pick<Session, "settings">,
  { copies }: Pick<GroupRecord, "copies">,
): Partition {
  return { topic: internalTopic(settings, "copies"), partition: copies };
}

/** Writes a copy of what was read: as it came, with another attempt and a delay. */
export async function sendCopy(
  session: Session,
  group: GroupRecord,
  { record, recorded }: Read,
  how: { readonly attempt: number; readonly delayMs: number },
): Promise<void> {
  await session.producer.send({
    ...directedPartition(session, group),
    ...(record.key === null ? {} : { key: String(record.key) }),
    value: record.value ?? undefined,
    headers: {
      ...record.headers,
      [headerOf.group]: group.name,
      [headerOf.attempt]: String(how.attempt),
      [headerOf.delay]: String(how.delayMs),
      [headerOf.position]: recorded.position,
      [headerOf.recordedAt]: String(recorded.recordedAt),
    },
  });
}

/** Writes an event for the group alone. Resolves its offset among the copies. */
export async function direct(
  session: Session,
  event: AgentEvent,
  to: { readonly group: GroupRecord; readonly attempt: number },
): Promise<number> {
  const { format } = session.settings;
  const { value, headers } = format.encode(event, { maxBytes: session.maxEventBytes });
  const { key } = event.metadata;
  return session.producer.send({
    ...directedPartition(session, to.group),
    ...(key === undefined ? {} : { key }),
    value,
    headers: {
      ...headers,
      [headerOf.group]: to.group.name,
      [headerOf.attempt]: String(to.attempt),
    },
  });
}
