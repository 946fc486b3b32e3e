/**
 * Watches the leases of one group for those that ran out.
 *
 * This connection knows its own leases. Those of others it sees in the file, and it counts their
 * time from when it first saw them as they are, by its own monotonic clock: no two clocks are ever
 * compared, and a renewal starts the count again. The leases of a process that is gone are over at
 * once.
 */
import type { Clock } from "../../core/clock.ts";
import type { Connection } from "./connection.ts";
import type { ExpiredLease } from "./claim.ts";
import { memberOfToken, state } from "./delivery-row.ts";
import { isGone, listMembers } from "./members.ts";

interface Seen extends ExpiredLease {
  /** Monotonic time at which it is over. */
  endsAt: number;
}

// how late a foreign lease is first seen, and how late a dead process is noticed
const lookEveryMs = 250;

export class LeaseWatch {
  readonly #connection: Connection;
  readonly #clock: Clock;
  readonly #group: number;
  readonly #own = new Map<number, Seen>();
  #foreign = new Map<number, Seen>();
  #lookedAt = -Infinity;
  /** Somebody asked since the last look, and it was too soon for another. */
  #asked = false;

  constructor(connection: Connection, clock: Clock, group: number) {
    this.#connection = connection;
    this.#clock = clock;
    this.#group = group;
  }

  /** This connection owns a delivery for `ms` from now. */
  hold(position: number, copy: number, token: number, renewals: number, ms: number): void {
    const endsAt = this.#clock.monotonic() + ms;
    this.#own.set(token, { group: this.#group, position, copy, token, renewals, endsAt });
  }

  /** It was renewed: it is owned for `ms` from now. */
  extend(token: number, ms: number): void {
    const held = this.#own.get(token);
    if (held) this.hold(held.position, held.copy, token, held.renewals + 1, ms);
  }

  drop(token: number): void {
    this.#own.delete(token);
  }

  hasExpired(): boolean {
    const now = this.#clock.monotonic();
    if (now - this.#lookedAt >= lookEveryMs) this.#look(now);
    else this.#asked = true;
    return this.#nextEnd() <= now;
  }

  /** The leases that are over. They are forgotten: whoever frees them in vain sees them again. */
  takeExpired(): readonly ExpiredLease[] {
    const now = this.#clock.monotonic();
    const expired: ExpiredLease[] = [];
    for (const leases of [this.#own, this.#foreign]) {
      for (const [token, lease] of leases) {
        if (lease.endsAt > now) continue;
        expired.push(lease);
        leases.delete(token);
      }
    }
    return expired;
  }

  /** Monotonic time of the next look that can find something; Infinity when nothing is leased. */
  get nextAt(): number {
    const end = this.#nextEnd();
    return this.#foreign.size === 0 && !this.#asked
      ? end
      : Math.min(end, this.#lookedAt + lookEveryMs);
  }

  #nextEnd(): number {
    let next = Infinity;
    for (const { endsAt } of this.#own.values()) next = Math.min(next, endsAt);
    for (const { endsAt } of this.#foreign.values()) next = Math.min(next, endsAt);
    return next;
  }

  #look(now: number): void {
    this.#lookedAt = now;
    this.#asked = false;
    const rows = this.#connection
      .sql(
        `SELECT position, copy, token, renewals, lease_ms FROM deliveries
         WHERE group_no = ? AND state = ${state.leased}`,
      )
      .all(this.#group);
    const seen = new Map<number, Seen>();
    for (const [position, copy, token, renewals, leaseMs] of rows) {
      const lease = {
        group: this.#group,
        position: Number(position),
        copy: Number(copy),
        token: Number(token),
        renewals: Number(renewals),
      };
      if (this.#own.has(lease.token)) continue;
      const before = this.#foreign.get(lease.token);
      const same = before?.renewals === lease.renewals;
      seen.set(lease.token, { ...lease, endsAt: same ? before.endsAt : now + Number(leaseMs) });
    }
    this.#foreign = seen;
    if (seen.size > 0) this.#endThoseOfTheDead(now);
  }

  #endThoseOfTheDead(now: number): void {
    const living = new Set<number>();
    for (const member of listMembers(this.#connection)) {
      if (!isGone(member)) living.add(member.no);
    }
    for (const lease of this.#foreign.values()) {
      if (!living.has(memberOfToken(lease.token))) lease.endsAt = now;
    }
  }
}
