/**
 * What goes out: one batch of a partition at a time, several requests to a broker at once, with
 * numbers by which the broker knows a batch that comes again.
 *
 *   send ─▶ waiting ─▶ batch ─▶ request ─▶ kept by all replicas in sync ─▶ resolved
 *                        └── no answer, leader moved ──▶ the same batch again, same numbers
 *                        └── out of time ──▶ refused; from then on under a new producer id
 */
import { CadreError } from "../../core/errors.ts";
import type { Cluster } from "./cluster.ts";
import {
  closedError,
  codes,
  forCaller,
  KafkaRefusal,
  passes,
  timeoutError,
} from "./kafka-error.ts";
import { encodeBatch, recordBytes } from "./record-batch.ts";
import type { LogMessage } from "./wire.ts";

/** Who waits for a message's answer. */
export interface Receipt {
  /** All replicas in sync have it. */
  resolve(offset: number): void;
  reject(error: unknown): void;
  /** Asked of what waits when its partition has refused something: true takes it back, unsent. */
  withdraw?(): boolean;
}

interface Item {
  readonly message: LogMessage;
  readonly bytes: number;
  readonly until: number;
  readonly receipt: Receipt;
}

/** What one partition sends; a batch stays as it is until the broker has answered for it. */
interface Lane {
  readonly topic: string;
  readonly partition: number;
  waiting: Item[];
  batch: readonly Item[] | undefined;
  sequence: number;
  /** Under which producer id `sequence` counts. */
  producer: bigint;
  state: "idle" | "ready" | "sent" | "resting";
  pauseMs: number;
}

const batchBytes = 524_288;
const batchItems = 2_000;
const requestBytes = 262_144; // with more, what comes next goes in a request of its own
const mostRequests = 5; // to one broker
const firstPauseMs = 20;
const mostPauseMs = 500;

export class Producer {
  readonly #cluster: Cluster;
  readonly #maxBytes: () => number;
  readonly #lanes = new Map<string, Lane>();
  readonly #ready = new Set<Lane>();
  /** Requests on their way, by broker. */
  readonly #requests = new Map<number, number>();
  #identity: { readonly producerId: bigint; readonly producerEpoch: number } | undefined;
  #identifying: Promise<void> | undefined;
  /** Lanes that are not idle. */
  #busy = 0;
  #isWoken = false;
  #closed = false;
  #onQuiet: (() => void) | undefined;
  #quiet: Promise<void> | undefined;

  /** @param maxBytes the largest batch that the brokers take */
  constructor(cluster: Cluster, maxBytes: () => number) {
    this.#cluster = cluster;
    this.#maxBytes = maxBytes;
  }

  /** The offset, when all replicas in sync have the message. */
  send(message: LogMessage): Promise<number> {
    return new Promise((resolve, reject) => this.post(message, { resolve, reject }));
  }

  /** As `send`, without a promise for each. */
  post(message: LogMessage, receipt: Receipt): void {
    if (this.#closed) {
      receipt.reject(closedError());
      return;
    }
    const { clock, requestTimeoutMs } = this.#cluster.settings;
    const until = clock.monotonic() + requestTimeoutMs;
    const lane = this.#laneOf(message.topic, message.partition);
    lane.waiting.push({ message, bytes: recordBytes(message), until, receipt });
    if (lane.state !== "idle") return;
    this.#busy += 1;
    this.#makeReady(lane);
    if (this.#isWoken) return;
    this.#isWoken = true;
    void this.#afterTurn();
  }

  /** What waits is still sent; nothing more is taken. */
  async close(): Promise<void> {
    this.#closed = true;
    if (this.#busy === 0) return;
    this.#quiet ??= new Promise((resolve) => (this.#onQuiet = resolve));
    await this.#quiet;
  }

  #last: Lane | undefined;

  #laneOf(topic: string, partition: number): Lane {
    if (this.#last?.partition === partition && this.#last.topic === topic) return this.#last;
    const name = `${topic}:${partition}`;
    let lane = this.#lanes.get(name);
    if (!lane) {
      const fresh = { waiting: [], batch: undefined, sequence: 0, producer: -1n, pauseMs: 0 };
      lane = { topic, partition, state: "idle", ...fresh };
      this.#lanes.set(name, lane);
    }
    this.#last = lane;
    return lane;
  }

  async #afterTurn(): Promise<void> {
    await this.#cluster.settings.clock.yield(); // what is sent in this turn goes together
    this.#isWoken = false;
    this.#pump();
  }

  #makeReady(lane: Lane): void {
    lane.state = "ready";
    this.#ready.add(lane);
  }

  /** Sends what is ready, as far as the brokers have room. */
  #pump(): void {
    const byLeader = new Map<number | undefined, Lane[]>();
    for (const lane of this.#ready) {
      const leader = this.#cluster.leaderOf(lane.topic, lane.partition);
      if (leader !== undefined && this.#requestsTo(leader) >= mostRequests) continue;
      const list = byLeader.get(leader);
      if (list) list.push(lane);
      else byLeader.set(leader, [lane]);
    }
    for (const [leader, lanes] of byLeader) {
      for (let at = 0; at < lanes.length;) {
        if (leader !== undefined && this.#requestsTo(leader) >= mostRequests) break;
        const list: Lane[] = [];
        for (let bytes = 0; at < lanes.length && bytes < requestBytes; at += 1) {
          bytes += this.#fill(lanes[at]!);
          list.push(lanes[at]!);
        }
        void this.#request(leader, list);
      }
    }
  }

  #requestsTo(node: number): number {
    return this.#requests.get(node) ?? 0;
  }

  /** Makes a batch where there is none. @returns about its bytes */
  #fill(lane: Lane): number {
    this.#ready.delete(lane);
    lane.state = "sent";
    if (lane.batch) return bytesOf(lane.batch);
    const most = Math.min(batchBytes, this.#maxBytes());
    let bytes = 0;
    let count = 0;
    for (const item of lane.waiting) {
      if (count > 0 && (bytes + item.bytes > most || count >= batchItems)) break;
      bytes += item.bytes;
      count += 1;
    }
    if (count === lane.waiting.length) {
      lane.batch = lane.waiting;
      lane.waiting = [];
    } else lane.batch = lane.waiting.splice(0, count);
    return bytes;
  }

  /** Sends the batches of some lanes to one broker. */
  async #request(leader: number | undefined, lanes: readonly Lane[]): Promise<void> {
    const slot = leader ?? -1;
    this.#requests.set(slot, this.#requestsTo(slot) + 1);
    let settled: ReadonlySet<Lane>;
    try {
      if (!this.#identity) await (this.#identifying ??= this.#identify());
      if (leader === undefined) await this.#cluster.refresh(topicsOf(lanes));
      settled = leader === undefined ? none : await this.#produce(leader, lanes);
    } catch {
      settled = none; // out of time, they are refused with what was tried
    }
    this.#requests.set(slot, this.#requestsTo(slot) - 1);
    for (const lane of lanes) this.#goOn(lane, settled.has(lane));
    this.#pump();
    if (this.#busy === 0) this.#onQuiet?.();
  }

  #goOn(lane: Lane, isSettled: boolean): void {
    if (!isSettled) this.#refuseLate(lane);
    if (!lane.batch && lane.waiting.length === 0) {
      lane.state = "idle";
      this.#busy -= 1;
      lane.pauseMs = 0;
    } else if (isSettled) {
      lane.pauseMs = 0;
      this.#makeReady(lane);
    } else {
      lane.state = "resting";
      lane.pauseMs = Math.min(mostPauseMs, Math.max(firstPauseMs, lane.pauseMs * 2));
      void this.#rest(lane);
    }
  }

  async #rest(lane: Lane): Promise<void> {
    await this.#cluster.settings.clock.sleep(lane.pauseMs);
    this.#makeReady(lane);
    this.#pump();
  }

  async #identify(): Promise<void> {
    try {
      const answer = await this.#cluster.ask(
        { purpose: "produce" },
        "a producer's id",
        (connection) => this.#cluster.protocol.initProducerId(connection, null, 60_000, -1n, -1),
      );
      if (answer.errorCode !== 0) throw new KafkaRefusal(answer.errorCode, "a producer's id");
      this.#identity = answer;
    } finally {
      this.#identifying = undefined;
    }
  }

  /** Lanes that need not be sent again. */
  async #produce(node: number, lanes: readonly Lane[]): Promise<ReadonlySet<Lane>> {
    const { protocol, settings } = this.#cluster;
    const identity = this.#identity;
    if (!identity) return none; // forgotten in the meantime: the next turn has another
    const timestamp = settings.clock.now();
    const batches = lanes.map((lane) => {
      if (lane.producer !== identity.producerId) {
        lane.producer = identity.producerId;
        lane.sequence = 0;
      }
      const { topic, partition, sequence } = lane;
      const batch = lane.batch!;
      const head = { ...identity, sequence, timestamp };
      const messages = batch.map(({ message }) => message);
      const records = encodeBatch(messages, bytesOf(batch), head, protocol.checksum);
      return { topic, partition, records };
    });
    const { requestTimeoutMs } = settings;
    const settled = new Set<Lane>();
    try {
      const answer = await this.#cluster.ask(
        { node, purpose: "produce" },
        "publish",
        (connection) => protocol.produce(connection, requestTimeoutMs, batches),
      );
      for (const { name: topic, partitionResponses } of answer.responses) {
        for (const { index, errorCode, baseOffset } of partitionResponses) {
          const lane = this.#lanes.get(`${topic}:${index}`)!;
          if (await this.#answered(lane, errorCode, Number(baseOffset))) settled.add(lane);
        }
      }
    } catch {
      // Whether it arrived is not known: the same again.
      await this.#cluster.refresh(topicsOf(lanes)).catch(() => {});
    }
    return settled;
  }

  /** False when the batch has to be sent again. */
  async #answered(lane: Lane, code: number, base: number): Promise<boolean> {
    const batch = lane.batch!;
    if (code === 0 || code === codes.duplicateSequence) {
      lane.batch = undefined;
      lane.sequence = (lane.sequence + batch.length) % 2 ** 31;
      for (let index = 0; index < batch.length; index += 1) {
        batch[index]!.receipt.resolve(base < 0 ? base : base + index);
      }
      return true;
    }
    if (code === codes.messageTooLarge || code === codes.recordListTooLarge) {
      this.#tooLarge(lane, batch);
      return true;
    }
    const isNumbering =
      code === codes.outOfOrderSequence ||
      code === codes.unknownProducer ||
      code === codes.staleProducer;
    if (isNumbering) {
      // The broker has forgotten us: new numbers, unless another lane has asked for them already.
      if (this.#identity?.producerId === lane.producer) this.#identity = undefined;
      return false;
    }
    if (!passes(code)) {
      lane.batch = undefined;
      const refusal = new KafkaRefusal(code, `publish to ${lane.topic}`);
      this.#refuse(lane, batch, forCaller(refusal, this.#cluster.url, "publish"));
      return true;
    }
    await this.#cluster.refresh([lane.topic]).catch(() => {}); // asked again at the next round
    return false;
  }

  /** Of several the halves may fit. */
  #tooLarge(lane: Lane, batch: readonly Item[]): void {
    if (batch.length > 1) {
      const half = Math.ceil(batch.length / 2);
      lane.batch = batch.slice(0, half);
      lane.waiting.unshift(...batch.slice(half));
      return;
    }
    lane.batch = undefined;
    const [{ bytes }] = batch as [Item];
    const maxBytes = this.#maxBytes();
    const message = `The event takes ${bytes} bytes, and topic ${lane.topic} takes less.`;
    this.#refuse(lane, batch, new CadreError("TOO_LARGE", message, { bytes, maxBytes }));
  }

  #refuse(lane: Lane, items: readonly Item[], error: unknown): void {
    for (const item of items) item.receipt.reject(error);
    lane.waiting = lane.waiting.filter(({ receipt }) => !receipt.withdraw?.());
  }

  #refuseLate(lane: Lane): void {
    const { clock, requestTimeoutMs } = this.#cluster.settings;
    const now = clock.monotonic();
    if (!lane.batch?.some(({ until }) => until <= now)) return;
    // It may have arrived: what comes later must not be taken for it.
    this.#identity = undefined;
    const late = timeoutError(this.#cluster.url, "publish", requestTimeoutMs);
    const { batch, waiting } = lane;
    lane.batch = undefined;
    lane.waiting = waiting.filter(({ until }) => until > now);
    const expired = waiting.filter(({ until }) => until <= now);
    this.#refuse(lane, [...batch, ...expired], late);
  }
}

const none: ReadonlySet<Lane> = new Set();

function bytesOf(batch: readonly Item[]): number {
  let sum = 0;
  for (const { bytes } of batch) sum += bytes;
  return sum;
}

function topicsOf(lanes: readonly Lane[]): string[] {
  return [...new Set(lanes.map(({ topic }) => topic))];
}
