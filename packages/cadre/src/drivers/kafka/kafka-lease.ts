import type { Lease, Recorded, Settlement } from "../../bus/transport.ts";
import type { CommitDesk } from "./commit-desk.ts";
import type { Entry } from "./lane.ts";
import type { LeaseWatch, Watched } from "./lease-watch.ts";
import type { Session } from "./session.ts";

export interface LeaseParts {
  readonly session: Session;
  readonly desk: CommitDesk;
  readonly watch: LeaseWatch;
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
export class KafkaLease implements Lease, Watched {
  readonly recorded: Recorded;
  readonly attempt: number;
  readonly entry: Entry;
  readonly #parts: LeaseParts;
  #until: number;
  #state: "held" | "settled" | "lost" = "held";
  #settled:
    | { readonly kind: Settlement["kind"]; readonly answer: Promise<"ok" | "lost"> }
    | undefined;
  #isApplied = false;

  /** @param until when it runs out, on the monotonic clock */
  constructor(parts: LeaseParts, entry: Entry, until: number) {
    this.#parts = parts;
    this.entry = entry;
    this.recorded = entry.read.recorded;
    this.attempt = entry.first + entry.handed - 1;
    this.#until = until;
    parts.watch.expect(until);
  }

  /** Never, while it is being settled. */
  get until(): number {
    return this.#state === "held" && !this.#settled ? this.#until : Infinity;
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

  /** Its time is over: the event is handed out again, and this delivery counts. */
  runOut(): void {
    if (this.#state !== "held" || this.#settled) return;
    this.#end("lost");
    const { entry } = this;
    if (!entry.lane.isEnded && entry.state === "out") entry.lane.putBack(entry, true);
    this.#parts.desk.wake();
  }

  async #settle(settlement: Settlement): Promise<"ok" | "lost"> {
    const { lane } = this.entry;
    try {
      const copying = this.#isApplied ? undefined : this.#copy(settlement);
      if (copying) await copying;
      if (lane.isEnded) return this.#end("lost");
      if (!this.#isApplied) this.#apply(settlement, copying !== undefined);
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

  /** The copy first, then the end of this one: a crash in between doubles, and loses nothing. */
  #copy(settlement: Settlement): Promise<void> | undefined {
    const { isOrdered } = this.#parts;
    if (settlement.kind !== "retry" || settlement.delayMs <= 0 || isOrdered) return undefined;
    return this.#parts.copy(this.entry, this.attempt + 1, settlement.delayMs);
  }

  #apply(settlement: Settlement, isCopied: boolean): void {
    const { entry } = this;
    const { lane } = entry;
    const delayMs = settlement.kind === "retry" ? settlement.delayMs : 0;
    this.#isApplied = true;
    if (settlement.kind === "ack" || settlement.kind === "park" || isCopied) lane.settle(entry);
    else if (delayMs > 0) lane.delay(entry, delayMs);
    else lane.putBack(entry, settlement.kind === "retry");
  }

  #ownFor(ms: number): void {
    this.#until = this.#parts.watch.now() + ms;
    this.#parts.watch.expect(this.#until);
  }

  #end(state: "settled" | "lost"): "ok" | "lost" {
    if (this.#state === "held") {
      this.#state = state;
      this.#parts.onEnd(this);
    }
    return this.#state === "settled" ? "ok" : "lost";
  }
}

const ok: Promise<"ok"> = Promise.resolve("ok");
const lost: Promise<"lost"> = Promise.resolve("lost");
