/**
 * What handlers wait for: one ear for each pattern, however many wait with it.
 *
 * Where the bus is the store's own log, an ear reads that log from the position at which the oldest
 * of its waiters was created, so nothing is missed, over restarts too. Elsewhere it subscribes, and
 * then reads the transport's history since that time, as far as it has one.
 */
import type { Clock } from "../core/clock.ts";
import { CadreError, isCadreError } from "../core/errors.ts";
import type { AgentEvent } from "../core/event.ts";
import type { EventStore, LogPosition } from "../store/event-store.ts";
import { throughTrouble } from "./passing-trouble.ts";
import { taskStream } from "./task-fold.ts";
import type { TeamContext } from "./team-context.ts";

export interface SignalWait {
  readonly pattern: string;
  /** The task that waits: it misses nothing since it was created. */
  readonly since: { readonly taskId: string; readonly at: number };
  /** @param recordedAt when the log took it; absent for what the bus has let in already */
  accepts(event: AgentEvent, recordedAt?: number): boolean;
  /** Makes it durable that the wait has this event; false when another wait has it. */
  take(event: AgentEvent): Promise<boolean>;
  /** Unix milliseconds; what came by then counts, however late it is read. */
  readonly dueAt: number | undefined;
  readonly signal: AbortSignal;
}

/** What of the store an ear reads. */
export type SignalLog = Pick<EventStore, "read" | "head" | "watch">;

type HubContext = Pick<TeamContext, "clock" | "bus" | "sameLog" | "logger"> & {
  readonly store: SignalLog;
};

export class SignalHub {
  readonly #context: HubContext;
  readonly #ears = new Map<string, Ear>();

  constructor(context: HubContext) {
    this.#context = context;
  }

  /** Resolves with the first event that is taken; with `undefined` when the time is up. */
  async wait(wait: SignalWait): Promise<AgentEvent | undefined> {
    wait.signal.throwIfAborted();
    const { pattern } = wait;
    let ear = this.#ears.get(pattern);
    if (!ear) this.#ears.set(pattern, (ear = this.#open(pattern)));
    const heard = ear;
    const waiter = new Waiter(this.#context.clock, wait, () => heard.caughtUp(waiter));
    ear.add(waiter);
    try {
      return await waiter.found;
    } finally {
      waiter.end();
      ear.remove(waiter);
      if (ear.isEmpty && this.#ears.get(pattern) === ear) {
        this.#ears.delete(pattern);
        ear.close();
      }
    }
  }

  #open(pattern: string): Ear {
    return this.#context.sameLog
      ? new LogEar(this.#context, pattern)
      : new BusEar(this.#context, pattern);
  }
}

interface Ear {
  readonly isEmpty: boolean;
  add(waiter: Waiter): void;
  /** Resolves when the waiter was offered what has come until now. */
  caughtUp(waiter: Waiter): Promise<void>;
  remove(waiter: Waiter): void;
  close(): void;
}

interface Settling {
  resolve(event: AgentEvent | undefined): void;
  reject(error: unknown): void;
}

class Waiter {
  readonly wait: SignalWait;
  readonly found: Promise<AgentEvent | undefined>;
  /** Where the log is read from for it; unknown until it was looked up. */
  after: LogPosition | undefined;
  readonly #settle: Settling;
  #queue: Promise<void> = Promise.resolve();
  #over = false;
  #isLate = false;
  readonly #ends: (() => void)[] = [];

  constructor(clock: Clock, wait: SignalWait, caughtUp: () => Promise<void>) {
    this.wait = wait;
    let settle: Settling = { resolve: () => {}, reject: () => {} };
    this.found = new Promise((resolve, reject) => {
      settle = { resolve, reject };
    });
    this.#settle = settle;
    const onAbort = (): void => this.fail(wait.signal.reason);
    wait.signal.addEventListener("abort", onAbort, { once: true });
    this.#ends.push(() => wait.signal.removeEventListener("abort", onAbort));
    if (wait.dueAt === undefined) return;
    const late = async (): Promise<void> => {
      this.#isLate = true;
      await caughtUp();
      // Behind what is being taken.
      await this.#queue;
      if (this.#over) return;
      this.#over = true;
      settle.resolve(undefined);
    };
    const onLate = (): void => void late().catch((error: unknown) => this.fail(error));
    this.#ends.push(clock.after(Math.max(0, wait.dueAt - clock.now()), onLate));
  }

  offer(event: AgentEvent, recordedAt?: number): void {
    if (!this.#accepts(event, recordedAt)) return;
    this.#queue = this.#queue.then(async () => {
      if (this.#over || !this.wait.accepts(event, recordedAt)) return;
      try {
        if (!(await this.wait.take(event))) return;
        this.#over = true;
        this.#settle.resolve(event);
      } catch (error) {
        this.fail(error);
      }
    });
  }

  #accepts(event: AgentEvent, recordedAt: number | undefined): boolean {
    if (this.#over || !this.wait.accepts(event, recordedAt)) return false;
    return !this.#isLate || event.timestamp <= (this.wait.dueAt ?? Infinity);
  }

  fail(error: unknown): void {
    this.#over = true;
    this.#settle.reject(error);
  }

  end(): void {
    this.#over = true;
    for (const end of this.#ends.splice(0)) end();
  }
}

/** Reads the store's log, which is the bus. */
class LogEar implements Ear {
  readonly #context: HubContext;
  readonly #pattern: string;
  readonly #waiters = new Set<Waiter>();
  readonly #unwatch: () => void;
  #reading = false;
  #again = false;
  #closed = false;
  /** Told after the next read. */
  readonly #asking: (() => void)[] = [];

  constructor(context: HubContext, pattern: string) {
    this.#context = context;
    this.#pattern = pattern;
    this.#unwatch = context.store.watch(() => this.#wake());
  }

  get isEmpty(): boolean {
    return this.#waiters.size === 0;
  }

  add(waiter: Waiter): void {
    this.#waiters.add(waiter);
    this.#wake();
  }

  remove(waiter: Waiter): void {
    this.#waiters.delete(waiter);
  }

  caughtUp(): Promise<void> {
    return new Promise((resolve) => {
      this.#asking.push(resolve);
      this.#wake();
    });
  }

  close(): void {
    this.#closed = true;
    this.#unwatch();
  }

  #wake(): void {
    this.#again = true;
    if (this.#reading) return;
    this.#reading = true;
    this.#readAll().catch((error: unknown) => {
      for (const waiter of this.#waiters) waiter.fail(error);
    });
  }

  async #readAll(): Promise<void> {
    const { clock } = this.#context;
    try {
      while (this.#again && !this.#closed) {
        this.#again = false;
        const asking = this.#asking.splice(0);
        await throughTrouble(
          clock,
          Infinity,
          () => this.#read(),
          () => !this.#closed,
        );
        for (const tell of asking) tell();
      }
    } finally {
      // In the turn of the last look at `again`: a wake between the two would be lost.
      this.#reading = false;
    }
  }

  async #read(): Promise<void> {
    const { store } = this.#context;
    for (const waiter of this.#waiters) {
      waiter.after ??= await this.#createdAt(waiter.wait.since.taskId);
    }
    const waiting = [...this.#waiters].filter(({ after }) => after !== undefined);
    if (waiting.length === 0) return;
    const after = waiting.reduce((least, waiter) => Math.min(least, waiter.after ?? 0), Infinity);
    const upTo = await store.head();
    for await (const stored of store.read({ type: this.#pattern, after, upTo })) {
      if (stored.private) continue;
      for (const waiter of waiting) {
        if ((waiter.after ?? 0) < stored.position) waiter.offer(stored.event, stored.recordedAt);
      }
    }
    for (const waiter of waiting) waiter.after = Math.max(waiter.after ?? 0, upTo);
  }

  async #createdAt(taskId: string): Promise<LogPosition> {
    const query = { stream: taskStream(taskId), limit: 1 };
    for await (const { position } of this.#context.store.read(query)) return position;
    return 0;
  }
}

/** Subscribes to the bus, and reads its history for each that joins. */
class BusEar implements Ear {
  readonly #context: HubContext;
  readonly #pattern: string;
  /** Each with the reading of the history for it. */
  readonly #waiters = new Map<Waiter, Promise<void>>();
  readonly #subscribed: Promise<{ close(): Promise<void> }>;

  constructor(context: HubContext, pattern: string) {
    this.#context = context;
    this.#pattern = pattern;
    this.#subscribed = context.bus.subscribe(pattern, (event) => {
      for (const waiter of this.#waiters.keys()) waiter.offer(event);
    });
    this.#subscribed.catch(() => undefined); // each waiter sees it
  }

  get isEmpty(): boolean {
    return this.#waiters.size === 0;
  }

  add(waiter: Waiter): void {
    const reading = this.#catchUp(waiter).catch((error: unknown) => waiter.fail(error));
    this.#waiters.set(waiter, reading);
  }

  async caughtUp(waiter: Waiter): Promise<void> {
    await this.#waiters.get(waiter);
  }

  remove(waiter: Waiter): void {
    this.#waiters.delete(waiter);
  }

  close(): void {
    this.#subscribed
      .then((subscription) => subscription.close())
      .catch((error: unknown) => {
        if (isCadreError(error, "CLOSED")) return;
        this.#context.logger.warn("A wait's subscription did not close well.", { error });
      });
  }

  async #catchUp(waiter: Waiter): Promise<void> {
    await this.#subscribed;
    const query = { type: this.#pattern, since: waiter.wait.since.at };
    try {
      for await (const event of this.#context.bus.history(query)) waiter.offer(event);
    } catch (error) {
      // A carrier without history: what was published while nobody listened is gone.
      if (!(error instanceof CadreError) || !isCadreError(error, "UNSUPPORTED")) throw error;
    }
  }
}
