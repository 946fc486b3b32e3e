/**
 * Two connections in use: one for what goes out and for orders, one for what comes in. A server
 * that runs out of memory stops reading from those that publish; who only consumes can still say
 * that something is done.
 */
import { Deadlines } from "../../bus/deadline-queue.ts";
import { CadreError } from "../../core/errors.ts";
import type { RabbitChannelLike, RabbitClientLike } from "./client.ts";
import type { Address } from "./connect.ts";
import { isAddress, Link } from "./link.ts";
import { namesOf, type Names } from "./names.ts";
import { Outlet } from "./outlet.ts";
import { forCaller, replies, replyOf, timeoutError } from "./rabbitmq-error.ts";
import type { Settings } from "./rabbitmq-options.ts";

const lockPauseMs = 20;
const mostPauseMs = 500;

export class Session {
  readonly settings: Settings;
  readonly names: Names;
  readonly out: Link;
  readonly into: Link;
  readonly outlet: Outlet;
  /** Of the leases: most are equally long. */
  readonly deadlines: Deadlines;
  readonly #locks = new Map<string, Promise<unknown>>();
  #marks = 0;
  readonly #markBase: string;

  private constructor(out: Link, into: Link, settings: Settings) {
    this.settings = settings;
    this.names = namesOf(settings.prefix);
    this.out = out;
    this.into = into;
    this.outlet = new Outlet(out);
    this.deadlines = new Deadlines(settings.clock);
    this.#markBase = settings.random.id(settings.clock.now());
  }

  /** @throws {CadreError} UNREACHABLE | MISSING_LIBRARY */
  static async open(
    target: Address | RabbitClientLike,
    settings: Settings,
    signal: AbortSignal,
  ): Promise<Session> {
    const out = await Link.open(target, settings, signal);
    try {
      const into = isAddress(target) ? await Link.open(target, settings, signal) : out;
      return new Session(out, into, settings);
    } catch (error) {
      await out.end();
      throw error;
    }
  }

  get url(): string {
    return this.out.url;
  }

  get connected(): boolean {
    return this.out.connected && this.into.connected;
  }

  get ended(): boolean {
    return this.out.ended;
  }

  async end(): Promise<void> {
    await Promise.all([this.into.end(), this.out.end()]);
  }

  /** What makes a message the only one: the instant, this session and a number. */
  mark(): string {
    this.#marks += 1;
    const now = String(this.settings.clock.now()).padStart(13, "0");
    return `${now}.${this.#markBase}.${this.#marks}`;
  }

  /** Runs `operation` on a channel of its own: an error closes that, and nothing else. */
  async control<Result>(
    what: string,
    operation: (channel: RabbitChannelLike) => Promise<Result>,
  ): Promise<Result> {
    const { clock, requestTimeoutMs } = this.settings;
    const client = await this.out.client();
    const channel = await client.createChannel();
    let closed = false;
    channel.on("error", () => {}); // `operation` throws it
    channel.on("close", () => (closed = true));
    let cancel = (): void => {};
    const late = new Promise<never>((_, reject) => {
      const error = timeoutError(this.url, what, requestTimeoutMs);
      cancel = clock.after(requestTimeoutMs, () => reject(error));
    });
    try {
      return await Promise.race([operation(channel), late]);
    } finally {
      cancel();
      if (!closed) channel.close().catch(() => {}); // it may just have broken
    }
  }

  async hasQueue(name: string): Promise<boolean> {
    try {
      await this.control(`look for ${name}`, (channel) => channel.checkQueue(name));
      return true;
    } catch (error) {
      if (replyOf(error) === replies.notFound && /no queue/.test(String(error))) return false;
      throw error;
    }
  }

  /**
   * Runs `operation` again, with pauses, while the server refuses for reasons that pass: after its
   * start, queues need a moment to choose their leader.
   */
  async patiently<Result>(what: string, operation: () => Promise<Result>): Promise<Result> {
    const { clock, requestTimeoutMs } = this.settings;
    const end = clock.monotonic() + requestTimeoutMs;
    for (let pauseMs = lockPauseMs; ; pauseMs = Math.min(pauseMs * 2, mostPauseMs)) {
      try {
        return await operation();
      } catch (error) {
        const isOver = this.ended || clock.monotonic() + pauseMs > end;
        if (isOver || error instanceof CadreError) throw forCaller(error, this.url, what);
        await clock.sleep(pauseMs);
      }
    }
  }

  /** Runs `operation` while no other session holds `lock`: a queue that only one can own. */
  async locked<Result>(lock: string, operation: () => Promise<Result>): Promise<Result> {
    const before = this.#locks.get(lock);
    const run = (async (): Promise<Result> => {
      await before?.catch(() => {}); // its caller has been told
      await this.#lock(lock);
      try {
        return await operation();
      } finally {
        // Who cannot give it back loses it with the connection.
        await this.control("unlock", (channel) => channel.deleteQueue(lock)).catch(() => {});
      }
    })();
    this.#locks.set(lock, run);
    try {
      return await run;
    } finally {
      if (this.#locks.get(lock) === run) this.#locks.delete(lock);
    }
  }

  async #lock(lock: string): Promise<void> {
    const { clock, requestTimeoutMs } = this.settings;
    const options = { exclusive: true, durable: false, autoDelete: false };
    const end = clock.monotonic() + requestTimeoutMs;
    for (;;) {
      try {
        await this.control("lock", (channel) => channel.assertQueue(lock, options));
        return;
      } catch (error) {
        const reply = replyOf(error);
        const isHeld = reply === replies.locked || reply === replies.notFound;
        if (!isHeld) throw error;
        if (clock.monotonic() > end) throw timeoutError(this.url, `lock ${lock}`, requestTimeoutMs);
        await clock.sleep(lockPauseMs);
      }
    }
  }
}
