/**
 * The compare-and-set loop: fold a stream, decide, append with the version that was folded; whoever
 * loses reads again.
 *
 *   load ─▶ decide ─▶ commit ─ok────────▶ committed
 *             ▲  │       └──conflict──▶ fold what is new ─┐
 *             │  └─ nothing ─▶ unchanged                  │
 *             └───────────────────────────────────────────┘
 */
import type { Commit } from "../core/commit.ts";
import { isCadreError } from "../core/errors.ts";
import type { AgentEvent } from "../core/event.ts";
import type { EventStore, LogPosition } from "./event-store.ts";
import { foldStored, type Fold } from "./fold.ts";
import { loadStream, type LoadedStream, type LoadOptions } from "./snapshot.ts";

/**
 * What a decider wants written: events for its stream, and what must be written in the same commit.
 */
export interface Decision extends Commit {
  readonly events: readonly AgentEvent[];
  /** Keeps `events` from the bus. */
  readonly private?: boolean;
}

export interface DecideOptions extends Pick<LoadOptions, "snapshot" | "name" | "foldVersion"> {
  /** Tries in all; each one that fails lost to a writer who got through. @default 32 */
  readonly maxAttempts?: number;
}

export interface DecideOutcome<State> {
  readonly kind: "committed" | "unchanged";
  /** The state with the decided events in it. */
  readonly state: State;
  readonly version: number;
  /** The events that were appended; none when unchanged. */
  readonly events: readonly AgentEvent[];
  /** Where the commit is in the log; absent when unchanged. */
  readonly position?: LogPosition;
  readonly attempts: number;
}

/**
 * Decides on the newest state of a stream and appends what was decided, so that nobody decided in
 * between.
 *
 * `decider` may run several times, each time on newer state, and must have no effect beside what it
 * returns. Nothing, or no events and nothing else, leaves the stream as it is. What it throws is
 * thrown.
 *
 * @throws {CadreError} VERSION_CONFLICT, when every attempt lost
 */
export async function decide<State>(
  store: EventStore,
  stream: string,
  fold: Fold<State>,
  decider: (
    state: State,
    version: number,
  ) =>
    | Decision
    | readonly AgentEvent[]
    | undefined
    | Promise<Decision | readonly AgentEvent[] | undefined>,
  options: DecideOptions = {},
): Promise<DecideOutcome<State>> {
  const maxAttempts = options.maxAttempts ?? 32;
  let loaded = await loadStream(store, stream, fold, options);
  for (let attempts = 1; ; attempts += 1) {
    const decided = await decider(loaded.state, loaded.version);
    const decision = asDecision(decided);
    if (!decision) return { kind: "unchanged", ...loaded, events: [], attempts };
    try {
      return await commitDecision(store, stream, fold, loaded, decision, attempts);
    } catch (error) {
      if (!isCadreError(error, "VERSION_CONFLICT") || attempts >= maxAttempts) throw error;
    }
    loaded = await foldNew(store, stream, fold, loaded);
  }
}

function asDecision(decided: Decision | readonly AgentEvent[] | undefined): Decision | undefined {
  if (!decided) return undefined;
  const decision: Decision = isEvents(decided) ? { events: decided } : decided;
  const { events, appends, slots, inbox, outbox } = decision;
  const parts = [events, appends, slots, inbox, outbox];
  return parts.some((part) => part && part.length > 0) ? decision : undefined;
}

function isEvents(decided: Decision | readonly AgentEvent[]): decided is readonly AgentEvent[] {
  return Array.isArray(decided);
}

async function commitDecision<State>(
  store: EventStore,
  stream: string,
  fold: Fold<State>,
  loaded: LoadedStream<State>,
  decision: Decision,
  attempts: number,
): Promise<DecideOutcome<State>> {
  const { events, private: isPrivate = false, ...rest } = decision;
  const own = { stream, expectedVersion: loaded.version, events, private: isPrivate };
  const result = await store.commit({ ...rest, appends: [own, ...(rest.appends ?? [])] });
  const version = result.versions[0] ?? loaded.version;
  // Folded as they were stored: payloads copied and frozen, positions known.
  const { state } = await foldNew(store, stream, fold, loaded, version);
  return { kind: "committed", state, version, events, position: result.position, attempts };
}

async function foldNew<State>(
  store: EventStore,
  stream: string,
  fold: Fold<State>,
  loaded: LoadedStream<State>,
  upTo = Infinity,
): Promise<LoadedStream<State>> {
  let { state, version } = loaded;
  for await (const stored of store.read({ stream, fromVersion: version + 1 })) {
    if ((stored.version ?? 0) > upTo) break;
    state = foldStored(fold, state, stored);
    version = stored.version ?? version;
  }
  return { state, version };
}
