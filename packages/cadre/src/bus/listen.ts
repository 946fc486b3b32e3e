/** The events of a broadcast as an async iterable. */
import type { AgentEvent } from "../core/event.ts";
import type { Handler, SubscribeOptions } from "./bus.ts";
import type { Subscription } from "./subscription.ts";
import { Wakeup } from "./wakeup.ts";

export type ListenOptions = Pick<SubscribeOptions, "filter" | "from" | "maxQueued" | "signal">;

/**
 * Subscribes at once and yields what comes; the handler holds one event until it was taken, so that
 * the subscription's own bounded queue is the only one.
 */
export class Listening implements AsyncIterable<AgentEvent> {
  /** Resolves when no event is missed any more; rejects when it could not be opened. */
  readonly ready: Promise<void>;
  readonly #opened: Promise<Subscription>;
  readonly #signal: AbortSignal | undefined;
  readonly #given = new Wakeup();
  readonly #taken = new Wakeup();
  #event: AgentEvent | undefined;
  #ended = false;

  readonly #onEnd: () => void;

  constructor(
    open: (handler: Handler) => Promise<Subscription>,
    signal: AbortSignal | undefined,
    onEnd: () => void,
  ) {
    this.#signal = signal;
    this.#onEnd = onEnd;
    this.#opened = open((event) => this.#give(event));
    this.ready = this.#opened.then(() => {});
    this.ready.catch(() => {}); // whoever iterates sees it again
  }

  /** The bus closed the subscription. */
  end(): void {
    if (!this.#ended) this.#onEnd();
    this.#ended = true;
    this.#given.ring();
    this.#taken.ring();
  }

  async *[Symbol.asyncIterator](): AsyncGenerator<AgentEvent, void, void> {
    const subscription = await this.#opened;
    const onAbort = (): void => this.end();
    this.#signal?.addEventListener("abort", onAbort, { once: true });
    if (this.#signal?.aborted) this.end();
    try {
      while (!this.#ended) {
        const event = this.#event;
        if (!event) {
          await this.#given.wait();
          continue;
        }
        this.#event = undefined;
        this.#taken.ring();
        yield event;
      }
    } finally {
      this.#signal?.removeEventListener("abort", onAbort);
      this.end();
      await subscription.close();
    }
  }

  async #give(event: AgentEvent): Promise<void> {
    if (this.#ended) return; // the subscription is about to close
    this.#event = event;
    this.#given.ring();
    while (this.#event === event && !this.#ended) await this.#taken.wait();
  }
}
