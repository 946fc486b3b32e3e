/**
 * Snapshots: a cache of one stream's fold at a version, in a slot. The stream is the truth: a
 * snapshot that is missing, unreadable, of another version of the fold, or not of this stream's
 * past is ignored, and may be deleted at any time.
 */
import { CadreError } from "../core/errors.ts";
import { freezeJson, toFrozenJson } from "../core/json.ts";
import type { EventStore, StoredEvent } from "./event-store.ts";
import { initialState, type Fold } from "./fold.ts";

export interface LoadOptions {
  /**
   * Keeps a snapshot once so many events were folded since the last one. The state must then be
   * JSON.
   * @default no snapshots
   */
  readonly snapshotEvery?: number;
  /** Tells apart the folds of one stream that keep snapshots. @default "state" */
  readonly name?: string;
  /** Version of the fold's code: a snapshot of another one is ignored. @default 1 */
  readonly foldVersion?: number;
  /** Stops after this version of the stream. Reads no snapshot of a later one and keeps none. */
  readonly upToVersion?: number;
  /**
   * Stops before the first event that was recorded after this instant, in Unix milliseconds. Keeps
   * no snapshot.
   */
  readonly at?: number;
}

export interface LoadedStream<State> {
  readonly state: State;
  /** 0 when the stream does not exist. */
  readonly version: number;
}

interface Snapshot {
  readonly fold: number;
  readonly version: number;
  /**
   * The event at that version: it must be in the stream still, or the stream is another one (a
   * restored backup).
   */
  readonly eventId: string;
  readonly state: unknown;
}

/** The slot in which a fold's snapshot of a stream is kept. */
export function snapshotSlot(stream: string, name = "state"): string {
  return `snapshot/${name}/${stream}`;
}

/**
 * The state of one stream, and the version that it is at.
 *
 * @throws {CadreError} NOT_JSON, when a snapshot is due and the state is no JSON
 */
export async function loadStream<State>(
  store: EventStore,
  stream: string,
  fold: Fold<State>,
  options: LoadOptions = {},
): Promise<LoadedStream<State>> {
  const { snapshotEvery, upToVersion = Infinity, at = Infinity } = options;
  if (snapshotEvery !== undefined && !(snapshotEvery >= 1)) {
    throw new CadreError("INVALID_OPTION", "snapshotEvery must be a whole number from 1.", {
      option: "snapshotEvery",
      value: snapshotEvery,
    });
  }
  const snapshot =
    snapshotEvery === undefined || at !== Infinity
      ? undefined
      : await readSnapshot(store, stream, options);
  const from = snapshot?.version ?? 0;
  const upTo = { stream, fromVersion: from + 1 };
  let state = snapshot ? (snapshot.state as State) : initialState(fold);
  let last: StoredEvent | undefined;
  for await (const stored of store.read(upTo)) {
    if ((stored.version ?? 0) > upToVersion || stored.recordedAt > at) break;
    state = fold.apply(state, stored.event, stored);
    last = stored;
  }
  const version = last?.version ?? from;
  const timeTravel = upToVersion !== Infinity || at !== Infinity;
  if (last && snapshotEvery !== undefined && !timeTravel && version - from >= snapshotEvery) {
    await writeSnapshot(store, stream, options, { version, eventId: last.event.id, state });
  }
  return { state, version };
}

async function readSnapshot(
  store: EventStore,
  stream: string,
  { name, foldVersion = 1, upToVersion = Infinity }: LoadOptions,
): Promise<Snapshot | undefined> {
  const slot = await store.slot(snapshotSlot(stream, name));
  const snapshot = slot && parseSnapshot(slot.value);
  if (!snapshot || snapshot.fold !== foldVersion || snapshot.version > upToVersion)
    return undefined;
  for await (const stored of store.read({ stream, fromVersion: snapshot.version, limit: 1 })) {
    if (stored.event.id === snapshot.eventId) return snapshot;
  }
  return undefined;
}

function parseSnapshot(text: string): Snapshot | undefined {
  try {
    const value = JSON.parse(text) as Partial<Snapshot> | null;
    if (typeof value?.eventId !== "string" || !("state" in value)) return undefined;
    const version = Number(value.version);
    if (!Number.isSafeInteger(version) || version < 1) return undefined;
    return {
      fold: Number(value.fold),
      version,
      eventId: value.eventId,
      state: freezeJson(value.state),
    };
  } catch {
    return undefined; // unreadable: the stream itself is read instead
  }
}

async function writeSnapshot(
  store: EventStore,
  stream: string,
  { name, foldVersion = 1 }: LoadOptions,
  { version, eventId, state }: { version: number; eventId: string; state: unknown },
): Promise<void> {
  const snapshot: Snapshot = { fold: foldVersion, version, eventId, state: toFrozenJson(state) };
  const value = JSON.stringify(snapshot);
  // Whatever is there may be replaced: any snapshot of this stream's past is a right one.
  const slots = [{ name: snapshotSlot(stream, name), expectedVersion: "any" as const, value }];
  await store.commit({ slots });
}
