/** The state of an agent: a fold of its own stream, kept up to date as far as a handler's start. */
import type { EventRegistry } from "../core/registry.ts";
import type { EventStore, StoredEvent } from "../store/event-store.ts";
import { foldStored, initialState, type Fold } from "../store/fold.ts";
import { ReadSince } from "../store/snapshot-policy.ts";
import { loadStream, streamSnapshots, type LoadOptions } from "../store/snapshot.ts";
import type { AgentOptions } from "./agent.ts";

export const agentStream = (name: string): string => `agent/${name}`;

type StateOptions<State> = NonNullable<AgentOptions<State>["state"]>;

/** How an agent's stream is folded: the team's registry brings old payloads up. */
export function agentFold<State>(
  { initial, apply }: StateOptions<State>,
  events: Pick<EventRegistry, "upcast"> | undefined,
): Fold<State> {
  return { initial, apply, ...(events ? { events } : {}) };
}

/** Where and when snapshots of it are kept. */
export function agentSnapshots<State>({ snapshot, version }: StateOptions<State>): LoadOptions {
  return {
    ...(snapshot ? { snapshot } : {}),
    ...(version === undefined ? {} : { foldVersion: version }),
  };
}

export class AgentState<State> {
  readonly #store: EventStore;
  readonly #stream: string;
  readonly #options: AgentOptions<State>["state"];
  readonly #fold: Fold<State> | undefined;
  #state: State;
  /** Nothing was loaded yet below 0. */
  #version = -1;
  #since: ReadSince | undefined;
  #reading: Promise<void> = Promise.resolve();

  constructor(
    store: EventStore,
    name: string,
    options: AgentOptions<State>["state"],
    events?: Pick<EventRegistry, "upcast">,
  ) {
    this.#store = store;
    this.#stream = agentStream(name);
    this.#options = options;
    this.#fold = options && agentFold(options, events);
    // An agent without a fold has the state `undefined`, which its type says.
    this.#state = this.#fold ? initialState(this.#fold) : (undefined as State);
  }

  /** The state with everything folded in that is in the store now. */
  async current(): Promise<State> {
    const [fold, options] = [this.#fold, this.#options];
    if (!fold || !options) return this.#state;
    const reading = this.#reading.then(() => this.#catchUp(fold, options));
    this.#reading = reading.catch(() => undefined);
    await reading;
    return this.#state;
  }

  async #catchUp(fold: Fold<State>, options: StateOptions<State>): Promise<void> {
    if (this.#version < 0) {
      const loaded = await loadStream(this.#store, this.#stream, fold, agentSnapshots(options));
      this.#state = loaded.state;
      this.#version = loaded.version;
      this.#since = new ReadSince(undefined, options.snapshot);
      return;
    }
    let last: StoredEvent | undefined;
    const query = { stream: this.#stream, fromVersion: this.#version + 1 };
    for await (const stored of this.#store.read(query)) {
      this.#state = foldStored(fold, this.#state, stored);
      this.#version = stored.version ?? this.#version + 1;
      this.#since?.add(stored);
      last = stored;
    }
    if (last && this.#since?.isDue()) await this.#keepSnapshot(last, options);
  }

  async #keepSnapshot(
    { position, recordedAt, event }: StoredEvent,
    options: StateOptions<State>,
  ): Promise<void> {
    const { snapshot } = options;
    if (!snapshot) return;
    this.#since = new ReadSince({ recordedAt }, snapshot);
    const series = streamSnapshots<State>(this.#store, this.#stream, agentSnapshots(options));
    const point = { at: this.#version, position, recordedAt, eventId: event.id };
    await series.keep({ ...point, state: this.#state }, snapshot);
  }
}
