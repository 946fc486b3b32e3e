/** What `startRowProjection` takes and gives; `row-runner.ts` is how it runs. */
import { systemClock, type Clock } from "../core/clock.ts";
import { CadreError } from "../core/errors.ts";
import { silentLogger, type Logger } from "../core/logger.ts";
import { checkOptions, someObject, wholeNumber } from "../core/options.ts";
import type { SqlDatabase } from "../core/sql.ts";
import type { EventStore, LogPosition } from "./event-store.ts";
import type { FollowerStatus } from "./log-follower.ts";
import { makeCheckpointTable, RowCheckpointRow, type RowCheckpoint } from "./row-checkpoint.ts";
import type { RowProjection } from "./row-projection.ts";
import { RowRunner } from "./row-runner.ts";

export interface StartRowProjectionOptions {
  /** @default the machine's clock */
  readonly clock?: Clock;
  readonly logger?: Logger;
  /** Events whose rows are written in one transaction while it catches up. @default 100 */
  readonly batchSize?: number;
  /**
   * Tries of an event that cannot be applied, before the projection stops at it. What fails because
   * the database is not there is tried for ever, and does not count.
   * @default 3
   */
  readonly maxAttempts?: number;
}

export interface RowProjectionStatus extends FollowerStatus {
  readonly version: number;
  /** Whether this is the version that readers are shown. */
  readonly active: boolean;
}

export interface RunningRowProjection {
  readonly name: string;
  readonly version: number;
  /** The last position that was looked at. The checkpoint may stand at an event before it. */
  readonly position: LogPosition;
  status(): Promise<RowProjectionStatus>;
  /**
   * Resolves when the rows of everything up to `position` are committed. Without a position:
   * everything that is in the log by now.
   * @throws {CadreError} PROJECTION_FAILED | CLOSED, when that will not happen
   */
  caughtUp(position?: LogPosition): Promise<void>;
  /**
   * Drops the rows of this version and builds them again. Readers see them grow; to build beside
   * what they see, raise the version. Also the way out of a failure.
   * @throws {CadreError} UNSUPPORTED, without `drop`
   */
  rebuild(): Promise<void>;
  /**
   * Makes this version the active one, as happens by itself when a version is newer than the active
   * one and has caught up. For going back to an older one.
   */
  activate(): Promise<void>;
  /**
   * Drops the tables and the checkpoints of the versions that are no longer active, and resolves
   * with their numbers. A process that still runs one of them stops.
   * @throws {CadreError} UNSUPPORTED, without `drop`
   */
  dropRetired(): Promise<readonly number[]>;
  /** Stops. Closing twice is allowed. Closes neither the store nor the database. */
  close(): Promise<void>;
  [Symbol.asyncDispose](): Promise<void>;
}

/**
 * Starts a row projection at its checkpoint; the first time its tables are made. Any number of
 * processes may run it: each event is applied once.
 *
 * @throws {CadreError} INVALID_OPTION
 * @throws {CadreError} WRONG_STATE, when the rows are of a longer log than this one
 */
export async function startRowProjection(
  store: EventStore,
  db: SqlDatabase,
  projection: RowProjection,
  options: StartRowProjectionOptions = {},
): Promise<RunningRowProjection> {
  checkOptions("startRowProjection", options, {
    clock: someObject,
    logger: someObject,
    batchSize: wholeNumber(1, 10_000),
    maxAttempts: wholeNumber(1),
  });
  await makeCheckpointTable(db);
  const checkpoint = await setUp(db, projection);
  const head = await store.head();
  if (checkpoint.position > head) {
    const message =
      `The rows of "${projection.name}" (version ${projection.version}) are as of position ` +
      `${checkpoint.position}, and the log ends at ${head}: it is another log, or an older copy. ` +
      "Give the right store, or build the rows anew under another version.";
    const state = `at ${checkpoint.position} of ${head}`;
    throw new CadreError("WRONG_STATE", message, { what: projection.name, state });
  }
  const runner = new RowRunner(store, db, projection, {
    clock: options.clock ?? systemClock,
    logger: options.logger ?? silentLogger,
    batchSize: options.batchSize ?? 100, // some milliseconds a transaction
    maxAttempts: options.maxAttempts ?? 3,
  });
  runner.start(checkpoint);
  return runner;
}

/** The checkpoint; made together with the tables when there is none. */
async function setUp(db: SqlDatabase, projection: RowProjection): Promise<RowCheckpoint> {
  const row = new RowCheckpointRow(projection);
  const known = await row.read(db);
  if (known) return known;
  try {
    await db.transaction(async (tx) => {
      if (await row.read(tx)) return;
      await projection.setup(tx, projection.version);
      await row.insert(tx);
    });
  } catch (error) {
    // Another process may have been quicker.
    const made = await row.read(db);
    if (made) return made;
    throw error;
  }
  const made = await row.read(db);
  if (made) return made;
  throw new CadreError("INTERNAL", "A row projection's checkpoint is not there after its setup.", {
    what: projection.name,
  });
}
