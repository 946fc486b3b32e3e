import { BatchDesk } from "./batch-desk.ts";
import { settleScript } from "./lua-claim.ts";
import type { OwnedDelivery } from "./redis-lease.ts";
import type { Session } from "./session.ts";

export interface Settling extends OwnedDelivery {
  readonly kind: "ack" | "retry" | "park" | "release" | "extend";
  /** A retry's delay, or for how long it is owned from now. */
  readonly spanMs: number;
}

export type SettleDesk = BatchDesk<Settling, "ok" | "lost">;

const mostTogether = 256; // each is a few short steps of the server

export function createSettleDesk(session: Session): SettleDesk {
  return new BatchDesk<Settling, "ok" | "lost">({
    most: mostTogether,
    send: async (items) => {
      const args = items.flatMap(({ group, reference, token, kind, spanMs }) => [
        group,
        reference,
        token,
        kind,
        spanMs,
      ]);
      const what = items.length === 1 ? `a settling (${items[0]!.kind})` : "settlings";
      // Told again when the connection broke. What had got through is then "lost": not known to be
      // another's, and certainly no longer this owner's.
      const tell = (): Promise<unknown> => session.run(what, settleScript, args);
      const answers = (await session.patiently(tell, () => true)) as number[];
      return answers.map((answer) => (answer === 1 ? "ok" : "lost"));
    },
  });
}
