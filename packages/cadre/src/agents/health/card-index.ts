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
  readonly parts: Map<string, { readonly version: number; readonly keys: readonly string[] }>;
  readonly kinds: SharedKinds;
}

/** A card but for the name on it. */
export type Traits = Omit<AgentPart, "agent">;

/** Agents of one process whose cards say the same but for the name. */
export interface Kind {
  readonly process: SeenProcess;
  readonly traits: Traits;
}

export interface SeenAgent {
  readonly agent: string;
  kind: Kind;
  presence: Presence;
}

const maxShared = 256; // kinds of one process; beyond it the sharing begins anew

/** The kinds of one process, each kept once: ten thousand idle agents are of a few. */
export class SharedKinds {
  readonly #known = new Map<string, Kind>();

  of(process: SeenProcess, { agent: _agent, ...traits }: AgentPart): Kind {
    const key = JSON.stringify(traits);
    const known = this.#known.get(key);
    if (known) return known;
    if (this.#known.size === maxShared) this.#known.clear();
    const kind = { process, traits };
    this.#known.set(key, kind);
    return kind;
  }
}

/** Agents by capability, and within it by process. */
export class CardIndex {
  // Lists, and not sets: they take a fifth of the memory, and few agents ever go.
  readonly #offers = new Map<string, Map<string, SeenAgent[]>>();

  *offering(capability: string): Generator<SeenAgent> {
    for (const agents of this.#offers.get(capability)?.values() ?? []) yield* agents;
  }

  /** Processes that have agents with the capability. */
  processes(capability: string): Iterable<string> {
    return this.#offers.get(capability)?.keys() ?? [];
  }

  add(agent: SeenAgent): void {
    for (const capability of agent.kind.traits.capabilities) this.#addTo(capability, agent);
  }

  remove(agent: SeenAgent): void {
    const { process, traits } = agent.kind;
    for (const capability of traits.capabilities) {
      const byProcess = this.#offers.get(capability);
      const agents = byProcess?.get(process.id);
      const at = agents?.indexOf(agent) ?? -1;
      if (at >= 0) agents?.splice(at, 1);
      if (agents?.length === 0) byProcess?.delete(process.id);
      if (byProcess?.size === 0) this.#offers.delete(capability);
    }
  }

  replace(agent: SeenAgent, kind: Kind): void {
    const before = agent.kind.traits.capabilities;
    const now = kind.traits.capabilities;
    const isSame = now.length === before.length && now.every((each, at) => each === before[at]);
    if (!isSame) this.remove(agent);
    agent.kind = kind;
    if (!isSame) this.add(agent);
  }

  #addTo(capability: string, agent: SeenAgent): void {
    let byProcess = this.#offers.get(capability);
    if (!byProcess) this.#offers.set(capability, (byProcess = new Map()));
    const agents = byProcess.get(agent.kind.process.id);
    if (agents) agents.push(agent);
    else byProcess.set(agent.kind.process.id, [agent]);
  }
}
