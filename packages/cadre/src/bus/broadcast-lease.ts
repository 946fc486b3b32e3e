import type { Lease, Recorded } from "./transport.ts";

const ok: Promise<"ok"> = Promise.resolve("ok");

/** A broadcast's delivery: nobody else can have it, and nothing comes of settling it. */
export class BroadcastLease implements Lease {
  readonly recorded: Recorded;
  readonly attempt: number = 1;

  constructor(recorded: Recorded) {
    this.recorded = recorded;
  }

  settle(): Promise<"ok"> {
    return ok;
  }

  extend(): Promise<"ok"> {
    return ok;
  }
}
