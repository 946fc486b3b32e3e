import type { Lease } from "../../bus/transport.ts";
import type { DeliveredWork, UnitOfWork } from "../../core/commit.ts";
import { isOwned } from "./settle.ts";
import { SqliteLease } from "./sqlite-lease.ts";
import type { LogFile } from "./sqlite-log.ts";
import { isMarked } from "./sqlite-store.ts";
import { planCommit, writeCommit, type PreparedCommit } from "./store-request.ts";

/**
 * Effects, held-back events, mark and settling in one transaction, which writes nothing for an
 * owner that is late.
 */
export class SqliteUnitOfWork implements UnitOfWork<Lease> {
  readonly settles: boolean = true;
  readonly log: string;
  readonly #file: LogFile;

  constructor(file: LogFile) {
    this.#file = file;
    this.log = file.path;
  }

  async commit(work: DeliveredWork<Lease>): Promise<"ok" | "lost"> {
    const prepared = this.#file.prepare(work.commit);
    const { lease } = work;
    if (lease instanceof SqliteLease) {
      return lease.settleWith("ack", () => this.#write(prepared, lease));
    }
    // A broadcast's delivery has no owner to lose it.
    return this.#write(prepared, undefined);
  }

  async handled(subscription: string, eventIds: readonly string[]): Promise<ReadonlySet<string>> {
    this.#file.assertOpen();
    return new Set(eventIds.filter((eventId) => isMarked(this.#file, subscription, eventId)));
  }

  #write(prepared: PreparedCommit, lease: SqliteLease | undefined): Promise<"ok" | "lost"> {
    return this.#file.writer.write({
      toDisk: true,
      events: prepared.events,
      run: (transaction) => {
        if (lease && !isOwned(transaction.connection, lease.delivery)) return "lost";
        const plan = planCommit(prepared, transaction);
        writeCommit(prepared, plan, transaction);
        return lease ? lease.hub.settleIn(transaction, lease.delivery, { kind: "ack" }) : "ok";
      },
    });
  }
}
