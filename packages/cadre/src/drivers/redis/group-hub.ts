/**
 * One group as this connection serves it: whose pulls wait, and when to ask the server again.
 *
 *   pull ─▶ waiting ─▶ claim, one script for all who wait ─▶ leases
 *              ▲            │ nothing         ▲
 *              │            ▼                 │ word of a change, a due time, the poll
 *              └────────── idle ──────────────┘
 */
import type { Lease } from "../../bus/transport.ts";
import { claim, type Claim } from "./claim.ts";
import { joinGroup, type GroupRecord } from "./groups.ts";
import { RedisLease } from "./redis-lease.ts";
import type { Session } from "./session.ts";
import type { SettleDesk } from "./settle-desk.ts";
import type { Change, Wake } from "./wake.ts";

/** A pull that waits. */
export interface Puller {
  readonly max: number;
  readonly leaseMs: number;
  /** Ends the wait. */
  readonly resolve: (leases: readonly Lease[]) => void;
  readonly reject: (error: unknown) => void;
}

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

const mostClaimed = 256; // deliveries in one script

export class GroupHub {
  readonly name: string;
  readonly #record: GroupRecord;
  #mark: string;
  readonly #parts: HubParts;
  readonly #onGone: () => void;
  readonly #waiting = new Set<Puller>();
  #serving: Promise<void> | undefined;
  #serveAgain = false;
  #lookEverywhere = true;
  #lookedAt = 0;
  #cancelTimer: (() => void) | undefined;
  #endListening: (() => void) | undefined;

  constructor(parts: HubParts, group: JoinedGroup, onGone: () => void) {
    this.#parts = parts;
    this.name = group.name;
    this.#record = group.record;
    this.#mark = group.mark;
    this.#onGone = onGone;
  }

  add(puller: Puller): void {
    this.#waiting.add(puller);
    this.#endListening ??= this.#parts.wake.listen((change) => {
      if (this.#concerns(change)) this.#serve();
    });
    this.#serve();
  }

  /** The pull was aborted, or its intake closed. */
  remove(puller: Puller): void {
    if (this.#waiting.has(puller)) this.#end(puller, []);
  }

  /** Ends all pulls that wait. Resolves when what was claimed for them is given back. */
  async close(): Promise<void> {
    for (const puller of [...this.#waiting]) this.#end(puller, []);
    await this.#serving;
  }

  #concerns(change: Change | undefined): boolean {
    if (!change) return (this.#lookEverywhere = true);
    if (change.group !== undefined) return change.group === this.name;
    const { domains } = this.#record;
    return !domains || domains.includes(change.domain!);
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
      const pullers = this.#pullersOfOneLease();
      try {
        const answer = await this.#claim(pullers);
        if (answer === "gone") return this.#onGone();
        if (answer === "flushed") await this.#joinAgain();
        else if (await this.#handOut(answer, pullers)) this.#serveAgain = true;
        else if (!this.#serveAgain) this.#idle(answer);
      } catch (error) {
        for (const puller of [...this.#waiting]) {
          this.#forget(puller);
          puller.reject(error);
        }
      }
    }
  }

  #pullersOfOneLease(): readonly Puller[] {
    const pullers = [...this.#waiting];
    return pullers.filter(({ leaseMs }) => leaseMs === pullers[0]!.leaseMs);
  }

  async #claim(pullers: readonly Puller[]): Promise<ClaimedBatch | "gone" | "flushed"> {
    const { session, newToken } = this.#parts;
    const { clock, pollMs } = session.settings;
    const asked = pullers.reduce((sum, { max }) => sum + max, 0);
    const token = newToken();
    const isTime = clock.monotonic() - this.#lookedAt >= pollMs;
    const lookEverywhere = this.#lookEverywhere || isTime;
    this.#lookEverywhere = false;
    if (lookEverywhere) this.#lookedAt = clock.monotonic();
    const request = {
      group: this.name,
      max: Math.min(mostClaimed, asked),
      leaseMs: pullers[0]!.leaseMs,
      token,
      lookEverywhere,
      mark: this.#mark,
    };
    const isWanted = (): boolean => this.#waiting.size > 0;
    const answer = await session.patiently(() => claim(session, request), isWanted);
    return typeof answer === "string" ? answer : { ...answer, token };
  }

  /** All keys are gone: the group begins again with what has come since. */
  async #joinAgain(): Promise<void> {
    const { session } = this.#parts;
    session.settings.logger.error("The bus was flushed; a group begins again with what is there.", {
      group: this.name,
      url: session.url,
    });
    this.#mark = await joinGroup(session, this.name, this.#record, "earliest");
    this.#serveAgain = true;
  }

  /** Whether there may be more for those who wait. */
  async #handOut(batch: ClaimedBatch, pullers: readonly Puller[]): Promise<boolean> {
    const { desk } = this.#parts;
    const leases = batch.claimed.map((claimed) => {
      const { reference } = claimed;
      return new RedisLease({ group: this.name, reference, token: batch.token }, desk, claimed);
    });
    for (const puller of pullers) {
      if (leases.length === 0) break;
      if (this.#waiting.has(puller)) this.#end(puller, leases.splice(0, puller.max));
    }
    // Those whose pull has been aborted meanwhile.
    await Promise.all(leases.map((lease) => this.#giveBack(lease)));
    return batch.claimed.length > 0 || batch.more || pullers.length < this.#waiting.size;
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

  #end(puller: Puller, leases: readonly Lease[]): void {
    this.#forget(puller);
    puller.resolve(leases);
  }

  #forget(puller: Puller): void {
    this.#waiting.delete(puller);
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
