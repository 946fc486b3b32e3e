/** The cards that an observer knows, by what they offer. */
import type { Presence } from "../directory.ts";
import type { AgentPart, Pulse } from "./beat.ts";

/** A process as it was seen. */
export interface SeenProcess {
  readonly id: string;
  pulse: Pulse;
  /** Of the pulse's slot. */
  version: number;
  presence: Presence;
  /** Monotonic, of this observer. */
  lastChangeAt: number;
  /** By agent and incarnation. */
  readonly agents: Map<string, SeenAgent>;
  readonly parts: Map<string, { readonly version: number; readonly keys: ReadonlySet<string> }>;
  readonly lists: SharedLists;
}

export interface SeenAgent {
  readonly process: SeenProcess;
  card: AgentPart;
  presence: Presence;
}

const maxShared = 256; // different lists of one process; ten thousand agents mostly have a few

/** Lists of words that many cards have are kept once. */
export class SharedLists {
  readonly #known = new Map<string, readonly string[]>();

  /** The card with what others of its process have as well. */
  of(card: AgentPart, process: string): AgentPart {
    return {
      ...card,
      incarnation: card.incarnation === process ? process : card.incarnation,
      capabilities: this.#shared(card.capabilities),
      specializations: this.#shared(card.specializations),
    };
  }

  #shared(list: readonly string[]): readonly string[] {
    const key = list.join("\n");
    const known = this.#known.get(key);
    if (known) return known;
    if (this.#known.size < maxShared) this.#known.set(key, list);
    return list;
  }
}

/** Agents by capability, and within it by process. */
export class CardIndex {
  readonly #offers = new Map<string, Map<string, Set<SeenAgent>>>();

  *offering(capability: string): Generator<SeenAgent> {
    for (const agents of this.#offers.get(capability)?.values() ?? []) yield* agents;
  }

  /** Processes that have agents with the capability. */
  processes(capability: string): Iterable<string> {
    return this.#offers.get(capability)?.keys() ?? [];
  }

  add(agent: SeenAgent): void {
    for (const capability of agent.card.capabilities) this.#addTo(capability, agent);
  }

  remove(agent: SeenAgent): void {
    for (const capability of agent.card.capabilities) {
      const byProcess = this.#offers.get(capability);
      const agents = byProcess?.get(agent.process.id);
      agents?.delete(agent);
      if (agents?.size === 0) byProcess?.delete(agent.process.id);
      if (byProcess?.size === 0) this.#offers.delete(capability);
    }
  }

  replace(agent: SeenAgent, card: AgentPart): void {
    const isSame =
      card.capabilities.length === agent.card.capabilities.length &&
      card.capabilities.every((capability, at) => capability === agent.card.capabilities[at]);
    if (isSame) {
      agent.card = { ...card, capabilities: agent.card.capabilities };
      return;
    }
    this.remove(agent);
    agent.card = card;
    this.add(agent);
  }

  #addTo(capability: string, agent: SeenAgent): void {
    let byProcess = this.#offers.get(capability);
    if (!byProcess) this.#offers.set(capability, (byProcess = new Map()));
    const agents = byProcess.get(agent.process.id);
    if (agents) agents.add(agent);
    else byProcess.set(agent.process.id, new Set([agent]));
  }
}
