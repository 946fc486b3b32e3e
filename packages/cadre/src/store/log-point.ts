/** A point in the log, for everything that looks into the past. */
import { CadreError } from "../core/errors.ts";
import type { EventStore, LogPosition, StoredEvent, StoreQuery } from "./event-store.ts";

/**
 * A position, inclusive, or an instant: what the store had recorded at or before it. An event is
 * recorded a little later than its own `timestamp` says.
 */
export type LogPoint = LogPosition | Date;

/**
 * The position that `point` stands for; the head of the log where it lies ahead, or is left out.
 *
 * An instant is searched by halving: some twenty reads of one event in a log of a million.
 *
 * @throws {CadreError} INVALID_OPTION, when it is no position and no valid date
 */
export async function positionOf(
  store: EventStore,
  point: LogPoint | undefined,
): Promise<LogPosition> {
  if (point !== undefined) checkPoint(point);
  const head = await store.head();
  if (point === undefined) return head;
  return point instanceof Date ? positionAt(store, point.getTime(), head) : Math.min(point, head);
}

function checkPoint(point: LogPoint): void {
  const isPoint =
    point instanceof Date
      ? !Number.isNaN(point.getTime())
      : Number.isSafeInteger(point) && point >= 0;
  if (isPoint) return;
  throw new CadreError(
    "INVALID_OPTION",
    "A point in the log is a position (a whole number from 0) or an instant (a valid Date).",
    { option: "upTo", value: point },
  );
}

async function positionAt(store: EventStore, at: number, head: LogPosition): Promise<LogPosition> {
  // Times never go back along the log: all up to `low` was recorded in time, all behind `high` too
  // late.
  let [low, high] = [0, head];
  const last = await firstOf(store, { upTo: head, backward: true });
  if (!last || last.recordedAt <= at) return head;
  while (low < high) {
    const middle = Math.floor((low + high) / 2);
    const next = await firstOf(store, { after: middle, upTo: head });
    if (next && next.recordedAt <= at) low = next.position;
    else high = middle;
  }
  return low;
}

async function firstOf(store: EventStore, query: StoreQuery): Promise<StoredEvent | undefined> {
  for await (const stored of store.read({ ...query, limit: 1 })) return stored;
  return undefined;
}
