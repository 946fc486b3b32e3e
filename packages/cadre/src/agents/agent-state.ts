/** The state of an agent: a fold of its own stream, kept up to date as far as a handler's start. */
import type { AgentEvent } from "../core/event.ts";
import type { EventStore } from "../store/event-store.ts";
import type { AgentOptions } from "./agent.ts";

export const agentStream = (name: string): string => `agent/${name}`;

export class AgentState<State> {
  readonly #store: EventStore;
  readonly #stream: string;
  readonly #fold: AgentOptions<State>["state"];
  #state: State;
  #version = 0;
  #reading: Promise<void> = Promise.resolve();

  constructor(store: EventStore, name: string, fold: AgentOptions<State>["state"]) {
    this.#store = store;
    this.#stream = agentStream(name);
    this.#fold = fold;
    // An agent without a fold has the state `undefined`, which its type says.
    this.#state = fold?.initial as State;
  }

  /** The state with everything folded in that is in the store now. */
  async current(): Promise<State> {
    if (!this.#fold) return this.#state;
    const reading = this.#reading.then(() => this.#catchUp(this.#fold!.apply));
    this.#reading = reading.catch(() => undefined);
    await reading;
    return this.#state;
  }

  async #catchUp(apply: (state: State, event: AgentEvent) => State): Promise<void> {
    const query = { stream: this.#stream, fromVersion: this.#version + 1 };
    for await (const stored of this.#store.read(query)) {
      this.#state = apply(this.#state, stored.event);
      this.#version = stored.version ?? this.#version + 1;
    }
  }
}
