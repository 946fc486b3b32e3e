/** Time travel for agents: what an agent's state was as of a point in the log. */
import { CadreError } from "../core/errors.ts";
import type { EventRegistry } from "../core/registry.ts";
import type { EventStore, LogPosition } from "../store/event-store.ts";
import { positionOf, type LogPoint } from "../store/log-point.ts";
import { loadStream } from "../store/snapshot.ts";
import { diffOf, type LogSpan, type StateDifference } from "../store/time-travel.ts";
import type { AgentDefinition } from "./agent.ts";
import { agentFold, agentSnapshots, agentStream } from "./agent-state.ts";

export interface ReconstructOptions {
  /** As of this point in the log. @default its head */
  readonly upTo?: LogPoint;
}

export interface Reconstructed<State> {
  readonly state: State;
  /** The version of the agent's stream: how many events of its own it had recorded. */
  readonly version: number;
  /** The position that it is as of. */
  readonly position: LogPosition;
}

/** What of an agent's definition its past is folded with. */
export type Reconstructable<State> = Pick<AgentDefinition<State>, "name" | "state">;

/** The registry of the team, which brings old payloads to their current version. */
export interface PastEvents {
  readonly events?: Pick<EventRegistry, "upcast">;
}

/**
 * An agent's state as of a point in the log: a fold of its own stream, as its handlers had it then.
 * Writes nothing.
 *
 * @throws {CadreError} WRONG_STATE, when the agent is defined without a state
 * @throws {CadreError} INVALID_OPTION, when `upTo` is no point
 */
export async function reconstruct<State>(
  store: EventStore,
  agent: Reconstructable<State>,
  { upTo, events }: ReconstructOptions & PastEvents = {},
): Promise<Reconstructed<State>> {
  const { name, state: options } = agent;
  if (!options) {
    const message = `The agent "${name}" is defined without a state, so it has no past to look at.`;
    throw new CadreError("WRONG_STATE", message, { what: name, state: "stateless" });
  }
  const position = await positionOf(store, upTo);
  const fold = agentFold(options, events);
  const load = { ...agentSnapshots(options), upTo: position };
  const { state, version } = await loadStream(store, agentStream(name), fold, load);
  return { state, version, position };
}

/** What changed in an agent's state between two points in the log. Writes nothing. */
export async function diffAgent<State>(
  store: EventStore,
  agent: Reconstructable<State>,
  { events, ...span }: LogSpan & PastEvents,
): Promise<StateDifference<State>> {
  const past = events ? { events } : {};
  return diffOf(
    (upTo) => reconstruct(store, agent, { ...past, ...(upTo === undefined ? {} : { upTo }) }),
    span,
  );
}
