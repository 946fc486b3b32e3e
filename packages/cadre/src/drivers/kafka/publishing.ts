import type { Outgoing, PublishResult } from "../../bus/transport.ts";
import { CadreError } from "../../core/errors.ts";
import type { AgentEvent } from "../../core/event.ts";
import { direct, directedPartition } from "./copies.ts";
import { forCaller } from "./kafka-error.ts";
import type { Receipt } from "./producer.ts";
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

const mostInTurn = 250;

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
  async publish(batch: readonly Outgoing[]): Promise<readonly PublishResult[]> {
    const missing = await this.#makeTopics(batch);
    return new Promise((resolve) => {
      const answers = new Answers(this.#session, batch.length, resolve);
      for (let index = 0; index < batch.length; index += 1) {
        const { event, to } = batch[index]!;
        if (to) void this.#direct(event, to, answers, index);
        else this.#send(event, answers, index, missing);
      }
    });
  }

  /** Why a topic could not be made, by the event's type. */
  async #makeTopics(batch: readonly Outgoing[]): Promise<ReadonlyMap<string, unknown>> {
    const session = this.#session;
    let last: string | undefined;
    let unknown: Set<string> | undefined;
    for (const { event, to } of batch) {
      if (to || event.type === last) continue;
      last = event.type;
      if (session.knownTopicFor(last) === undefined) (unknown ??= new Set()).add(last);
    }
    if (!unknown) return noErrors;
    const errors = new Map<string, unknown>();
    const making = [...unknown].map((type) =>
      session.topicFor(type).catch((error: unknown) => errors.set(type, error)),
    );
    await Promise.all(making);
    return errors;
  }

  #send(
    event: AgentEvent,
    answers: Answers,
    index: number,
    missing: ReadonlyMap<string, unknown>,
  ): void {
    const session = this.#session;
    try {
      if (missing.has(event.type)) throw missing.get(event.type);
      const { format } = session.settings;
      const { value, headers } = format.encode(event, { maxBytes: session.maxEventBytes });
      const topic = session.topicOf(event.type);
      const { key } = event.metadata;
      const count = session.cluster.partitionsOf(topic);
      if (key !== undefined) {
        const partition = partitionOfKey(key, count);
        const receipt = new Answer(answers, index, { topic, partition, id: event.id }, undefined);
        session.producer.post({ topic, partition, key, value, headers }, receipt);
        return;
      }
      const turn = this.#turnOf(topic, count);
      const { partition } = turn;
      turn.open += 1;
      turn.sent += 1;
      const receipt = new Answer(answers, index, { topic, partition, id: event.id }, turn);
      session.producer.post({ topic, partition, value, headers }, receipt);
    } catch (error) {
      answers.refuse(index, error);
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
    answers: Answers,
    index: number,
  ): Promise<void> {
    const session = this.#session;
    try {
      const group = await session.groups.find(to.group);
      if (!group) {
        const message =
          `There is no group "${to.group}" at ${session.url}. ` +
          "Subscribe with it first, or fix its name.";
        throw new CadreError("NOT_FOUND", message, { what: "group", id: to.group });
      }
      const offset = await direct(session, event, { group, attempt: to.attempt ?? 1 });
      answers.keep(index, { ...directedPartition(session, group), id: event.id }, offset);
    } catch (error) {
      answers.refuse(index, error);
    }
  }
}

const noErrors: ReadonlyMap<string, unknown> = new Map();

interface Target {
  readonly topic: string;
  readonly partition: number;
  readonly id: string;
}

/** The answers of one batch, told when the last one is there. */
class Answers {
  readonly #session: Session;
  readonly #results: PublishResult[];
  readonly #resolve: (results: readonly PublishResult[]) => void;
  #open: number;

  constructor(
    session: Session,
    count: number,
    resolve: (results: readonly PublishResult[]) => void,
  ) {
    this.#session = session;
    this.#results = Array.from({ length: count });
    this.#open = count;
    this.#resolve = resolve;
    if (count === 0) resolve([]);
  }

  keep(index: number, target: Target, offset: number): void {
    const timestamp = this.#session.settings.clock.now();
    const { topic, partition, id } = target;
    const place = { topic, partition, offset: Math.max(0, offset), timestamp, id };
    this.#put(index, { ok: true, position: toPosition(place) });
  }

  refuse(index: number, error: unknown): void {
    this.#put(index, { ok: false, error: forCaller(error, this.#session.url, "publish") });
  }

  #put(index: number, result: PublishResult): void {
    this.#results[index] = result;
    this.#open -= 1;
    if (this.#open === 0) this.#resolve(this.#results);
  }
}

/** The answer for one event. */
class Answer implements Receipt {
  readonly #answers: Answers;
  readonly #index: number;
  readonly #target: Target;
  readonly #turn: Turn | undefined;

  constructor(answers: Answers, index: number, target: Target, turn: Turn | undefined) {
    this.#answers = answers;
    this.#index = index;
    this.#target = target;
    this.#turn = turn;
  }

  resolve(offset: number): void {
    if (this.#turn) this.#turn.open -= 1;
    this.#answers.keep(this.#index, this.#target, offset);
  }

  reject(error: unknown): void {
    if (this.#turn) this.#turn.open -= 1;
    this.#answers.refuse(this.#index, error);
  }
}
