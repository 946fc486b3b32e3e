/**
 * One stream's state, with snapshots: a cache of its fold at a version. The stream is the truth: a
 * snapshot that is missing, unreadable, of another version of the fold, or not of this stream's
 * past is ignored, and may be deleted at any time.
 */
import type { EventStore, LogPosition, StoredEvent } from "./event-store.ts";
import { foldStored, initialState, type Fold } from "./fold.ts";
import { positionOf, type LogPoint } from "./log-point.ts";
import { checkPolicy, ReadSince, type SnapshotPolicy } from "./snapshot-policy.ts";
import { SnapshotSeries, type Snapshot } from "./snapshot-series.ts";

export interface LoadOptions {
  /** Keeps and uses snapshots. The state must then be JSON. @default none */
  readonly snapshot?: SnapshotPolicy;
  /** Tells apart the folds of one stream that keep snapshots. @default "state" */
  readonly name?: string;
  /** Version of the fold's code: a snapshot of another one is ignored. @default 1 */
  readonly foldVersion?: number;
  /** As of this version of the stream, inclusive. Keeps no snapshot. */
  readonly upToVersion?: number;
  /** As of this point in the log. Keeps no snapshot. */
  readonly upTo?: LogPoint;
}

export interface LoadedStream<State> {
  readonly state: State;
  /** 0 when the stream does not exist. */
  readonly version: number;
}

/** The snapshots of a fold of one stream. */
export function streamSnapshots<State>(
  store: EventStore,
  stream: string,
  { name = "state", foldVersion = 1 }: Pick<LoadOptions, "name" | "foldVersion"> = {},
): SnapshotSeries<State> {
  const series = `stream/${encodeURIComponent(name)}/${stream}`;
  return new SnapshotSeries<State>(store, series, { fold: foldVersion });
}

/**
 * The state of one stream, and the version that it is at.
 *
 * @throws {CadreError} NOT_JSON, when a snapshot is due and the state is no JSON
 * @throws {CadreError} INVALID_OPTION
 */
export async function loadStream<State>(
  store: EventStore,
  stream: string,
  fold: Fold<State>,
  options: LoadOptions = {},
): Promise<LoadedStream<State>> {
  const { snapshot: policy, upToVersion = Infinity, upTo } = options;
  if (policy) checkPolicy("loadStream", policy);
  const end = upTo === undefined ? Infinity : await positionOf(store, upTo);
  const series = policy && streamSnapshots<State>(store, stream, options);
  const from = series && (await usable(store, stream, series, { end, upToVersion }));
  const since = new ReadSince(from, policy);
  let state = from ? from.state : initialState(fold);
  let last: StoredEvent | undefined;
  const query = { stream, fromVersion: (from?.at ?? 0) + 1 };
  for await (const stored of store.read(end === Infinity ? query : { ...query, upTo: end })) {
    if ((stored.version ?? 0) > upToVersion) break;
    state = foldStored(fold, state, stored);
    since.add(stored);
    last = stored;
  }
  const version = last?.version ?? from?.at ?? 0;
  const isNow = upToVersion === Infinity && upTo === undefined;
  if (last && series && policy && isNow && since.isDue()) {
    const { position, recordedAt, event } = last;
    const point = { at: version, position, recordedAt, eventId: event.id };
    await series.keep({ ...point, state }, policy);
  }
  return { state, version };
}

async function usable<State>(
  store: EventStore,
  stream: string,
  series: SnapshotSeries<State>,
  { end, upToVersion }: { readonly end: LogPosition; readonly upToVersion: number },
): Promise<Snapshot<State> | undefined> {
  const snapshot = await series.latest(({ at, position }) => at <= upToVersion && position <= end);
  if (!snapshot) return undefined;
  for await (const stored of store.read({ stream, fromVersion: snapshot.at, limit: 1 })) {
    // or the stream is another one: a backup was restored
    if (stored.version === snapshot.at && stored.event.id === snapshot.eventId) return snapshot;
  }
  return undefined;
}
