/**
 * The sweeper: what time does to tasks. Every process runs one; the append's expected version lets
 * each transition happen once.
 *
 *   owner silent for a lease ──▶ lease_expired, or failed when too many owners were lost
 *   deadline passed          ──▶ failed, by way of its undos where it has any
 *   cancellation not obeyed  ──▶ cancelled over the owner's head, the same way
 *   dependencies completed   ──▶ offered; one failed or cancelled ──▶ failed
 *   parent cancelled         ──▶ its children are cancelled, also those made meanwhile
 */
import { CadreError, isCadreError } from "../core/errors.ts";
import type { AgentEvent } from "../core/event.ts";
import type { PresenceObserver } from "./presence.ts";
import { endTask, undoneTask, undoStuck } from "./saga-events.ts";
import type { BoardEntry, TaskBoard } from "./task-board.ts";
import type { TaskDesk } from "./task-desk.ts";
import { leaseExpired, taskChanged, taskFailed } from "./task-events.ts";
import { isFinal, isOwned } from "./task-fold.ts";
import { TaskRelatives } from "./task-relatives.ts";
import type { TeamContext } from "./team-context.ts";

const maxLostOwners = 10; // after that the task is taken to be what kills them
const forgetDeadAfterLeases = 10;

export class TaskSweeper {
  readonly #context: TeamContext;
  readonly #board: TaskBoard;
  readonly #desk: TaskDesk;
  readonly #presence: PresenceObserver;
  /** Monotonic instants at which this process first saw a cancellation that is not obeyed yet. */
  readonly #cancelSeenAt = new Map<string, number>();
  #cancelTimer: () => void = () => {};
  #sweeping: Promise<void> = Promise.resolve();
  readonly #relatives = new TaskRelatives();
  #stopWatching: () => void = () => {};
  #closed = false;
  #isSoon = false;

  constructor(parts: {
    readonly context: TeamContext;
    readonly board: TaskBoard;
    readonly desk: TaskDesk;
    readonly presence: PresenceObserver;
  }) {
    this.#context = parts.context;
    this.#board = parts.board;
    this.#desk = parts.desk;
    this.#presence = parts.presence;
  }

  start(): void {
    for (const entry of this.#board.entries()) this.#relatives.note(entry);
    this.#stopWatching = this.#board.watch((entry) => {
      if (isFinal(entry.state.status)) this.#cancelSeenAt.delete(entry.state.id);
      // A task that others wait for must not wait for the next beat.
      if (this.#relatives.note(entry)) this.#soon();
    });
    this.#arm(0);
  }

  async close(): Promise<void> {
    this.#closed = true;
    this.#stopWatching();
    this.#cancelTimer();
    await this.#sweeping;
  }

  /** One sweep, for tests and for who cannot wait for the next beat. */
  sweep(): Promise<void> {
    this.#sweeping = this.#sweeping
      .then(() => this.#sweep())
      .catch((error: unknown) => {
        if (this.#closed || isCadreError(error, "CLOSED")) return;
        this.#context.logger.warn("A sweep of the tasks failed; the next one goes on.", { error });
      });
    return this.#sweeping;
  }

  /** One look, after what is being done now, however many ends asked for it. */
  #soon(): void {
    if (this.#isSoon) return;
    this.#isSoon = true;
    this.#sweeping = this.#sweeping.then(async () => {
      this.#isSoon = false;
      if (this.#closed) return;
      await this.#lookAtRelatives().catch((error: unknown) => {
        if (this.#closed) return;
        const message = "Waiting tasks could not be offered; the next sweep tries again.";
        this.#context.logger.warn(message, { error });
      });
    });
  }

  #arm(delayMs: number): void {
    if (this.#closed) return;
    this.#cancelTimer = this.#context.clock.after(delayMs, () => {
      void this.sweep().then(() => this.#arm(this.#context.heartbeatMs));
    });
  }

  async #sweep(): Promise<void> {
    if (this.#closed) return;
    await this.#presence.look();
    for (const entry of [...this.#board.entries()]) {
      const events = this.#due(entry);
      if (events.length > 0) await this.#desk.transition(entry, events);
    }
    await this.#lookAtRelatives();
    await this.#forgetDead();
  }

  /** What time has made of a task, if anything. */
  #due(entry: BoardEntry): readonly AgentEvent[] {
    const { state } = entry;
    const { name, clock } = this.#context;
    if (isOwned(state.status) && state.owner) {
      const { agent, incarnation } = state.owner;
      if (this.#presence.isDead(agent, incarnation)) return this.#ownerLost(entry);
    }
    // Nothing stops what goes back already, or only forward.
    if (state.undoing || state.pivot !== undefined) return [];
    // An owner that is only slow may have an effect for as long as its lease lasts: undone before
    // that, the effect would stay.
    if (isOwned(state.status) && state.undoable !== undefined) return [];
    // The owner's own timer comes first; the sweep is for a task that nobody owns, or whose owner
    // is stuck.
    const graceMs = isOwned(state.status) ? this.#context.heartbeatMs : 0;
    if (state.deadlineAt !== undefined && clock.now() > state.deadlineAt + graceMs) {
      const message = `Task ${state.id} went over its deadline.`;
      const error = new CadreError("TIMEOUT", message, {
        what: `task ${state.id}`,
        timeoutMs: state.deadlineAt - state.createdAt,
      });
      return endTask(this.#context, name, entry, { outcome: "failed", error });
    }
    return this.#overdueCancel(entry);
  }

  #ownerLost(entry: BoardEntry): readonly AgentEvent[] {
    const { state } = entry;
    const { name } = this.#context;
    const again = [leaseExpired(this.#context, name, entry, "silent")];
    if (state.pivot !== undefined) return again;
    if (state.cancelRequested !== undefined && !state.undoing) return this.#cancelled(entry);
    if (state.lost + 1 < maxLostOwners) return again;
    const message = `Task ${state.id} lost ${maxLostOwners} owners: it may be what kills them.`;
    const error = new CadreError("LEASE_LOST", message, { what: `task ${state.id}` });
    const step = state.undoable?.at(-1);
    // An undo may be what kills them: a person has to look.
    if (state.undoing && step !== undefined)
      return [undoStuck(this.#context, name, entry, { step, error })];
    if (state.undoing) return undoneTask(this.#context, name, entry, 0);
    return endTask(this.#context, name, entry, { outcome: "failed", error });
  }

  #overdueCancel(entry: BoardEntry): readonly AgentEvent[] {
    const { id, cancelRequested, status } = entry.state;
    if (cancelRequested === undefined) {
      this.#cancelSeenAt.delete(id);
      return [];
    }
    if (!isOwned(status)) return this.#cancelled(entry);
    const now = this.#context.clock.monotonic();
    const seenAt = this.#cancelSeenAt.get(id) ?? now;
    this.#cancelSeenAt.set(id, seenAt);
    if (now - seenAt < 2 * this.#context.heartbeatMs) return [];
    return this.#cancelled(entry);
  }

  #cancelled(entry: BoardEntry): readonly AgentEvent[] {
    this.#cancelSeenAt.delete(entry.state.id);
    const reason = entry.state.cancelRequested ?? "";
    return endTask(this.#context, this.#context.name, entry, { outcome: "cancelled", reason });
  }

  async #lookAtRelatives(): Promise<void> {
    const waiting = [...this.#relatives.takeWaiting()];
    const children = [...this.#relatives.takeChildren()];
    try {
      for (; waiting.length > 0; waiting.pop()) {
        const entry = this.#board.get(waiting.at(-1)!);
        if (entry?.state.status !== "waiting") continue;
        const event = await this.#dependenciesOf(entry);
        if (event) await this.#desk.transition(entry, [event]);
      }
      for (; children.length > 0; children.pop()) {
        const { parent } = this.#board.get(children.at(-1)!)?.state ?? {};
        if (parent === undefined || this.#board.get(parent)) continue;
        const state = await this.#desk.get(parent);
        if (state?.status !== "cancelled") continue;
        const why = `its parent was cancelled: ${state.cancelRequested ?? ""}`;
        await this.#desk.cancel(children.at(-1)!, why);
      }
    } finally {
      this.#relatives.putBack(waiting, children);
    }
  }

  async #dependenciesOf(entry: BoardEntry): Promise<AgentEvent | undefined> {
    const { name } = this.#context;
    const { dependsOn } = entry.state;
    // Asked of the board first: a task may depend on thousands, and the store is slower.
    if (dependsOn.some((id) => this.#board.get(id))) return undefined;
    for (const id of dependsOn) {
      const state = await this.#desk.get(id);
      if (state?.status === "completed") continue;
      if (state?.status !== "failed" && state?.status !== "cancelled") return undefined;
      const message = `Task ${entry.state.id} depends on task ${id}, which ${state.status}.`;
      return taskFailed(
        this.#context,
        name,
        entry,
        new CadreError("CANCELLED", message, { what: `task ${id}` }),
      );
    }
    return taskChanged(this.#context, name, entry, { type: "task.offered" });
  }

  /**
   * Cards of the long dead are taken away, so that the directory doesn't grow for ever. Any process
   * does it; that the pulse is still the last one it saw decides whether it may.
   */
  async #forgetDead(): Promise<void> {
    const limitMs = this.#context.leaseMs * forgetDeadAfterLeases;
    for (const { process, version } of [...this.#presence.longDead(limitMs)]) {
      const [pulse = "", ...parts] = this.#presence.slotsOf(process);
      const slots = [
        { name: pulse, expectedVersion: version, value: undefined },
        ...parts.map((name) => ({ name, expectedVersion: "any" as const, value: undefined })),
      ];
      await this.#context.store.commit({ slots }).catch((error: unknown) => {
        // It beat again in between, or another process was faster.
        if (!isCadreError(error, "VERSION_CONFLICT")) throw error;
      });
    }
  }
}
