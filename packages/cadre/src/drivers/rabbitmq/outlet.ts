/**
 * Publishes with confirms: each resolves when the server has the message in all queues that take
 * it.
 *
 * A server that runs out of memory or disk says so and stops reading: what is published then waits,
 * here and not in the socket, and is refused with OVERLOADED when its time is over.
 */
import type {
  RabbitConfirmChannelLike,
  RabbitMessageLike,
  RabbitPublishOptions,
} from "./client.ts";
import type { Link } from "./link.ts";
import { Deadlines } from "../../bus/deadline-queue.ts";
import { CadreError, isCadreError } from "../../core/errors.ts";
import { blockedError, forCaller, timeoutError } from "./rabbitmq-error.ts";

/** The queue that was meant is not there. */
export class Unroutable extends Error {
  override readonly name: string = "Unroutable";
}

export interface Dispatch {
  readonly exchange: string;
  readonly key: string;
  readonly content: Buffer;
  readonly options: RabbitPublishOptions;
}

const firstPauseMs = 20;
const mostPauseMs = 500;
const againMs = 1_000;
const littleMs = 10; // by which an answer may be waited for longer
const dispatchHeader = "cadre-dispatch";

export class Outlet {
  readonly #link: Link;
  readonly #deadlines: Deadlines;
  readonly #returned = new Set<string>();
  readonly #unanswered = new Set<(error: unknown) => void>();
  #opening: Promise<RabbitConfirmChannelLike> | undefined;
  #room: Promise<void> | undefined;
  #freeRoom: (() => void) | undefined;
  #dispatches = 0;
  #waiting = 0;

  constructor(link: Link) {
    this.#link = link;
    this.#deadlines = new Deadlines(link.settings.clock);
  }

  /**
   * @throws {CadreError} TIMEOUT | UNREACHABLE | OVERLOADED
   * @throws {Unroutable} for what is `mandatory` and no queue takes
   */
  async send(
    dispatch: Dispatch,
    withinMs: number = this.#link.settings.requestTimeoutMs,
  ): Promise<void> {
    const { clock } = this.#link.settings;
    const what = `publish to ${dispatch.exchange || dispatch.key}`;
    const end = clock.monotonic() + withinMs;
    for (let pauseMs = firstPauseMs; ; pauseMs = Math.min(pauseMs * 2, mostPauseMs)) {
      try {
        const channel = await this.#channel();
        await this.#room;
        await this.#untilRead(end);
        const leftMs = Math.max(1, end - clock.monotonic());
        // Those that have not waited yet share one timer, as all their times are equal.
        const timeoutMs = leftMs > withinMs - littleMs ? withinMs : leftMs;
        await this.#confirmed(channel, dispatch, timeoutMs, what);
        return;
      } catch (error) {
        if (error instanceof Unroutable) throw error;
        // After its start the server takes nothing for a queue that has no leader yet.
        const isPassing = error instanceof Error && error.message === "message nacked";
        const isOver = clock.monotonic() + pauseMs > end || this.#link.ended;
        if (!isPassing || isOver) throw forCaller(error, this.#link.url, what);
        await clock.sleep(pauseMs);
      }
    }
  }

  /**
   * Sends what may arrive twice. A stream that has just lost its server takes a message and never
   * confirms it; the next one it keeps.
   *
   * @throws as {@link Outlet.send}
   */
  async sendAgain(dispatch: Dispatch): Promise<void> {
    const { clock, requestTimeoutMs } = this.#link.settings;
    const end = clock.monotonic() + requestTimeoutMs;
    for (;;) {
      const leftMs = end - clock.monotonic();
      try {
        await this.send(dispatch, Math.min(againMs, leftMs));
        return;
      } catch (error) {
        const isPassing = isCadreError(error, "TIMEOUT") || isCadreError(error, "OVERLOADED");
        if (leftMs <= againMs || this.#link.ended || !isPassing) throw error;
      }
    }
  }

  async #untilRead(end: number): Promise<void> {
    const { clock } = this.#link.settings;
    for (let leftMs = end - clock.monotonic(); this.#link.blocked !== undefined;) {
      this.#waiting += 1;
      await this.#link.untilRead(leftMs).finally(() => (this.#waiting -= 1));
      leftMs = end - clock.monotonic();
      const reason = this.#link.blocked;
      if (leftMs > 0 || reason === undefined) continue;
      throw blockedError(this.#link.url, reason, this.#waiting + this.#unanswered.size + 1);
    }
  }

  /** Of what the server did not answer: it may have said why. */
  #late(what: string): CadreError {
    const { url, settings, blocked } = this.#link;
    if (blocked !== undefined) return blockedError(url, blocked, this.#unanswered.size);
    return timeoutError(url, what, settings.requestTimeoutMs);
  }

  #confirmed(
    channel: RabbitConfirmChannelLike,
    { exchange, key, content, options }: Dispatch,
    timeoutMs: number,
    what: string,
  ): Promise<void> {
    return new Promise((resolve, reject) => {
      const id = options.mandatory ? this.#nextDispatch() : undefined;
      const end = (error?: unknown): void => {
        deadline.cancel();
        this.#unanswered.delete(end);
        const isReturned = id !== undefined && this.#returned.delete(id);
        if (isReturned) reject(new Unroutable(`no queue takes what is sent to ${key}`));
        else if (error) reject(error);
        else resolve();
      };
      const deadline = this.#deadlines.add(timeoutMs, () => end(this.#late(what)));
      this.#unanswered.add(end);
      const marked =
        id === undefined
          ? options
          : { ...options, headers: { ...options.headers, [dispatchHeader]: id } };
      try {
        const hasRoom = channel.publish(exchange, key, content, marked, end);
        if (!hasRoom) this.#room ??= this.#drained();
      } catch (error) {
        end(error);
      }
    });
  }

  #nextDispatch(): string {
    this.#dispatches += 1;
    return String(this.#dispatches);
  }

  /** Resolves when the client has written what it was given. */
  #drained(): Promise<void> {
    return new Promise((resolve) => {
      const go = (): void => {
        cancel();
        this.#room = undefined;
        this.#freeRoom = undefined;
        resolve();
      };
      const { clock, requestTimeoutMs } = this.#link.settings;
      const cancel = clock.after(requestTimeoutMs, go, { background: true });
      this.#freeRoom = go;
    });
  }

  /** Opened again when the server has closed it, or the connection has broken. */
  #channel(): Promise<RabbitConfirmChannelLike> {
    if (!this.#opening) {
      const opening = this.#open(() => {
        if (this.#opening === opening) this.#opening = undefined;
      });
      this.#opening = opening;
      opening.catch(() => {
        if (this.#opening === opening) this.#opening = undefined;
      });
    }
    return this.#opening;
  }

  async #open(onEnd: () => void): Promise<RabbitConfirmChannelLike> {
    const client = await this.#link.client();
    const channel = await client.createConfirmChannel();
    let cause: unknown = new CadreError(
      "UNREACHABLE",
      `The connection to ${this.#link.url} broke before the server had confirmed.`,
      { url: this.#link.url, tried: 1 },
    );
    channel.on("error", (error: unknown) => (cause = forCaller(error, this.#link.url, "publish")));
    channel.on("drain", () => this.#freeRoom?.());
    channel.on("close", () => {
      onEnd();
      this.#freeRoom?.();
      for (const end of [...this.#unanswered]) end(cause);
    });
    channel.on("return", (message: RabbitMessageLike) => {
      const id = message.properties.headers?.[dispatchHeader];
      if (typeof id === "string") this.#returned.add(id);
    });
    return channel;
  }
}
