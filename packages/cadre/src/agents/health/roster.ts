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
  readonly #members: Member[] = [];
  /** Made when there is work first: that of idle agents takes no memory. */
  readonly #offers = new Map<string, Offer<Member> | undefined>();

  /** All, in the order in which they came. */
  get members(): readonly Member[] {
    return this.#members;
  }

  add(agent: Member): void {
    this.#members.push(agent);
    for (const capability of agent.definition.capabilities) {
      this.#offers.get(capability)?.free.push(agent);
      if (!this.#offers.has(capability)) this.#offers.set(capability, undefined);
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
    if (!this.#offers.has(capability)) return;
    const { free, full } = this.#offers.get(capability) ?? this.#makeOffer(capability);
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

  #makeOffer(capability: string): Offer<Member> {
    const isFree = ({ definition }: Member): boolean =>
      definition.capabilities.includes(capability);
    const offer = { free: this.#members.filter(isFree), full: new Set<Member>() };
    this.#offers.set(capability, offer);
    return offer;
  }
}
