/** What all parts of one transport share: the cluster, the producer, the driver's own topics. */
import type { Cluster } from "./cluster.ts";
import { GroupRecords } from "./group-records.ts";
import type { Settings } from "./kafka-options.ts";
import { Producer } from "./producer.ts";
import { internalTopic, topicOf } from "./topics.ts";
import { reservedBytes } from "./wire.ts";

const mostTypes = 1_000; // whose topics are remembered; types may carry ids
const copiesKeptMs = 30 * 24 * 3_600_000; // longer than any delay

export const defaultMaxBytes = 1_048_588; // the broker's own, until it has said another

export class Session {
  readonly cluster: Cluster;
  readonly settings: Settings;
  readonly producer: Producer;
  readonly groups: GroupRecords;
  #messageBytes: number;
  /** By type. */
  readonly #topics = new Map<string, string>();

  private constructor(cluster: Cluster, messageBytes: number) {
    this.cluster = cluster;
    this.settings = cluster.settings;
    this.#messageBytes = messageBytes;
    this.producer = new Producer(cluster, () => this.#messageBytes);
    this.groups = new GroupRecords(this);
  }

  static async open(cluster: Cluster): Promise<Session> {
    const session = new Session(cluster, await maxMessageBytes(cluster));
    const { partitions } = cluster.settings;
    await Promise.all([
      session.#make("groups", 1, compacted),
      session.#make("letters", 1, {
        ...compacted,
        "max.message.bytes": String(session.maxLetterBytes + reservedBytes),
      }),
      session.#make("copies", partitions, {
        "retention.ms": String(copiesKeptMs),
        // Others' events may be as large as the broker takes.
        "max.message.bytes": String(session.#messageBytes + reservedBytes),
        "message.timestamp.type": "LogAppendTime",
      }),
    ]);
    return session;
  }

  get url(): string {
    return this.cluster.url;
  }

  /** Largest encoded event. */
  get maxEventBytes(): number {
    return this.#messageBytes - reservedBytes;
  }

  /** Largest dead letter: also what holds no event is kept, as base64. */
  get maxLetterBytes(): number {
    return this.#messageBytes * 2;
  }

  /** The topic of events of `type`, whether it is there or not. */
  topicOf(type: string): string {
    const known = this.#topics.get(type);
    if (known !== undefined) return known;
    const topic = topicOf(this.settings, type);
    if (this.#topics.size >= mostTypes) this.#topics.clear();
    this.#topics.set(type, topic);
    return topic;
  }

  /** The topic of events of `type`, where it is known to be there. */
  knownTopicFor(type: string): string | undefined {
    const topic = this.topicOf(type);
    return this.cluster.partitionsOf(topic) > 0 ? topic : undefined;
  }

  /** The topic of events of `type`, made if it is missing. */
  async topicFor(type: string): Promise<string> {
    const { partitions, maxAgeMs } = this.settings;
    const topic = topicOf(this.settings, type);
    const config = {
      "retention.ms": String(maxAgeMs === 0 ? -1 : maxAgeMs),
      "message.timestamp.type": "LogAppendTime", // one clock for a topic, not one a publisher
    };
    await this.cluster.ensureTopic(topic, { partitions, config });
    return topic;
  }

  async end(): Promise<void> {
    await this.producer.close();
    await this.cluster.end();
  }

  #make(
    kind: "groups" | "copies" | "letters",
    partitions: number,
    config: Readonly<Record<string, string>>,
  ): Promise<void> {
    return this.cluster.ensureTopic(internalTopic(this.settings, kind), { partitions, config });
  }
}

const compacted = { "cleanup.policy": "compact" };

/** What the broker takes. One that does not tell is taken for as it comes. */
async function maxMessageBytes(cluster: Cluster): Promise<number> {
  try {
    const [node] = cluster.nodes;
    if (node === undefined) return defaultMaxBytes;
    const broker = { resourceType: 4, resourceName: String(node) } as const;
    const name = "message.max.bytes";
    const answer = await cluster.ask({ node }, "its limits", (connection) =>
      cluster.protocol.describeConfigs(
        connection,
        [{ ...broker, configurationKeys: [name] }],
        false,
        false,
      ),
    );
    const value = Number(answer.results[0]?.configs.find((config) => config.name === name)?.value);
    return Number.isSafeInteger(value) && value > reservedBytes ? value : defaultMaxBytes;
  } catch {
    return defaultMaxBytes; // reading a broker's settings may not be allowed
  }
}
