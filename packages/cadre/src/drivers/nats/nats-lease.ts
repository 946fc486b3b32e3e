/**
 * One delivery in this member's hands.
 *
 *   held ──settle──▶ settling ──confirmed──▶ settled
 *     │                  └──────not answered──▶ held (the same may be asked again)
 *     └────time ran out, consumer gone, transport closed──▶ lost
 *
 * JetStream takes an ack of whoever sends it, also of an owner whose time has run out. So the owner
 * itself watches the time: what the server has not been told in time, it is not told at all. What
 * is left is a message that is on its way when the time ends.
 *
 * The server knows one time for all deliveries of a group, the ack wait. An owner that needs longer
 * says in between that it works.
 */
import type { Lease, Recorded, Settlement } from "../../bus/transport.ts";
import { isCadreError } from "../../core/errors.ts";
import type { NatsMessageLike } from "./client.ts";
import { consumerInfo } from "./groups.ts";
import { forCaller, NobodyThere } from "./nats-error.ts";
import { closedError, type Session } from "./session.ts";
import { nanoseconds } from "./streams.ts";
import { attemptOf, copiedHeaders, toRecorded, type DeliveryInfo } from "./wire.ts";

export interface LeaseParts {
  readonly session: Session;
  readonly stream: string;
  readonly consumer: string;
  readonly ackWaitMs: number;
  /** Where a copy of this event for its group goes. */
  readonly copySubject: (recorded: Recorded) => string;
}

const encoder = new TextEncoder();
const orders = {
  ack: encoder.encode("+ACK"),
  again: encoder.encode("-NAK"),
  end: encoder.encode("+TERM"),
  working: encoder.encode("+WPI"),
} as const;
const toleratedShare = 0.1; // of the ack wait: saves a call to the server for each delivery
const askAgainMs = 50; // when nobody listens to acks: a server that starts again needs a moment

export class NatsLease implements Lease {
  readonly recorded: Recorded;
  readonly attempt: number;
  readonly #parts: LeaseParts;
  readonly #message: NatsMessageLike;
  /** Monotonic time up to which the server gives the event to nobody else. */
  #heldUntil: number;
  /** Monotonic time up to which the owner wants it. */
  #wantedUntil: number;
  #settlement: string | undefined;
  #settling: Promise<"ok" | "lost"> | undefined;
  #isLost = false;
  #cancelBeat: (() => void) | undefined;

  constructor(parts: LeaseParts, message: NatsMessageLike, info: DeliveryInfo) {
    this.#parts = parts;
    this.#message = message;
    this.recorded = toRecorded(message, info, parts.session.settings.wire);
    this.attempt = attemptOf(message, info);
    this.#heldUntil = this.#now() + parts.ackWaitMs;
    this.#wantedUntil = this.#heldUntil;
  }

  /**
   * Owns it for `leaseMs` from now on. What it has lain here is not made up for where it is little.
   */
  own(leaseMs: number): void {
    const until = this.#now() + leaseMs;
    const isClose = until - this.#heldUntil <= this.#parts.ackWaitMs * toleratedShare;
    this.#wantedUntil = isClose ? Math.min(until, this.#heldUntil) : until;
    this.#beatLater();
  }

  /** Whether its time has run out. */
  get isLost(): boolean {
    const until = Math.min(this.#heldUntil, this.#wantedUntil);
    if (!this.#isLost && this.#settlement === undefined && this.#now() >= until) this.#lose();
    return this.#isLost || this.#parts.session.ended;
  }

  settle(settlement: Settlement): Promise<"ok" | "lost"> {
    const kind = JSON.stringify(settlement);
    if (this.#settlement === undefined) {
      if (this.isLost) return Promise.resolve("lost");
      this.#settlement = kind;
    } else if (this.#settlement !== kind) {
      return Promise.resolve("lost");
    }
    this.#settling ??= this.#settle(settlement);
    return this.#settling;
  }

  async extend(ms: number): Promise<"ok" | "lost"> {
    if (this.#settlement !== undefined || this.isLost) return "lost";
    const startedAt = this.#now();
    const answer = await this.#order("extend", orders.working).catch((error: unknown) => {
      throw forCaller(error, this.#parts.session.url);
    });
    if (answer === "lost") return answer;
    this.#heldUntil = Math.max(this.#heldUntil, startedAt + this.#parts.ackWaitMs);
    this.#wantedUntil = startedAt + ms;
    this.#beatLater();
    return "ok";
  }

  async #settle(settlement: Settlement): Promise<"ok" | "lost"> {
    try {
      const answer = await this.#carryOut(settlement);
      this.#cancelBeat?.();
      if (answer === "lost") this.#lose();
      return answer;
    } catch (error) {
      this.#settling = undefined; // not answered: the same may be asked again
      throw forCaller(error, this.#parts.session.url);
    }
  }

  async #carryOut(settlement: Settlement): Promise<"ok" | "lost"> {
    switch (settlement.kind) {
      case "ack":
        return this.#order("ack", orders.ack);
      case "park":
        // No order by key is kept here, so nothing waits behind it: it comes again only as a copy.
        return this.#order("park", orders.end);
      case "retry":
        return this.#order("retry", retryOrder(settlement.delayMs));
      case "release": {
        // The server counts every delivery. A copy begins with a count of its own; a crash in
        // between doubles, and loses nothing.
        const { session, copySubject } = this.#parts;
        const headers = copiedHeaders(this.#message, this.recorded, this.attempt);
        const subject = copySubject(this.recorded);
        // The last copy of an event takes the place of the one before.
        const copied = await this.#whileOwned(
          () => session.store(subject, this.#message.data, headers),
          true,
        );
        return copied === "lost" ? copied : this.#order("release", orders.ack);
      }
    }
  }

  /** Tells the server, and resolves when it has heard it. */
  #order(what: string, order: Uint8Array): Promise<"ok" | "lost"> {
    const { session } = this.#parts;
    return this.#whileOwned(async (timeoutMs) => {
      await session.request(what, this.#message.reply ?? "", order, { timeoutMs });
    }, what !== "retry");
  }

  /**
   * Goes on over breaks of the connection, as long as the event is ours: what is told twice changes
   * nothing. A retry is the exception: told again, it would take the event from who has it next.
   */
  async #whileOwned(
    operation: (timeoutMs: number) => Promise<unknown>,
    isHarmlessTwice: boolean,
  ): Promise<"ok" | "lost"> {
    const { session, stream, consumer } = this.#parts;
    const { clock, requestTimeoutMs } = session.settings;
    for (;;) {
      const leftMs = Math.min(this.#heldUntil, this.#wantedUntil) - this.#now();
      if (session.ended || leftMs <= 0) return "lost";
      try {
        await operation(Math.min(leftMs, requestTimeoutMs));
        return "ok";
      } catch (error) {
        if (session.ended) throw closedError();
        if (error instanceof NobodyThere) {
          if (!(await this.#consumerIsThere(stream, consumer))) return "lost";
        } else if (!isHarmlessTwice || session.client.isClosed() || !isPassing(error)) {
          throw error;
        }
        await clock.sleep(askAgainMs);
      }
    }
  }

  async #consumerIsThere(stream: string, consumer: string): Promise<boolean> {
    try {
      return (await consumerInfo(this.#parts.session, stream, consumer)) !== undefined;
    } catch (error) {
      if (error instanceof NobodyThere || isPassing(error)) return true; // not known: asked again
      throw error;
    }
  }

  #lose(): void {
    this.#isLost = true;
    this.#cancelBeat?.();
  }

  /**
   * Says in time that the work goes on, as long as the owner wants the event for longer than the
   * server gives it.
   */
  #beatLater(): void {
    this.#cancelBeat?.();
    this.#cancelBeat = undefined;
    const { session, ackWaitMs } = this.#parts;
    const { clock } = session.settings;
    if (this.#isLost || session.ended) return;
    if (this.#wantedUntil <= this.#heldUntil) return;
    const delayMs = this.#heldUntil - (2 / 3) * ackWaitMs - this.#now();
    this.#cancelBeat = clock.after(delayMs, () => void this.#beat(), { background: true });
  }

  async #beat(): Promise<void> {
    if (this.isLost) return;
    const startedAt = this.#now();
    const { session, ackWaitMs } = this.#parts;
    try {
      if ((await this.#order("extend", orders.working)) === "lost") return this.#lose();
      this.#heldUntil = Math.max(this.#heldUntil, startedAt + ackWaitMs);
    } catch {
      // The next beat may get through; the owner is told when it settles or extends too late.
      await session.settings.clock.sleep(ackWaitMs / 10);
    }
    if (this.#settlement === undefined) this.#beatLater();
  }

  #now(): number {
    return this.#parts.session.settings.clock.monotonic();
  }
}

/** A break of the connection, or an answer that did not come. */
function isPassing(error: unknown): boolean {
  return isCadreError(error, "UNREACHABLE") || isCadreError(error, "TIMEOUT");
}

function retryOrder(delayMs: number): Uint8Array {
  if (delayMs <= 0) return orders.again;
  return encoder.encode(`-NAK {"delay": ${Math.ceil(delayMs) * nanoseconds}}`);
}
