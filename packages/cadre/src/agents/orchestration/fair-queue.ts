/**
 * Tasks of one capability that may be claimed: the most urgent first, and among equally urgent ones
 * fair between tenants, and within a tenant between features.
 *
 * Deficit round robin on both floors: whoever is in front is served as often as its share says,
 * then goes to the back. Nobody who waits is passed over for ever, and who comes late has saved
 * nothing up. A claim is counted when the board sees it, whoever made it: all processes see the
 * same ones in the same order.
 */
import { priorities } from "../../core/event.ts";
import type { OptionRule } from "../../core/options.ts";
import type { BoardEntry } from "../task-board.ts";

/** How many tasks a tenant has done for each of a tenant whose share is 1. @default 1 each */
export type TenantShares = Readonly<Record<string, number>>;

/** What shares may be, where they are given. */
export const someShares: OptionRule = {
  expected: "an object of whole numbers of at least 1, by tenant",
  accepts: (value) =>
    typeof value === "object" &&
    value !== null &&
    Object.values(value).every((share) => Number.isInteger(share) && Number(share) >= 1),
};

/** The tasks of one feature; those of none are one more. */
interface Flow {
  readonly entries: Map<string, BoardEntry>;
}

interface Tenant {
  readonly flows: Map<string, Flow>;
  /** Claims left before it goes to the back. */
  left: number;
}

type Rank = Map<string, Tenant>;

export class FairQueue {
  readonly #ranks: readonly Rank[] = priorities.map(() => new Map());
  readonly #shares: TenantShares;
  #size = 0;
  #planned = 0;

  constructor(shares: TenantShares = {}) {
    this.#shares = shares;
  }

  get size(): number {
    return this.#size;
  }

  /** How many of them are parts of features. */
  get planned(): number {
    return this.#planned;
  }

  put(entry: BoardEntry): void {
    const { id, tenant = "", feature = "" } = entry.state;
    const rank = this.#ranks[rankOf(entry)]!;
    let same = rank.get(tenant);
    if (!same) rank.set(tenant, (same = { flows: new Map(), left: this.#share(tenant) }));
    let flow = same.flows.get(feature);
    if (!flow) same.flows.set(feature, (flow = { entries: new Map() }));
    if (!flow.entries.has(id)) {
      this.#size += 1;
      if (entry.state.feature !== undefined) this.#planned += 1;
    }
    flow.entries.set(id, entry);
  }

  /**
   * Takes a task out, as it was put in.
   * @param claimed whether it is being done now: then its tenant and feature have had a turn
   */
  remove(entry: BoardEntry, claimed: boolean): void {
    const { id, tenant = "", feature = "" } = entry.state;
    const rank = this.#ranks[rankOf(entry)]!;
    const same = rank.get(tenant);
    const flow = same?.flows.get(feature);
    if (!same || !flow?.entries.delete(id)) return;
    this.#size -= 1;
    if (entry.state.feature !== undefined) this.#planned -= 1;
    if (claimed) {
      // To the back of the tenant's features, and of the tenants when its share is used up.
      same.flows.delete(feature);
      same.flows.set(feature, flow);
      same.left -= 1;
      if (same.left <= 0) {
        same.left += this.#share(tenant);
        rank.delete(tenant);
        rank.set(tenant, same);
      }
    }
    if (flow.entries.size === 0) same.flows.delete(feature);
    if (same.flows.size === 0) rank.delete(tenant);
  }

  /** In the order in which they are to be claimed. */
  *[Symbol.iterator](): Generator<BoardEntry> {
    for (let rank = this.#ranks.length - 1; rank >= 0; rank -= 1) {
      yield* this.#rounds(this.#ranks[rank]!);
    }
  }

  /** Of each tenant as many as its share says, again and again. */
  *#rounds(rank: Rank): Generator<BoardEntry> {
    interface Turn {
      readonly entries: Iterator<BoardEntry>;
      readonly share: number;
      left: number;
    }
    const begin = ([name, { flows, left }]: [string, Tenant]): Turn => ({
      entries: inTurn(flows.values()),
      share: this.#share(name),
      left,
    });
    let waiting: Iterable<Turn> = lazily(rank, begin);
    for (;;) {
      const next: Turn[] = [];
      for (const turn of waiting) {
        let found = turn.entries.next();
        while (!found.done) {
          yield found.value;
          turn.left -= 1;
          if (turn.left <= 0) break;
          found = turn.entries.next();
        }
        if (found.done) continue;
        turn.left += turn.share;
        next.push(turn);
      }
      if (next.length === 0) return;
      waiting = next;
    }
  }

  #share(tenant: string): number {
    return this.#shares[tenant] ?? 1;
  }
}

/** One of each, again and again. Who asks for a few looks at no more flows than that. */
function* inTurn(flows: Iterable<Flow>): Generator<BoardEntry> {
  let waiting: Iterable<Iterator<BoardEntry>> = lazily(flows, ({ entries }) => entries.values());
  for (;;) {
    const next: Iterator<BoardEntry>[] = [];
    for (const list of waiting) {
      const found = list.next();
      if (found.done) continue;
      yield found.value;
      next.push(list);
    }
    if (next.length === 0) return;
    waiting = next;
  }
}

function* lazily<From, To>(items: Iterable<From>, make: (item: From) => To): Generator<To> {
  for (const item of items) yield make(item);
}

function rankOf({ state }: BoardEntry): number {
  return Math.max(0, priorities.indexOf(state.priority));
}
