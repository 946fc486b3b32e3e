/**
 * The pull requests of one consumer.
 *
 *   ask(n) ──▶ outstanding ──message──▶ onMessage, one less
 *                  ├────────time over──▶ none, onDry
 *                  ├────────no beat────▶ given up, onDry: who led the consumer has died
 *                  ├────────refused────▶ none, onDry after a pause, or onGone with its consumer
 *                  └────────end────────▶ none, after what was on its way has come in
 */
import type { NatsMessageLike, NatsSubscriptionLike } from "./client.ts";
import type { Session } from "./session.ts";
import { nanoseconds } from "./streams.ts";
import { deliveryInfo, type DeliveryInfo } from "./wire.ts";

export interface PullEvents {
  readonly onMessage: (message: NatsMessageLike, info: DeliveryInfo) => void;
  /** Nothing is asked for any more. */
  readonly onDry: () => void;
  /** The server says that there is no such consumer, or nobody answers for it. */
  readonly onGone: () => void;
}

const encoder = new TextEncoder();
const expiresMs = 30_000; // the server ends a request after this, and the line asks anew
const beatMs = 4_000; // so often the server says that it has not forgotten a request
const silenceMs = 10_000; // two beats and some: then the request is taken for lost
const pauseMs = 100; // after a refusal
const quietMs = 20; // far longer than a message is on its way within the server

export class PullLine {
  readonly #session: Session;
  readonly #subject: string;
  readonly #events: PullEvents;
  #subscription: NatsSubscriptionLike | undefined;
  #inbox = "";
  #outstanding = 0;
  #cancelWatch: (() => void) | undefined;
  #lastMessageAt = -Infinity;
  #ended = false;

  constructor(session: Session, stream: string, consumer: string, events: PullEvents) {
    this.#session = session;
    this.#subject = `${session.settings.apiPrefix}.CONSUMER.MSG.NEXT.${stream}.${consumer}`;
    this.#events = events;
  }

  /** Lets up to `count` messages come, those that were asked for before included. */
  ask(count: number): void {
    const more = count - this.#outstanding;
    if (more <= 0 || this.#ended || this.#session.client.isClosed()) return;
    this.#subscription ??= this.#subscribe();
    this.#outstanding += more;
    const request = {
      batch: more,
      expires: expiresMs * nanoseconds,
      idle_heartbeat: beatMs * nanoseconds,
    };
    const data = encoder.encode(JSON.stringify(request));
    this.#session.client.publish(this.#subject, data, { reply: this.#inbox });
    this.#watch();
  }

  /** What was asked for is void: the server has forgotten it. */
  reset(): void {
    try {
      this.#forget()?.unsubscribe();
    } catch {
      // a closed connection has no subscriptions
    }
  }

  /**
   * Asks for nothing more, and resolves when what was on its way has come in.
   *
   * The server drops a request when nobody listens for its answer any more. A message that it is
   * just sending would then be lost until its ack wait is over: so this waits for a moment in which
   * none comes.
   */
  async end(): Promise<void> {
    this.#ended = true;
    const { clock } = this.#session.settings;
    while (this.#outstanding > 0 && clock.monotonic() - this.#lastMessageAt < quietMs) {
      await clock.sleep(quietMs / 4);
    }
    // A connection that is broken or closed has nothing on its way.
    await this.#forget()
      ?.drain()
      .catch(() => {});
  }

  #forget(): NatsSubscriptionLike | undefined {
    const subscription = this.#subscription;
    this.#subscription = undefined;
    this.#outstanding = 0;
    this.#cancelWatch?.();
    this.#cancelWatch = undefined;
    return subscription;
  }

  #subscribe(): NatsSubscriptionLike {
    const inbox = this.#session.newInbox();
    this.#inbox = inbox;
    return this.#session.client.subscribe(inbox, {
      callback: (error, message) => {
        if (!error) this.#receive(inbox, message);
        else if (inbox === this.#inbox) this.#pause();
      },
    });
  }

  #receive(inbox: string, message: NatsMessageLike): void {
    const info = deliveryInfo(message);
    if (!info) {
      if (inbox === this.#inbox && this.#subscription) this.#heed(message);
      return;
    }
    // What comes in on an inbox that was given up counts for no request of today.
    if (inbox === this.#inbox && this.#subscription) {
      this.#lastMessageAt = this.#session.settings.clock.monotonic();
      this.#outstanding = Math.max(0, this.#outstanding - 1);
      this.#watch();
    }
    this.#events.onMessage(message, info);
  }

  /** The server speaks about a request. */
  #heed({ headers }: NatsMessageLike): void {
    const code = headers?.code ?? 0;
    if (code === 100 || code === 0) return this.#watch(); // a heartbeat
    const left = headers?.get("Nats-Pending-Messages") ?? "";
    this.#outstanding = left === "" ? 0 : Math.max(0, this.#outstanding - Number(left));
    if (code === 503 || /consumer deleted/i.test(headers?.description ?? "")) {
      this.#outstanding = 0;
      this.#events.onGone();
    } else if (code === 404 || code === 408) this.#events.onDry();
    else this.#pause();
  }

  #pause(): void {
    const { clock } = this.#session.settings;
    this.#outstanding = 0;
    clock.after(pauseMs, () => this.#events.onDry(), { background: true });
  }

  /**
   * A request of which nothing is heard is given up. A member of a cluster that has just lost its
   * leader takes requests and forgets them.
   */
  #watch(): void {
    this.#cancelWatch?.();
    this.#cancelWatch = undefined;
    if (this.#outstanding === 0) return;
    const { clock } = this.#session.settings;
    const giveUp = (): void => {
      this.reset();
      this.#events.onDry();
    };
    this.#cancelWatch = clock.after(silenceMs, giveUp, { background: true });
  }
}
