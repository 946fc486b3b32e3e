/**
 * One connection that is kept: broken, it is made again, with pauses, until the link ends.
 *
 *   connecting ──▶ connected ──close──▶ broken ──made again──▶ connected, and listeners are told
 *                      └───────────────────┴──────end()──────▶ ended
 */
import { CadreError } from "../../core/errors.ts";
import type { RabbitClientLike } from "./client.ts";
import { connect, type Address } from "./connect.ts";
import { closedError } from "./rabbitmq-error.ts";
import type { Settings } from "./rabbitmq-options.ts";

// a link that was whole once is mended for as long as it is used
const mendForMs = 365 * 24 * 3_600_000;

export class Link {
  readonly settings: Settings;
  readonly url: string;
  readonly #target: Address | RabbitClientLike;
  readonly #ender = new AbortController();
  readonly #listeners = new Set<() => void>();
  #client: RabbitClientLike | undefined;
  #blocked: string | undefined;
  #mending = false;
  #ended = false;

  private constructor(target: Address | RabbitClientLike, settings: Settings) {
    this.#target = target;
    this.settings = settings;
    this.url = isAddress(target) ? target.shown : "the given connection";
  }

  /** @throws {CadreError} UNREACHABLE | MISSING_LIBRARY */
  static async open(
    target: Address | RabbitClientLike,
    settings: Settings,
    signal: AbortSignal,
  ): Promise<Link> {
    const link = new Link(target, settings);
    const { connectTimeoutMs } = settings;
    link.#take(
      isAddress(target) ? await connect(target, settings, connectTimeoutMs, signal) : target,
    );
    return link;
  }

  get connected(): boolean {
    return this.#client !== undefined;
  }

  get ended(): boolean {
    return this.#ended;
  }

  /** Why the server reads nothing from this connection; nothing while it does. */
  get blocked(): string | undefined {
    return this.#blocked;
  }

  /** Resolves when the server reads again, or the link has changed otherwise, or time is over. */
  async untilRead(withinMs: number): Promise<void> {
    if (this.#blocked !== undefined) await this.#change(withinMs);
  }

  /**
   * Told when a broken connection is whole again, or a blocked one is read. The returned function
   * ends that.
   */
  onChange(listener: () => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  /**
   * The connection; waited for when it is broken.
   *
   * @throws {CadreError} UNREACHABLE when it is not whole within `timeoutMs` | CLOSED
   */
  async client(timeoutMs: number = this.settings.requestTimeoutMs): Promise<RabbitClientLike> {
    const end = this.settings.clock.monotonic() + timeoutMs;
    for (;;) {
      if (this.#ended) throw closedError();
      if (this.#client) return this.#client;
      const leftMs = end - this.settings.clock.monotonic();
      if (leftMs <= 0) {
        const message =
          `There is no connection to the RabbitMQ server at ${this.url}. ` +
          "The transport keeps trying to connect.";
        throw new CadreError("UNREACHABLE", message, { url: this.url, tried: 1 });
      }
      await this.#change(leftMs);
    }
  }

  /** Closes what was opened here. */
  async end(): Promise<void> {
    this.#ended = true;
    this.#ender.abort(closedError());
    const client = this.#client;
    this.#client = undefined;
    this.#tell();
    this.#listeners.clear();
    // A connection that breaks while it is closed is closed as well.
    if (client && isAddress(this.#target)) await client.close().catch(() => {});
  }

  #take(client: RabbitClientLike): void {
    this.#client = client;
    client.on("blocked", (reason: unknown) => {
      this.#blocked = String(reason);
      const { logger } = this.settings;
      logger.warn("RabbitMQ takes no publishes for now.", { url: this.url, reason });
    });
    client.on("unblocked", () => {
      this.#blocked = undefined;
      this.#tell();
    });
    client.on("error", (error: unknown) =>
      this.settings.logger.warn("The connection to RabbitMQ broke.", { url: this.url, error }),
    );
    client.on("close", () => this.#broke(client));
    if (isAddress(this.#target)) return;
    client.on("disconnect", () => this.#broke(client)); // of a client that mends itself
    client.on("connect", () => {
      this.#client = client;
      this.#tell();
    });
  }

  #broke(client: RabbitClientLike): void {
    if (this.#client !== client) return;
    this.#client = undefined;
    this.#blocked = undefined;
    if (isAddress(this.#target) && !this.#ended) void this.#mend(this.#target);
  }

  async #mend(address: Address): Promise<void> {
    if (this.#mending) return;
    this.#mending = true;
    try {
      while (!this.#ended && !this.#client) {
        const client = await connect(address, this.settings, mendForMs, this.#ender.signal);
        if (this.#ended) await client.close();
        else this.#take(client);
      }
    } catch (error) {
      if (!this.#ended) {
        this.settings.logger.error("RabbitMQ refuses the connection for good.", { error });
      }
    } finally {
      this.#mending = false;
    }
    this.#tell();
  }

  #tell(): void {
    for (const listener of [...this.#listeners]) listener();
  }

  #change(withinMs: number): Promise<void> {
    return new Promise((resolve) => {
      const go = (): void => {
        cancel();
        endListening();
        resolve();
      };
      const cancel = this.settings.clock.after(withinMs, go);
      const endListening = this.onChange(go);
    });
  }
}

export function isAddress(target: Address | RabbitClientLike): target is Address {
  return "shown" in target;
}
