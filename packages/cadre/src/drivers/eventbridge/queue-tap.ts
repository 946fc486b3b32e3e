/**
 * Asks a queue for messages for as long as somebody wants some.
 *
 *   wanted ─▶ one request, which waits for the first message ─▶ as many came as could ─▶ several
 *                └─ nobody wants any more ─▶ kept a moment ─▶ ended
 *
 * While a request is answered in full there are more behind it, and several run side by side; an
 * empty queue is waited for by one alone. A request that is not answered in time was often sent on
 * a connection that had died unnoticed: it is made once more, on another, before anybody is told.
 */
import type { MessageLike } from "./client.ts";
import { forCaller, isMissing, isTimeout } from "./eventbridge-error.ts";
import type { Session } from "./session.ts";

export interface QueueTapParts {
  readonly session: Session;
  readonly url: string;
  readonly leaseMs: number;
  /** How many messages could be used now. */
  readonly wanted: () => number;
  /** @param visibleAt on the monotonic clock: when SQS may hand them to others, at the earliest */
  readonly onMessages: (messages: readonly MessageLike[], visibleAt: number) => void;
  readonly onFailure: (error: unknown) => void;
  /** The queue was deleted. */
  readonly onGone: () => void;
}

const mostAtOnce = 10; // messages in one answer
const mostRequests = 4;
const answerMs = 300; // in which SQS answers if it has messages

export class QueueTap {
  readonly #parts: QueueTapParts;
  readonly #waitSeconds: number;
  readonly #hiddenSeconds: number;
  #closer = new AbortController();
  readonly #running = new Set<Promise<void>>();
  #asked = 0;
  /** When the last request was made. */
  #askedAt = -Infinity;
  #isBusy = false;
  #isUnanswered = false;
  #isClosed = false;

  constructor(parts: QueueTapParts) {
    this.#parts = parts;
    const { leaseMs, session } = parts;
    const waitMs = Math.min(session.settings.waitMs, Math.max(1_000, leaseMs));
    this.#waitSeconds = Math.floor(waitMs / 1_000);
    // A message may be handed out at the beginning of the wait, and heard of at its end.
    const hiddenMs = Math.min(leaseMs + this.#waitSeconds * 1_000, maxHiddenMs);
    this.#hiddenSeconds = Math.ceil(hiddenMs / 1_000);
  }

  /** Sees to it that as much is asked for as is wanted. */
  ask(): void {
    while (!this.#isClosed && this.#running.size < (this.#isBusy ? mostRequests : 1)) {
      const wanted = this.#parts.wanted() - this.#asked;
      if (wanted <= 0) return;
      const running: Promise<void> = this.#request(Math.min(mostAtOnce, wanted)).finally(() => {
        this.#running.delete(running);
        this.ask();
      });
      this.#running.add(running);
    }
  }

  /** Ends the requests that run, unless something is wanted again. */
  async rest(): Promise<void> {
    await this.#answered();
    if (this.#parts.wanted() <= 0) await this.#end();
  }

  async close(): Promise<void> {
    this.#isClosed = true;
    await this.#answered();
    await this.#end();
  }

  /**
   * What is just being handed out is waited for: cut off, it would be hidden until its lease ends,
   * and count as an attempt. A request that is older waits at an empty queue.
   */
  async #answered(): Promise<void> {
    const { clock } = this.#parts.session.settings;
    const leftMs = this.#askedAt + answerMs - clock.monotonic();
    if (this.#running.size === 0 || leftMs <= 0) return;
    const timer = new AbortController();
    const late = clock.sleep(leftMs, timer.signal).catch(() => {}); // in time
    await Promise.race([Promise.all(this.#running), late]);
    timer.abort();
  }

  async #end(): Promise<void> {
    this.#closer.abort();
    this.#closer = new AbortController();
    await Promise.all(this.#running);
  }

  async #request(max: number): Promise<void> {
    const { session, url, onMessages, onFailure, onGone } = this.#parts;
    const { clock, requestTimeoutMs } = session.settings;
    const { signal } = this.#closer;
    this.#asked += max;
    const askedAt = clock.monotonic();
    this.#askedAt = askedAt;
    try {
      const { Messages = [] } = await session.call(
        "receive messages",
        (options) =>
          session.clients.queues.receiveMessage(
            {
              QueueUrl: url,
              MaxNumberOfMessages: max,
              WaitTimeSeconds: this.#waitSeconds,
              VisibilityTimeout: this.#hiddenSeconds,
              MessageSystemAttributeNames: ["All"],
              MessageAttributeNames: ["All"],
            },
            options,
          ),
        this.#waitSeconds * 1_000 + requestTimeoutMs,
        signal,
      );
      this.#isUnanswered = false;
      this.#isBusy = Messages.length === max;
      if (Messages.length > 0) onMessages(Messages, askedAt + this.#hiddenSeconds * 1_000);
    } catch (error) {
      this.#isBusy = false;
      if (signal.aborted || session.ended) return;
      if (isMissing(error)) onGone();
      else if (isTimeout(error) && !this.#isUnanswered) this.#isUnanswered = true;
      else onFailure(forCaller(error, session.url, "receive"));
    } finally {
      this.#asked -= max;
    }
  }
}

const maxHiddenMs = 12 * 3_600_000; // what SQS can
