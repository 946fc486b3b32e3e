/**
 * One group as this connection serves it: whose pulls wait, what lies ahead, which leases are out.
 *
 *   pull ─▶ waiting ─▶ is there work? ─▶ claim, in one transaction for all who wait ─▶ leases
 *              ▲                   │ no
 *              └── a commit, a due time, a lease's end ◀──┘
 */
import type { Pull, PullHub } from "../../bus/hub-intake.ts";
import type { Lease, Settlement } from "../../bus/transport.ts";
import { Claim, type Claimed } from "./claim.ts";
import { leaseToken } from "./delivery-row.ts";
import { cursorOf, type Group } from "./group-table.ts";
import { LeaseWatch } from "./lease-watch.ts";
import type { LogTransaction } from "./log-transaction.ts";
import { Lookahead } from "./lookahead.ts";
import { recordedAt } from "./recorded.ts";
import { extendDelivery, settleDelivery, type OwnedDelivery } from "./settle.ts";
import type { LogFile } from "./sqlite-log.ts";
import { SqliteLease } from "./sqlite-lease.ts";

/** A pull that waits. */
interface Waiting extends Pull {
  /** Given while a transaction runs; empty again when it didn't commit. */
  claimed: readonly Claimed[];
  /** Whether it was aborted while a transaction had it. */
  aborted: boolean;
}

interface ServedPulls {
  readonly served: ReadonlyMap<Pull, Waiting>;
  /** There may be more. */
  readonly isCutShort: boolean;
}

const scanRows = 8_192; // rows looked at in one go before the loop gets its turn
const lazyCursor = 10_000; // rows that match nothing, after which their passing is written down

export class GroupHub implements PullHub {
  readonly group: Group;
  readonly #file: LogFile;
  readonly #watch: LeaseWatch;
  readonly #waiting = new Map<Pull, Waiting>();
  #ahead: Lookahead;
  /** What is ahead was changed by a transaction that may not have committed. */
  #unsure = false;
  #leases = 0;
  #pumping = false;
  #pumpAgain = false;
  #cancelTimer: (() => void) | undefined;
  #endListening: (() => void) | undefined;

  constructor(file: LogFile, group: Group) {
    this.group = group;
    this.#file = file;
    this.#watch = new LeaseWatch(file.connection, file.settings.clock, group.no);
    this.#ahead = new Lookahead(group.patterns, 0);
  }

  add(pull: Pull): void {
    this.#waiting.set(pull, { ...pull, claimed: [], aborted: false });
    this.#endListening ??= this.#file.wake.listen(() => this.#pump(), { keepsAlive: true });
    this.#pump();
  }

  remove(pull: Pull): void {
    const waiting = this.#waiting.get(pull);
    if (!waiting) return;
    if (waiting.claimed.length > 0) waiting.aborted = true;
    else this.#end(pull, []);
  }

  settle(delivery: OwnedDelivery, settlement: Settlement): Promise<"ok" | "lost"> {
    return this.#file.writer.write({
      toDisk: settlement.kind === "park",
      events: [],
      run: (transaction) => this.settleIn(transaction, delivery, settlement),
    });
  }

  settleIn(
    transaction: LogTransaction,
    delivery: OwnedDelivery,
    settlement: Settlement,
  ): "ok" | "lost" {
    this.#watch.drop(delivery.token);
    return settleDelivery(transaction, this.group, delivery, settlement, this.#file.time);
  }

  async extend(delivery: OwnedDelivery, ms: number): Promise<"ok" | "lost"> {
    const answer = await this.#file.writer.write({
      toDisk: false,
      events: [],
      run: (transaction) => extendDelivery(transaction, delivery, ms),
    });
    if (answer === "ok") this.#watch.extend(delivery.token, ms);
    return answer;
  }

  /** Ends all pulls that wait. */
  close(): void {
    for (const pull of [...this.#waiting.keys()]) this.remove(pull);
  }

  #pump(): void {
    if (this.#pumping) {
      this.#pumpAgain = true;
      return;
    }
    this.#pumping = true;
    this.#serve().then(
      () => {
        this.#pumping = false;
      },
      (error: unknown) => {
        this.#pumping = false;
        for (const pull of [...this.#waiting.keys()]) {
          this.#forget(pull);
          pull.reject(error);
        }
      },
    );
  }

  async #serve(): Promise<void> {
    do {
      this.#pumpAgain = false;
      this.#disarm();
      if (this.#waiting.size === 0 || this.#file.closed) break;
      const work = await this.#lookForWork();
      if (this.#waiting.size === 0) break;
      if (work === "gone") this.close();
      else if (work === "none") this.#arm();
      else if (await this.#claim()) this.#pumpAgain = true;
      else this.#arm();
    } while (this.#pumpAgain);
  }

  /** Whether a claim would find anything. Reads only. */
  async #lookForWork(): Promise<"some" | "none" | "gone"> {
    const { connection, recent, settings, time } = this.#file;
    const cursor = cursorOf(connection, this.group.no);
    if (cursor === undefined) return "gone";
    this.#ahead.passTo(cursor);
    if (this.#nextDue() <= time || this.#watch.hasExpired()) return "some";
    while (!this.#ahead.fillFrom(recent) && !this.#ahead.fill(connection, 1, scanRows)) {
      await settings.clock.yield();
      if (this.#file.closed) return "none";
    }
    if (this.#ahead.size > 0) return "some";
    return this.#ahead.scannedTo - cursor > lazyCursor ? "some" : "none";
  }

  /** When the next row falls due, by the file's time. */
  #nextDue(): number {
    const row = this.#file.connection
      .sql("SELECT min(due) FROM deliveries WHERE group_no = ? AND due IS NOT NULL")
      .get(this.group.no);
    return typeof row?.[0] === "number" ? row[0] : Infinity;
  }

  /** True when there may be more. */
  async #claim(): Promise<boolean> {
    const { served, isCutShort } = await this.#file.writer.write({
      toDisk: false,
      events: [],
      run: (transaction) => this.#claimIn(transaction),
    });
    this.#unsure = false;
    for (const [pull, waiting] of served) {
      const leases = waiting.claimed.map((claimed) => this.#toLease(claimed, waiting.leaseMs));
      waiting.claimed = [];
      if (waiting.aborted) for (const lease of leases) await lease.settle({ kind: "release" });
      this.#end(pull, waiting.aborted ? [] : leases);
    }
    return served.size > 0 || isCutShort;
  }

  #claimIn(transaction: LogTransaction): ServedPulls {
    if (this.#unsure) this.#ahead = new Lookahead(this.group.patterns, 0);
    this.#unsure = true;
    for (const waiting of this.#waiting.values()) waiting.claimed = [];
    const nextToken = (): number => leaseToken(this.#file.member, (this.#leases += 1));
    const claim = Claim.begin(transaction, this.group, this.#ahead, this.#file.time, nextToken);
    if (!claim) return { served: new Map(), isCutShort: false };
    claim.reclaim(this.#watch.takeExpired());
    const served = new Map<Pull, Waiting>();
    for (const [pull, waiting] of this.#waiting) {
      waiting.claimed = claim.take(waiting.max, waiting.leaseMs);
      if (waiting.claimed.length === 0) break;
      served.set(pull, waiting);
    }
    claim.end();
    return { served, isCutShort: claim.isCutShort };
  }

  #toLease(claimed: Claimed, leaseMs: number): Lease {
    const { position, copy, token, attempt } = claimed;
    this.#watch.hold(position, copy, token, 0, leaseMs);
    const recorded = recordedAt(this.#file, position, claimed.event);
    return new SqliteLease(
      this,
      { group: this.group.no, position, copy, token },
      attempt,
      recorded,
    );
  }

  #end(pull: Pull, leases: readonly Lease[]): void {
    this.#forget(pull);
    pull.resolve(leases);
  }

  #forget(pull: Pull): void {
    this.#waiting.delete(pull);
    if (this.#waiting.size > 0) return;
    this.#endListening?.();
    this.#endListening = undefined;
    this.#disarm();
  }

  /** Comes back when time alone brings something. */
  #arm(): void {
    this.#disarm();
    const { clock } = this.#file.settings;
    const dueInMs = this.#nextDue() - this.#file.time;
    const leaseInMs = this.#watch.nextAt - clock.monotonic();
    const delayMs = Math.max(1, Math.min(dueInMs, leaseInMs));
    if (delayMs === Infinity) return;
    this.#cancelTimer = clock.after(delayMs, () => this.#pump());
  }

  #disarm(): void {
    this.#cancelTimer?.();
    this.#cancelTimer = undefined;
  }
}
