/**
 * One group as this connection serves it: whose pulls wait, and when to ask the server again.
 *
 *   pull ─▶ waiting ─▶ claim, one script for all who wait ─▶ leases
 *              ▲            │ nothing         ▲
 *              │            ▼                 │ word of a change, a due time, the poll
 *              └────────── idle ──────────────┘
 */
import type { Pull, PullHub } from "../../bus/hub-intake.ts";
import type { Lease, Position, Recorded } from "../../bus/transport.ts";
import { claim, type Claim } from "./claim.ts";
import { joinGroup, type GroupRecord } from "./groups.ts";
import { RedisLease } from "./redis-lease.ts";
import type { Session } from "./session.ts";
import type { SettleDesk } from "./settle-desk.ts";
import { domainOf } from "./topics.ts";
import type { Change, Wake } from "./wake.ts";
import { toPosition } from "./wire.ts";

/** What the groups of one connection share. */
export interface HubParts {
  readonly session: Session;
  readonly desk: SettleDesk;
  readonly wake: Wake;
  /** A text that no claim of any connection has had. */
  readonly newToken: () => string;
}

export interface JoinedGroup {
  readonly name: string;
  readonly record: GroupRecord;
  /** Of the bus. */
  readonly mark: string;
}

const mostClaimed = 128; // deliveries in one script: the next are claimed while these are handled

export class GroupHub implements PullHub {
  readonly name: string;
  readonly #record: GroupRecord;
  #mark: string;
  readonly #parts: HubParts;
  readonly #onGone: () => void;
  readonly #waiting = new Set<Pull>();
  #serving: Promise<void> | undefined;
  #serveAgain = false;
  #lookEverywhere = true;
  #lookedAt = 0;
  /** By domain, the newest event that was handed out here: all before it have been looked at. */
  readonly #reached = new Map<string, Position>();
  #cancelTimer: (() => void) | undefined;
  #endListening: (() => void) | undefined;

  constructor(parts: HubParts, group: JoinedGroup, onGone: () => void) {
    this.#parts = parts;
    this.name = group.name;
    this.#record = group.record;
    this.#mark = group.mark;
    this.#onGone = onGone;
  }

  add(pull: Pull): void {
    this.#waiting.add(pull);
    this.#endListening ??= this.#parts.wake.listen((change) => {
      if (this.#concerns(change)) this.#serve();
    });
    this.#serve();
  }

  /** The pull was aborted, or its intake closed. */
  remove(pull: Pull): void {
    if (this.#waiting.has(pull)) this.#end(pull, []);
  }

  /** Ends all pulls that wait. Resolves when what was claimed for them is given back. */
  async close(): Promise<void> {
    for (const pull of [...this.#waiting]) this.#end(pull, []);
    await this.#serving;
  }

  #concerns(change: Change | undefined): boolean {
    if (!change) return (this.#lookEverywhere = true);
    if (change.group !== undefined) return change.group === this.name;
    const { domains } = this.#record;
    if (domains && !domains.includes(change.domain!)) return false;
    const reached = this.#reached.get(change.domain!) ?? "";
    return change.place === undefined || toPosition(change.place) > reached;
  }

  #serve(): void {
    this.#serveAgain = true;
    this.#serving ??= this.#serveAll().finally(() => {
      this.#serving = undefined;
      // Somebody may have come while the loop was ending.
      if (this.#serveAgain && this.#waiting.size > 0) this.#serve();
    });
  }

  async #serveAll(): Promise<void> {
    await Promise.resolve(); // who pulls in the same turn is served by the same script
    while (this.#serveAgain && this.#waiting.size > 0) {
      this.#serveAgain = false;
      this.#disarm();
      const pulls = this.#pullsOfOneLease();
      try {
        const answer = await this.#claim(pulls);
        if (answer === "gone") return this.#onGone();
        if (answer === "flushed") await this.#joinAgain();
        else if (await this.#handOut(answer, pulls)) this.#serveAgain = true;
        else if (!this.#serveAgain) this.#idle(answer);
      } catch (error) {
        for (const pull of [...this.#waiting]) {
          this.#forget(pull);
          pull.reject(error);
        }
      }
    }
  }

  #pullsOfOneLease(): readonly Pull[] {
    const pulls = [...this.#waiting];
    return pulls.filter(({ leaseMs }) => leaseMs === pulls[0]!.leaseMs);
  }

  async #claim(pulls: readonly Pull[]): Promise<ClaimedBatch | "gone" | "flushed"> {
    const { session, desk, newToken } = this.#parts;
    const { clock, pollMs } = session.settings;
    const asked = pulls.reduce((sum, { max }) => sum + max, 0);
    const isTime = clock.monotonic() - this.#lookedAt >= pollMs;
    const lookEverywhere = this.#lookEverywhere || isTime;
    this.#lookEverywhere = false;
    if (lookEverywhere) this.#lookedAt = clock.monotonic();
    const request = {
      group: this.name,
      max: Math.min(mostClaimed, asked),
      leaseMs: pulls[0]!.leaseMs,
      lookEverywhere,
      mark: this.#mark,
    };
    const isWanted = (): boolean => this.#waiting.size > 0;
    // One write of the server's file for what was done and what is claimed.
    const ask = async (): Promise<ClaimedBatch | "gone" | "flushed"> => {
      // Another each time: what a lost answer has handed out is held under its own.
      const token = newToken();
      const answer = await session.together(() => {
        desk.flush();
        return desk.holdDuring(claim(session, { ...request, token }));
      });
      return typeof answer === "string" ? answer : { ...answer, token };
    };
    return session.patiently(ask, isWanted);
  }

  /** All keys are gone: the group begins again with what has come since. */
  async #joinAgain(): Promise<void> {
    const { session } = this.#parts;
    session.settings.logger.error("The bus was flushed; a group begins again with what is there.", {
      group: this.name,
      url: session.url,
    });
    this.#reached.clear();
    this.#mark = await joinGroup(session, this.name, this.#record, "earliest");
    this.#serveAgain = true;
  }

  /** Whether there may be more for those who wait. */
  async #handOut(batch: ClaimedBatch, pulls: readonly Pull[]): Promise<boolean> {
    const { desk } = this.#parts;
    const leases = batch.claimed.map((claimed) => {
      const { reference, recorded } = claimed;
      this.#note(recorded);
      return new RedisLease({ group: this.name, reference, token: batch.token }, desk, claimed);
    });
    for (const pull of pulls) {
      if (leases.length === 0) break;
      if (this.#waiting.has(pull)) this.#end(pull, leases.splice(0, pull.max));
    }
    // Those whose pull has been aborted meanwhile.
    await Promise.all(leases.map((lease) => this.#giveBack(lease)));
    return batch.claimed.length > 0 || batch.more || pulls.length < this.#waiting.size;
  }

  #note({ event, position }: Recorded): void {
    if (!event) return;
    const domain = domainOf(event.type, this.#parts.session.settings);
    if (position > (this.#reached.get(domain) ?? "")) this.#reached.set(domain, position);
  }

  async #giveBack(lease: RedisLease): Promise<void> {
    try {
      await lease.settle({ kind: "release" });
    } catch (error) {
      this.#parts.session.settings.logger.warn(
        "An event could not be given back; it comes again when its lease runs out.",
        { group: this.name, position: lease.recorded.position, error },
      );
    }
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

  /** Comes back when time alone brings something, and in any case after a while. */
  #idle({ nextInMs = Infinity }: Claim): void {
    if (this.#waiting.size === 0) return;
    const { clock, pollMs } = this.#parts.session.settings;
    const delayMs = Math.min(pollMs, Math.max(1, nextInMs));
    this.#cancelTimer = clock.after(delayMs, () => this.#serve());
  }

  #disarm(): void {
    this.#cancelTimer?.();
    this.#cancelTimer = undefined;
  }
}

interface ClaimedBatch extends Claim {
  readonly token: string;
}
