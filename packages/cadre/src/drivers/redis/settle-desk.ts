import { BatchDesk } from "./batch-desk.ts";
import { settleScript } from "./lua-settle.ts";
import type { OwnedDelivery } from "./redis-lease.ts";
import type { Argument, Session } from "./session.ts";

export interface Settling extends OwnedDelivery {
  readonly kind: "ack" | "retry" | "park" | "release" | "extend";
  /** A retry's delay, or for how long it is owned from now. */
  readonly spanMs: number;
}

type Answer = "ok" | "lost";

export type SettleDesk = BatchDesk<Settling, Answer>;

const mostTogether = 256; // each is a few short steps of the server

export function createSettleDesk(session: Session): SettleDesk {
  return new BatchDesk<Settling, Answer>({
    clock: session.settings.clock,
    most: mostTogether,
    send: async (items) => {
      const { args, order } = inGroups(items);
      const what = items.length === 1 ? `a settling (${items[0]!.kind})` : "settlings";
      // Told again when the connection broke. What had got through is then "lost": not known to be
      // another's, and certainly no longer this owner's.
      const tell = (): Promise<unknown> => session.run(what, settleScript, args);
      const told = (await session.patiently(tell, () => true)) as number[];
      const answers = items.map((): Answer => "lost");
      for (const [at, place] of order.entries()) if (told[at] === 1) answers[place] = "ok";
      return answers;
    },
  });
}

/**
 * What is said of many is said once. The server does it in the order of `order`; what is extended
 * comes first, as it may be settled in the same breath.
 */
function inGroups(items: readonly Settling[]): {
  readonly args: readonly Argument[];
  /** For each answer the item that it is of. */
  readonly order: readonly number[];
} {
  const groups = new Map<string, number[]>();
  for (const [at, { group, token, kind, spanMs }] of items.entries()) {
    const name = `${kind} ${spanMs} ${token} ${group}`;
    const places = groups.get(name);
    if (places) places.push(at);
    else groups.set(name, [at]);
  }
  const isExtended = (places: readonly number[]): boolean => items[places[0]!]!.kind === "extend";
  const sorted = [...groups.values()].sort((a, b) => Number(isExtended(b)) - Number(isExtended(a)));
  const args: Argument[] = [];
  for (const places of sorted) {
    const { group, token, kind, spanMs } = items[places[0]!]!;
    args.push(group, token, kind, spanMs, places.length);
    for (const at of places) args.push(items[at]!.reference);
  }
  return { args, order: sorted.flat() };
}
