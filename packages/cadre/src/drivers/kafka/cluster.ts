/**
 * The brokers: which there are, who leads which partition, and the connections to them.
 *
 * A connection answers one request after the other, and some wait: a fetch for what comes, a join
 * for the other members. So each purpose has connections of its own, made when they are needed and
 * made again when they break.
 */
import { CadreError } from "../../core/errors.ts";
import type { KafkaBrokerLike, KafkaConnectionLike } from "./client.ts";
import { deepest, forCaller, isPassing, KafkaRefusal, codes, timeoutError } from "./kafka-error.ts";
import type { Settings } from "./kafka-options.ts";
import type { Protocol } from "./library.ts";

/** Opens a connection. */
export type Connector = (broker: KafkaBrokerLike) => Promise<KafkaConnectionLike>;

export interface ClusterParts {
  readonly protocol: Protocol;
  readonly settings: Settings;
  /** For messages. */
  readonly url: string;
  readonly bootstrap: readonly KafkaBrokerLike[];
  readonly connect: Connector;
}

type Purpose = string;

const firstPauseMs = 30;
const mostPauseMs = 500;

export class Cluster {
  readonly protocol: Protocol;
  readonly settings: Settings;
  readonly url: string;
  readonly #parts: ClusterParts;
  readonly #connections = new Map<string, Promise<KafkaConnectionLike>>();
  readonly #brokers = new Map<number, KafkaBrokerLike>();
  /** Leaders by partition. */
  readonly #topics = new Map<string, readonly number[]>();
  readonly #coordinators = new Map<string, number>();
  readonly #creating = new Map<string, Promise<void>>();
  readonly #listeners = new Set<() => void>();
  #ended = false;

  constructor(parts: ClusterParts) {
    this.#parts = parts;
    this.protocol = parts.protocol;
    this.settings = parts.settings;
    this.url = parts.url;
  }

  get ended(): boolean {
    return this.#ended;
  }

  /** Told when topics or partitions were found that were not known. */
  onTopics(listener: () => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  get nodes(): readonly number[] {
    return [...this.#brokers.keys()];
  }

  /** The topics that are known here. */
  get topics(): readonly string[] {
    return [...this.#topics.keys()];
  }

  partitionsOf(topic: string): number {
    return this.#topics.get(topic)?.length ?? 0;
  }

  leaderOf(topic: string, partition: number): number | undefined {
    const leader = this.#topics.get(topic)?.[partition];
    return leader === undefined || leader < 0 ? undefined : leader;
  }

  /** Whether there is somebody to ask for what it holds. */
  isLed({ topic, partition }: { readonly topic: string; readonly partition: number }): boolean {
    return this.leaderOf(topic, partition) !== undefined;
  }

  async end(): Promise<void> {
    this.#ended = true;
    const open = [...this.#connections.values()];
    this.#connections.clear();
    await Promise.all(
      open.map(async (opening) => {
        const connection = await opening.catch(() => undefined);
        await connection?.close().catch(() => {}); // it may just have broken
      }),
    );
  }

  /** Ends the connections of one purpose. */
  async hangUp(purpose: Purpose): Promise<void> {
    for (const [name, opening] of [...this.#connections]) {
      if (!name.endsWith(`/${purpose}`)) continue;
      this.#connections.delete(name);
      const connection = await opening.catch(() => undefined);
      await connection?.close().catch(() => {}); // it may just have broken
    }
  }

  /** Sends one request to a broker, or to whichever can be reached. */
  async ask<Answer>(
    to: { readonly node?: number; readonly purpose?: Purpose; readonly timeoutMs?: number },
    what: string,
    send: (connection: KafkaConnectionLike) => Promise<Answer>,
  ): Promise<Answer> {
    const { purpose = "orders", timeoutMs = this.settings.requestTimeoutMs } = to;
    const name = `${to.node ?? "any"}/${purpose}`;
    let connection: KafkaConnectionLike | undefined;
    let cancel = (): void => {};
    const late = new Promise<never>((_, reject) => {
      const error = timeoutError(this.url, what, timeoutMs);
      cancel = this.settings.clock.after(timeoutMs, () => reject(error));
    });
    const asking = (async () => {
      connection = await this.#connection(name, to.node);
      return send(connection);
    })();
    try {
      return await Promise.race([asking, late]);
    } catch (error) {
      asking.catch(() => {}); // told already: it is late
      // What comes next on this connection would wait for what did not answer.
      void connection?.close().catch(() => {}); // it may just have broken
      throw error;
    } finally {
      cancel();
    }
  }

  /** Runs `operation` again, with pauses, while it fails for reasons that pass. */
  async patiently<Result>(
    what: string,
    operation: () => Promise<Result>,
    forMs: number = this.settings.requestTimeoutMs,
  ): Promise<Result> {
    const { clock } = this.settings;
    const end = clock.monotonic() + forMs;
    for (let pauseMs = firstPauseMs; ; pauseMs = Math.min(pauseMs * 2, mostPauseMs)) {
      try {
        return await operation();
      } catch (error) {
        const isOver = this.#ended || clock.monotonic() + pauseMs > end;
        if (isOver || !isPassing(error)) throw forCaller(error, this.url, what);
        await clock.sleep(pauseMs);
      }
    }
  }

  /** Learns the brokers, and the topics of these names; of all that there are without names. */
  async refresh(names?: readonly string[]): Promise<void> {
    const answer = await this.ask({}, "which topics there are", (connection) =>
      this.protocol.metadata(connection, names ? [...names] : null, false, false),
    );
    this.#brokers.clear();
    for (const { nodeId, host, port } of answer.brokers) this.#brokers.set(nodeId, { host, port });
    let isNew = false;
    for (const { name, errorCode, partitions, isInternal } of answer.topics) {
      if (typeof name !== "string" || isInternal) continue;
      if (errorCode !== 0) {
        if (errorCode === codes.unknownTopic) this.#topics.delete(name);
        continue;
      }
      const leaders: number[] = [];
      for (const { partitionIndex, leaderId } of partitions) leaders[partitionIndex] = leaderId;
      if (leaders.length !== this.partitionsOf(name)) isNew = true;
      this.#topics.set(name, leaders);
    }
    if (isNew) for (const listener of [...this.#listeners]) listener();
  }

  /** Resolves when the topic is there and its partitions have leaders; makes it if it is not. */
  async ensureTopic(
    name: string,
    wanted: { readonly partitions: number; readonly config: Readonly<Record<string, string>> },
  ): Promise<void> {
    if (this.#hasLeaders(name)) return;
    let creating = this.#creating.get(name);
    if (!creating) {
      creating = this.patiently(`make topic ${name}`, () => this.#create(name, wanted));
      this.#creating.set(name, creating);
      const forget = (): void => void this.#creating.delete(name);
      creating.then(forget, forget);
    }
    await creating;
  }

  #hasLeaders(name: string): boolean {
    const leaders = this.#topics.get(name);
    return leaders !== undefined && leaders.every((leader) => leader >= 0);
  }

  async #create(
    name: string,
    wanted: { readonly partitions: number; readonly config: Readonly<Record<string, string>> },
  ): Promise<void> {
    await this.refresh([name]);
    if (!this.#topics.has(name)) {
      const topic = {
        name,
        numPartitions: wanted.partitions,
        replicationFactor: this.settings.replication,
        assignments: [],
        configs: Object.entries(wanted.config).map(([key, value]) => ({ name: key, value })),
      };
      const answer = await this.ask({}, `make topic ${name}`, (connection) =>
        this.protocol.createTopics(connection, [topic], this.settings.requestTimeoutMs, false),
      );
      const { errorCode, errorMessage } = answer.topics[0]!;
      if (errorCode !== 0 && errorCode !== codes.topicExists) {
        throw new KafkaRefusal(errorCode, errorMessage ?? `make topic ${name}`);
      }
      await this.refresh([name]);
    }
    if (!this.#hasLeaders(name)) throw new KafkaRefusal(5, `topic ${name}`);
  }

  /** The broker that keeps a group. */
  async coordinatorOf(group: string): Promise<number> {
    const known = this.#coordinators.get(group);
    if (known !== undefined) return known;
    const answer = await this.ask({}, "who keeps the group", (connection) =>
      this.protocol.findCoordinator(connection, 0, [group]),
    );
    const { nodeId, host, port, errorCode } = answer.coordinators[0]!;
    if (errorCode !== 0) throw new KafkaRefusal(errorCode, `who keeps group ${group}`);
    this.#brokers.set(nodeId, { host, port });
    this.#coordinators.set(group, nodeId);
    return nodeId;
  }

  /** The group's keeper has moved, or did not answer. */
  forgetCoordinator(group: string): void {
    this.#coordinators.delete(group);
  }

  /** One that has broken since is made anew. */
  async #connection(name: string, node: number | undefined): Promise<KafkaConnectionLike> {
    for (;;) {
      let opening = this.#connections.get(name);
      if (!opening) {
        opening = this.#open(node);
        this.#connections.set(name, opening);
      }
      try {
        const connection = await opening;
        if (connection.isConnected()) return connection;
        if (this.#connections.get(name) === opening) this.#connections.delete(name);
      } catch (error) {
        if (this.#connections.get(name) === opening) this.#connections.delete(name);
        throw error;
      }
    }
  }

  async #open(node: number | undefined): Promise<KafkaConnectionLike> {
    if (this.#ended) throw new CadreError("CLOSED", "The connection is closed.", { what: "kafka" });
    if (node !== undefined) {
      const broker = this.#brokers.get(node);
      if (broker) return this.#keep(await this.#parts.connect(broker));
    }
    const brokers = [...this.#parts.bootstrap, ...this.#brokers.values()];
    const tried: string[] = [];
    let cause: unknown;
    for (const broker of brokers) {
      try {
        return await this.#keep(await this.#parts.connect(broker));
      } catch (error) {
        cause = error;
        tried.push(`${broker.host}:${broker.port} (${deepest(error)})`);
      }
    }
    throw new Error(`no broker answers: ${[...new Set(tried)].join(", ")}`, { cause });
  }

  /** One that was opened while all were closed is closed at once. */
  async #keep(connection: KafkaConnectionLike): Promise<KafkaConnectionLike> {
    if (!this.#ended) return connection;
    await connection.close().catch(() => {}); // it may just have broken
    throw new CadreError("CLOSED", "The connection is closed.", { what: "kafka" });
  }
}
