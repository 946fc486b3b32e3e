/**
 * A row projection that follows the log.
 *
 *   read a batch ─▶ BEGIN, move the checkpoint, apply …, COMMIT ─▶ next
 *                        │                      │
 *                        │ not where it was     └─ an event fails ─▶ ROLLBACK, one by one
 *                        └─▶ ROLLBACK, somebody else was quicker: go on from there
 */
import type { Clock } from "../core/clock.ts";
import { CadreError, describeError } from "../core/errors.ts";
import type { Logger } from "../core/logger.ts";
import type { SqlClient, SqlDatabase } from "../core/sql.ts";
import type { EventStore, LogPosition, StoredEvent } from "./event-store.ts";
import { upcastStored } from "./fold.ts";
import { LogFollower } from "./log-follower.ts";
import { projectionFailed, queryFor } from "./projection.ts";
import { readRowCheckpoints, RowCheckpointRow, type RowCheckpoint } from "./row-checkpoint.ts";
import type { RowProjection } from "./row-projection.ts";
import type { RowProjectionStatus, RunningRowProjection } from "./running-row-projection.ts";

export interface RowRunnerOptions {
  readonly clock: Clock;
  readonly logger: Logger;
  readonly batchSize: number;
  readonly maxAttempts: number;
}

const retryMs = 100; // between tries of one event: long enough for a deadlock to have gone
const keepEvery = 10_000; // positions without an event of ours that a restart looks at again

/** Where the checkpoint is expected, and where it goes. */
interface Move {
  readonly from: LogPosition;
  readonly to: LogPosition;
}

/** The checkpoint is not where it was: the transaction must be undone. */
class Overtaken extends Error {}

/** What the user's function threw at one event. */
class EventFailed extends Error {
  readonly stored: StoredEvent;

  constructor(stored: StoredEvent, cause: unknown) {
    super(describeError(cause).message, { cause });
    this.stored = stored;
  }
}

export class RowRunner implements RunningRowProjection {
  readonly name: string;
  readonly version: number;
  readonly #store: EventStore;
  readonly #db: SqlDatabase;
  readonly #projection: RowProjection;
  readonly #options: RowRunnerOptions;
  readonly #row: RowCheckpointRow;
  readonly #follower: LogFollower;
  #position: LogPosition = 0;
  /** The position that the checkpoint has, as far as we know. */
  #kept: LogPosition = 0;
  #active = false;
  /** A newer version is active: this one waits to be asked. */
  #outdated = false;

  constructor(
    store: EventStore,
    db: SqlDatabase,
    projection: RowProjection,
    options: RowRunnerOptions,
  ) {
    this.name = projection.name;
    this.version = projection.version;
    this.#store = store;
    this.#db = db;
    this.#projection = projection;
    this.#options = options;
    this.#row = new RowCheckpointRow(projection);
    this.#follower = new LogFollower(store, this, options);
  }

  get position(): LogPosition {
    return this.#position;
  }

  start(checkpoint: RowCheckpoint): void {
    this.#take(checkpoint);
    this.#follower.start();
  }

  async status(): Promise<RowProjectionStatus> {
    const status = await this.#follower.status();
    const checkpoints = await readRowCheckpoints(this.#db, this.name);
    const active = checkpoints.find(({ state }) => state === "active")?.version === this.version;
    return { ...status, version: this.version, active };
  }

  caughtUp(position?: LogPosition): Promise<void> {
    return this.#follower.caughtUp(position);
  }

  async rebuild(): Promise<void> {
    const { setup } = this.#projection;
    const drop = this.#dropFunction("rebuild");
    await this.#db.transaction(async (tx) => {
      await this.#row.restart(tx);
      await drop(tx, this.version);
      await setup(tx, this.version);
    });
    [this.#position, this.#kept] = [0, 0];
    this.#follower.resume();
    await this.caughtUp();
  }

  async activate(): Promise<void> {
    await this.#db.transaction(async (tx) => {
      const checkpoints = await readRowCheckpoints(tx, this.name);
      const previous = checkpoints.find(({ state }) => state === "active")?.version;
      if (!(await this.#row.activate(tx))) return;
      const versions = { version: this.version, ...(previous === undefined ? {} : { previous }) };
      await this.#projection.activate?.(tx, versions);
    });
    [this.#active, this.#outdated] = [true, false];
  }

  async dropRetired(): Promise<readonly number[]> {
    const drop = this.#dropFunction("dropRetired");
    const all = await readRowCheckpoints(this.#db, this.name);
    const retired = all.filter(({ state }) => state === "retired").map(({ version }) => version);
    for (const version of retired) {
      const row = new RowCheckpointRow({ name: this.name, version });
      await this.#db.transaction(async (tx) => {
        if (await row.remove(tx)) await drop(tx, version);
      });
    }
    return retired;
  }

  async close(): Promise<void> {
    await this.#follower.close(async () => {});
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }

  async advance(head: LogPosition): Promise<void> {
    // What is read here belongs behind this checkpoint and no other: a rebuild may come between.
    let from = this.#kept;
    let batch: StoredEvent[] = [];
    for await (const stored of this.#store.read(queryFor(this.#projection, this.#position, head))) {
      if (this.#follower.isOver) return;
      if (this.#projection.wants(stored)) batch.push(stored);
      if (batch.length < this.#options.batchSize) continue;
      if (!(await this.#apply(batch, { from, to: stored.position }))) return;
      from = stored.position;
      batch = [];
    }
    if (this.#follower.isOver) return;
    if (batch.length > 0 || head - from >= keepEvery) await this.#apply(batch, { from, to: head });
    else if (this.#kept === from) this.#position = Math.max(this.#position, head);
  }

  async onLive(): Promise<void> {
    if (this.#active || this.#outdated) return;
    const all = await readRowCheckpoints(this.#db, this.name);
    this.#active = all.some(({ version, state }) => version === this.version && state === "active");
    this.#outdated = all.some(({ version, state }) => version > this.version && state === "active");
    if (!this.#active && !this.#outdated) await this.activate();
  }

  async onFailed(error: unknown): Promise<void> {
    try {
      await this.#row.fail(this.#db, this.#kept, describeError(error).message);
    } catch (failure) {
      this.#options.logger.warn("a failed projection could not be marked in the database", {
        projection: this.name,
        error: describeError(failure).message,
      });
    }
  }

  #take(checkpoint: RowCheckpoint): void {
    this.#position = checkpoint.position;
    this.#kept = checkpoint.position;
  }

  #dropFunction(feature: string): NonNullable<RowProjection["drop"]> {
    const { drop } = this.#projection;
    if (drop) return drop;
    const message = `"${feature}" drops tables: give the row projection "${this.name}" a "drop".`;
    throw new CadreError("UNSUPPORTED", message, { feature, by: this.name });
  }

  /** False when it must be read again from where the checkpoint is by now. */
  async #apply(batch: readonly StoredEvent[], { from, to }: Move): Promise<boolean> {
    try {
      return await this.#commit(batch, { from, to });
    } catch (error) {
      if (!(error instanceof EventFailed)) throw error;
    }
    // The good ones before it are kept, and the one that fails stands alone.
    let reached = from;
    for (const [index, stored] of batch.entries()) {
      const end = index === batch.length - 1 ? to : stored.position;
      if (!(await this.#applyOne(stored, { from: reached, to: end }))) return false;
      reached = end;
    }
    return true;
  }

  async #applyOne(stored: StoredEvent, move: Move): Promise<boolean> {
    for (let attempt = 1; ; attempt += 1) {
      try {
        return await this.#commit([stored], move);
      } catch (error) {
        if (!(error instanceof EventFailed)) throw error;
        await this.#row.read(this.#db); // throws where the database itself is what is wrong
        if (attempt >= this.#options.maxAttempts) {
          throw projectionFailed(this.name, stored, error.cause);
        }
        await this.#follower.pause(retryMs);
        if (this.#follower.isOver) return false;
      }
    }
  }

  async #commit(batch: readonly StoredEvent[], { from, to }: Move): Promise<boolean> {
    try {
      await this.#db.transaction(async (tx) => {
        if (!(await this.#row.move(tx, from, to))) throw new Overtaken();
        for (const stored of batch) await this.#applyEvent(tx, stored);
      });
    } catch (error) {
      if (!(error instanceof Overtaken)) throw error;
      await this.#catchUpWithOther();
      return false;
    }
    [this.#position, this.#kept] = [to, to];
    return true;
  }

  async #applyEvent(tx: SqlClient, stored: StoredEvent): Promise<void> {
    const { events, apply } = this.#projection;
    try {
      const current = events ? upcastStored(events, stored) : stored;
      await apply(tx, current.event, current);
    } catch (error) {
      throw new EventFailed(stored, error);
    }
  }

  async #catchUpWithOther(): Promise<void> {
    const checkpoint = await this.#row.read(this.#db);
    if (checkpoint) return this.#take(checkpoint);
    const { name, version } = this;
    const message = `Version ${version} of the row projection "${name}" was dropped.`;
    throw new CadreError("CLOSED", message, { what: name });
  }
}
