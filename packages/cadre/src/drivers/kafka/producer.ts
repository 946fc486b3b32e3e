/**
 * What goes out: one batch a partition and one request a broker at a time, with numbers by which
 * the broker knows a batch that comes again.
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
import type { LogMessage } from "./wire.ts";

interface Item {
  readonly message: LogMessage;
  readonly bytes: number;
  readonly until: number;
  resolve(offset: number): void;
  reject(error: unknown): void;
}

/** What one partition sends; a batch stays as it is until the broker has answered for it. */
interface Lane {
  readonly topic: string;
  readonly partition: number;
  readonly waiting: Item[];
  batch: Item[] | undefined;
  sequence: number;
  /** Under which producer id `sequence` counts. */
  producer: bigint;
}

const batchBytes = 524_288;
const batchItems = 2_000;
const firstPauseMs = 20;
const mostPauseMs = 500;

export class Producer {
  readonly #cluster: Cluster;
  readonly #maxBytes: () => number;
  readonly #lanes = new Map<string, Lane>();
  #identity: { readonly producerId: bigint; readonly producerEpoch: number } | undefined;
  #running: Promise<void> | undefined;
  #closed = false;

  /** @param maxBytes the largest batch that the brokers take */
  constructor(cluster: Cluster, maxBytes: () => number) {
    this.#cluster = cluster;
    this.#maxBytes = maxBytes;
  }

  /** The offset, when all replicas in sync have the message. */
  send(message: LogMessage): Promise<number> {
    if (this.#closed) return Promise.reject(closedError());
    const { clock, requestTimeoutMs } = this.#cluster.settings;
    return new Promise((resolve, reject) => {
      const until = clock.monotonic() + requestTimeoutMs;
      this.#laneOf(message).waiting.push({
        message,
        bytes: bytesOf(message),
        until,
        resolve,
        reject,
      });
      this.#running ??= this.#run();
    });
  }

  /** What waits is still sent; nothing more is taken. */
  async close(): Promise<void> {
    this.#closed = true;
    await this.#running;
  }

  #laneOf({ topic, partition }: LogMessage): Lane {
    const name = `${topic}:${partition}`;
    let lane = this.#lanes.get(name);
    if (!lane) {
      const fresh = { waiting: [], batch: undefined, sequence: 0, producer: -1n };
      lane = { topic, partition, ...fresh };
      this.#lanes.set(name, lane);
    }
    return lane;
  }

  async #run(): Promise<void> {
    await Promise.resolve(); // what is sent in this turn goes together
    let pauseMs = 0;
    for (;;) {
      const busy = [...this.#lanes.values()].filter((lane) => this.#fill(lane));
      if (busy.length === 0) break;
      if (pauseMs > 0) await this.#cluster.settings.clock.sleep(pauseMs);
      const answered = await this.#round(busy);
      if (answered) pauseMs = 0;
      else pauseMs = Math.min(mostPauseMs, Math.max(firstPauseMs, pauseMs * 2));
      if (!answered) this.#refuseLate(busy);
    }
    this.#running = undefined;
  }

  /** Whether the lane has a batch to send. */
  #fill(lane: Lane): boolean {
    if (lane.batch) return true;
    if (lane.waiting.length === 0) return false;
    const most = Math.min(batchBytes, this.#maxBytes());
    let bytes = 0;
    let count = 0;
    for (const item of lane.waiting) {
      if (count > 0 && (bytes + item.bytes > most || count >= batchItems)) break;
      bytes += item.bytes;
      count += 1;
    }
    lane.batch = lane.waiting.splice(0, count);
    return true;
  }

  /** Sends one batch of each lane. False when some have to be sent again. */
  async #round(lanes: readonly Lane[]): Promise<boolean> {
    try {
      this.#identity ??= await this.#identify();
      const lost = lanes.filter(
        ({ topic, partition }) => this.#cluster.leaderOf(topic, partition) === undefined,
      );
      if (lost.length > 0)
        await this.#cluster.refresh([...new Set(lost.map((lane) => lane.topic))]);
    } catch {
      return false; // out of time, they are refused with what was tried
    }
    const byLeader = Map.groupBy(lanes, (lane) =>
      this.#cluster.leaderOf(lane.topic, lane.partition),
    );
    const outcomes = await Promise.all(
      [...byLeader].map(async ([node, list]) => node !== undefined && this.#produce(node, list)),
    );
    return outcomes.every((answered) => answered);
  }

  async #identify(): Promise<{ readonly producerId: bigint; readonly producerEpoch: number }> {
    const answer = await this.#cluster.ask(
      { purpose: "produce" },
      "a producer's id",
      (connection) => this.#cluster.protocol.initProducerId(connection, null, 60_000, -1n, -1),
    );
    if (answer.errorCode !== 0) throw new KafkaRefusal(answer.errorCode, "a producer's id");
    return answer;
  }

  async #produce(node: number, lanes: readonly Lane[]): Promise<boolean> {
    const { producerId, producerEpoch } = this.#identity!;
    for (const lane of lanes) {
      if (lane.producer === producerId) continue;
      lane.producer = producerId;
      lane.sequence = 0;
    }
    const sequences = new Map(lanes.map((lane) => [nameOf(lane), lane.sequence]));
    const options = {
      producerId,
      producerEpoch,
      compression: "none" as const,
      sequences: this.#cluster.protocol.numbers(sequences),
    };
    const records = lanes.flatMap((lane) => lane.batch!.map(({ message }) => toRecord(message)));
    const { requestTimeoutMs } = this.#cluster.settings;
    try {
      const answer = await this.#cluster.ask(
        { node, purpose: "produce" },
        "publish",
        (connection) =>
          this.#cluster.protocol.produce(connection, -1, requestTimeoutMs, records, options),
      );
      if (typeof answer === "boolean") return true;
      const outcomes: boolean[] = [];
      for (const { name: topic, partitionResponses } of answer.responses) {
        for (const { index, errorCode, baseOffset } of partitionResponses) {
          const lane = this.#lanes.get(`${topic}:${index}`)!;
          outcomes.push(await this.#answered(lane, errorCode, Number(baseOffset)));
        }
      }
      return outcomes.every((settled) => settled);
    } catch {
      for (const { topic } of lanes) await this.#cluster.refresh([topic]).catch(() => {});
      return false; // whether it arrived is not known: the same again
    }
  }

  /** False when the batch has to be sent again. */
  async #answered(lane: Lane, code: number, base: number): Promise<boolean> {
    const batch = lane.batch!;
    if (code === 0 || code === codes.duplicateSequence) {
      lane.batch = undefined;
      lane.sequence = (lane.sequence + batch.length) % 2 ** 31;
      for (const [index, item] of batch.entries()) item.resolve(base < 0 ? base : base + index);
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
      this.#identity = undefined; // the broker has forgotten us: new numbers
      return false;
    }
    if (!passes(code)) {
      lane.batch = undefined;
      const refusal = new KafkaRefusal(code, `publish to ${lane.topic}`);
      this.#refuse(batch, forCaller(refusal, this.#cluster.url, "publish"));
      return true;
    }
    await this.#cluster.refresh([lane.topic]).catch(() => {}); // asked again at the next round
    return false;
  }

  /** Of several the halves may fit. */
  #tooLarge(lane: Lane, batch: readonly Item[]): void {
    if (batch.length > 1) {
      lane.batch = batch.slice(0, Math.ceil(batch.length / 2));
      lane.waiting.unshift(...batch.slice(lane.batch.length));
      return;
    }
    lane.batch = undefined;
    const [{ bytes }] = batch as [Item];
    const maxBytes = this.#maxBytes();
    const message = `The event takes ${bytes} bytes, and topic ${lane.topic} takes less.`;
    this.#refuse(batch, new CadreError("TOO_LARGE", message, { bytes, maxBytes }));
  }

  #refuse(batch: readonly Item[], error: unknown): void {
    for (const item of batch) item.reject(error);
  }

  #refuseLate(lanes: readonly Lane[]): void {
    const now = this.#cluster.settings.clock.monotonic();
    const { requestTimeoutMs } = this.#cluster.settings;
    for (const lane of lanes) {
      if (!lane.batch?.some(({ until }) => until <= now)) continue;
      // It may have arrived: what comes later must not be taken for it.
      this.#identity = undefined;
      const late = timeoutError(this.#cluster.url, "publish", requestTimeoutMs);
      this.#refuse(lane.batch, late);
      lane.batch = undefined;
      const waiting = lane.waiting.splice(0);
      this.#refuse(
        waiting.filter(({ until }) => until <= now),
        late,
      );
      lane.waiting.push(...waiting.filter(({ until }) => until > now));
    }
  }
}

function nameOf({ topic, partition }: Lane): string {
  return `${topic}:${partition}`;
}

function bytesOf({ key, value, headers }: LogMessage): number {
  let bytes = 70 + (value?.length ?? 0) + (key === undefined ? 0 : Buffer.byteLength(key));
  for (const [name, text] of Object.entries(headers)) {
    bytes += Buffer.byteLength(name) + Buffer.byteLength(text) + 6;
  }
  return bytes;
}

function toRecord({ topic, partition, key, value, headers }: LogMessage): {
  topic: string;
  partition: number;
  key?: Buffer;
  value: Buffer;
  headers: Map<Buffer, Buffer>;
} {
  const encoded = Object.entries(headers).map(([name, text]): [Buffer, Buffer] => [
    Buffer.from(name),
    Buffer.from(text),
  ]);
  return {
    topic,
    partition,
    ...(key === undefined ? {} : { key: Buffer.from(key) }),
    // The library writes nothing as a tombstone, which its type leaves out.
    value: (value === undefined ? undefined : Buffer.from(value)) as Buffer,
    headers: new Map(encoded),
  };
}
