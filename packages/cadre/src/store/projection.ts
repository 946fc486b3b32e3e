/**
 * Projections: state that follows from the whole log. A projection is declared as a pure fold;
 * `startProjection` keeps one running, `foldProjection` computes it as of any point in the past.
 */
import { CadreError, describeError } from "../core/errors.ts";
import type { AgentEvent } from "../core/event.ts";
import type { EventMap } from "../core/event-types.ts";
import type { EventRegistry } from "../core/registry.ts";
import { freezeJson } from "../core/json.ts";
import { compilePattern } from "../core/pattern.ts";
import { projectionSnapshots, readCheckpoint, type Checkpoint } from "./checkpoint.ts";
import type { EventStore, LogPosition, StoredEvent } from "./event-store.ts";
import { foldStored, initialState, type Fold } from "./fold.ts";
import { positionOf, type LogPoint } from "./log-point.ts";

/**
 * One reaction for each type, or topic pattern, of events; the most exact one is used, and the
 * others are not: `#` gets every event that has none of its own.
 */
export type ApplyByType<State, Events extends object> = string extends keyof Events
  ? Readonly<Record<string, Fold<State>["apply"]>>
  : {
      readonly [Type in keyof Events & string]?: (
        state: State,
        event: AgentEvent<Type, Events[Type]>,
        stored: StoredEvent,
      ) => State;
    } & ("#" extends keyof Events ? unknown : { readonly "#"?: Fold<State>["apply"] });

export interface ProjectionOptions<State, Events extends object = EventMap> {
  /** Names its checkpoint in the store. */
  readonly name: string;
  /** Version of the fold's code: raising it folds the log anew. @default 1 */
  readonly version?: number;
  /** Topic patterns of the events that it folds. @default the keys of `apply`, or all events */
  readonly patterns?: readonly string[];
  /**
   * The registry: old payloads reach `apply` in their current version, and it infers the payloads
   * of its types.
   * @default payloads as they were stored
   */
  readonly events?: EventRegistry<Events>;
  /** Only events of streams whose name starts with this. */
  readonly streamPrefix?: string;
  readonly initial: Fold<State>["initial"];
  /**
   * Pure. The state that it is given is frozen all the way down, and so is what it returns,
   * afterwards: a fold that changes its state fails at that event instead of spoiling every
   * reader's view.
   */
  readonly apply: Fold<State>["apply"] | ApplyByType<State, NoInfer<Events>>;
  /**
   * Beside an `apply` by type: folds every event, whatever its type, before the reaction to it.
   * Then `patterns` are all events, if nothing else is said.
   */
  readonly every?: Fold<State>["apply"];
  /**
   * The fold changes its state in place, for states too large to copy. Then nothing is frozen,
   * `initial` is a function, and whoever reads the state of a running projection reads what changes
   * under it.
   * @default false
   */
  readonly inPlace?: boolean;
}

/** A projection as declared. Nothing runs. */
export interface Projection<State> extends Fold<State> {
  readonly name: string;
  readonly version: number;
  readonly patterns: readonly string[];
  readonly streamPrefix?: string;
  readonly inPlace: boolean;
  /** Whether the projection folds this event. */
  readonly wants: (stored: StoredEvent) => boolean;
}

/**
 * Declares a projection.
 *
 * @throws {CadreError} INVALID_OPTION | INVALID_PATTERN
 */
export function defineProjection<State, Events extends object = EventMap>(
  options: ProjectionOptions<State, Events>,
): Projection<State> {
  const { name, version = 1, initial, streamPrefix, inPlace = false } = options;
  checkIdentity("defineProjection", name, version);
  if (inPlace && typeof initial !== "function") {
    const allowed = "a function where the fold changes its state in place";
    refuse("defineProjection", "initial", initial, allowed);
  }
  const { patterns, apply } = reactionsOf(options);
  return Object.freeze({
    name,
    version,
    patterns,
    inPlace,
    ...(streamPrefix === undefined ? {} : { streamPrefix }),
    ...(options.events === undefined ? {} : { events: options.events }),
    initial,
    apply: inPlace ? apply : frozen(apply),
    wants: eventsWanted(patterns, streamPrefix),
  });
}

function reactionsOf<State, Events extends object>(
  options: ProjectionOptions<State, Events>,
): { readonly patterns: readonly string[]; readonly apply: Fold<State>["apply"] } {
  type Apply = Fold<State>["apply"];
  const { apply, patterns, every } = options;
  if (typeof apply === "function") {
    if (every) refuse("defineProjection", "every", every, "left out where `apply` is a function");
    return { patterns: patterns ?? ["#"], apply };
  }
  // Each entry gets the events that its own key stands for.
  const table = reactionsByType(apply as Readonly<Record<string, Apply | undefined>>);
  return {
    patterns: patterns ?? (every ? ["#"] : table.patterns),
    apply: (state, event, stored) => {
      const next = every ? every(state, event, stored) : state;
      const reaction = table.find(event.type);
      return reaction ? reaction(next, event, stored) : next;
    },
  };
}

/** @throws {CadreError} INVALID_OPTION */
export function checkIdentity(where: string, name: unknown, version: unknown): void {
  if (typeof name !== "string" || name === "" || name.length > 128) {
    refuse(where, "name", name, "a name of 1 to 128 characters");
  }
  if (!Number.isSafeInteger(version) || (version as number) < 1) {
    refuse(where, "version", version, "a number from 1");
  }
}

/** @throws {CadreError} INVALID_PATTERN */
export function eventsWanted(
  patterns: readonly string[],
  streamPrefix: string | undefined,
): (stored: StoredEvent) => boolean {
  const matchers = patterns.map(compilePattern);
  return ({ event, stream }) =>
    (streamPrefix === undefined || (stream?.startsWith(streamPrefix) ?? false)) &&
    matchers.some((matches) => matches(event.type));
}

function refuse(where: string, option: string, value: unknown, allowed: string): never {
  throw new CadreError("INVALID_OPTION", `${where}: "${option}" must be ${allowed}.`, {
    option,
    value,
  });
}

function frozen<State>(apply: Fold<State>["apply"]): Fold<State>["apply"] {
  // Freezing stops at what is frozen already: with shared structure its cost is that of what is
  // new.
  return (state, event, stored) => freezeJson(apply(freezeJson(state), event, stored));
}

/** @throws {CadreError} INVALID_PATTERN */
export function reactionsByType<Reaction>(table: Readonly<Record<string, Reaction | undefined>>): {
  readonly patterns: readonly string[];
  readonly find: (type: string) => Reaction | undefined;
} {
  const exact = new Map<string, Reaction>();
  const families: { readonly matches: (type: string) => boolean; readonly reaction: Reaction }[] =
    [];
  for (const [pattern, reaction] of Object.entries(table)) {
    if (reaction === undefined) continue;
    const matches = compilePattern(pattern);
    if (matches(pattern) && !/[*#]/.test(pattern)) exact.set(pattern, reaction);
    else families.push({ matches, reaction });
  }
  const find = (type: string): Reaction | undefined =>
    exact.get(type) ?? families.find(({ matches }) => matches(type))?.reaction;
  return { patterns: Object.keys(table), find };
}

/**
 * Folds one event.
 * @throws {CadreError} PROJECTION_FAILED, with what the fold threw as its cause
 */
export function applyStored<State>(
  projection: Projection<State>,
  state: State,
  stored: StoredEvent,
): State {
  try {
    return foldStored(projection, state, stored);
  } catch (error) {
    throw projectionFailed(projection.name, stored, error);
  }
}

/** The error that stops a projection at one event. */
export function projectionFailed(
  name: string,
  { position, event }: StoredEvent,
  cause: unknown,
): CadreError<"PROJECTION_FAILED"> {
  return new CadreError(
    "PROJECTION_FAILED",
    `The projection "${name}" failed at position ${position} (${event.type}, ${event.id}): ` +
      `${describeError(cause).message}. Mend it, then rebuild or start it again.`,
    { projection: name, position: String(position) },
    cause,
  );
}

export interface FoldPoint {
  /** As of this point in the log. @default its head */
  readonly upTo?: LogPoint;
  /** Uses nothing that is kept, to check it. @default false */
  readonly fromStart?: boolean;
}

export interface Folded<State> {
  readonly state: State;
  /** The last position that was looked at. */
  readonly position: LogPosition;
}

/**
 * The projection as of a point in the log: time travel. Folds from the nearest checkpoint or
 * snapshot before that point, which a running projection keeps, and writes nothing.
 *
 * @throws {CadreError} PROJECTION_FAILED
 * @throws {CadreError} INVALID_OPTION, when `upTo` is no point
 */
export async function foldProjection<State>(
  store: EventStore,
  projection: Projection<State>,
  { upTo, fromStart = false }: FoldPoint = {},
): Promise<Folded<State>> {
  const end = await positionOf(store, upTo);
  const start = fromStart ? undefined : await nearest(store, projection, end);
  let state = start ? start.state : initialState(projection);
  for await (const stored of store.read(queryFor(projection, start?.position ?? 0, end))) {
    if (projection.wants(stored)) state = applyStored(projection, state, stored);
  }
  return { state, position: end };
}

/** The latest state that is kept and not later than `end`. */
async function nearest<State>(
  store: EventStore,
  projection: Projection<State>,
  end: LogPosition,
): Promise<Checkpoint<State> | undefined> {
  const checkpoint = await readCheckpoint(store, projection);
  if (checkpoint && checkpoint.position <= end) return checkpoint;
  return projectionSnapshots(store, projection).latest(({ at }) => at <= end);
}

/** Reads no more than it must: a store can narrow by one pattern. */
export function queryFor(
  projection: Pick<Projection<unknown>, "patterns" | "streamPrefix">,
  after: LogPosition,
  upTo: LogPosition,
): { after: LogPosition; upTo: LogPosition; type?: string; streamPrefix?: string } {
  const { patterns, streamPrefix } = projection;
  const [type] = patterns;
  return {
    after,
    upTo,
    ...(patterns.length === 1 && type !== undefined && type !== "#" ? { type } : {}),
    ...(streamPrefix === undefined ? {} : { streamPrefix }),
  };
}
