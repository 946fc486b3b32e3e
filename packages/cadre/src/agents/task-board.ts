/**
 * The board: this process's projection of all open tasks, kept by tailing the store.
 *
 * It is a cache. What it says may be old by a moment, so nothing is decided by it: it only finds
 * what to try, and the expected version of the append decides. A final task leaves the board; who
 * waits for it is told.
 *
 * It begins at the last mark, with the tasks that were open there, and not at the begin of the log.
 */
import { CadreError } from "../core/errors.ts";
import type { AgentEvent } from "../core/event.ts";
import type { EventStore, LogPosition, StoredEvent } from "../store/event-store.ts";
import { LogMark } from "./log-mark.ts";
import { readOpenTasks } from "./open-tasks.ts";
import { FairQueue, type TenantShares } from "./orchestration/fair-queue.ts";
import {
  applyTask,
  isFinal,
  isOpen,
  isOwned,
  taskIdOf,
  taskStream,
  taskStreamPrefix,
} from "./task-fold.ts";
import type { TaskState } from "./task.ts";
import type { TeamContext } from "./team-context.ts";

export interface BoardEntry {
  readonly state: TaskState;
  /** Version of the task's stream. */
  readonly version: number;
  /** The last event of the stream: the cause of the next. */
  readonly last: AgentEvent;
}

export type BoardListener = (entry: BoardEntry, event: AgentEvent) => void;

/** Is given the final state, or why nobody will ever know it. */
export type TaskEndListener = (state: TaskState | undefined, error?: CadreError) => void;

/**
 * Events applied between two yields, so that catching up with a long log does not make heartbeats
 * late.
 */
const eventsPerTurn = 256;

type BoardContext = Pick<TeamContext, "store" | "clock" | "logger" | "markEvery">;

export class TaskBoard {
  readonly #context: BoardContext;
  readonly #mark: LogMark;
  readonly #open = new Map<string, BoardEntry>();
  readonly #claimable = new Map<string, FairQueue>();
  readonly #shares: TenantShares;
  readonly #listeners = new Set<BoardListener>();
  readonly #waiting = new Map<string, Set<TaskEndListener>>();
  /** Ids of the tasks that each owner holds, by agent and incarnation. */
  readonly #leases = new Map<string, Set<string>>();
  /** Tasks that this process is claiming or running: nobody here looks at them again. */
  readonly #held = new Set<string>();
  readonly #counts = { completed: 0, failed: 0, cancelled: 0, expired: 0, rejected: 0 };
  #position: LogPosition = 0;
  /** Id of the event at the position. */
  #anchor = "";
  #hasBegun = false;
  #reading: Promise<void> | undefined;
  #again = false;
  #isReady = false;
  #closed = false;
  #unwatch: (() => void) | undefined;

  constructor(context: BoardContext, shares: TenantShares = {}) {
    this.#context = context;
    this.#mark = new LogMark(context, "tasks");
    this.#shares = shares;
  }

  /** Reads the log to its end, from the last mark on, then follows it. */
  async start(): Promise<void> {
    this.#unwatch = this.#context.store.watch(() => void this.refresh());
    await this.refresh();
    this.#isReady = true;
  }

  /** Whether it has read the log to its end once. */
  get isReady(): boolean {
    return this.#isReady;
  }

  close(): void {
    this.#closed = true;
    this.#unwatch?.();
    this.#listeners.clear();
    const error = new CadreError("CLOSED", "The runtime was closed while the task went on.", {
      what: "runtime",
    });
    for (const listeners of [...this.#waiting.values()]) {
      for (const listener of [...listeners]) listener(undefined, error);
    }
    this.#waiting.clear();
  }

  get closed(): boolean {
    return this.#closed;
  }

  get counts(): Readonly<
    Record<"completed" | "failed" | "cancelled" | "expired" | "rejected", number>
  > {
    return this.#counts;
  }

  get size(): number {
    return this.#open.size;
  }

  get(id: string): BoardEntry | undefined {
    return this.#open.get(id);
  }

  entries(): IterableIterator<BoardEntry> {
    return this.#open.values();
  }

  /**
   * Tasks that may be claimed with `capability`: the most urgent first, then in the order in which
   * they became claimable, fair between tenants and features.
   */
  claimable(capability: string): Iterable<BoardEntry> {
    return this.#claimable.get(capability) ?? [];
  }

  /** Whether anything may be claimed with `capability`, `notBefore` aside. */
  hasClaimable(capability: string): boolean {
    return this.countClaimable(capability) > 0;
  }

  /** How many may be claimed with `capability`, `notBefore` aside. */
  countClaimable(capability: string): number {
    return this.#claimable.get(capability)?.size ?? 0;
  }

  /** How many of these are parts of features. */
  countPlanned(capability: string): number {
    return this.#claimable.get(capability)?.planned ?? 0;
  }

  /** Capabilities that open tasks have asked for. */
  capabilities(): IterableIterator<string> {
    return this.#claimable.keys();
  }

  /**
   * Tasks whose lease this run of the agent holds: what the log says, never a count of one's own.
   */
  leases(agent: string, incarnation: string): number {
    return this.#leases.get(`${agent}/${incarnation}`)?.size ?? 0;
  }

  /** Takes a task from what is claimable, for as long as this process claims or runs it. */
  hold(id: string): void {
    this.#held.add(id);
    const entry = this.#open.get(id);
    if (entry) this.#unclaimable(entry, true);
  }

  letGo(id: string): void {
    this.#held.delete(id);
    const entry = this.#open.get(id);
    if (entry) this.#put(entry);
  }

  /**
   * Is called after each event of a task has been applied, also for the one that makes it final.
   */
  watch(listener: BoardListener): () => void {
    this.#listeners.add(listener);
    return () => void this.#listeners.delete(listener);
  }

  /**
   * Calls `listener` once, when the task becomes final, or when the board is closed before. Many
   * wait at once, so they are filed by id.
   */
  watchTask(id: string, listener: TaskEndListener): () => void {
    let same = this.#waiting.get(id);
    if (!same) this.#waiting.set(id, (same = new Set()));
    same.add(listener);
    return () => {
      same.delete(listener);
      if (same.size === 0) this.#waiting.delete(id);
    };
  }

  /** Catches up with the log. Calls that come while one runs share the next one. Never rejects. */
  refresh(): Promise<void> {
    if (this.#closed) return Promise.resolve();
    if (this.#reading) {
      this.#again = true;
      return this.#reading;
    }
    this.#reading = this.#readAll().finally(() => {
      this.#reading = undefined;
    });
    return this.#reading;
  }

  /**
   * Applies what this process itself has just committed, without waiting for the tail.
   *
   * The answer of a commit may come late: what the tail has passed already is old by now, and may
   * have ended since.
   */
  applied(entry: BoardEntry, position: LogPosition): void {
    if (position <= this.#position) return;
    const known = this.#open.get(entry.state.id);
    if (known && known.version >= entry.version) return;
    if (!isFinal(entry.state.status)) this.#put(entry);
  }

  async #readAll(): Promise<void> {
    do {
      this.#again = false;
      try {
        if (!this.#hasBegun) await this.#begin();
        await this.#readTail();
        this.#noteMark();
      } catch (error) {
        if (this.#closed) return;
        this.#context.logger.warn("The task board could not read the store; it tries again.", {
          error,
        });
        await this.#context.clock.sleep(retryMs);
        this.#again = true;
      }
    } while (this.#again && !this.#closed);
  }

  /** Takes over what was open at the last mark, if there is one. */
  async #begin(): Promise<void> {
    const mark = await this.#mark.load();
    const tasks = mark ? await readOpenTasks(this.#context.store, mark.open, mark.position) : [];
    if (mark) {
      this.#position = mark.position;
      this.#anchor = mark.anchor;
      Object.assign(this.#counts, mark.counts);
    }
    // In the orders in which they would have come from the log.
    for (const { entry } of tasks.toSorted((a, b) => a.createdAt - b.createdAt)) {
      this.#open.set(entry.state.id, entry);
    }
    for (const { entry } of tasks.toSorted((a, b) => a.claimableAt - b.claimableAt)) {
      this.#put(entry);
    }
    this.#hasBegun = true;
  }

  #noteMark(): void {
    if (!this.#mark.isDue(this.#open.size)) return;
    void this.#mark.keep({
      position: this.#position,
      anchor: this.#anchor,
      open: [...this.#open.keys()],
      counts: { ...this.#counts },
    });
  }

  async #readTail(): Promise<void> {
    let sinceYield = 0;
    const query = { streamPrefix: taskStreamPrefix, after: this.#position };
    for await (const stored of this.#context.store.read(query)) {
      if (this.#closed) return;
      this.#apply(stored);
      this.#position = stored.position;
      this.#anchor = stored.event.id;
      this.#mark.passed(1);
      sinceYield += 1;
      if (sinceYield === eventsPerTurn) {
        sinceYield = 0;
        await this.#context.clock.yield();
      }
    }
  }

  #apply(stored: StoredEvent): void {
    const id = taskIdOf(stored.stream ?? "");
    const known = this.#open.get(id);
    const version = stored.version ?? 0;
    this.#count(stored.event);
    if (known && known.version >= version) {
      for (const listener of this.#listeners) listener(known, stored.event);
      return;
    }
    const state = applyTask(known?.state, stored.event);
    if (!state) return;
    const entry = { state, version, last: stored.event };
    if (isFinal(state.status)) {
      this.#remove(id);
      for (const listener of [...(this.#waiting.get(id) ?? [])]) listener(state);
    } else {
      this.#put(entry);
    }
    for (const listener of this.#listeners) listener(entry, stored.event);
  }

  #put(entry: BoardEntry): void {
    const { id, capability, status, priority } = entry.state;
    const before = this.#open.get(id);
    this.#unlease(id);
    this.#open.set(id, entry);
    this.#lease(entry.state);
    const isClaimable = isOpen(status) && !this.#held.has(id);
    const moves = before?.state.capability !== capability || before.state.priority !== priority;
    if (before && (moves || !isClaimable)) this.#unclaimable(before, isOwned(status));
    if (!isClaimable) return;
    let queue = this.#claimable.get(capability);
    if (!queue) this.#claimable.set(capability, (queue = new FairQueue(this.#shares)));
    queue.put(entry);
  }

  #lease({ id, owner }: TaskState): void {
    if (!owner) return;
    const key = `${owner.agent}/${owner.incarnation}`;
    const ids = this.#leases.get(key);
    if (ids) ids.add(id);
    else this.#leases.set(key, new Set([id]));
  }

  #unlease(id: string): void {
    const owner = this.#open.get(id)?.state.owner;
    if (!owner) return;
    const key = `${owner.agent}/${owner.incarnation}`;
    const ids = this.#leases.get(key);
    ids?.delete(id);
    if (ids?.size === 0) this.#leases.delete(key);
  }

  /** @param isTaken whether somebody does it now */
  #unclaimable(entry: BoardEntry, isTaken: boolean): void {
    this.#claimable.get(entry.state.capability)?.remove(entry, isTaken);
  }

  #remove(id: string): void {
    const entry = this.#open.get(id);
    if (!entry) return;
    this.#unlease(id);
    this.#open.delete(id);
    this.#unclaimable(entry, false);
  }

  #count(event: AgentEvent): void {
    switch (event.type) {
      case "task.completed":
        this.#counts.completed += 1;
        break;
      case "task.failed":
        this.#counts.failed += 1;
        break;
      case "task.cancelled":
        this.#counts.cancelled += 1;
        break;
      case "task.lease_expired":
        this.#counts.expired += 1;
        break;
      case "task.result_rejected":
        this.#counts.rejected += 1;
        break;
      default:
    }
  }
}

const retryMs = 200; // a busy or restarting store answers within this, mostly

/** The task as its stream says now, whether it is on the board or not. */
export async function loadTask(store: EventStore, id: string): Promise<BoardEntry | undefined> {
  let state: TaskState | undefined;
  let version = 0;
  let last: AgentEvent | undefined;
  for await (const stored of store.read({ stream: taskStream(id) })) {
    state = applyTask(state, stored.event);
    version = stored.version ?? version;
    last = stored.event;
  }
  return state && last && { state, version, last };
}
