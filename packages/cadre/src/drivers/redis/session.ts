/** One connection in use: scripts and commands, each with a time limit and typed errors. */
import { CadreError, isCadreError } from "../../core/errors.ts";
import type { RedisClientLike } from "./client.ts";
import { forCaller, isUnknownScript } from "./redis-error.ts";
import type { Durability, Settings } from "./redis-options.ts";
import type { Script } from "./script.ts";

export type Argument = string | number | Buffer;

export class Session {
  readonly client: RedisClientLike;
  readonly settings: Settings;
  /** The server without credentials, for messages. */
  readonly url: string;
  /** What a resolved publish survives, as the server says. */
  durable: Durability = "no";
  readonly #mainKey: string;
  readonly #unanswered = new Set<() => void>();
  readonly #isOwn: boolean;
  #ended = false;

  /** @param isOwn whether the client was opened by `connect`, which has it send nothing again */
  constructor(client: RedisClientLike, settings: Settings, url: string, isOwn: boolean) {
    this.client = client;
    this.settings = settings;
    this.url = url;
    this.#mainKey = this.key("bus");
    this.#isOwn = isOwn;
    if (isOwn) client.on("close", () => this.#onBreak());
  }

  get connected(): boolean {
    return this.client.status === "ready";
  }

  get ended(): boolean {
    return this.#ended;
  }

  end(): void {
    this.#ended = true;
  }

  key(name: string): string {
    return `{${this.settings.prefix}}:${name}`;
  }

  /** Has the server see at once what `ask` asks, and who is woken by it, as far as it can. */
  together<Answer>(ask: () => Promise<Answer>): Promise<Answer> {
    const { stream } = this.client;
    stream?.cork();
    try {
      return ask();
    } finally {
      queueMicrotask(() => stream?.uncork()); // after those that were woken
    }
  }

  /** @throws {CadreError} TIMEOUT | UNREACHABLE | STORE_FULL */
  async run(what: string, script: Script, args: readonly Argument[]): Promise<unknown> {
    return this.#typed(what, async () => {
      const rest = ["1", this.#mainKey, ...args];
      try {
        return await this.client.callBuffer("EVALSHA", [script.digest, ...rest]);
      } catch (error) {
        if (!isUnknownScript(error)) throw error;
        return this.client.callBuffer("EVAL", [script.text, ...rest]); // kept from now on
      }
    });
  }

  /** @throws as {@link Session.run} */
  command(name: string, ...args: Argument[]): Promise<unknown> {
    return this.#typed(name, () => this.client.call(name, args));
  }

  /**
   * Asks again, with pauses, while the connection is broken, for as long as an answer is waited for
   * and `isWanted`.
   */
  async patiently<Answer>(ask: () => Promise<Answer>, isWanted: () => boolean): Promise<Answer> {
    const { clock, requestTimeoutMs } = this.settings;
    const end = clock.monotonic() + requestTimeoutMs;
    for (let pauseMs = 20; ; pauseMs = Math.min(pauseMs * 2, 500)) {
      try {
        return await ask();
      } catch (error) {
        const isOver = this.#ended || clock.monotonic() + pauseMs > end || !isWanted();
        if (isOver || !isCadreError(error, "UNREACHABLE")) throw error;
        await clock.sleep(pauseMs);
      }
    }
  }

  async #typed<Answer>(what: string, ask: () => Promise<Answer>): Promise<Answer> {
    if (this.#ended) throw closedError();
    try {
      return await this.#inTime(what, ask());
    } catch (error) {
      if (this.#ended) throw closedError();
      throw forCaller(error, { url: this.url, what, connected: this.connected });
    }
  }

  #inTime<Answer>(what: string, answer: Promise<Answer>): Promise<Answer> {
    const { clock, requestTimeoutMs: timeoutMs } = this.settings;
    return new Promise((resolve, reject) => {
      const fail = (): void => end(() => reject(new Error("the connection broke")));
      const cancel = clock.after(timeoutMs, () => end(() => reject(this.#late(what, timeoutMs))));
      const end = (settle: () => void): void => {
        cancel();
        this.#unanswered.delete(fail);
        settle();
      };
      // What waits to be sent is sent when the connection is whole.
      if (this.#isOwn && this.connected) this.#unanswered.add(fail);
      answer.then(
        (value) => end(() => resolve(value)),
        (error: unknown) => end(() => reject(error)),
      );
    });
  }

  #late(what: string, timeoutMs: number): Error {
    if (!this.connected) return new Error(`nothing came within ${timeoutMs} ms`);
    const { url } = this;
    const message = `The Redis server at ${url} did not answer ${what} within ${timeoutMs} ms.`;
    return new CadreError("TIMEOUT", message, { what, timeoutMs });
  }

  /** Answers that were on their way never come: there is no use in waiting for them. */
  #onBreak(): void {
    const all = [...this.#unanswered];
    this.#unanswered.clear();
    for (const fail of all) fail();
  }

  /** A connection for a command that waits at the server; it is sent again after a break. */
  duplicate(): RedisClientLike {
    return this.#isOwn
      ? this.client.duplicate({ autoResendUnfulfilledCommands: true })
      : this.client.duplicate();
  }
}

export function closedError(): CadreError {
  const message = "The Redis transport is closed. Open another, or close it later.";
  return new CadreError("CLOSED", message, { what: "redis" });
}
