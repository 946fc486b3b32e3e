import type { OrderedResult, Outgoing, PublishResult } from "../../bus/transport.ts";
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
  /** Who sent the last one to it, and how many before. */
  by: Answers | undefined;
  before: number;
}

const mostInTurn = 250; // then the next publish begins another
const mostTogether = 500; // of one publish

/** Events that keep their order in one partition: what is refused breaks it for those behind. */
interface Chain {
  isBroken: boolean;
}

type Chains = Map<string, Chain>;

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
    const results = new Promise<readonly OrderedResult[]>((resolve) => {
      const answers = new Answers(this.#session, batch.length, resolve);
      for (let index = 0; index < batch.length; index += 1) {
        const { event, to } = batch[index]!;
        if (to) void this.#direct(event, to, answers, index);
        else this.#send(event, answers, index, missing);
      }
    });
    return results as Promise<readonly PublishResult[]>; // without chains nothing is taken back
  }

  /** The same, and what a partition refuses takes back those behind it there. */
  async publishInOrder(events: readonly AgentEvent[]): Promise<readonly OrderedResult[]> {
    const missing = await this.#makeTopics(events.map((event) => ({ event })));
    return new Promise((resolve) => {
      const answers = new Answers(this.#session, events.length, resolve);
      const chains: Chains = new Map();
      let isSent = true;
      for (let index = 0; index < events.length; index += 1) {
        if (isSent) isSent = this.#send(events[index]!, answers, index, missing, chains);
        else answers.leave(index);
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

  /** False when it is refused before it is sent. */
  #send(
    event: AgentEvent,
    answers: Answers,
    index: number,
    missing: ReadonlyMap<string, unknown>,
    chains?: Chains,
  ): boolean {
    const session = this.#session;
    try {
      if (missing.has(event.type)) throw missing.get(event.type);
      const { format } = session.settings;
      const { value, headers } = format.encode(event, { maxBytes: session.maxEventBytes });
      const topic = session.topicOf(event.type);
      const { key } = event.metadata;
      const count = session.cluster.partitionsOf(topic);
      const turn = key === undefined ? this.#turnOf(topic, count, answers) : undefined;
      const partition = turn ? turn.partition : partitionOfKey(key!, count);
      if (turn) {
        turn.open += 1;
        turn.sent += 1;
      }
      const target = { topic, partition, id: event.id };
      const receipt = new Answer(answers, index, target, turn, chains && chainOf(chains, target));
      const keyed = key === undefined ? {} : { key };
      session.producer.post({ topic, partition, ...keyed, value, headers }, receipt);
      return true;
    } catch (error) {
      answers.refuse(index, error);
      return false;
    }
  }

  #turnOf(topic: string, partitions: number, by: Answers): Turn {
    const known = this.#turns.get(topic);
    if (known && known.open > 0) {
      if (known.by === by && known.sent - known.before < mostTogether) return known;
      if (known.by !== by && known.sent < mostInTurn) {
        known.by = by;
        known.before = known.sent;
        return known;
      }
    }
    const { random } = this.#session.settings;
    // Not all publishers begin at the first partition.
    const partition = known ? (known.partition + 1) % partitions : random.integer(partitions);
    const turn = { partition, open: 0, sent: 0, by, before: 0 };
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

function chainOf(chains: Chains, { topic, partition }: Target): Chain {
  const name = `${topic}:${partition}`;
  let chain = chains.get(name);
  if (!chain) chains.set(name, (chain = { isBroken: false }));
  return chain;
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
  readonly #results: OrderedResult[];
  readonly #resolve: (results: readonly OrderedResult[]) => void;
  #open: number;

  constructor(
    session: Session,
    count: number,
    resolve: (results: readonly OrderedResult[]) => void,
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

  /** Says nothing of an event that was not sent. */
  leave(index: number): void {
    this.#put(index, undefined);
  }

  #put(index: number, result: OrderedResult): void {
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
  readonly #chain: Chain | undefined;

  constructor(
    answers: Answers,
    index: number,
    target: Target,
    turn: Turn | undefined,
    chain: Chain | undefined,
  ) {
    this.#answers = answers;
    this.#chain = chain;
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
    if (this.#chain) this.#chain.isBroken = true;
    this.#answers.refuse(this.#index, error);
  }

  withdraw(): boolean {
    if (!this.#chain?.isBroken) return false;
    if (this.#turn) this.#turn.open -= 1;
    this.#answers.leave(this.#index);
    return true;
  }
}
