/** A projection that follows the log, with its state in memory and in its checkpoint. */
import type { Clock } from "../core/clock.ts";
import { describeError, isCadreError } from "../core/errors.ts";
import type { Logger } from "../core/logger.ts";
import { checkpointWrite, projectionSnapshots, type Checkpoint } from "./checkpoint.ts";
import type { EventStore, LogPosition, StoredEvent } from "./event-store.ts";
import { initialState } from "./fold.ts";
import { LogFollower } from "./log-follower.ts";
import { applyStored, queryFor, type Projection } from "./projection.ts";
import type { ProjectionStatus, RunningProjection } from "./running-projection.ts";
import { ReadSince, type SnapshotPolicy } from "./snapshot-policy.ts";
import type { SnapshotSeries } from "./snapshot-series.ts";

export interface RunnerOptions {
  readonly clock: Clock;
  readonly logger: Logger;
  readonly checkpointEvery: number;
  readonly checkpointAfterMs: number;
  readonly snapshot: SnapshotPolicy | undefined;
}

export class ProjectionRunner<State> implements RunningProjection<State> {
  readonly name: string;
  readonly #store: EventStore;
  readonly #projection: Projection<State>;
  readonly #options: RunnerOptions;
  readonly #follower: LogFollower;
  readonly #snapshots: SnapshotSeries<State>;
  readonly #listeners = new Set<(state: State, position: LogPosition) => void>();
  #state!: State; // set by start, before anybody has the object
  #position: LogPosition = 0;
  #since!: ReadSince; // set with the state
  #keptError: unknown;
  #checkpointed: LogPosition = 0;
  #unsaved = 0;
  #checkpointDue = false;
  #cancelTimer: (() => void) | undefined;
  #generation = 0;

  constructor(store: EventStore, projection: Projection<State>, options: RunnerOptions) {
    this.name = projection.name;
    this.#store = store;
    this.#projection = projection;
    this.#options = options;
    this.#follower = new LogFollower(store, this, options);
    this.#snapshots = projectionSnapshots(store, projection);
  }

  get state(): State {
    return this.#state;
  }

  get position(): LogPosition {
    return this.#position;
  }

  async start(checkpoint: Checkpoint<State>): Promise<void> {
    const points = this.#options.snapshot ? await this.#snapshots.points() : [];
    const last = points.findLast(({ at }) => at <= checkpoint.position);
    this.#reset(checkpoint);
    // Counts from the last snapshot by the clock, and by number from here: one more is no harm.
    this.#since = new ReadSince(last, this.#options.snapshot);
    this.#follower.start();
  }

  async status(): Promise<ProjectionStatus> {
    const status = await this.#follower.status();
    const { phase } = status;
    if (this.#keptError === undefined || phase === "closed") return status;
    return { ...status, checkpointError: this.#keptError };
  }

  caughtUp(position?: LogPosition): Promise<void> {
    return this.#follower.caughtUp(position);
  }

  onChange(listener: (state: State, position: LogPosition) => void): () => void {
    const own = (state: State, position: LogPosition): void => listener(state, position);
    this.#listeners.add(own);
    return () => void this.#listeners.delete(own);
  }

  async rebuild(): Promise<void> {
    const fresh = await this.#foldAnew();
    if (this.#follower.phase === "closed") throw this.#follower.closedError();
    this.#generation += 1; // what is being folded now is of the past
    this.#reset(fresh);
    this.#since = new ReadSince(undefined, this.#options.snapshot);
    this.#follower.resume();
    await this.#replaceKept(fresh);
    for (const listener of this.#listeners) listener(this.#state, this.#position);
    await this.caughtUp();
  }

  async close(): Promise<void> {
    const failed = this.#follower.phase === "failed";
    this.#cancelTimer?.();
    await this.#follower.close(async () => {
      this.#cancelTimer?.();
      if (!failed) await this.#saveCheckpoint();
    });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }

  /** Folds up to the head as it is now. */
  async advance(head: LogPosition): Promise<void> {
    const generation = this.#generation;
    const isOver = (): boolean => this.#follower.isOver || generation !== this.#generation;
    let changed = false;
    for await (const stored of this.#store.read(queryFor(this.#projection, this.#position, head))) {
      if (isOver()) return;
      if (this.#projection.wants(stored)) {
        this.#state = applyStored(this.#projection, this.#state, stored);
        changed = true;
      }
      this.#moveTo(stored.position);
      this.#since.add(stored);
      if (this.#unsaved >= this.#options.checkpointEvery) await this.#saveCheckpoint();
      if (this.#since.isDue() && !isOver()) await this.#saveSnapshot(stored);
    }
    if (isOver()) return;
    this.#moveTo(head);
    if (changed) for (const listener of this.#listeners) listener(this.#state, head);
  }

  async onLive(): Promise<void> {
    if (this.#checkpointDue) await this.#saveCheckpoint();
    else if (this.#unsaved > 0 && !this.#cancelTimer) this.#armTimer();
  }

  #reset({ state, position }: Checkpoint<State>): void {
    this.#state = state;
    this.#position = position;
    this.#checkpointed = position;
    this.#unsaved = 0;
    this.#checkpointDue = false;
  }

  /** The whole log, while the state that is there stays and goes on. */
  async #foldAnew(): Promise<Checkpoint<State>> {
    let state = initialState(this.#projection);
    let position: LogPosition = 0;
    for (let head = await this.#store.head(); position < head; head = await this.#store.head()) {
      for await (const stored of this.#store.read(queryFor(this.#projection, position, head))) {
        if (this.#follower.phase === "closed") throw this.#follower.closedError();
        if (this.#projection.wants(stored)) state = applyStored(this.#projection, state, stored);
      }
      position = head;
    }
    if (this.#follower.phase === "closed") throw this.#follower.closedError();
    return { state, position };
  }

  /** The new checkpoint in place of the old one and of all snapshots, which the old fold made. */
  async #replaceKept(fresh: Checkpoint<State>): Promise<void> {
    await this.#keeping("checkpoint", async () => {
      const slots = [
        checkpointWrite(this.#projection, fresh),
        ...(await this.#snapshots.removal()),
      ];
      await this.#store.commit({ slots });
    });
  }

  #armTimer(): void {
    this.#cancelTimer = this.#options.clock.after(
      this.#options.checkpointAfterMs,
      () => {
        this.#cancelTimer = undefined;
        this.#checkpointDue = true;
        this.#follower.wake();
      },
      { background: true },
    );
  }

  #moveTo(position: LogPosition): void {
    if (position <= this.#position) return;
    this.#position = position;
    this.#unsaved += 1;
  }

  async #saveCheckpoint(): Promise<void> {
    this.#checkpointDue = false;
    if (this.#position === this.#checkpointed) return;
    const [position, generation] = [this.#position, this.#generation];
    this.#unsaved = 0;
    await this.#keeping("checkpoint", async () => {
      const write = checkpointWrite(this.#projection, { position, state: this.#state });
      await this.#store.commit({ slots: [write] });
      if (generation === this.#generation) this.#checkpointed = position;
    });
  }

  async #saveSnapshot({ position, recordedAt }: StoredEvent): Promise<void> {
    const { snapshot } = this.#options;
    if (!snapshot) return;
    this.#since = new ReadSince({ recordedAt }, snapshot);
    const point = { at: position, position, recordedAt };
    await this.#keeping("snapshot", () =>
      this.#snapshots.keep({ ...point, state: this.#state }, snapshot),
    );
  }

  /**
   * Checkpoints and snapshots only save time. One that no try can keep is given up; any other comes
   * again with the next events.
   */
  async #keeping(what: "checkpoint" | "snapshot", keep: () => Promise<void>): Promise<void> {
    if (this.#keptError !== undefined) return;
    try {
      await keep();
    } catch (error) {
      if (isCadreError(error, "NOT_JSON")) this.#keptError = error;
      this.#options.logger.warn(`a projection's ${what} was not kept`, {
        projection: this.name,
        position: this.#position,
        error: describeError(error).message,
      });
    }
  }
}
