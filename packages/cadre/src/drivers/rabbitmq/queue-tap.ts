/**
 * A group's queue as one member draws from it: a channel, and consumers that let in as much as is
 * wanted.
 *
 *   shut ──grow(n)──▶ open for n ──grow(m)──▶ open for n + m ──shut()──▶ shut
 *
 * How much a consumer lets in is fixed when it begins, so another is put beside it when it is too
 * little. What they let in stays with the channel when they end. What the server was just sending
 * to a consumer that ends goes back, and the server counts that as an attempt: so they end when
 * nobody pulls any more, best when they are full, and never for another reason.
 */
import { describeError } from "../../core/errors.ts";
import type { RabbitMessageLike } from "./client.ts";
import { HeldChannel } from "./held-channel.ts";
import { forCaller } from "./rabbitmq-error.ts";
import type { Session } from "./session.ts";

export interface TapEvents {
  readonly onMessage: (held: HeldChannel, message: RabbitMessageLike, generation: number) => void;
  /** The channel has ended, and with it all that was let in. */
  readonly onBreak: () => void;
  /** The queue was deleted. */
  readonly onGone: () => void;
  /** It could not be opened; it is tried again when it is wanted again. */
  readonly onFailure: (error: unknown) => void;
}

const mostPrefetch = 65_535;
const againMs = 100;

export class QueueTap {
  readonly #session: Session;
  readonly #queue: string;
  readonly #events: TapEvents;
  #held: HeldChannel | undefined;
  #tags: string[] = [];
  #generation = 0;
  #size = 0;
  #goal = 0;
  #mustShut = false;
  #isStopping = false;
  #working: Promise<void> | undefined;
  #ended = false;

  constructor(session: Session, queue: string, events: TapEvents) {
    this.#session = session;
    this.#queue = queue;
    this.#events = events;
  }

  /** Number of the consumers that are open now; when they are shut, others begin. */
  get generation(): number {
    return this.#generation;
  }

  /** How much the consumers let in at once, those that are just being opened included. */
  get size(): number {
    return this.#goal;
  }

  /** Set while consumers are being ended: what is acked meanwhile would let something in. */
  get stopping(): Promise<void> | undefined {
    return this.#mustShut || this.#isStopping ? this.#working : undefined;
  }

  /**
   * How many events wait in the queue for any consumer. What was on its way here when the server
   * counted has come before its answer.
   */
  async waiting(): Promise<number> {
    const held = this.#held;
    return held?.isOpen ? held.waiting() : 0;
  }

  grow(count: number): void {
    this.#goal += Math.min(count, mostPrefetch);
    this.#work();
  }

  /** Resolves when nothing more comes in. */
  async shut(): Promise<void> {
    this.#goal = 0;
    this.#generation += 1;
    this.#mustShut = true;
    this.#work();
    while (this.#working) await this.#working;
  }

  /** With it, all that was let in and is not settled goes to others. */
  async end(): Promise<void> {
    this.#ended = true;
    while (this.#working) await this.#working;
    await this.#held?.close();
  }

  #work(): void {
    this.#working ??= this.#change().finally(() => {
      this.#working = undefined;
      // It may have been asked for while a failure was dealt with; nobody would ask again.
      if (this.#isWanted && !this.#session.ended) this.#work();
    });
  }

  get #isWanted(): boolean {
    return !this.#ended && (this.#mustShut || this.#goal > this.#size);
  }

  async #change(): Promise<void> {
    try {
      while (this.#isWanted) {
        if (this.#mustShut) await this.#stop();
        else await this.#start(Math.min(this.#goal - this.#size, mostPrefetch));
      }
    } catch (error) {
      await this.#failed(error);
    }
  }

  async #stop(): Promise<void> {
    this.#mustShut = false;
    this.#size = 0;
    const held = this.#held;
    const tags = this.#tags.splice(0);
    if (!held?.isOpen) return;
    this.#isStopping = true;
    try {
      await Promise.all(tags.map((tag) => held.channel.cancel(tag)));
    } finally {
      this.#isStopping = false;
    }
  }

  async #start(size: number): Promise<void> {
    const held = this.#held?.isOpen ? this.#held : await this.#open();
    const generation = this.#generation;
    const take = (message: RabbitMessageLike | null): void => {
      if (message) this.#events.onMessage(held, message, generation);
      else if (held === this.#held) this.#gone();
    };
    await held.channel.prefetch(size);
    const { consumerTag } = await held.channel.consume(this.#queue, take);
    if (held !== this.#held) return;
    this.#tags.push(consumerTag);
    this.#size += size;
  }

  async #open(): Promise<HeldChannel> {
    const { into } = this.#session;
    const channel = await (await into.client()).createChannel();
    const held = new HeldChannel(channel, into, this.#queue, () => {
      if (this.#held !== held) return;
      this.#held = undefined;
      this.#forget();
      this.#goal = 0;
      this.#generation += 1;
      if (!this.#ended) this.#events.onBreak();
    });
    this.#held = held;
    this.#forget();
    return held;
  }

  #forget(): void {
    this.#tags = [];
    this.#size = 0;
  }

  #gone(): void {
    this.#forget();
    this.#events.onGone();
  }

  async #failed(error: unknown): Promise<void> {
    if (this.#ended || this.#session.ended) return;
    const wanted = this.#goal;
    this.#goal = 0;
    this.#mustShut = false;
    this.#generation += 1;
    await this.#held?.close();
    this.#held = undefined;
    this.#forget();
    if (/NOT_FOUND - no queue/.test(describeError(error).message)) {
      this.#gone();
      return;
    }
    if (wanted === 0) return;
    await this.#session.settings.clock.sleep(againMs);
    this.#events.onFailure(forCaller(error, this.#session.url, "consume"));
  }
}
