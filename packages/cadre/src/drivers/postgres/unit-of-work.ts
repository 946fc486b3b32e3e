import type { Lease } from "../../bus/transport.ts";
import type { Commit, DeliveredWork, UnitOfWork } from "../../core/commit.ts";
import { channelOf } from "./log-turn.ts";
import type { AckDesk } from "./ack-desk.ts";
import { commitGuarded } from "./commit.ts";
import { GroupLease } from "./group-lease.ts";
import type { KnownMarks } from "./known-marks.ts";
import type { Log } from "./postgres-log.ts";
import { PostgresStore } from "./postgres-store.ts";
import type { PreparedCommit } from "./prepared-commit.ts";

export interface WorkParts {
  /** The connection's number among the owners of leases. */
  readonly owner: number;
  readonly acks: AckDesk;
  readonly marks: KnownMarks;
}

/** What most handlers leave: nothing but that they have handled their event. */
function isMarkAlone({ appends, slots, inbox, outbox, removals }: Commit): boolean {
  const written = [appends, slots, outbox, removals].some((list) => list && list.length > 0);
  return !written && (inbox?.length ?? 0) <= 1;
}

/**
 * Effects, held-back events, mark and settling in one transaction, which writes nothing for an
 * owner that is late.
 */
export class PostgresUnitOfWork implements UnitOfWork<Lease> {
  readonly settles: boolean = true;
  readonly log: unknown;
  readonly #log: Log;
  readonly #parts: WorkParts;
  readonly #store: PostgresStore;

  constructor(log: Log, parts: WorkParts) {
    this.#log = log;
    this.log = log.identity;
    this.#parts = parts;
    this.#store = new PostgresStore(log);
  }

  async commit(work: DeliveredWork<Lease>): Promise<"ok" | "lost"> {
    const { commit, lease } = work;
    if (lease instanceof GroupLease && isMarkAlone(commit) && !lease.group.ordered) {
      return lease.settleWith("ack", () => this.#ack(commit, lease));
    }
    const prepared = this.#log.prepare(commit);
    await this.#log.ready();
    if (lease instanceof GroupLease) {
      return lease.settleWith("ack", () => this.#write(prepared, lease));
    }
    // A broadcast's delivery has no owner to lose it.
    await commitGuarded(this.#log, prepared, undefined);
    return "ok";
  }

  async handled(subscription: string, eventIds: readonly string[]): Promise<ReadonlySet<string>> {
    const known = this.#parts.marks.take(subscription, eventIds);
    if (known) return known;
    const marks = eventIds.map((eventId) => ({ subscription, eventId }));
    const marked = await this.#store.marked(marks);
    return new Set(marked.map(({ eventId }) => eventId));
  }

  async #ack(commit: Commit, lease: GroupLease): Promise<"ok" | "lost"> {
    if (await this.#parts.acks.ack(lease.delivery, commit.inbox?.[0])) return "ok";
    return this.#write(this.#log.prepare(commit), lease);
  }

  async #write(prepared: PreparedCommit, lease: GroupLease): Promise<"ok" | "lost"> {
    const { group, position, copy, token } = lease.delivery;
    const { schema } = this.#log.settings;
    const guard = JSON.stringify([
      this.#parts.owner,
      group,
      position,
      copy,
      token,
      channelOf(schema),
    ]);
    const outcome = await commitGuarded(this.#log, prepared, guard);
    if (outcome.kind === "guarded") return "lost";
    // What had been written before was written without this delivery, and leaves it to be settled.
    return outcome.result.duplicate ? lease.write({ kind: "ack" }) : "ok";
  }
}
