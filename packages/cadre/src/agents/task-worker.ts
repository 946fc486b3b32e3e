/**
 * The worker: one run of one agent in one process. It claims tasks that fit it while it has free
 * slots, and runs them.
 *
 * Who claims is decided by the append's expected version alone. To collide less, workers of one
 * capability in several processes pick by chance among the first few candidates; a worker alone
 * takes the first.
 */
import { CadreError } from "../core/errors.ts";
import type { AgentEvent } from "../core/event.ts";
import type { CapabilityBreakers, RunOutcome } from "./health/capability-breakers.ts";
import type { ProgressMark } from "./health/progress-watch.ts";
import { throughTrouble } from "./passing-trouble.ts";
import type { PresenceObserver } from "./presence.ts";
import { mayTakeOver } from "./orchestration/handoff.ts";
import { isAskedPersonally } from "./proposals/ballots.ts";
import { Rivals } from "./rivals.ts";
import type { BoardEntry, TaskBoard } from "./task-board.ts";
import type { LocalClaimer } from "./task-desk.ts";
import { taskClaimed } from "./task-events.ts";
import { applyTask } from "./task-fold.ts";
import { TaskRun, type TaskRunPort } from "./task-run.ts";
import { TaskSlots, type SlotHold } from "./task-slots.ts";
import type { TaskState } from "./task.ts";
import { workFor } from "./work-version.ts";

export interface TaskWorkerPort extends Omit<TaskRunPort, "slot" | "isAlive"> {
  readonly board: TaskBoard;
  readonly directory: PresenceObserver;
  readonly breakers: CapabilityBreakers;
  /** Workers of this process by the tasks that they are claiming or running. */
  readonly taken: Map<string, TaskWorker>;
  /** Whether it may take new work, as far as it was told. */
  readonly isActive: () => boolean;
  /** Whether the process may count on its leases now. */
  readonly isAlive: () => boolean;
  /** Follows the progress of a handler. */
  readonly begin: (taskId: string, isWaiting: () => boolean) => ProgressMark;
  /** Candidates are there, and not before this instant. */
  readonly wakeAt: (instant: number) => void;
  /** What it holds has changed. */
  readonly onChange: () => void;
  /** It has a slot again. */
  readonly onFree: () => void;
  readonly onError: (error: unknown, task: string) => void;
}

const claimAgainMs = 500; // after a claim that the store refused
const candidateWindow = 32; // candidates looked at for a random pick; more collide no less

export class TaskWorker implements LocalClaimer {
  readonly #port: TaskWorkerPort;
  readonly #slots: TaskSlots;
  readonly #limits: readonly string[];
  readonly #runs = new Map<string, { readonly run: TaskRun; readonly slot: SlotHold }>();
  readonly #ended = new Set<Promise<void>>();
  #draining = false;
  #cancelWake: () => void = () => {};
  #cancelLimit: () => void = () => {};
  #filling = false;
  #overdue: CadreError | undefined;
  /** Monotonic: no claim before. */
  #pausedUntil = -Infinity;
  /** The same for a capability whose rate limit is used up. */
  #limitedUntil: Map<string, number> | undefined;

  constructor(port: TaskWorkerPort) {
    this.#port = port;
    this.#slots = new TaskSlots(port.agent.capacity, () => {
      port.onFree();
      this.fill();
    });
    const { limits } = port.context;
    this.#limits = [`agent:${port.agent.name}`].filter((name) => limits.has(name));
  }

  get running(): number {
    return this.#runs.size;
  }

  /** Whether it claims or runs anything. */
  get isBusy(): boolean {
    return this.#ended.size > 0;
  }

  /** Tasks that wait without a slot. */
  get waiting(): number {
    let waiting = 0;
    for (const { slot } of this.#runs.values()) if (slot.isWaiting) waiting += 1;
    return waiting;
  }

  get hasRoom(): boolean {
    return this.#slots.free > 0;
  }

  /** Claims what fits until the slots are full. Safe to call at any time. */
  fill(): void {
    if (this.#filling) return;
    this.#filling = true;
    // One look a turn, however many events of one batch asked for it.
    queueMicrotask(() => {
      this.#filling = false;
      this.fillNow();
    });
  }

  /** The same at once; not for who is just being told of a change of the board. */
  fillNow(): void {
    while (this.#slots.free > 0 && this.#mayClaim()) {
      const candidate = this.#candidate();
      const slot = candidate && this.#slots.tryTake();
      if (!slot) return;
      this.#start(candidate.state, slot, this.#claim(candidate, slot));
    }
  }

  claimNew(entry: BoardEntry): ReturnType<LocalClaimer["claimNew"]> {
    const { state } = entry;
    if (!this.#mayClaim() || !this.#fits(entry, new Rivals(this.#port))) return undefined;
    // A permit has to be asked for first: what is limited is claimed in the usual way.
    if (this.#limitsOf(state.capability).length > 0) return undefined;
    const slot = this.#slots.tryTake();
    if (!slot) return undefined;
    const events = this.#claimEvents(entry);
    let answer: (claimed?: BoardEntry) => void = () => {};
    const claimed = new Promise<BoardEntry | undefined>((resolve) => {
      answer = resolve;
    });
    // Followed from here on: a worker that drains waits for the answer and for the run.
    const running = claimed.then((known) => known && this.#run(known, slot));
    this.#start(state, slot, running);
    return { events, start: (known) => answer(known), giveUp: () => answer() };
  }

  /** What happened to a task of its own elsewhere. */
  notice(entry: BoardEntry): void {
    this.#runs.get(entry.state.id)?.run.notice(entry);
  }

  /**
   * Takes nothing new; resolves when what runs has ended, or has been given back at the deadline.
   */
  async drain(
    deadlineMs: number,
  ): Promise<{ readonly finished: number; readonly released: number }> {
    this.#draining = true;
    this.#cancelWake();
    this.#cancelLimit();
    const running = this.#runs.size;
    let released = 0;
    const cancel = this.#port.context.clock.after(deadlineMs, () => {
      this.#overdue = closing();
      released = this.#runs.size;
      for (const { run } of this.#runs.values()) run.abort(this.#overdue);
    });
    while (this.#ended.size > 0) await Promise.all(this.#ended);
    cancel();
    return { finished: Math.max(0, running - released), released };
  }

  /** The lease can no longer be counted on. */
  abortAll(why: string): void {
    for (const [id, { run }] of this.#runs) {
      run.abort(
        new CadreError("LEASE_LOST", `Task ${id} was stopped: ${why}.`, { what: `task ${id}` }),
      );
    }
  }

  get #now(): number {
    return this.#port.context.clock.monotonic();
  }

  #mayClaim(): boolean {
    if (this.#draining || !this.#port.isActive() || !this.#port.isAlive()) return false;
    // Most never pause, and needn't read the clock for it.
    return this.#pausedUntil === -Infinity || this.#now >= this.#pausedUntil;
  }

  #candidate(): BoardEntry | undefined {
    const { agent, board, breakers, context } = this.#port;
    const found: BoardEntry[] = [];
    const rivals = new Rivals(this.#port);
    let enough = 0;
    let wakeAt = Infinity;
    for (const capability of agent.capabilities) {
      if (!board.hasClaimable(capability) || !breakers.allows(capability)) continue;
      if ((this.#limitedUntil?.get(capability) ?? 0) > context.clock.monotonic()) continue;
      enough ||= rivals.areThere() ? candidateWindow : 1;
      for (const entry of board.claimable(capability)) {
        const { notBefore = 0 } = entry.state;
        if (notBefore > context.clock.now()) wakeAt = Math.min(wakeAt, notBefore);
        else if (this.#fits(entry, rivals)) found.push(entry);
        if (found.length >= enough) break;
      }
      if (found.length >= enough) break;
    }
    if (found.length === 0 && Number.isFinite(wakeAt)) this.#port.wakeAt(wakeAt);
    const urgent = found.filter((entry) => entry.state.priority === found[0]?.state.priority);
    return urgent[urgent.length > 1 ? context.random.integer(urgent.length) : 0];
  }

  #pauseFor(delayMs: number): void {
    const { clock } = this.#port.context;
    this.#pausedUntil = clock.monotonic() + delayMs;
    this.#cancelWake();
    if (!this.#draining) this.#cancelWake = clock.after(delayMs, () => this.fill());
  }

  #fits(entry: BoardEntry, rivals: Rivals): boolean {
    const { state } = entry;
    const { agent, breakers, taken, context } = this.#port;
    if (!workFor(agent, state) || taken.has(state.id)) return false;
    const { assignedTo, triedBy, capability } = state;
    if (!breakers.allows(capability) || !this.#isPermitted(state)) return false;
    const waitedMs = context.clock.now() - entry.last.timestamp;
    const patienceMs = context.suspectAfterMs;
    if (!mayTakeOver(state, agent.name, { waitedMs, patienceMs })) return false;
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

  #isPermitted({ capability, tenant }: TaskState): boolean {
    const { agent, context } = this.#port;
    const permissions = context.guard?.permissions;
    if (!permissions) return true;
    // To be asked for its word is nothing to claim, but what it is asked stays behind its wall.
    if (isAskedPersonally(agent.name, capability)) return permissions.sees(agent.name, tenant);
    return permissions.may(agent.name, "claim", capability, tenant);
  }

  #claimEvents(entry: BoardEntry): readonly AgentEvent[] {
    const { context, agent } = this.#port;
    return taskClaimed(context, { agent: agent.name, incarnation: context.incarnation }, entry);
  }

  /** Names of the rate limits that a claim must respect. */
  #limitsOf(capability: string): readonly string[] {
    const name = `capability:${capability}`;
    return this.#port.context.limits.has(name) ? [...this.#limits, name] : this.#limits;
  }

  /** Takes what every limit asks for. False, when one has no room; then it waits for that. */
  async #mayBegin(capability: string): Promise<boolean> {
    const { limits } = this.#port.context;
    for (const name of this.#limitsOf(capability)) {
      const waitMs = await limits.tryTake(name);
      if (waitMs === 0) continue;
      if (this.#limits.includes(name)) this.#pauseFor(waitMs);
      else this.#limit(capability, waitMs);
      return false;
    }
    return this.#mayClaim();
  }

  #limit(capability: string, waitMs: number): void {
    const { clock } = this.#port.context;
    (this.#limitedUntil ??= new Map()).set(capability, clock.monotonic() + waitMs);
    this.#cancelLimit();
    this.#cancelLimit = clock.after(waitMs, () => this.fill());
  }

  async #claim(entry: BoardEntry, slot: SlotHold): Promise<RunOutcome> {
    const { board, context, desk } = this.#port;
    const { capability } = entry.state;
    if (this.#limitsOf(capability).length > 0 && !(await this.#mayBegin(capability))) {
      return undefined;
    }
    const events = this.#claimEvents(entry);
    const written = await throughTrouble(
      context.clock,
      context.heartbeatMs,
      () => desk.transition(entry, events),
      () => this.#mayClaim(),
    ).catch((error: unknown) => {
      // The same candidate is there at once again: without a pause this would never end.
      this.#pauseFor(claimAgainMs);
      throw error;
    });
    if (!written) {
      await board.refresh();
      return undefined;
    }
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

  async #run(entry: BoardEntry, slot: SlotHold): Promise<RunOutcome> {
    const { state } = entry;
    const { agent, board, begin, isAlive } = this.#port;
    // The answer to the claim may come after the end: who was frozen meanwhile was taken for dead.
    const known = board.get(state.id);
    const work = workFor(agent, state);
    if (!known || !work) return undefined;
    const mark = begin(state.id, () => slot.isWaiting);
    const run = new TaskRun(
      {
        ...this.#port,
        slot,
        // It is asked before everything that the handler does: whoever asks makes progress.
        isAlive: () => {
          mark.touch();
          return isAlive();
        },
      },
      work,
      entry,
    );
    this.#runs.set(state.id, { run, slot });
    if (known.version > entry.version) run.notice(known);
    if (this.#overdue) run.abort(this.#overdue);
    try {
      await run.run();
      return run.outcome;
    } finally {
      mark.end();
      this.#runs.delete(state.id);
    }
  }

  /** Follows one claim or run to its end and frees its slot. */
  #start({ id, capability }: TaskState, slot: SlotHold, work: Promise<RunOutcome>): void {
    const { board, breakers, onChange, onError, taken } = this.#port;
    taken.set(id, this);
    board.hold(id);
    breakers.enter(capability);
    const ended = work
      .catch((error: unknown) => {
        onError(error, id);
        return undefined;
      })
      .then((outcome) => {
        breakers.ended(capability, outcome);
        taken.delete(id);
        this.#ended.delete(ended);
        board.letGo(id);
        onChange();
        slot.release();
      });
    this.#ended.add(ended);
    onChange();
  }
}

function closing(): CadreError {
  return new CadreError("CLOSED", "The runtime is closing.", { what: "runtime" });
}
