import type { Outgoing, PublishResult } from "../../bus/transport.ts";
import { CadreError } from "../../core/errors.ts";
import type { AgentEvent } from "../../core/event.ts";
import { direct, directedPartition } from "./copies.ts";
import { forCaller } from "./kafka-error.ts";
import type { Session } from "./session.ts";
import { partitionOfKey } from "./topics.ts";
import { toPosition } from "./wire.ts";

/** Spreads what has no key: one partition a batch, so that batches stay whole. */
export class Publishing {
  readonly #session: Session;
  #turn = 0;

  constructor(session: Session) {
    this.#session = session;
    this.#turn = session.settings.random.integer(1_000_000); // not all begin at the first partition
  }

  /** All are sent at once, in their order: the answers are waited for together. */
  publish(batch: readonly Outgoing[]): Promise<readonly PublishResult[]> {
    this.#turn += 1;
    const turn = this.#turn;
    return Promise.all(batch.map((item) => this.#publishOne(item, turn)));
  }

  async #publishOne({ event, to }: Outgoing, turn: number): Promise<PublishResult> {
    try {
      const place = to ? await this.#direct(event, to) : await this.#send(event, turn);
      const timestamp = this.#session.settings.clock.now();
      return { ok: true, position: toPosition({ ...place, timestamp, id: event.id }) };
    } catch (error) {
      return { ok: false, error: forCaller(error, this.#session.url, "publish") };
    }
  }

  async #send(
    event: AgentEvent,
    turn: number,
  ): Promise<{ topic: string; partition: number; offset: number }> {
    const session = this.#session;
    const { format } = session.settings;
    const { value, headers } = format.encode(event, { maxBytes: session.maxEventBytes });
    const topic = session.knownTopicFor(event.type) ?? (await session.topicFor(event.type));
    const { key } = event.metadata;
    const count = session.cluster.partitionsOf(topic);
    const partition = key === undefined ? turn % count : partitionOfKey(key, count);
    const keyed = key === undefined ? {} : { key };
    const offset = await session.producer.send({ topic, partition, ...keyed, value, headers });
    return { topic, partition, offset: Math.max(0, offset) };
  }

  async #direct(
    event: AgentEvent,
    to: NonNullable<Outgoing["to"]>,
  ): Promise<{ topic: string; partition: number; offset: number }> {
    const session = this.#session;
    if (!(await session.groups.find(to.group))) {
      const message =
        `There is no group "${to.group}" at ${session.url}. ` +
        "Subscribe with it first, or fix its name.";
      throw new CadreError("NOT_FOUND", message, { what: "group", id: to.group });
    }
    const offset = await direct(session, event, to);
    return { ...directedPartition(session, to.group), offset: Math.max(0, offset) };
  }
}
