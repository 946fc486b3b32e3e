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
import type { TaskWork } from "./agent.ts";
import type { AgentCard, Directory } from "./directory.ts";
import { Heartbeat } from "./heartbeat.ts";
import type { BoardEntry, TaskBoard } from "./task-board.ts";
import type { LocalClaimer } from "./task-desk.ts";
import { leaseExpired, taskClaimed } from "./task-events.ts";
import { applyTask, isOpen, isOwned } from "./task-fold.ts";
import { TaskRun, type TaskRunPort } from "./task-run.ts";
import { TaskSlots } from "./task-slots.ts";

export interface TaskWorkerPort extends Omit<TaskRunPort, "slots"> {
  readonly board: TaskBoard;
  readonly directory: Directory;
  /** Tasks that some worker of this process is claiming or running, by id. */
  readonly taken: Set<string>;
  /** What the process says of itself on the card. */
  readonly host: () => Pick<AgentCard, "pid" | "host" | "loopLagMs">;
  onError(error: unknown, task: string): void;
}

const candidateWindow = 32; // candidates looked at for a random pick; more collide no less

export class TaskWorker implements LocalClaimer {
  readonly #port: TaskWorkerPort;
  readonly #slots: TaskSlots;
  readonly #works: ReadonlyMap<string, TaskWork>;
  readonly #runs = new Map<string, TaskRun>();
  readonly #ended = new Set<Promise<void>>();
  readonly heartbeat: Heartbeat;
  #state: AgentCard["state"] = "running";
  #stopWatching: () => void = () => {};
  #cancelWake: () => void = () => {};
  #filling = false;

  constructor(port: TaskWorkerPort) {
    this.#port = port;
    this.#slots = new TaskSlots(port.agent.capacity, () => this.fill());
    this.#works = new Map(port.agent.tasks.map((work) => [work.definition.name, work]));
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
        if (!candidate || !this.#slots.tryTake()) return;
        this.#start(this.#claim(candidate), candidate.state.id);
      }
    });
  }

  claimNew(entry: BoardEntry): ReturnType<LocalClaimer["claimNew"]> {
    const { id } = entry.state;
    if (!this.#mayClaim() || !this.#fits(entry) || !this.#slots.tryTake()) return undefined;
    this.#port.taken.add(id);
    const events = this.#claimEvents(entry);
    return {
      events,
      start: (claimed) => this.#start(this.#run(claimed), id),
      giveUp: () => {
        this.#port.taken.delete(id);
        this.#slots.giveBack();
      },
    };
  }

  /**
   * Takes nothing new; resolves when what runs has ended, or has been given back at the deadline.
   */
  async drain(
    deadlineMs: number,
  ): Promise<{ readonly finished: number; readonly released: number }> {
    this.#state = "draining";
    this.#stopFilling();
    const running = this.#runs.size;
    let released = 0;
    const cancel = this.#port.context.clock.after(deadlineMs, () => {
      released = this.#runs.size;
      for (const run of this.#runs.values()) {
        run.abort(new CadreError("CLOSED", "The runtime is closing.", { what: "runtime" }));
      }
    });
    await Promise.all(this.#ended);
    cancel();
    this.#stopWatching();
    return { finished: running - released, released };
  }

  #mayClaim(): boolean {
    return this.#state === "running" && this.heartbeat.alive;
  }

  #stopFilling(): void {
    this.#cancelWake();
  }

  #candidate(): BoardEntry | undefined {
    const { agent, board, context, directory } = this.#port;
    const found: BoardEntry[] = [];
    let wakeAt = Infinity;
    const rivals = agent.capabilities.some((capability) =>
      directory
        .find({ capability })
        .some(
          ({ card, presence }) => card.incarnation !== context.incarnation && presence !== "dead",
        ),
    );
    const enough = rivals ? candidateWindow : 1;
    for (const capability of agent.capabilities) {
      for (const entry of board.claimable(capability)) {
        const { notBefore = 0 } = entry.state;
        if (notBefore > context.clock.now()) wakeAt = Math.min(wakeAt, notBefore);
        else if (this.#fits(entry)) found.push(entry);
        if (found.length >= enough) break;
      }
      if (found.length >= enough) break;
    }
    if (found.length === 0 && Number.isFinite(wakeAt)) this.#wakeAt(wakeAt);
    const urgent = found.filter((entry) => entry.state.priority === found[0]?.state.priority);
    return urgent[urgent.length > 1 ? context.random.integer(urgent.length) : 0];
  }

  #wakeAt(instant: number): void {
    const { clock } = this.#port.context;
    this.#cancelWake();
    this.#cancelWake = clock.after(instant - clock.now(), () => this.fill());
  }

  #fits(entry: BoardEntry): boolean {
    const { state } = entry;
    const { agent, directory, taken, context } = this.#port;
    if (!this.#works.has(state.name) || taken.has(state.id)) return false;
    const others = (name?: string): boolean =>
      directory
        .find({
          capability: state.capability,
          free: true,
          ...(name === undefined ? {} : { agent: name }),
        })
        .some(
          ({ card, presence }) =>
            card.agent !== agent.name &&
            presence !== "dead" &&
            (name !== undefined || !state.triedBy.includes(card.agent)),
        );
    // The one who was asked comes first, as long as it has room.
    if (state.assignedTo !== undefined && state.assignedTo !== agent.name) {
      const waitedMs = context.clock.now() - entry.last.timestamp;
      if (others(state.assignedTo) && waitedMs < context.heartbeatMs) return false;
    }
    // Another try goes to another agent first.
    return !state.triedBy.includes(agent.name) || !others();
  }

  #claimEvents(entry: BoardEntry): readonly AgentEvent[] {
    const { context, agent } = this.#port;
    return taskClaimed(context, { agent: agent.name, incarnation: context.incarnation }, entry);
  }

  async #claim(entry: BoardEntry): Promise<void> {
    const { id } = entry.state;
    const { board, desk, taken } = this.#port;
    taken.add(id);
    const events = this.#claimEvents(entry);
    if (!(await desk.transition(entry, events))) {
      await board.refresh();
      return;
    }
    let { state } = entry;
    for (const event of events) state = applyTask(state, event) ?? state;
    const claimed = {
      state,
      version: entry.version + events.length,
      last: events.at(-1) ?? entry.last,
    };
    board.applied(claimed);
    await this.#run(claimed);
  }

  async #run(entry: BoardEntry): Promise<void> {
    const { state } = entry;
    const work = this.#works.get(state.name)!;
    const run = new TaskRun({ ...this.#port, slots: this.#slots }, work, entry);
    this.#runs.set(state.id, run);
    const known = this.#port.board.get(state.id);
    if (known && known.version > entry.version) run.notice(known);
    try {
      await run.run();
    } finally {
      this.#runs.delete(state.id);
    }
  }

  /** Follows one claim or run to its end and frees its slot. */
  #start(work: Promise<void>, id: string): void {
    const ended = work
      .catch((error: unknown) => this.#port.onError(error, id))
      .then(() => {
        this.#port.taken.delete(id);
        this.#ended.delete(ended);
        this.#slots.giveBack();
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
