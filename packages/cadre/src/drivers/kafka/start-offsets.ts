/** Where a subscription begins, as offsets. */
import type { StartFrom } from "../../bus/transport.ts";
import { nameOf, offsetsAt, partitionsOf, readPage } from "./log-access.ts";
import type { Session } from "./session.ts";
import { planTopics, type TopicPlan } from "./topics.ts";
import { compareWithPlace, fromPosition, toRead } from "./wire.ts";

/** Learns which topics there are that the patterns may lie on. */
export async function knownTopics(session: Session, plan: TopicPlan): Promise<string[]> {
  const { cluster } = session;
  await cluster.patiently("which topics there are", () => cluster.refresh(plan.names));
  return cluster.topics.filter((topic) => plan.takes(topic));
}

/** First offsets of every partition that is there now, by name. */
export async function startOffsets(
  session: Session,
  patterns: readonly string[],
  from: StartFrom,
): Promise<Map<string, number>> {
  const { cluster } = session;
  const topics = await knownTopics(session, planTopics(session.settings, patterns));
  const partitions = partitionsOf(cluster, topics);
  if (from === "new") return offsetsAt(cluster, partitions, "end");
  if (from === "earliest") return offsetsAt(cluster, partitions, "start");
  if ("time" in from) return offsetsAt(cluster, partitions, { time: from.time });
  const place = fromPosition(from.after);
  const offsets = await offsetsAt(cluster, partitions, { time: place.timestamp });
  for (const partition of partitions) {
    const name = nameOf(partition);
    if (partition.topic === place.topic && partition.partition === place.partition) {
      offsets.set(name, place.offset + 1);
      continue;
    }
    // Of one millisecond, only what comes after it.
    const page = await readPage(cluster, { ...partition, offset: offsets.get(name)! });
    for (const record of page.records) {
      if (compareWithPlace(toRead(record, session.settings.format), place) > 0) break;
      offsets.set(name, record.offset + 1);
    }
  }
  return offsets;
}
