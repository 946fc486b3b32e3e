/** What the cluster keeps of a group's partitions: offsets, and the marks beside them. */
import { KafkaRefusal } from "./kafka-error.ts";
import { nameOf, type Partition } from "./log-access.ts";
import type { Session } from "./session.ts";

export interface Committed {
  readonly offset: number;
  readonly marks: string | null | undefined;
}

/** By the partition's name; those that never were committed are absent. */
export function committedOffsets(
  session: Session,
  groupId: string,
  partitions: readonly Partition[],
): Promise<Map<string, Committed>> {
  const { cluster } = session;
  const topics = [...Map.groupBy(partitions, ({ topic }) => topic)].map(([name, list]) => ({
    name,
    partitionIndexes: list.map(({ partition }) => partition),
  }));
  return cluster.patiently("where the group is", async () => {
    const found = new Map<string, Committed>();
    if (topics.length === 0) return found;
    try {
      const node = await cluster.coordinatorOf(groupId);
      const answer = await cluster.ask({ node }, "where the group is", (connection) =>
        // Also what has just been committed, and is on its way to the replicas.
        cluster.protocol.offsetFetch(connection, [{ groupId, topics }], true),
      );
      if (answer.errorCode !== 0) throw new KafkaRefusal(answer.errorCode, "where the group is");
      for (const { name: topic, partitions: items } of answer.topics) {
        for (const { partitionIndex: partition, committedOffset, metadata, errorCode } of items) {
          if (errorCode !== 0) throw new KafkaRefusal(errorCode, nameOf({ topic, partition }));
          if (committedOffset < 0n) continue;
          found.set(nameOf({ topic, partition }), {
            offset: Number(committedOffset),
            marks: metadata,
          });
        }
      }
      return found;
    } catch (error) {
      cluster.forgetCoordinator(groupId);
      throw error;
    }
  });
}
