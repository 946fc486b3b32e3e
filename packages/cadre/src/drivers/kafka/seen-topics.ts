import type { Cluster } from "./cluster.ts";
import type { TopicPlan } from "./topics.ts";

/** The topics of a plan that were seen, with how many partitions they had. */
export class SeenTopics {
  readonly #cluster: Cluster;
  readonly #plan: TopicPlan;
  readonly #seen = new Set<string>();

  constructor(cluster: Cluster, plan: TopicPlan) {
    this.#cluster = cluster;
    this.#plan = plan;
  }

  /** Whether some have come, or have more partitions, since it was asked last. */
  haveChanged(): boolean {
    const before = this.#seen.size;
    for (const topic of this.#cluster.topics) {
      if (!this.#plan.takes(topic)) continue;
      this.#seen.add(`${topic}/${this.#cluster.partitionsOf(topic)}`);
    }
    return this.#seen.size > before;
  }
}
