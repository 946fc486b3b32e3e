/** Which agent is asked first to do a task. */
import type { Directory } from "../directory.ts";
import type { TeamContext } from "../team-context.ts";

/** An agent that could take a task, as of one look at the directory. */
export interface Candidate {
  readonly agent: string;
  readonly capacity: number;
  /** Tasks that it could take now, those given to it in this decision counted. */
  readonly free: number;
  /** What it is trusted with the capability; 1 where nobody says. */
  readonly score: number;
}

/** What is to be assigned. */
export interface Assignable {
  readonly capability: string;
  readonly task: string;
  readonly feature: string;
  readonly tenant?: string;
}

/**
 * Chooses among the candidates, which all have room; their order is by name. None leaves it to
 * whoever comes first.
 */
export type AssignmentPolicy = (
  task: Assignable,
  candidates: readonly Candidate[],
) => string | undefined;

/** The most room, weighted by trust. */
export const leastLoaded: AssignmentPolicy = (_task, candidates) => {
  let best: Candidate | undefined;
  for (const next of candidates) {
    if (next.score <= 0) continue;
    if (!best || next.free * next.score > best.free * best.score) best = next;
  }
  return best?.agent;
};

/** The score with which who may not claim a task is not asked for it. */
export function scoreOfPermitted(
  { guard }: Pick<TeamContext, "guard">,
  score: Score,
  tenant: string | undefined,
): Score {
  const permissions = guard?.permissions;
  if (!permissions) return score;
  return (agent, capability) =>
    permissions.may(agent, "claim", capability, tenant) ? score(agent, capability) : 0;
}

/** What an agent is trusted with a capability. */
export type Score = (agent: string, capability: string) => number;

interface Room {
  readonly agent: string;
  readonly capacity: number;
  readonly score: number;
  free: number;
}

/** One decision: it counts what it has given away already. */
export class Assignment {
  readonly #directory: Pick<Directory, "find">;
  readonly #policy: AssignmentPolicy;
  readonly #score: Score;
  readonly #room = new Map<string, Room[]>();

  constructor(directory: Pick<Directory, "find">, policy: AssignmentPolicy, score: Score) {
    this.#directory = directory;
    this.#policy = policy;
    this.#score = score;
  }

  choose(task: Assignable): string | undefined {
    const room = this.#roomOf(task.capability);
    const free = room.filter((agent) => agent.free > 0);
    if (free.length === 0) return undefined;
    const chosen = this.#policy(task, free);
    const taken = free.find(({ agent }) => agent === chosen);
    if (taken) taken.free -= 1;
    return taken?.agent;
  }

  #roomOf(capability: string): Room[] {
    let room = this.#room.get(capability);
    if (!room) {
      room = this.#directory
        .find({ capability, free: true })
        .filter(({ presence }) => presence === "online" || presence === "returned")
        .map(({ card: { agent, capacity, load } }) => ({
          agent,
          capacity,
          free: capacity - load,
          score: this.#score(agent, capability),
        }));
      this.#room.set(capability, room);
    }
    return room;
  }
}
