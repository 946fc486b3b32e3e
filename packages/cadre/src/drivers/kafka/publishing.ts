import type { Outgoing, PublishResult } from "../../bus/transport.ts";
import { CadreError } from "../../core/errors.ts";
import type { AgentEvent } from "../../core/event.ts";
import { direct, directedPartition } from "./copies.ts";
import { forCaller } from "./kafka-error.ts";
import type { Session } from "./session.ts";
import { partitionOfKey } from "./topics.ts";
import { toPosition } from "./wire.ts";

/** Where a topic's events without a key go now. */
interface Turn {
  partition: number;
  /** Events on their way. */
  open: number;
  sent: number;
}

const mostInTurn = 500;

/**
 * What has no key is spread over the partitions in turns. A turn lasts while anything is on its
 * way: what is published in quick succession stays together, in batches and in order.
 */
export class Publishing {
  readonly #session: Session;
  readonly #turns = new Map<string, Turn>();

  constructor(session: Session) {
    this.#session = session;
  }

  /** All are sent at once, in their order: the answers are waited for together. */
  publish(batch: readonly Outgoing[]): Promise<readonly PublishResult[]> {
    return Promise.all(batch.map((item) => this.#publishOne(item)));
  }

  async #publishOne({ event, to }: Outgoing): Promise<PublishResult> {
    try {
      const place = to ? await this.#direct(event, to) : await this.#send(event);
      const timestamp = this.#session.settings.clock.now();
      return { ok: true, position: toPosition({ ...place, timestamp, id: event.id }) };
    } catch (error) {
      return { ok: false, error: forCaller(error, this.#session.url, "publish") };
    }
  }

  async #send(event: AgentEvent): Promise<{ topic: string; partition: number; offset: number }> {
    const session = this.#session;
    const { format } = session.settings;
    const { value, headers } = format.encode(event, { maxBytes: session.maxEventBytes });
    const topic = session.knownTopicFor(event.type) ?? (await session.topicFor(event.type));
    const { key } = event.metadata;
    const count = session.cluster.partitionsOf(topic);
    const { producer } = session;
    if (key !== undefined) {
      const partition = partitionOfKey(key, count);
      const offset = await producer.send({ topic, partition, key, value, headers });
      return { topic, partition, offset: Math.max(0, offset) };
    }
    const turn = this.#turnOf(topic, count);
    const { partition } = turn;
    turn.open += 1;
    turn.sent += 1;
    try {
      const offset = await producer.send({ topic, partition, value, headers });
      return { topic, partition, offset: Math.max(0, offset) };
    } finally {
      turn.open -= 1;
    }
  }

  #turnOf(topic: string, partitions: number): Turn {
    const known = this.#turns.get(topic);
    if (known && known.open > 0 && known.sent < mostInTurn) return known;
    const { random } = this.#session.settings;
    // Not all publishers begin at the first partition.
    const partition = known ? (known.partition + 1) % partitions : random.integer(partitions);
    const turn = { partition, open: 0, sent: 0 };
    this.#turns.set(topic, turn);
    return turn;
  }

  async #direct(
    event: AgentEvent,
    to: NonNullable<Outgoing["to"]>,
  ): Promise<{ topic: string; partition: number; offset: number }> {
    const session = this.#session;
    const group = await session.groups.find(to.group);
    if (!group) {
      const message =
        `There is no group "${to.group}" at ${session.url}. ` +
        "Subscribe with it first, or fix its name.";
      throw new CadreError("NOT_FOUND", message, { what: "group", id: to.group });
    }
    const offset = await direct(session, event, { group, attempt: to.attempt ?? 1 });
    return { ...directedPartition(session, group), offset: Math.max(0, offset) };
  }
}
