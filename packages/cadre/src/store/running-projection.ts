/** What `startProjection` takes and gives; `projection-runner.ts` is how it runs. */
import { systemClock, type Clock } from "../core/clock.ts";
import { silentLogger, type Logger } from "../core/logger.ts";
import { checkOptions, wholeNumber, someObject } from "../core/options.ts";
import { readCheckpoint } from "./checkpoint.ts";
import type { EventStore, LogPosition } from "./event-store.ts";
import { initialState } from "./fold.ts";
import type { FollowerStatus } from "./log-follower.ts";
import type { Projection } from "./projection.ts";
import { ProjectionRunner } from "./projection-runner.ts";
import { checkPolicy, type SnapshotPolicy } from "./snapshot-policy.ts";

const defaults = {
  checkpointEvery: 1_000, // events that a restart folds again at most
  checkpointAfterMs: 30_000, // so that a quiet projection is kept too
} as const;

const snapshotDefault: SnapshotPolicy = { everyEvents: 10_000, keep: 32 };

export interface StartProjectionOptions {
  /** @default the machine's clock */
  readonly clock?: Clock;
  readonly logger?: Logger;
  /** Keeps a checkpoint once so many events were folded since the last one. @default 1_000 */
  readonly checkpointEvery?: number;
  /**
   * Keeps one at the latest so many milliseconds after the first event since the last one. @default
   * 30_000
   */
  readonly checkpointAfterMs?: number;
  /**
   * Keeps snapshots of the past, so that `foldProjection` as of a point in it needn't fold from the
   * start. `false` keeps none.
   * @default { everyEvents: 10_000, keep: 32 }
   */
  readonly snapshot?: SnapshotPolicy | false;
}

export interface ProjectionStatus extends FollowerStatus {
  /** Why there are no checkpoints; set when the state is no JSON. */
  readonly checkpointError?: unknown;
}

export interface RunningProjection<State> {
  readonly name: string;
  /** The state as of `position`. */
  readonly state: State;
  readonly position: LogPosition;
  status(): Promise<ProjectionStatus>;
  /**
   * Resolves when everything up to `position` is in the state. Without a position: everything that
   * is committed by now.
   * @throws {CadreError} PROJECTION_FAILED | CLOSED, when that will not happen
   */
  caughtUp(position?: LogPosition): Promise<void>;
  /**
   * Calls `listener` after events were folded, once for many of them. Returns the end of it. It
   * must not throw.
   */
  onChange(listener: (state: State, position: LogPosition) => void): () => void;
  /**
   * Folds the whole log anew beside the state that is there, and switches to the result when it has
   * caught up; then checkpoint and snapshots of the old one are gone. Also the way out of a
   * failure.
   * @throws {CadreError} PROJECTION_FAILED, when the fold fails again: everything stays as it was
   */
  rebuild(): Promise<void>;
  /** Stops, and keeps a checkpoint. Closing twice is allowed. Doesn't close the store. */
  close(): Promise<void>;
  [Symbol.asyncDispose](): Promise<void>;
}

/**
 * Starts a projection at its checkpoint. Resolves when it runs; `caughtUp()` tells when it has read
 * what there is.
 */
export async function startProjection<State>(
  store: EventStore,
  projection: Projection<State>,
  options: StartProjectionOptions = {},
): Promise<RunningProjection<State>> {
  checkOptions("startProjection", options, {
    clock: someObject,
    logger: someObject,
    checkpointEvery: wholeNumber(1),
    checkpointAfterMs: wholeNumber(0),
    snapshot: {
      expected: "a snapshot policy, or false",
      accepts: (value) => value === false || someObject.accepts(value),
    },
  });
  const { snapshot = snapshotDefault } = options;
  if (snapshot !== false) checkPolicy("startProjection", snapshot);
  const checkpoint = await readCheckpoint(store, projection);
  const runner = new ProjectionRunner(store, projection, {
    clock: options.clock ?? systemClock,
    logger: options.logger ?? silentLogger,
    checkpointEvery: options.checkpointEvery ?? defaults.checkpointEvery,
    checkpointAfterMs: options.checkpointAfterMs ?? defaults.checkpointAfterMs,
    snapshot: snapshot === false ? undefined : { keep: 32, ...snapshot },
  });
  await runner.start(checkpoint ?? { state: initialState(projection), position: 0 });
  return runner;
}
