/**
 * One message of a group's queue in these hands.
 *
 *   received ── acked ──────▶ deleted
 *       │ ───── retried ────▶ invisible for the delay, then handed out again: SQS counts it
 *       │ ───── parked ─────▶ deleted: it comes again as a copy
 *       │ ───── released ───▶ a copy with the same attempt, then deleted
 *       └────── runs out ───▶ visible again at once, and lost here
 *
 * SQS takes an old receipt as it takes a new one, so the fence is the time: what was received is
 * owned until its invisibility ends, counted from before it was asked for, and whoever settles
 * later is told "lost" without asking.
 */
import type { Lease, Recorded, Settlement } from "../../bus/transport.ts";
import type { MessageLike } from "./client.ts";
import { sendOne } from "./sending.ts";
import type { Session } from "./session.ts";
import { type ReceiptDesk, maxInvisibleMs } from "./receipts.ts";
import { attemptOf, attributeOf, numberAttributes, toReceived } from "./wire.ts";

export interface LeaseParts {
  readonly session: Session;
  readonly queue: string;
  readonly receipts: ReceiptDesk;
  /** All that is in the transport's hands. */
  readonly held: Set<SqsLease>;
}

export class SqsLease implements Lease {
  readonly recorded: Recorded;
  readonly attempt: number;
  readonly isProbe: boolean;
  readonly message: MessageLike;
  readonly #parts: LeaseParts;
  readonly #receipt: string;
  /** When SQS may hand it to another, at the earliest. */
  #visibleAt: number;
  #until = Infinity;
  #cancelTimer: (() => void) | undefined;
  #settlement: string | undefined;
  #settling: Promise<"ok" | "lost"> | undefined;
  #copied = false;
  #state: "held" | "settled" | "lost" = "held";

  constructor(parts: LeaseParts, message: MessageLike, visibleAt: number) {
    this.#parts = parts;
    this.message = message;
    this.#receipt = message.ReceiptHandle ?? "";
    this.#visibleAt = visibleAt;
    const { recorded, isProbe } = toReceived(message, parts.session.settings.clock.now());
    this.recorded = recorded;
    this.isProbe = isProbe;
    this.attempt = attemptOf(message);
    parts.held.add(this);
  }

  get isLost(): boolean {
    if (this.#state !== "held") return this.#state === "lost";
    if (this.#settlement === undefined && this.#now() >= Math.min(this.#until, this.#visibleAt)) {
      void this.abandon();
    }
    return (this.#state as string) === "lost"; // which the line above has changed
  }

  /** Owns it for `leaseMs` from now on. */
  own(leaseMs: number): void {
    const { clock } = this.#parts.session.settings;
    this.#cancelTimer?.();
    this.#until = this.#now() + leaseMs;
    this.#cancelTimer = clock.after(leaseMs, () => void this.isLost, { background: true });
  }

  settle(settlement: Settlement): Promise<"ok" | "lost"> {
    const kind = JSON.stringify(settlement);
    if (this.#settlement === undefined) {
      if (this.isLost) return Promise.resolve("lost");
      this.#settlement = kind;
      this.#cancelTimer?.();
    } else if (this.#settlement !== kind) {
      return Promise.resolve("lost");
    }
    this.#settling ??= this.#settle(settlement);
    return this.#settling;
  }

  async extend(ms: number): Promise<"ok" | "lost"> {
    if (this.#settlement !== undefined || this.isLost) return "lost";
    const askedAt = this.#now();
    const seconds = Math.ceil(ms / 1_000);
    const answer = await this.#parts.receipts.hide(this.#receipt, seconds);
    if (answer === "lost") {
      this.#end("lost");
      return "lost";
    }
    this.#visibleAt = askedAt + seconds * 1_000;
    if (this.#settlement === undefined) this.own(ms);
    return "ok";
  }

  async #settle(settlement: Settlement): Promise<"ok" | "lost"> {
    try {
      const answer = await this.#carryOut(settlement);
      this.#end(answer === "ok" ? "settled" : "lost");
      return answer;
    } catch (error) {
      this.#settling = undefined; // not answered: the same may be asked again
      if (this.#now() < this.#visibleAt) throw error;
      this.#end("lost");
      return "lost";
    }
  }

  async #carryOut(settlement: Settlement): Promise<"ok" | "lost"> {
    const { receipts } = this.#parts;
    if (settlement.kind === "retry") {
      const delayMs = Math.min(settlement.delayMs, maxInvisibleMs);
      return receipts.hide(this.#receipt, Math.ceil(Math.max(0, delayMs) / 1_000));
    }
    // A copy first, then the end of this one: a crash in between doubles, and loses nothing.
    if (settlement.kind === "release" && !this.#copied) await this.#copy();
    return receipts.delete(this.#receipt);
  }

  async #copy(): Promise<void> {
    const { session, queue } = this.#parts;
    const attributes = numberAttributes({ [attributeOf.attempt]: this.attempt });
    await sendOne(session, queue, { body: this.message.Body ?? "", attributes });
    this.#copied = true;
  }

  /** Ends owning it: another may have it at once. */
  async abandon(): Promise<void> {
    if (this.#settlement !== undefined) {
      await this.#settling;
      return;
    }
    const { receipts, session } = this.#parts;
    this.#end("lost");
    if (this.#now() >= this.#visibleAt) return;
    try {
      await receipts.hide(this.#receipt, 0);
    } catch (error) {
      // It is visible a little later by itself.
      session.settings.logger.debug("A delivery could not be given back.", { error });
    }
  }

  #end(state: "settled" | "lost"): void {
    if (this.#state !== "held") return;
    this.#state = state;
    this.#cancelTimer?.();
    this.#parts.held.delete(this);
  }

  #now(): number {
    return this.#parts.session.settings.clock.monotonic();
  }
}
