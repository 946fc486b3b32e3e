/**
 * A reader of one stream that owns nothing: messages of one subject in their order, from a fixed
 * place, without a gap.
 *
 *   open ─▶ consumer ──message, number as expected──▶ queue
 *              ▲           └─number skipped, consumer gone, connection broken─┐
 *              └──────────────── made again, after the last message ──────────┘
 */
import type { NatsMessageLike } from "./client.ts";
import {
  consumerInfo,
  deleteConsumer,
  startAt,
  type ConsumerInfo,
  type StartConfig,
} from "./groups.ts";
import { forCaller } from "./nats-error.ts";
import { PullLine } from "./pull-line.ts";
import type { Session } from "./session.ts";
import { nanoseconds } from "./streams.ts";
import type { DeliveryInfo } from "./wire.ts";

export interface CursorMessage {
  readonly message: NatsMessageLike;
  readonly info: DeliveryInfo;
}

export interface CursorParts {
  readonly session: Session;
  readonly stream: string;
  readonly subject: string;
}

const ahead = 100; // messages asked for beyond what is pulled; they wait here, so few
const inactiveMs = 300_000; // the server forgets a reader that is gone
const stallMs = 500; // without a message; then the server is asked whether there is one
const againMs = 250; // between two tries to make the consumer again

export class LogCursor {
  readonly #parts: CursorParts;
  readonly #endListening: () => void;
  #queue: CursorMessage[] = [];
  #line: PullLine | undefined;
  #consumer = "";
  /** Number of the last message that came in, of all in the stream. */
  #lastSequence = 0;
  /** Number of the last message that came in, of those that this consumer handed out. */
  #lastOfConsumer = 0;
  /** Messages that were there when the consumer was made. */
  #waiting = 0;
  #opening: Promise<void> | undefined;
  #failure: unknown;
  #closed = false;
  #wakes = new Set<() => void>();
  #wanted = 0;

  private constructor(parts: CursorParts) {
    this.#parts = parts;
    this.#endListening = parts.session.onChange(() => void this.#renew());
  }

  /** Its place is fixed when this resolves. */
  static async open(parts: CursorParts, start: StartConfig): Promise<LogCursor> {
    const cursor = new LogCursor(parts);
    try {
      await cursor.#makeConsumer(start);
      return cursor;
    } catch (error) {
      cursor.#endListening();
      throw error;
    }
  }

  /** How many messages were there, after its place, when it was opened. */
  get waiting(): number {
    return this.#waiting;
  }

  /** Up to `max` messages; waits for the first. None when it was closed or `signal` is aborted. */
  async next(max: number, signal?: AbortSignal): Promise<readonly CursorMessage[]> {
    while (!this.#closed && !signal?.aborted) {
      if (this.#queue.length > 0) return this.#queue.splice(0, max);
      const failure = this.#failure;
      this.#failure = undefined;
      if (failure !== undefined) throw failure;
      this.#parts.session.assertUsable();
      await this.#change(max, signal);
    }
    return [];
  }

  /**
   * As `next`, of what the stream holds now: none when there is no more, also when messages have
   * gone in the meantime.
   */
  async nextOfKept(max: number): Promise<readonly CursorMessage[]> {
    const { session, stream } = this.#parts;
    const { clock } = session.settings;
    while (!this.#closed) {
      const patience = new AbortController();
      const cancel = clock.after(stallMs, () => patience.abort());
      const page = await this.next(max, patience.signal).finally(cancel);
      if (page.length > 0) return page;
      const consumer = this.#consumer;
      const info = consumer === "" ? undefined : await consumerInfo(session, stream, consumer);
      if (info?.num_pending !== 0 || consumer !== this.#consumer) continue;
      if (info.delivered.consumer_seq === this.#lastOfConsumer && this.#queue.length === 0) break;
    }
    return [];
  }

  async close(): Promise<void> {
    if (this.#closed) return;
    this.#closed = true;
    this.#endListening();
    for (const wake of [...this.#wakes]) wake();
    const { session, stream } = this.#parts;
    this.#line?.reset();
    if (session.ended || !session.connected) return; // the server forgets it in time
    await deleteConsumer(session, stream, this.#consumer).catch((error: unknown) =>
      session.settings.logger.debug("A reader was left for the server to forget.", { error }),
    );
  }

  #change(max: number, signal: AbortSignal | undefined): Promise<void> {
    return new Promise((resolve) => {
      const wake = (): void => {
        this.#wakes.delete(wake);
        signal?.removeEventListener("abort", wake);
        resolve();
      };
      this.#wakes.add(wake);
      signal?.addEventListener("abort", wake, { once: true });
      this.#wanted = Math.max(max, ahead);
      this.#line?.ask(this.#wanted - this.#queue.length);
    });
  }

  #receive(consumer: string, entry: CursorMessage): void {
    if (consumer !== this.#consumer || this.#closed) return;
    const { consumerSequence, streamSequence } = entry.info;
    if (consumerSequence !== this.#lastOfConsumer + 1) {
      void this.#renew();
      return;
    }
    this.#lastOfConsumer = consumerSequence;
    this.#lastSequence = streamSequence;
    this.#queue.push(entry);
    for (const wake of [...this.#wakes]) wake();
  }

  async #makeConsumer(start: StartConfig): Promise<void> {
    const { session, stream, subject } = this.#parts;
    const config = {
      ...start,
      ack_policy: "none",
      filter_subject: subject,
      inactive_threshold: inactiveMs * nanoseconds,
      mem_storage: true,
      num_replicas: 1,
      replay_policy: "instant",
    };
    const info = await session.api<ConsumerInfo>(`CONSUMER.CREATE.${stream}`, {
      stream_name: stream,
      config,
    });
    this.#consumer = info.name;
    this.#lastOfConsumer = 0;
    this.#lastSequence = info.delivered.stream_seq;
    this.#waiting = info.num_pending;
    this.#line = new PullLine(session, stream, info.name, {
      onMessage: (message, delivery) => this.#receive(info.name, { message, info: delivery }),
      onDry: () => this.#askAgain(info.name),
      onGone: () => {
        if (info.name === this.#consumer) void this.#renew();
      },
    });
  }

  #askAgain(consumer: string): void {
    if (consumer !== this.#consumer || this.#wakes.size === 0) return;
    this.#line?.ask(this.#wanted - this.#queue.length);
  }

  /** Makes the consumer again behind the last message. Several reasons at once make one. */
  #renew(): Promise<void> {
    this.#opening ??= this.#makeAgain().finally(() => (this.#opening = undefined));
    return this.#opening;
  }

  async #makeAgain(): Promise<void> {
    const { session, stream } = this.#parts;
    const { clock, requestTimeoutMs } = session.settings;
    const end = clock.monotonic() + requestTimeoutMs;
    const old = this.#consumer;
    if (session.client.isClosed()) {
      for (const wake of [...this.#wakes]) wake();
      return;
    }
    this.#line?.reset();
    this.#consumer = "";
    while (!this.#closed && !session.ended) {
      try {
        await this.#makeConsumer(startAt(this.#lastSequence + 1));
        // It may be gone already; if not, the server forgets it in time.
        void deleteConsumer(session, stream, old).catch(() => {});
        if (this.#wakes.size > 0) this.#line?.ask(this.#wanted - this.#queue.length);
        return;
      } catch (error) {
        if (clock.monotonic() < end) {
          await clock.sleep(againMs);
          continue;
        }
        this.#failure = forCaller(error, session.url);
        for (const wake of [...this.#wakes]) wake();
        // Whoever asks again is told again, until it works.
        await clock.sleep(againMs);
      }
    }
  }
}
