/** Two points in the past, and what changed between them. */
import type { EventStore, LogPosition } from "./event-store.ts";
import type { LogPoint } from "./log-point.ts";
import { foldProjection, type Projection } from "./projection.ts";
import { differenceOf, type StateChange } from "./state-difference.ts";

export interface LogSpan {
  readonly from: LogPoint;
  /** @default the head of the log */
  readonly to?: LogPoint;
}

export interface StateDifference<State> {
  readonly from: { readonly position: LogPosition; readonly state: State };
  readonly to: { readonly position: LogPosition; readonly state: State };
  readonly changes: readonly StateChange[];
}

/**
 * What changed in a projection between two points in the log. Writes nothing.
 *
 * @throws {CadreError} PROJECTION_FAILED | INVALID_OPTION
 */
export async function diffProjection<State>(
  store: EventStore,
  projection: Projection<State>,
  span: LogSpan,
): Promise<StateDifference<State>> {
  return diffOf(
    (upTo) => foldProjection(store, projection, upTo === undefined ? {} : { upTo }),
    span,
  );
}

/** The difference of what `stateAt` gives for the two ends of `span`. */
export async function diffOf<State>(
  stateAt: (
    point: LogPoint | undefined,
  ) => Promise<{ readonly position: LogPosition; readonly state: State }>,
  { from, to }: LogSpan,
): Promise<StateDifference<State>> {
  const [before, after] = [await stateAt(from), await stateAt(to)];
  return {
    from: { position: before.position, state: before.state },
    to: { position: after.position, state: after.state },
    changes: differenceOf(before.state, after.state),
  };
}
