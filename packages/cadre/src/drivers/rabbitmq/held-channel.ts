import type { RabbitChannelLike } from "./client.ts";
import type { Link } from "./link.ts";
import { timeoutError } from "./rabbitmq-error.ts";

/**
 * A channel on which a queue's deliveries are held. With its end the server gives all of them to
 * others.
 */
export class HeldChannel {
  readonly channel: RabbitChannelLike;
  readonly #link: Link;
  readonly #queue: string;
  #isOpen = true;
  #running: Promise<boolean> | undefined;
  #next: Promise<boolean> | undefined;

  constructor(channel: RabbitChannelLike, link: Link, queue: string, onEnd: () => void) {
    this.channel = channel;
    this.#link = link;
    this.#queue = queue;
    channel.on("error", (error: unknown) =>
      link.settings.logger.debug("RabbitMQ has closed a channel.", { queue, error }),
    );
    channel.on("close", () => {
      this.#isOpen = false;
      onEnd();
    });
  }

  get isOpen(): boolean {
    return this.#isOpen && this.#link.connected;
  }

  /**
   * True when the server has done all that it was told before; false when the channel has ended, or
   * the queue is gone. Asking for many at once asks the server once.
   *
   * @throws {CadreError} TIMEOUT
   */
  flush(): Promise<boolean> {
    if (this.#next) return this.#next;
    if (!this.#running) return this.#start();
    this.#next = this.#running.then(
      () => this.#start(),
      () => this.#start(),
    );
    return this.#next;
  }

  /** How many events wait in the queue; none when the channel has ended or nothing answers. */
  async waiting(): Promise<number> {
    let cancel = (): void => {};
    const late = new Promise<number>((resolve) => {
      const { clock, requestTimeoutMs } = this.#link.settings;
      cancel = clock.after(requestTimeoutMs, () => resolve(0));
    });
    const asked = this.channel.checkQueue(this.#queue).then(
      ({ messageCount }) => messageCount,
      () => 0,
    );
    return Promise.race([asked, late]).finally(cancel);
  }

  async close(): Promise<void> {
    if (!this.#isOpen) return;
    this.#isOpen = false;
    await this.channel.close().catch(() => {}); // it may just have broken
  }

  #start(): Promise<boolean> {
    this.#next = undefined;
    const running = this.#ask().finally(() => {
      if (this.#running === running) this.#running = undefined;
    });
    this.#running = running;
    return running;
  }

  /** Orders on a channel are done one after the other, so an answer to the last answers for all. */
  async #ask(): Promise<boolean> {
    if (!this.isOpen) return false;
    const { clock, requestTimeoutMs } = this.#link.settings;
    let cancel = (): void => {};
    const late = new Promise<"late">((resolve) => {
      cancel = clock.after(requestTimeoutMs, () => resolve("late"));
    });
    const asked = this.channel.checkQueue(this.#queue).then(
      () => true,
      () => false,
    );
    const answer = await Promise.race([asked, late]);
    cancel();
    if (answer !== "late") return answer;
    throw timeoutError(this.#link.url, "settle", requestTimeoutMs);
  }
}
