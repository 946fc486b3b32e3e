/**
 * The agents of a process by what they can do. A look costs those that have room, and those that
 * had room at the look before, however many others are busy.
 *
 *   free ──found full at a look──▶ full ──has room again──▶ free, behind the others
 */

/** An agent as the roster sees it. */
export interface RosterMember {
  readonly definition: { readonly capabilities: readonly string[] };
  readonly hasRoom: boolean;
}

interface Offer<Member> {
  /** Had room when last looked at; who has waited longest comes first. */
  readonly free: Member[];
  readonly full: Set<Member>;
}

export class Roster<Member extends RosterMember> {
  readonly #offers = new Map<string, Offer<Member>>();

  add(agent: Member): void {
    for (const capability of agent.definition.capabilities) {
      const offer = this.#offers.get(capability);
      if (offer) offer.free.push(agent);
      else this.#offers.set(capability, { free: [agent], full: new Set() });
    }
  }

  has(capability: string): boolean {
    return this.#offers.has(capability);
  }

  capabilities(): IterableIterator<string> {
    return this.#offers.keys();
  }

  /** It has given a slot back, or begun anew. */
  hasRoom(agent: Member): void {
    for (const capability of agent.definition.capabilities) {
      const offer = this.#offers.get(capability);
      if (offer?.full.delete(agent)) offer.free.push(agent);
    }
  }

  /** Offers work to those with room, until `offer` says that it is enough. */
  visit(capability: string, offer: (agent: Member) => boolean): void {
    const known = this.#offers.get(capability);
    if (!known) return;
    const { free, full } = known;
    const still: Member[] = [];
    let seen = 0;
    let isEnough = false;
    while (!isEnough && seen < free.length) {
      const agent = free[seen]!;
      seen += 1;
      if (agent.hasRoom) isEnough = offer(agent);
      if (agent.hasRoom) still.push(agent);
      else full.add(agent);
    }
    if (still.length < seen) free.splice(0, seen, ...still);
  }
}
