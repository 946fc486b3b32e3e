/**
 * Reads the log, or another stream, from a place on. A broken connection is gone over: it goes on
 * behind the last message that was handed out.
 */
import type { StartFrom } from "../../bus/transport.ts";
import { CadreError } from "../../core/errors.ts";
import type { RabbitChannelLike, RabbitMessageLike } from "./client.ts";
import { forCaller } from "./rabbitmq-error.ts";
import type { Session } from "./session.ts";
import { fromPosition, headerOf, offsetOf, textHeader, timeOfMark, toRecorded } from "./wire.ts";

/** Where to begin, in the server's words, and which of the first messages not to hand out. */
export interface LogStart {
  readonly offset: unknown;
  /** Messages are passed over until it says no for the first time. */
  readonly skips?: (message: RabbitMessageLike) => boolean;
}

const prefetch = 256;
const againMs = 50;
const skewMs = 60_000; // that the clocks of a publisher and the server may differ

export function offsetStart(offset: number): LogStart {
  return { offset: { "!": "long", value: Math.max(0, offset) } };
}

function timeStart(time: number): unknown {
  return { "!": "timestamp", value: Math.max(0, Math.floor((time - skewMs) / 1_000)) };
}

/** @throws {CadreError} INVALID_OPTION, for what is no position of this log */
export async function startOf(session: Session, from: StartFrom): Promise<LogStart> {
  if (from === "new") return { offset: "next" };
  if (from === "earliest") return { offset: "first" };
  if ("after" in from) return offsetStart((await offsetOfPosition(session, from.after)) + 1);
  const { time } = from;
  return {
    offset: timeStart(time),
    skips: (message) => toRecorded(message, session.settings).recordedAt < time,
  };
}

/** The place of a position. That of a group's delivery is looked for by its mark. */
export async function offsetOfPosition(session: Session, position: string): Promise<number> {
  const place = fromPosition(position);
  if ("offset" in place) return place.offset;
  const marker = await sendMarker(session);
  for (const offset of [timeStart(timeOfMark(place.mark)), "first"]) {
    const cursor = await LogCursor.open(session, { offset });
    try {
      for (let isOver = false; !isOver;) {
        for (const message of await cursor.next()) {
          if (textHeader(message, headerOf.mark) === place.mark) return offsetOf(message);
          isOver ||= textHeader(message, headerOf.marker) === marker;
        }
      }
    } finally {
      await cursor.close();
    }
  }
  const message = `The log at ${session.url} does not hold position "${position}" any more.`;
  throw new CadreError("INVALID_OPTION", message, { option: "position", value: position });
}

/**
 * Puts a marker at the end of the stream, which is the log unless named: what was confirmed before
 * stands before it.
 */
export async function sendMarker(
  session: Session,
  stream: string = session.names.log,
  marker: string = session.mark(),
): Promise<string> {
  await session.outlet.sendAgain({
    exchange: "",
    key: stream,
    content: Buffer.alloc(0),
    options: { persistent: true, headers: { [headerOf.marker]: marker } },
  });
  return marker;
}

export function isMarker(message: RabbitMessageLike): boolean {
  return textHeader(message, headerOf.marker) !== undefined;
}

export class LogCursor {
  readonly #session: Session;
  readonly #stream: string;
  readonly #endListening: () => void;
  #start: LogStart;
  #channel: RabbitChannelLike | undefined;
  #queue: RabbitMessageLike[] = [];
  #wake: (() => void) | undefined;
  #isOpening = false;
  #failure: unknown;
  #closed = false;

  private constructor(session: Session, start: LogStart, stream: string) {
    this.#session = session;
    this.#stream = stream;
    this.#start = start;
    this.#endListening = session.into.onChange(() => this.#renew());
  }

  /** When it resolves, what is published later is read. */
  static async open(
    session: Session,
    start: LogStart,
    stream: string = session.names.log,
  ): Promise<LogCursor> {
    const cursor = new LogCursor(session, start, stream);
    try {
      await cursor.#consume();
      return cursor;
    } catch (error) {
      await cursor.close();
      throw error;
    }
  }

  /** What has come, at least one message; nothing when it is closed or `signal` aborted. */
  async next(max: number = prefetch, signal?: AbortSignal): Promise<RabbitMessageLike[]> {
    while (!this.#closed && !signal?.aborted) {
      if (this.#queue.length > 0) return this.#hand(max);
      const failure = this.#failure;
      this.#failure = undefined;
      if (failure !== undefined) throw failure;
      await this.#change(signal);
    }
    return [];
  }

  async close(): Promise<void> {
    if (this.#closed) return;
    this.#closed = true;
    this.#endListening();
    this.#wake?.();
    const channel = this.#channel;
    this.#channel = undefined;
    await channel?.close().catch(() => {}); // it may just have broken
  }

  #hand(max: number): RabbitMessageLike[] {
    const messages = this.#queue.splice(0, max);
    for (const message of messages) {
      this.#start = offsetStart(offsetOf(message) + 1);
      try {
        this.#channel?.ack(message); // makes room for the next
      } catch {
        // The channel has ended; the next one begins behind these.
      }
    }
    return messages;
  }

  async #change(signal: AbortSignal | undefined): Promise<void> {
    await new Promise<void>((resolve) => {
      const wake = (): void => {
        signal?.removeEventListener("abort", wake);
        this.#wake = undefined;
        resolve();
      };
      this.#wake = wake;
      signal?.addEventListener("abort", wake, { once: true });
    });
  }

  async #consume(): Promise<void> {
    const { into } = this.#session;
    const channel = await (await into.client()).createChannel();
    channel.on("error", () => {}); // `close` follows
    channel.on("close", () => {
      if (this.#channel === channel) this.#lost();
    });
    this.#channel = channel;
    await channel.prefetch(prefetch);
    let { skips } = this.#start;
    const take = (message: RabbitMessageLike | null): void => {
      if (this.#channel !== channel) return;
      if (!message) {
        this.#lost();
        return;
      }
      if (skips?.(message) && !isMarker(message)) {
        channel.ack(message);
        return;
      }
      if (!isMarker(message)) skips = undefined;
      this.#queue.push(message);
      this.#wake?.();
    };
    const args = { "x-stream-offset": this.#start.offset };
    await channel.consume(this.#stream, take, { arguments: args });
  }

  #lost(): void {
    this.#channel = undefined;
    this.#queue = [];
    this.#renew();
  }

  #renew(): void {
    if (this.#closed || this.#channel || this.#isOpening) return;
    this.#isOpening = true;
    void this.#makeAgain().finally(() => (this.#isOpening = false));
  }

  async #makeAgain(): Promise<void> {
    const { clock, requestTimeoutMs } = this.#session.settings;
    const end = clock.monotonic() + requestTimeoutMs;
    while (!this.#closed && !this.#session.ended) {
      await clock.sleep(againMs);
      if (!this.#session.into.connected) return; // made again when it is
      try {
        await this.#consume();
        return;
      } catch (error) {
        this.#channel = undefined;
        if (clock.monotonic() < end) continue;
        this.#failure = forCaller(error, this.#session.url, "read the log");
        this.#wake?.();
      }
    }
  }
}
