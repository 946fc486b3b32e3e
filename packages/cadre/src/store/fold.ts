import type { AgentEvent } from "../core/event.ts";
import type { EventRegistry } from "../core/registry.ts";
import type { StoredEvent } from "./event-store.ts";

/**
 * How state follows from events. Pure: equal events give equal state, on every machine and in every
 * year, so `apply` reads no clock, draws no chance, and returns a new state instead of changing the
 * one it was given.
 */
export interface Fold<State> {
  /** The state before the first event; a function where each fold needs an object of its own. */
  readonly initial: State | (() => State);
  readonly apply: (state: State, event: AgentEvent, stored: StoredEvent) => State;
  /** Brings old payloads to their current version. @default payloads as they were stored */
  readonly events?: Pick<EventRegistry, "upcast">;
}

/** The state before the first event. */
export function initialState<State>(fold: Pick<Fold<State>, "initial">): State {
  const { initial } = fold;
  return typeof initial === "function" ? (initial as () => State)() : initial;
}

/**
 * Folds one event, in the current version of its payload where the fold has a registry.
 * @throws {CadreError} UNKNOWN_VERSION | INVALID_PAYLOAD, when its payload cannot be brought there
 */
export function foldStored<State>(
  fold: Pick<Fold<State>, "apply" | "events">,
  state: State,
  stored: StoredEvent,
): State {
  const current = fold.events ? upcastStored(fold.events, stored) : stored;
  return fold.apply(state, current.event, current);
}

/** A stored event with its payload in the current version; what is stored stays as it is. */
export function upcastStored(
  events: Pick<EventRegistry, "upcast">,
  stored: StoredEvent,
): StoredEvent {
  const event = events.upcast(stored.event);
  return event === stored.event ? stored : { ...stored, event };
}
