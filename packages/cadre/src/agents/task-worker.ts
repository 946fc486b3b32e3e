/**
 * The worker: one agent in one process. It claims tasks that fit it while it has free slots, and
 * runs them.
 *
 * Who claims is decided by the append's expected version alone. To collide less, workers of one
 * capability in several processes pick by chance among the first few candidates; a worker alone
 * takes the first.
 */
import { CadreError, isCadreError } from "../core/errors.ts";
import type { AgentEvent } from "../core/event.ts";
import type { AgentCard, Directory } from "./directory.ts";
import { Heartbeat } from "./heartbeat.ts";
import { throughTrouble } from "./passing-trouble.ts";
import { Rivals } from "./rivals.ts";
import type { BoardEntry, TaskBoard } from "./task-board.ts";
import type { LocalClaimer } from "./task-desk.ts";
import { leaseExpired, taskClaimed } from "./task-events.ts";
import { applyTask, isOpen, isOwned } from "./task-fold.ts";
import { TaskRun, type TaskRunPort } from "./task-run.ts";
import { TaskSlots, type SlotHold } from "./task-slots.ts";
import { workFor } from "./work-version.ts";

export interface TaskWorkerPort extends Omit<TaskRunPort, "slot" | "isAlive"> {
  readonly board: TaskBoard;
  readonly directory: Directory;
  /** Tasks that some worker of this process is claiming or running, by id. */
  readonly taken: Set<string>;
  /** What the process says of itself on the card. */
  readonly host: () => Pick<AgentCard, "pid" | "host" | "loopLagMs">;
  onError(error: unknown, task: string): void;
}

const claimAgainMs = 500; // after a claim that the store refused
const candidateWindow = 32; // candidates looked at for a random pick; more collide no less

export class TaskWorker implements LocalClaimer {
  readonly #port: TaskWorkerPort;
  readonly #slots: TaskSlots;
  readonly #runs = new Map<string, TaskRun>();
  readonly #ended = new Set<Promise<void>>();
  readonly heartbeat: Heartbeat;
  #state: AgentCard["state"] = "running";
  #stopWatching: () => void = () => {};
  #cancelWake: () => void = () => {};
  #filling = false;
  #overdue = false;
  /** Monotonic: no claim before. */
  #pausedUntil = -Infinity;

  constructor(port: TaskWorkerPort) {
    this.#port = port;
    this.#slots = new TaskSlots(port.agent.capacity, () => this.fill());
    this.heartbeat = new Heartbeat(port.context, {
      card: () => this.card(),
      onFenced: () => this.#abortAll("its lease could not be renewed"),
      onRenewed: () => {
        this.#giveBackAbandoned().catch((error: unknown) => this.#warn(error));
        this.fill();
      },
    });
  }

  get running(): number {
    return this.#runs.size;
  }

  card(): AgentCard {
    const { agent, context, host } = this.#port;
    return {
      agent: agent.name,
      incarnation: context.incarnation,
      capabilities: agent.capabilities,
      specializations: agent.specializations,
      capacity: agent.capacity,
      load: this.#slots.used,
      state: this.#state,
      beatAt: context.clock.now(),
      ...host(),
    };
  }

  async start(): Promise<void> {
    await this.heartbeat.start();
    this.#stopWatching = this.#port.board.watch((entry, event) => {
      this.#runs.get(entry.state.id)?.notice(entry);
      if (isOpen(entry.state.status) || event.type === "task.completed") this.fill();
    });
    this.fill();
  }

  /** Claims what fits until the slots are full. Safe to call at any time. */
  fill(): void {
    if (this.#filling) return;
    this.#filling = true;
    // One look a turn, however many events of one batch asked for it.
    queueMicrotask(() => {
      this.#filling = false;
      while (this.#mayClaim() && this.#slots.free > 0) {
        const candidate = this.#candidate();
        const slot = candidate && this.#slots.tryTake();
        if (!slot) return;
        this.#start(candidate.state.id, slot, this.#claim(candidate, slot));
      }
    });
  }

  claimNew(entry: BoardEntry): ReturnType<LocalClaimer["claimNew"]> {
    const { id } = entry.state;
    if (!this.#mayClaim() || !this.#fits(entry, new Rivals(this.#port))) return undefined;
    const slot = this.#slots.tryTake();
    if (!slot) return undefined;
    this.#port.taken.add(id);
    const events = this.#claimEvents(entry);
    let answer: (claimed?: BoardEntry) => void = () => {};
    const claimed = new Promise<BoardEntry | undefined>((resolve) => {
      answer = resolve;
    });
    // Followed from here on: a worker that drains waits for the answer and for the run.
    const running = claimed.then((known) => known && this.#run(known, slot));
    this.#start(id, slot, running);
    return { events, start: (known) => answer(known), giveUp: () => answer() };
  }

  /**
   * Takes nothing new; resolves when what runs has ended, or has been given back at the deadline.
   */
  async drain(
    deadlineMs: number,
  ): Promise<{ readonly finished: number; readonly released: number }> {
    this.#state = "draining";
    this.#cancelWake();
    const running = this.#runs.size;
    let released = 0;
    const cancel = this.#port.context.clock.after(deadlineMs, () => {
      this.#overdue = true;
      released = this.#runs.size;
      for (const run of this.#runs.values()) run.abort(closing());
    });
    while (this.#ended.size > 0) await Promise.all(this.#ended);
    cancel();
    this.#stopWatching();
    return { finished: Math.max(0, running - released), released };
  }

  #mayClaim(): boolean {
    const isPaused = this.#port.context.clock.monotonic() < this.#pausedUntil;
    return this.#state === "running" && this.heartbeat.alive && !isPaused;
  }

  #candidate(): BoardEntry | undefined {
    const { agent, board, context } = this.#port;
    const found: BoardEntry[] = [];
    const rivals = new Rivals(this.#port);
    const enough = rivals.areThere() ? candidateWindow : 1;
    let wakeAt = Infinity;
    for (const capability of agent.capabilities) {
      for (const entry of board.claimable(capability)) {
        const { notBefore = 0 } = entry.state;
        if (notBefore > context.clock.now()) wakeAt = Math.min(wakeAt, notBefore);
        else if (this.#fits(entry, rivals)) found.push(entry);
        if (found.length >= enough) break;
      }
      if (found.length >= enough) break;
    }
    if (found.length === 0 && Number.isFinite(wakeAt)) this.#wakeIn(wakeAt - context.clock.now());
    const urgent = found.filter((entry) => entry.state.priority === found[0]?.state.priority);
    return urgent[urgent.length > 1 ? context.random.integer(urgent.length) : 0];
  }

  #wakeIn(delayMs: number): void {
    this.#cancelWake();
    this.#cancelWake = this.#port.context.clock.after(delayMs, () => this.fill());
  }

  #fits(entry: BoardEntry, rivals: Rivals): boolean {
    const { state } = entry;
    const { agent, taken, context } = this.#port;
    if (!workFor(agent, state) || taken.has(state.id)) return false;
    const { assignedTo, triedBy, capability } = state;
    const waitedMs = context.clock.now() - entry.last.timestamp;
    // The one who was asked comes first, as long as it has room.
    const isOthers = assignedTo !== undefined && assignedTo !== agent.name;
    if (isOthers && waitedMs < context.heartbeatMs && rivals.hasRoom(capability, assignedTo)) {
      return false;
    }
    // Another try goes to another agent first; but one that has the capability may not do this
    // task, or not want it, so it is not waited for for ever.
    if (!triedBy.includes(agent.name) || waitedMs >= 2 * context.heartbeatMs) return true;
    return !rivals.others(capability).some((name) => !triedBy.includes(name));
  }

  #claimEvents(entry: BoardEntry): readonly AgentEvent[] {
    const { context, agent } = this.#port;
    return taskClaimed(context, { agent: agent.name, incarnation: context.incarnation }, entry);
  }

  async #claim(entry: BoardEntry, slot: SlotHold): Promise<void> {
    const { id } = entry.state;
    const { board, context, desk, taken } = this.#port;
    taken.add(id);
    const events = this.#claimEvents(entry);
    const written = await throughTrouble(
      context.clock,
      context.heartbeatMs,
      () => desk.transition(entry, events),
      () => this.#mayClaim(),
    ).catch((error: unknown) => {
      // The same candidate is there at once again: without a pause this would never end.
      this.#pausedUntil = context.clock.monotonic() + claimAgainMs;
      if (this.#state === "running") this.#wakeIn(claimAgainMs);
      throw error;
    });
    if (!written) return board.refresh();
    let { state } = entry;
    for (const event of events) state = applyTask(state, event) ?? state;
    const claimed = {
      state,
      version: entry.version + events.length,
      last: events.at(-1) ?? entry.last,
    };
    if (!written.duplicate) board.applied(claimed, written.position);
    return this.#run(claimed, slot);
  }

  async #run(entry: BoardEntry, slot: SlotHold): Promise<void> {
    const { state } = entry;
    // The answer to the claim may come after the end: who was frozen meanwhile was taken for dead.
    const known = this.#port.board.get(state.id);
    if (!known) return;
    const work = workFor(this.#port.agent, state);
    if (!work) return;
    const isAlive = (): boolean => this.heartbeat.alive;
    const run = new TaskRun({ ...this.#port, slot, isAlive }, work, entry);
    this.#runs.set(state.id, run);
    if (known.version > entry.version) run.notice(known);
    if (this.#overdue) run.abort(closing());
    try {
      await run.run();
    } finally {
      this.#runs.delete(state.id);
    }
  }

  /** Follows one claim or run to its end and frees its slot. */
  #start(id: string, slot: SlotHold, work: Promise<void>): void {
    const ended = work
      .catch((error: unknown) => this.#port.onError(error, id))
      .then(() => {
        this.#port.taken.delete(id);
        this.#ended.delete(ended);
        slot.release();
      });
    this.#ended.add(ended);
  }

  /**
   * Tasks that the log says are ours and that nobody runs: the answer of a claim was lost, or the
   * work was stopped in trouble.
   */
  async #giveBackAbandoned(): Promise<void> {
    const { agent, board, context, desk, taken } = this.#port;
    for (const entry of [...board.entries()]) {
      const { owner, status, id } = entry.state;
      const ours = owner?.agent === agent.name && owner.incarnation === context.incarnation;
      if (!ours || !isOwned(status) || taken.has(id)) continue;
      await desk.transition(entry, [leaseExpired(context, agent.name, entry, "abandoned")]);
    }
  }

  #abortAll(why: string): void {
    for (const [id, run] of this.#runs) {
      run.abort(
        new CadreError("LEASE_LOST", `Task ${id} was stopped: ${why}.`, { what: `task ${id}` }),
      );
    }
  }

  #warn(error: unknown): void {
    if (isCadreError(error, "CLOSED")) return;
    this.#port.context.logger.warn("The worker could not give a task back; it tries again.", {
      error,
    });
  }
}

function closing(): CadreError {
  return new CadreError("CLOSED", "The runtime is closing.", { what: "runtime" });
}
