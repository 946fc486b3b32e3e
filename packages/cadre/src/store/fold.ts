import type { AgentEvent } from "../core/event.ts";
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
}

/** The state before the first event. */
export function initialState<State>(fold: Pick<Fold<State>, "initial">): State {
  const { initial } = fold;
  return typeof initial === "function" ? (initial as () => State)() : initial;
}
