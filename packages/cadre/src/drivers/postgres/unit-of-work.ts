import type { Lease } from "../../bus/transport.ts";
import type { DeliveredWork, UnitOfWork } from "../../core/commit.ts";
import { channelOf } from "./commit-function.ts";
import { commitGuarded } from "./commit.ts";
import { GroupLease } from "./group-lease.ts";
import type { Log } from "./postgres-log.ts";
import { PostgresStore } from "./postgres-store.ts";
import type { PreparedCommit } from "./prepared-commit.ts";

/**
 * Effects, held-back events, mark and settling in one transaction, which writes nothing for an
 * owner that is late.
 */
export class PostgresUnitOfWork implements UnitOfWork<Lease> {
  readonly settles: boolean = true;
  readonly log: unknown;
  readonly #log: Log;
  readonly #owner: number;
  readonly #store: PostgresStore;

  constructor(log: Log, owner: number) {
    this.#log = log;
    this.log = log.identity;
    this.#owner = owner;
    this.#store = new PostgresStore(log);
  }

  async commit(work: DeliveredWork<Lease>): Promise<"ok" | "lost"> {
    const prepared = this.#log.prepare(work.commit);
    await this.#log.ready();
    const { lease } = work;
    if (lease instanceof GroupLease) {
      return lease.settleWith("ack", () => this.#write(prepared, lease));
    }
    // A broadcast's delivery has no owner to lose it.
    await commitGuarded(this.#log, prepared, undefined);
    return "ok";
  }

  async handled(subscription: string, eventIds: readonly string[]): Promise<ReadonlySet<string>> {
    const marks = eventIds.map((eventId) => ({ subscription, eventId }));
    const marked = await this.#store.marked(marks);
    return new Set(marked.map(({ eventId }) => eventId));
  }

  async #write(prepared: PreparedCommit, lease: GroupLease): Promise<"ok" | "lost"> {
    const { group, position, copy, token } = lease.delivery;
    const { schema } = this.#log.settings;
    const guard = JSON.stringify([this.#owner, group, position, copy, token, channelOf(schema)]);
    const outcome = await commitGuarded(this.#log, prepared, guard);
    if (outcome.kind === "guarded") return "lost";
    // What had been written before was written without this delivery, and leaves it to be settled.
    return outcome.result.duplicate ? lease.write({ kind: "ack" }) : "ok";
  }
}
