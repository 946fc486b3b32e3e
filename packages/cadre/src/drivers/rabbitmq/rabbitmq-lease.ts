/**
 * One delivery in this member's hands.
 *
 *   held ──settle──▶ settling ──confirmed──▶ settled
 *     │                  └──────not answered──▶ held (the same may be asked again)
 *     └────time ran out, channel ended, queue deleted──▶ lost
 *
 * The server knows no time: a delivery is its channel's until that ends. So the owner itself
 * watches the time, and gives back what has run out. From the moment in which settling begins, it
 * is the server's answer that counts.
 */
import type { Deadline } from "../../bus/deadline-queue.ts";
import type { Lease, Recorded, Settlement } from "../../bus/transport.ts";
import type { RabbitMessageLike } from "./client.ts";
import { delayExchange, forgetDelay, nextStay } from "./delays.ts";
import type { HeldChannel } from "./held-channel.ts";
import { Unroutable } from "./outlet.ts";
import type { Session } from "./session.ts";
import { attemptOf, copyOptions, headerOf, toRecorded } from "./wire.ts";

export interface LeaseParts {
  readonly session: Session;
  /** The group's queue. */
  readonly queue: string;
  /** Awaited before it is given back: or it would come back to these hands at once. */
  readonly beforeRelease: () => Promise<void>;
  /** Awaited before the server is told that one is done, where it is set. */
  readonly calm: () => Promise<void> | undefined;
  /** Told once, when the server is told that it is done: the server may send another. */
  readonly onTold: () => void;
  /** Told once, when it is in these hands no more. */
  readonly onEnd: (lease: RabbitmqLease) => void;
}

export class RabbitmqLease implements Lease {
  readonly recorded: Recorded;
  readonly attempt: number;
  readonly message: RabbitMessageLike;
  /** Of the consumers that it came through. */
  readonly generation: number;
  readonly #parts: LeaseParts;
  readonly #held: HeldChannel;
  #until = Infinity;
  #deadline: Deadline | undefined;
  #settlement: string | undefined;
  #settling: Promise<"ok" | "lost"> | undefined;
  #told = false;
  #copied = false;
  #state: "held" | "settled" | "lost" = "held";
  #wasOwned = false;

  constructor(
    parts: LeaseParts,
    held: HeldChannel,
    message: RabbitMessageLike,
    generation: number,
  ) {
    this.#parts = parts;
    this.#held = held;
    this.message = message;
    this.generation = generation;
    this.recorded = toRecorded(message, parts.session.settings);
    this.attempt = attemptOf(message);
  }

  /** Whether the server holds it no more as one that is in these hands. */
  get isTold(): boolean {
    return this.#told;
  }

  get isLost(): boolean {
    if (this.#state !== "held") return this.#state === "lost";
    if (!this.#held.isOpen) this.#end("lost");
    else if (this.#settlement === undefined && this.#now() >= this.#until) this.#runOut();
    return (this.#state as string) === "lost"; // which the two above have changed
  }

  /** Owns it for `leaseMs` from now on. */
  own(leaseMs: number): void {
    this.#wasOwned = true;
    this.#ownUntil(leaseMs);
  }

  settle(settlement: Settlement): Promise<"ok" | "lost"> {
    const kind = JSON.stringify(settlement);
    if (this.#settlement === undefined) {
      if (this.isLost) return Promise.resolve("lost");
      this.#settlement = kind;
      this.#deadline?.cancel();
    } else if (this.#settlement !== kind) {
      return Promise.resolve("lost");
    }
    this.#settling ??= this.#settle(settlement);
    return this.#settling;
  }

  extend(ms: number): Promise<"ok" | "lost"> {
    if (this.#settlement !== undefined || this.isLost) return Promise.resolve("lost");
    this.#ownUntil(ms);
    return Promise.resolve("ok");
  }

  /** Sends it into the next stay of its delay. */
  async stay(leftMs: number, delayMs: number): Promise<void> {
    this.#settlement = "stay";
    if (!this.#copied) await this.#delay(leftMs, delayMs, this.attempt);
    this.#copied = true;
    await this.#tell(() => this.#held.channel.ack(this.message));
    this.#end("settled");
  }

  async #settle(settlement: Settlement): Promise<"ok" | "lost"> {
    try {
      const answer = await this.#carryOut(settlement);
      this.#end(answer === "ok" ? "settled" : "lost");
      return answer;
    } catch (error) {
      this.#settling = undefined; // not answered: the same may be asked again
      throw error;
    }
  }

  async #carryOut(settlement: Settlement): Promise<"ok" | "lost"> {
    const { channel } = this.#held;
    if (settlement.kind === "retry" && settlement.delayMs <= 0) {
      return this.#tell(() => channel.nack(this.message, false, true));
    }
    // A copy first, then the end of this one: a crash in between doubles, and loses nothing.
    if (!this.#copied && settlement.kind === "retry") {
      await this.#delay(settlement.delayMs, settlement.delayMs, this.attempt + 1);
    } else if (!this.#copied && settlement.kind === "release") {
      await this.#parts.beforeRelease();
      await this.#copy(this.#parts.session.names.back, { [headerOf.attempt]: this.attempt });
    }
    this.#copied = true;
    // No order by key is kept here, so nothing waits behind a parked one: it comes again as a copy.
    return this.#tell(() => channel.ack(this.message));
  }

  async #delay(leftMs: number, delayMs: number, attempt: number): Promise<void> {
    const stayMs = nextStay(leftMs, delayMs);
    const exchange = await delayExchange(this.#parts.session, stayMs);
    const isLast = stayMs >= leftMs;
    const headers = {
      [headerOf.attempt]: attempt,
      [headerOf.left]: isLast ? undefined : leftMs - stayMs,
      [headerOf.delay]: isLast ? undefined : delayMs,
    };
    await this.#copy(exchange, headers).catch((error: unknown) => {
      // Somebody has deleted its queue: the next try makes it again.
      if (error instanceof Unroutable) forgetDelay(this.#parts.session, stayMs);
      throw error;
    });
  }

  async #copy(exchange: string, headers: Readonly<Record<string, unknown>>): Promise<void> {
    const { session, queue } = this.#parts;
    // One that was handed out is no copy that may be superfluous.
    const directed = this.#wasOwned ? { [headerOf.directedAt]: undefined } : {};
    // What no queue takes would be confirmed all the same, and the event be gone.
    const options = { ...copyOptions(this.message, { ...headers, ...directed }), mandatory: true };
    await session.outlet.send({ exchange, key: queue, content: this.message.content, options });
  }

  /** Tells the server once, and resolves when it has heard it. */
  async #tell(order: () => void): Promise<"ok" | "lost"> {
    for (let calm = this.#parts.calm(); calm; calm = this.#parts.calm()) await calm;
    if (!this.#held.isOpen) return "lost";
    try {
      if (!this.#told) order();
    } catch {
      return "lost"; // the client takes no orders for a channel that has ended
    }
    if (!this.#told) this.#parts.onTold();
    this.#told = true;
    return (await this.#held.flush()) ? "ok" : "lost";
  }

  #ownUntil(ms: number): void {
    this.#deadline?.cancel();
    this.#until = this.#now() + ms;
    this.#deadline = this.#parts.session.deadlines.add(ms, () => void this.isLost);
  }

  #runOut(): void {
    this.#end("lost");
    try {
      this.#held.channel.nack(this.message, false, true); // counted by the server as an attempt
    } catch {
      // With its channel it has gone back already.
    }
  }

  #end(state: "settled" | "lost"): void {
    if (this.#state !== "held") return;
    this.#state = state;
    this.#deadline?.cancel();
    this.#parts.onEnd(this);
  }

  #now(): number {
    return this.#parts.session.settings.clock.monotonic();
  }
}
