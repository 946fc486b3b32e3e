import type { Lease, Recorded, Settlement } from "../../bus/transport.ts";
import type { CommitDesk } from "./commit-desk.ts";
import type { Entry } from "./lane.ts";
import type { Session } from "./session.ts";

export interface LeaseParts {
  readonly session: Session;
  readonly desk: CommitDesk;
  readonly isOrdered: boolean;
  /** Writes a copy that comes to the group after a delay. */
  copy(entry: Entry, attempt: number, delayMs: number): Promise<void>;
  /** It is in nobody's hands any more. */
  onEnd(lease: KafkaLease): void;
}

/**
 * One delivery. Its owner holds it until it is settled, its time runs out, or the partition goes to
 * another member.
 */
export class KafkaLease implements Lease {
  readonly recorded: Recorded;
  readonly attempt: number;
  readonly entry: Entry;
  readonly #parts: LeaseParts;
  #state: "held" | "settled" | "lost" = "held";
  #settled:
    | { readonly kind: Settlement["kind"]; readonly answer: Promise<"ok" | "lost"> }
    | undefined;
  #isApplied = false;
  #cancelTimer: (() => void) | undefined;

  constructor(parts: LeaseParts, entry: Entry, ownMs: number) {
    this.#parts = parts;
    this.entry = entry;
    this.recorded = entry.read.recorded;
    this.attempt = entry.first + entry.handed - 1;
    this.#ownFor(ownMs);
  }

  settle(settlement: Settlement): Promise<"ok" | "lost"> {
    if (this.#settled) {
      return this.#settled.kind === settlement.kind ? this.#settled.answer : lost;
    }
    if (this.#state !== "held" || this.entry.lane.isEnded) return lost;
    const answer = this.#settle(settlement);
    this.#settled = { kind: settlement.kind, answer };
    return answer;
  }

  extend(ms: number): Promise<"ok" | "lost"> {
    if (this.#state !== "held" || this.#settled || this.entry.lane.isEnded) return lost;
    this.#ownFor(ms);
    return ok;
  }

  /** The partition is another member's, or the transport has closed. */
  lose(): void {
    this.#end("lost");
  }

  async #settle(settlement: Settlement): Promise<"ok" | "lost"> {
    this.#cancelTimer?.();
    const { lane } = this.entry;
    try {
      if (!this.#isApplied) await this.#apply(settlement);
      if (lane.isEnded) return this.#end("lost");
      const isKept = (await this.#parts.desk.kept(lane)) === "ok";
      if (isKept) lane.isProven = true;
      return this.#end(isKept ? "settled" : "lost");
    } catch (error) {
      // Whether it was kept is not known: the same may be asked again, or it runs out.
      this.#settled = undefined;
      if (this.#state === "held") this.#ownFor(this.#parts.session.settings.requestTimeoutMs);
      throw error;
    }
  }

  async #apply(settlement: Settlement): Promise<void> {
    const { entry } = this;
    const { lane } = entry;
    const delayMs = settlement.kind === "retry" ? settlement.delayMs : 0;
    // The copy first, then the end of this one: a crash in between doubles, and loses nothing.
    const isCopied = delayMs > 0 && !this.#parts.isOrdered;
    if (isCopied) await this.#parts.copy(entry, this.attempt + 1, delayMs);
    if (lane.isEnded) return;
    this.#isApplied = true;
    if (settlement.kind === "ack" || settlement.kind === "park" || isCopied) lane.settle(entry);
    else if (delayMs > 0) lane.delay(entry, delayMs);
    else lane.putBack(entry, settlement.kind === "retry");
  }

  #ownFor(ms: number): void {
    this.#cancelTimer?.();
    const { clock } = this.#parts.session.settings;
    this.#cancelTimer = clock.after(ms, () => this.#runOut(), { background: true });
  }

  /** Its time is over: the event is handed out again, and this delivery counts. */
  #runOut(): void {
    if (this.#state !== "held" || this.#settled) return;
    this.#end("lost");
    const { entry } = this;
    if (!entry.lane.isEnded && entry.state === "out") entry.lane.putBack(entry, true);
    this.#parts.desk.wake();
  }

  #end(state: "settled" | "lost"): "ok" | "lost" {
    if (this.#state === "held") {
      this.#state = state;
      this.#cancelTimer?.();
      this.#parts.onEnd(this);
    }
    return this.#state === "settled" ? "ok" : "lost";
  }
}

const ok: Promise<"ok"> = Promise.resolve("ok");
const lost: Promise<"lost"> = Promise.resolve("lost");
