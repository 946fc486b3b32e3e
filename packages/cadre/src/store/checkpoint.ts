import type { SlotWrite } from "../core/commit.ts";
import { freezeJson, toFrozenJson } from "../core/json.ts";
import type { EventStore, LogPosition } from "./event-store.ts";
import type { Projection } from "./projection.ts";
import { SnapshotSeries } from "./snapshot-series.ts";

/**
 * A projection's state with the position that it is at: one slot, hence written together or not at
 * all.
 */
export interface Checkpoint<State> {
  readonly position: LogPosition;
  readonly state: State;
}

/** Projections keep their checkpoints in slots whose names start with this. */
export const checkpointPrefix = "projection/";

/**
 * The slot in which a projection keeps its checkpoint. It may be deleted: the log is folded anew.
 */
export function checkpointSlot(name: string): string {
  return `${checkpointPrefix}${name}`;
}

/** The snapshots of a projection's past. */
export function projectionSnapshots<State>(
  store: EventStore,
  { name, version, inPlace }: Projection<State>,
): SnapshotSeries<State> {
  const series = `projection/${name}`;
  return new SnapshotSeries<State>(store, series, { fold: version, frozen: !inPlace });
}

/**
 * The checkpoint; nothing when there is none, it is unreadable, or of another version of the fold.
 */
export async function readCheckpoint<State>(
  store: EventStore,
  projection: Projection<State>,
): Promise<Checkpoint<State> | undefined> {
  const slot = await store.slot(checkpointSlot(projection.name));
  if (!slot) return undefined;
  try {
    const value = JSON.parse(slot.value) as { version: unknown; position: number; state: State };
    if (value.version !== projection.version || !("state" in value)) return undefined;
    if (!Number.isSafeInteger(value.position) || value.position < 0) return undefined;
    // of a log that was replaced by an older one
    if (value.position > (await store.head())) return undefined;
    const state = projection.inPlace ? value.state : freezeJson(value.state);
    return { position: value.position, state };
  } catch (error) {
    if (error instanceof SyntaxError || error instanceof TypeError) return undefined;
    throw error;
  }
}

/**
 * What keeps a checkpoint. Another process may run the same projection; whichever wrote last, the
 * checkpoint is a right one.
 * @throws {CadreError} NOT_JSON, when the state cannot be kept
 */
export function checkpointWrite<State>(
  { name, version }: Projection<State>,
  { position, state }: Checkpoint<State>,
): SlotWrite {
  const value = JSON.stringify({ version, position, state: toFrozenJson(state) });
  return { name: checkpointSlot(name), expectedVersion: "any", value };
}
