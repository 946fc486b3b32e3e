/**
 * A projection that follows the log.
 *
 *   checkpoint ─▶ catching-up ─▶ live ─wake─▶ catching-up …
 *                      │           │
 *                      ├───────────┴──a fold throws──▶ failed ──rebuild()──▶ from the start
 *                      └──close()──▶ closed
 *
 * A fold that throws stops this projection and nothing else: its state stays as it was before that
 * event, and its status says where and why. A store that cannot be read is asked again, with a
 * growing pause, for ever.
 */
import { systemClock, type Clock } from "../core/clock.ts";
import { CadreError, describeError, isCadreError } from "../core/errors.ts";
import { silentLogger, type Logger } from "../core/logger.ts";
import { checkOptions, someObject, wholeNumber } from "../core/options.ts";
import { dropCheckpoint, readCheckpoint, writeCheckpoint } from "./checkpoint.ts";
import type { EventStore, LogPosition } from "./event-store.ts";
import { initialState } from "./fold.ts";
import { applyStored, queryFor, type Projection } from "./projection.ts";

const defaults = {
  checkpointEvery: 1_000, // events that a restart folds again at most
  checkpointAfterMs: 30_000, // so that a quiet projection is kept too
  minRetryMs: 50,
  maxRetryMs: 10_000,
};

type Tuning = typeof defaults;

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
}

export interface ProjectionStatus {
  readonly phase: "catching-up" | "live" | "failed" | "closed";
  /** The last position that was looked at. */
  readonly position: LogPosition;
  /** Positions between this one and the head of the log. */
  readonly lag: number;
  /** Why it stands still: PROJECTION_FAILED for good; anything else is tried again. */
  readonly error?: unknown;
  /** Why there are no checkpoints; set when the state is no JSON. */
  readonly checkpointError?: unknown;
}

export interface RunningProjection<State> {
  readonly name: string;
  /** The state as of `position`. */
  readonly state: State;
  readonly position: LogPosition;
  status(): Promise<ProjectionStatus>;
  /** Positions between this projection and the head of the log. */
  lag(): Promise<number>;
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
   * Forgets state and checkpoint and folds the whole log again; resolves when that is done. Also
   * the way out of a failure.
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
  });
  const checkpoint = await readCheckpoint(store, projection);
  const runner = new Runner(store, projection, { ...defaults, ...options });
  runner.start(checkpoint?.state ?? initialState(projection), checkpoint?.position ?? 0);
  return runner;
}

interface Waiter {
  readonly position: LogPosition;
  readonly resolve: () => void;
  readonly reject: (error: unknown) => void;
}

class Runner<State> implements RunningProjection<State> {
  readonly name: string;
  readonly #store: EventStore;
  readonly #projection: Projection<State>;
  readonly #options: StartProjectionOptions & Tuning;
  readonly #clock: Clock;
  readonly #logger: Logger;
  readonly #listeners = new Set<(state: State, position: LogPosition) => void>();
  readonly #stopping = new AbortController();
  #waiters: readonly Waiter[] = [];
  #state!: State; // set by start, before anybody has the object
  #position: LogPosition = 0;
  #phase: ProjectionStatus["phase"] = "catching-up";
  #error: unknown;
  #checkpointError: unknown;
  #checkpointed: LogPosition = 0;
  #unsaved = 0;
  #checkpointDue = false;
  #cancelTimer: (() => void) | undefined;
  #dirty = true;
  #generation = 0;
  #loop: Promise<void> = Promise.resolve();
  #running = false;
  #unwatch: () => void = () => {};

  constructor(
    store: EventStore,
    projection: Projection<State>,
    options: StartProjectionOptions & Tuning,
  ) {
    this.name = projection.name;
    this.#store = store;
    this.#projection = projection;
    this.#options = options;
    this.#clock = options.clock ?? systemClock;
    this.#logger = options.logger ?? silentLogger;
  }

  get state(): State {
    return this.#state;
  }

  get position(): LogPosition {
    return this.#position;
  }

  start(state: State, position: LogPosition): void {
    this.#reset(state, position);
    this.#unwatch = this.#store.watch(() => this.#wake());
    this.#wake();
  }

  async status(): Promise<ProjectionStatus> {
    return {
      phase: this.#phase,
      position: this.#position,
      lag: await this.lag(),
      ...(this.#error === undefined ? {} : { error: this.#error }),
      ...(this.#checkpointError === undefined ? {} : { checkpointError: this.#checkpointError }),
    };
  }

  async lag(): Promise<number> {
    return Math.max(0, (await this.#store.head()) - this.#position);
  }

  async caughtUp(position?: LogPosition): Promise<void> {
    const until = position ?? (await this.#store.head());
    if (this.#position >= until) return;
    if (this.#phase === "failed") throw this.#error;
    if (this.#phase === "closed") throw this.#closed();
    await new Promise<void>((resolve, reject) => {
      this.#waiters = [...this.#waiters, { position: until, resolve, reject }];
    });
  }

  onChange(listener: (state: State, position: LogPosition) => void): () => void {
    const own = (state: State, position: LogPosition): void => listener(state, position);
    this.#listeners.add(own);
    return () => void this.#listeners.delete(own);
  }

  async rebuild(): Promise<void> {
    if (this.#phase === "closed") throw this.#closed();
    await dropCheckpoint(this.#store, this.name);
    this.#generation += 1; // what is being folded now is of the past
    this.#reset(initialState(this.#projection), 0);
    this.#wake();
    await this.caughtUp();
  }

  async close(): Promise<void> {
    if (this.#phase === "closed") return this.#loop;
    const failed = this.#phase === "failed";
    this.#phase = "closed";
    this.#stopping.abort();
    this.#unwatch();
    this.#cancelTimer?.();
    this.#settleWaiters();
    this.#loop = this.#loop.then(async () => {
      if (!failed) await this.#saveCheckpoint();
    });
    return this.#loop;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }

  #reset(state: State, position: LogPosition): void {
    this.#state = state;
    this.#position = position;
    this.#checkpointed = position;
    this.#unsaved = 0;
    this.#checkpointDue = false;
    this.#error = undefined;
    this.#phase = "catching-up";
  }

  #closed(): CadreError<"CLOSED"> {
    return new CadreError("CLOSED", `The projection "${this.name}" is closed.`, {
      what: this.name,
    });
  }

  /** True when the loop must leave its work: closed, failed, or rebuilt meanwhile. */
  #isOver(generation: number): boolean {
    return this.#phase === "closed" || this.#phase === "failed" || generation !== this.#generation;
  }

  #wake(): void {
    this.#dirty = true;
    if (this.#running || this.#phase === "closed" || this.#phase === "failed") return;
    this.#running = true;
    this.#loop = this.#loop.then(() => this.#run());
  }

  async #run(): Promise<void> {
    let pauseMs = this.#options.minRetryMs;
    try {
      while (this.#dirty && this.#phase !== "closed" && this.#phase !== "failed") {
        this.#dirty = false;
        const error = await this.#tryCatchUp();
        if (error === undefined) pauseMs = this.#options.minRetryMs;
        else pauseMs = await this.#retryLater(error, pauseMs);
      }
    } finally {
      // in the same turn as the look at #dirty, or a wake between them would be lost
      this.#running = false;
    }
  }

  /** What went wrong with the store, if anything did. A fold that throws ends the run. */
  async #tryCatchUp(): Promise<unknown> {
    try {
      await this.#catchUp(this.#generation);
      return undefined;
    } catch (error) {
      if (!isCadreError(error, "PROJECTION_FAILED") && !isCadreError(error, "CLOSED")) return error;
      this.#fail(error);
      return undefined;
    }
  }

  async #retryLater(error: unknown, pauseMs: number): Promise<number> {
    this.#error = error;
    this.#dirty = true;
    this.#logger.warn("a projection cannot read the store and tries again", {
      projection: this.name,
      pauseMs,
      error: describeError(error).message,
    });
    await this.#pause(pauseMs);
    return Math.min(2 * pauseMs, this.#options.maxRetryMs);
  }

  /** Folds up to the head as it is now. */
  async #catchUp(generation: number): Promise<void> {
    const head = await this.#store.head();
    if (this.#isOver(generation)) return;
    if (head > this.#position) {
      this.#phase = "catching-up";
      let changed = false;
      const query = queryFor(this.#projection, this.#position, head);
      for await (const stored of this.#store.read(query)) {
        if (this.#isOver(generation)) return;
        if (this.#projection.wants(stored)) {
          this.#state = applyStored(this.#projection, this.#state, stored);
          changed = true;
        }
        this.#moveTo(stored.position);
        if (this.#unsaved >= this.#options.checkpointEvery) await this.#saveCheckpoint();
      }
      if (this.#isOver(generation)) return;
      this.#moveTo(head);
      if (changed) for (const listener of this.#listeners) listener(this.#state, head);
    }
    this.#error = undefined;
    this.#phase = "live";
    this.#settleWaiters();
    if (this.#checkpointDue) await this.#saveCheckpoint();
    else if (this.#unsaved > 0 && !this.#cancelTimer) this.#armTimer();
  }

  #armTimer(): void {
    this.#cancelTimer = this.#clock.after(
      this.#options.checkpointAfterMs,
      () => {
        this.#cancelTimer = undefined;
        this.#checkpointDue = true;
        this.#wake();
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
    if (this.#position === this.#checkpointed || this.#checkpointError !== undefined) return;
    const [position, generation] = [this.#position, this.#generation];
    this.#unsaved = 0;
    try {
      await writeCheckpoint(this.#store, this.#projection, { position, state: this.#state });
      if (generation === this.#generation) this.#checkpointed = position;
    } catch (error) {
      // A checkpoint only saves time. One that no try can keep is given up; any other comes again
      // with the next events.
      if (isCadreError(error, "NOT_JSON")) this.#checkpointError = error;
      this.#logger.warn("a projection's checkpoint was not kept", {
        projection: this.name,
        position,
        error: describeError(error).message,
      });
    }
  }

  #fail(error: unknown): void {
    if (this.#phase === "closed") return;
    this.#phase = "failed";
    this.#error = error;
    this.#logger.error("a projection has stopped", {
      projection: this.name,
      position: this.#position,
      error: describeError(error).message,
    });
    this.#settleWaiters();
  }

  #settleWaiters(): void {
    const waiting: Waiter[] = [];
    for (const waiter of this.#waiters) {
      if (waiter.position <= this.#position) waiter.resolve();
      else if (this.#phase === "failed") waiter.reject(this.#error);
      else if (this.#phase === "closed") waiter.reject(this.#closed());
      else waiting.push(waiter);
    }
    this.#waiters = waiting;
  }

  async #pause(ms: number): Promise<void> {
    try {
      await this.#clock.sleep(ms, this.#stopping.signal);
    } catch {
      // Closed meanwhile; the loop sees it.
    }
  }
}
