/** Who else could take a task, as of one look at the directory. */
import type { AnyAgent } from "./agent.ts";
import type { PresenceObserver } from "./presence.ts";
import { processOf } from "./health/beat.ts";
import type { TeamContext } from "./team-context.ts";

export interface RivalsPort {
  readonly context: Pick<TeamContext, "incarnation">;
  readonly agent: Pick<AnyAgent, "name" | "capabilities">;
  readonly directory: PresenceObserver;
}

/** Asks the directory once for each capability, however many tasks are looked at. */
export class Rivals {
  readonly #port: RivalsPort;
  readonly #free = new Map<string, readonly string[]>();

  constructor(port: RivalsPort) {
    this.#port = port;
  }

  /** Whether another process works on the same capabilities. */
  areThere(): boolean {
    const { agent, context, directory } = this.#port;
    const own = processOf(context.incarnation);
    return agent.capabilities.some((capability) => directory.offeredElsewhere(capability, own));
  }

  /** Names of the other agents that have the capability and room for a task. */
  others(capability: string): readonly string[] {
    let names = this.#free.get(capability);
    if (!names) {
      const { agent, directory } = this.#port;
      names = directory
        .find({ capability, free: true, live: true })
        .filter(({ card }) => card.agent !== agent.name)
        .filter(({ card }) => !card.broken?.includes(capability))
        .map(({ card }) => card.agent);
      this.#free.set(capability, names);
    }
    return names;
  }

  hasRoom(capability: string, agent: string): boolean {
    return this.others(capability).includes(agent);
  }
}
