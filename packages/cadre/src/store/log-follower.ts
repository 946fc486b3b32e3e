/**
 * What follows the log: woken by commits, held up by nothing but its own work.
 *
 *   catching-up ─▶ live ─wake─▶ catching-up …
 *        │           │
 *        ├───────────┴──the work fails for good──▶ failed ──resume()──▶ catching-up
 *        └──close()──▶ closed
 *
 * A failure of the work (PROJECTION_FAILED) stops this follower and nothing else. Whatever else
 * goes wrong, a store that cannot be read, is tried again with a growing pause, for ever.
 */
import type { Clock } from "../core/clock.ts";
import { CadreError, describeError, isCadreError } from "../core/errors.ts";
import type { Logger } from "../core/logger.ts";
import type { EventStore, LogPosition } from "./event-store.ts";
import { RateMeter } from "./rate-meter.ts";

const [minRetryMs, maxRetryMs] = [50, 10_000];

export interface FollowerStatus {
  readonly phase: "catching-up" | "live" | "failed" | "closed";
  /** The last position that was looked at. */
  readonly position: LogPosition;
  /** The last position of the log. */
  readonly head: LogPosition;
  /** Positions between the two. */
  readonly lag: number;
  /** Positions a second, over the last ten seconds or so. */
  readonly perSecond: number;
  /** Why it stands still: PROJECTION_FAILED for good; anything else is tried again. */
  readonly error?: unknown;
}

/** What is done while following. */
export interface FollowerWork {
  readonly name: string;
  /** The last position that was looked at. */
  readonly position: LogPosition;
  /**
   * Looks at what lies behind its position, up to `head`; may return early, and is then called
   * again.
   * @throws {CadreError} PROJECTION_FAILED, to stop
   */
  advance(head: LogPosition): Promise<void>;
  /** Called when it is at the head, also if nothing new was there. */
  onLive?(): Promise<void>;
  onFailed?(error: unknown): Promise<void>;
}

interface Waiter {
  readonly position: LogPosition;
  readonly resolve: () => void;
  readonly reject: (error: unknown) => void;
}

export class LogFollower {
  readonly #store: EventStore;
  readonly #work: FollowerWork;
  readonly #clock: Clock;
  readonly #logger: Logger;
  readonly #meter: RateMeter;
  readonly #stopping = new AbortController();
  #waiters: readonly Waiter[] = [];
  #phase: FollowerStatus["phase"] = "catching-up";
  #error: unknown;
  #measured: LogPosition = 0;
  #dirty = true;
  #running = false;
  #loop: Promise<void> = Promise.resolve();
  #unwatch: () => void = () => {};

  constructor(
    store: EventStore,
    work: FollowerWork,
    host: { readonly clock: Clock; readonly logger: Logger },
  ) {
    this.#store = store;
    this.#work = work;
    this.#clock = host.clock;
    this.#logger = host.logger;
    this.#meter = new RateMeter(host.clock);
  }

  get phase(): FollowerStatus["phase"] {
    return this.#phase;
  }

  /** Failed or closed: the work must leave off. */
  get isOver(): boolean {
    return this.#phase === "closed" || this.#phase === "failed";
  }

  get closing(): AbortSignal {
    return this.#stopping.signal;
  }

  start(): void {
    this.#measured = this.#work.position;
    this.#unwatch = this.#store.watch(() => this.wake());
    this.wake();
  }

  async status(): Promise<FollowerStatus> {
    const head = await this.#store.head();
    this.#measure();
    const { position } = this.#work;
    return {
      phase: this.#phase,
      position,
      head: Math.max(head, position),
      lag: Math.max(0, head - position),
      perSecond: this.#meter.perSecond(),
      ...(this.#error === undefined ? {} : { error: this.#error }),
    };
  }

  async caughtUp(position?: LogPosition): Promise<void> {
    const until = position ?? (await this.#store.head());
    if (this.#work.position >= until) return;
    if (this.#phase === "failed") throw this.#error;
    if (this.#phase === "closed") throw this.closedError();
    await new Promise<void>((resolve, reject) => {
      this.#waiters = [...this.#waiters, { position: until, resolve, reject }];
    });
  }

  /** Calls the work soon, or once more if it is running. */
  wake(): void {
    this.#dirty = true;
    if (this.#running || this.isOver) return;
    this.#running = true;
    this.#loop = this.#loop.then(() => this.#run());
  }

  /** Goes on from wherever the work's position is now, also after a failure. */
  resume(): void {
    if (this.#phase === "closed") return;
    this.#phase = "catching-up";
    this.#error = undefined;
    this.#measured = this.#work.position;
    this.wake();
  }

  /** Ends following, then runs `last`. Closing twice is allowed. */
  async close(last: () => Promise<void>): Promise<void> {
    if (this.#phase === "closed") return this.#loop;
    this.#phase = "closed";
    this.#stopping.abort();
    this.#unwatch();
    this.#settleWaiters();
    this.#loop = this.#loop.then(last);
    return this.#loop;
  }

  closedError(): CadreError<"CLOSED"> {
    const { name } = this.#work;
    return new CadreError("CLOSED", `The projection "${name}" is closed.`, { what: name });
  }

  /** Waits, but not past a close. */
  async pause(ms: number): Promise<void> {
    try {
      await this.#clock.sleep(ms, this.#stopping.signal);
    } catch {
      // Closed meanwhile; the loop sees it.
    }
  }

  async #run(): Promise<void> {
    let pauseMs = minRetryMs;
    try {
      while (this.#dirty && !this.isOver) {
        this.#dirty = false;
        const error = await this.#tryAdvance();
        if (error === undefined) pauseMs = minRetryMs;
        else pauseMs = await this.#retryLater(error, pauseMs);
      }
    } finally {
      // in the same turn as the look at #dirty, or a wake between them would be lost
      this.#running = false;
    }
  }

  /** What went wrong, if it may go well another time. */
  async #tryAdvance(): Promise<unknown> {
    try {
      await this.#advance();
      return undefined;
    } catch (error) {
      if (!isCadreError(error, "PROJECTION_FAILED") && !isCadreError(error, "CLOSED")) return error;
      await this.#fail(error);
      return undefined;
    }
  }

  async #advance(): Promise<void> {
    const work = this.#work;
    const head = await this.#store.head();
    if (this.isOver) return;
    if (head > work.position) {
      this.#phase = "catching-up";
      await work.advance(head);
      this.#measure();
      if (this.isOver) return;
    }
    if (work.position < head) {
      this.#dirty = true;
      return;
    }
    await work.onLive?.();
    if (this.isOver) return;
    this.#error = undefined;
    this.#phase = "live";
    this.#settleWaiters();
  }

  async #retryLater(error: unknown, pauseMs: number): Promise<number> {
    this.#error = error;
    this.#dirty = true;
    this.#logger.warn("a projection cannot go on and tries again", {
      projection: this.#work.name,
      pauseMs,
      error: describeError(error).message,
    });
    await this.pause(pauseMs);
    return Math.min(2 * pauseMs, maxRetryMs);
  }

  async #fail(error: unknown): Promise<void> {
    if (this.#phase === "closed") return;
    this.#phase = "failed";
    this.#error = error;
    this.#logger.error("a projection has stopped", {
      projection: this.#work.name,
      position: this.#work.position,
      error: describeError(error).message,
    });
    this.#settleWaiters();
    await this.#work.onFailed?.(error);
  }

  #measure(): void {
    this.#meter.add(Math.max(0, this.#work.position - this.#measured));
    this.#measured = this.#work.position;
  }

  #settleWaiters(): void {
    const waiting: Waiter[] = [];
    for (const waiter of this.#waiters) {
      if (waiter.position <= this.#work.position) waiter.resolve();
      else if (this.#phase === "failed") waiter.reject(this.#error);
      else if (this.#phase === "closed") waiter.reject(this.closedError());
      else waiting.push(waiter);
    }
    this.#waiters = waiting;
  }
}
