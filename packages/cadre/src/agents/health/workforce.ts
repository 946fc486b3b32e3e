/**
 * All agents of a process: one heartbeat, one look at the board and one at their health for all of
 * them, so that ten thousand idle ones cost what a few do.
 */
import type { HealthOptions } from "./health-options.ts";
import type { AnyAgent } from "../agent.ts";
import { Heartbeat, type HeartbeatPort } from "../heartbeat.ts";
import type { PresenceObserver } from "../presence.ts";
import { sayGoodbye, type ProcessCard } from "../process-card.ts";
import type { BoardEntry, TaskBoard } from "../task-board.ts";
import type { LocalClaimer, TaskDesk } from "../task-desk.ts";
import { leaseExpired } from "../task-events.ts";
import { isOpen, isOwned } from "../task-fold.ts";
import type { TaskWorker } from "../task-worker.ts";
import { isPassing } from "../passing-trouble.ts";
import { isCadreError } from "../../core/errors.ts";
import { teamEvent, type TeamContext } from "../team-context.ts";
import { processOf, type Pulse } from "./beat.ts";
import { LagWatch } from "./lag-watch.ts";
import { ProgressWatch, type StuckWork } from "./progress-watch.ts";
import { Roster } from "./roster.ts";
import { RunningAgent, type RunningAgentPort } from "./running-agent.ts";

/** What the process gives to each agent alike. */
type OfProcess =
  | "context"
  | "board"
  | "desk"
  | "directory"
  | "taken"
  | "progress"
  | "restarts"
  | "breaker"
  | "isAlive"
  | "isClosing"
  | "beat"
  | "wakeAt"
  | "onBusy"
  | "onRoom"
  | "onError";

/** What the team gives to each agent alike. */
export type OfTeam = Omit<RunningAgentPort, OfProcess>;

export interface WorkforcePort {
  readonly context: TeamContext;
  readonly board: TaskBoard;
  readonly desk: TaskDesk;
  readonly presence: PresenceObserver;
  readonly process: ProcessCard;
  readonly health: HealthOptions;
  readonly forAgents: OfTeam;
  /** The process can count on the store again, or still: once a beat. */
  readonly onBeat: () => void;
  readonly onError: (error: unknown, task: string) => void;
}

const lagShare = 0.25; // of the time after which others suspect it
const stuckAfterMs = 300_000; // longer than any call that a handler should make without a word

export class Workforce implements LocalClaimer, HeartbeatPort {
  readonly #port: WorkforcePort;
  readonly #byName = new Map<string, RunningAgent>();
  readonly #roster = new Roster<RunningAgent>();
  readonly #taken = new Map<string, TaskWorker>();
  /** Agents that hold tasks. */
  readonly #busy = new Set<RunningAgent>();
  /** Agents of which something was stuck at the last look. */
  readonly #stuck = new Set<RunningAgent>();
  /** Agents that were full, with work waiting, at the last look; true when that was told. */
  readonly #full = new Map<RunningAgent, boolean>();
  readonly #progress: ProgressWatch;
  readonly #heartbeat: Heartbeat;
  readonly #lag: LagWatch;
  readonly #forAll: RunningAgentPort;
  #stopWatching: () => void = () => {};
  #cancelWake: () => void = () => {};
  #wakeAt = Infinity;
  #isClosing = false;
  readonly #wanted = new Set<string>();

  constructor(port: WorkforcePort) {
    this.#port = port;
    this.#progress = new ProgressWatch(port.context.clock);
    this.#heartbeat = new Heartbeat(port.context, this);
    this.#lag = new LagWatch(port.health.maxLagMs ?? port.context.suspectAfterMs * lagShare);
    const { context, board, desk, presence, health, onError } = port;
    this.#forAll = {
      ...port.forAgents,
      context,
      board,
      desk,
      directory: presence,
      taken: this.#taken,
      progress: this.#progress,
      restarts: health.restarts,
      breaker: health.breaker ?? {},
      onError,
      isAlive: () => this.#heartbeat.alive,
      isClosing: () => this.#isClosing,
      beat: () => this.#heartbeat.beat(),
      wakeAt: (instant) => this.#wake(instant),
      onBusy: (busy) => {
        if (busy.worker.isBusy) this.#busy.add(busy);
        else this.#busy.delete(busy);
      },
      onRoom: (agent) => this.#roster.hasRoom(agent),
    };
  }

  /** By name. */
  get members(): ReadonlyMap<string, RunningAgent> {
    return this.#byName;
  }

  get agents(): readonly RunningAgent[] {
    return this.#roster.members;
  }

  get running(): number {
    let running = 0;
    for (const { worker } of this.#busy) running += worker.running;
    return running;
  }

  add(definition: AnyAgent): void {
    const agent = new RunningAgent(this.#forAll, definition);
    this.#byName.set(agent.name, agent);
    this.#roster.add(agent);
  }

  /** Beats, then claims. */
  async start(): Promise<void> {
    await this.#heartbeat.start();
    this.#stopWatching = this.#port.board.watch((entry) => this.#notice(entry));
    this.#fillAll();
  }

  claimNew(entry: BoardEntry): ReturnType<LocalClaimer["claimNew"]> {
    let claim: ReturnType<LocalClaimer["claimNew"]>;
    this.#roster.visit(entry.state.capability, ({ worker }) => {
      claim = worker.claimNew(entry);
      return claim !== undefined;
    });
    return claim;
  }

  /** Nothing new; resolves when what runs has ended, or has been given back at the deadline. */
  async drain(
    deadlineMs: number,
  ): Promise<{ readonly finished: number; readonly released: number }> {
    this.#isClosing = true;
    this.#cancelWake();
    const drained = await Promise.all(this.agents.map((agent) => agent.close(deadlineMs)));
    this.#stopWatching();
    return {
      finished: drained.reduce((sum, { finished }) => sum + finished, 0),
      released: drained.reduce((sum, { released }) => sum + released, 0),
    };
  }

  /** The agents have left, and say so. */
  async leave(): Promise<void> {
    await this.#heartbeat.close();
    await sayGoodbye(
      this.#port.context,
      this.agents.map((agent) => agent.card()),
    );
  }

  pulse(): Pulse {
    const pulse = { beatAt: this.#port.context.clock.now(), ...this.#port.process.read() };
    this.#lookForLag(pulse.loopLagMs);
    return pulse;
  }

  onBeat(): void {
    this.#lookForStuck();
    this.#lookForFull();
    // How many of its tasks wait is on the card, and changes without a word.
    for (const agent of this.#busy) agent.changed();
  }

  onFenced(): void {
    for (const { worker } of this.#busy) worker.abortAll("its lease could not be renewed");
  }

  onRenewed(): void {
    this.#giveBackAbandoned().catch((error: unknown) => this.#warn(error));
    this.#port.onBeat();
    this.#fillAll();
  }

  onMissed(): void {
    this.#port.presence.distrust();
  }

  onEvicted(silentMs: number): void {
    const { context } = this.#port;
    const ms = Math.round(silentMs);
    const message =
      `This process was silent for ${ms} ms, longer than its lease of ${context.leaseMs} ms. ` +
      "Its agents were taken for dead, and what they held belongs to others.";
    context.bus.raise({ severity: "warning", code: "LEASE_LOST", message, cause: undefined });
    this.onFenced();
  }

  #notice(entry: BoardEntry): void {
    const { id, capability, status } = entry.state;
    this.#taken.get(id)?.notice(entry);
    if (isOpen(status) && this.#roster.has(capability)) this.#want(capability);
  }

  /** One look a turn for each capability, however many tasks of it have come. */
  #want(capability: string): void {
    if (this.#wanted.size === 0) {
      queueMicrotask(() => {
        const wanted = [...this.#wanted];
        this.#wanted.clear();
        for (const each of wanted) this.#fillFor(each);
      });
    }
    this.#wanted.add(capability);
  }

  #fillAll(): void {
    for (const capability of this.#roster.capabilities()) this.#fillFor(capability);
  }

  #fillFor(capability: string): void {
    const { board } = this.#port;
    if (!this.#isRipe(capability)) return;
    this.#roster.visit(capability, ({ worker }) => {
      worker.fillNow();
      // Who looks takes what it claims off the board: the rest needn't look at all.
      return !board.hasClaimable(capability);
    });
  }

  /** Whether anything may be claimed now; what may be only later is looked at again then. */
  #isRipe(capability: string): boolean {
    const { board, context } = this.#port;
    const now = context.clock.now();
    let wakeAt = Infinity;
    for (const { state } of board.claimable(capability)) {
      const { notBefore = 0 } = state;
      if (notBefore <= now) return true;
      wakeAt = Math.min(wakeAt, notBefore);
    }
    if (Number.isFinite(wakeAt)) this.#wake(wakeAt);
    return false;
  }

  #wake(instant: number): void {
    if (instant >= this.#wakeAt) return;
    const { clock } = this.#port.context;
    this.#cancelWake();
    this.#wakeAt = instant;
    this.#cancelWake = clock.after(instant - clock.now(), () => {
      this.#wakeAt = Infinity;
      this.#fillAll();
    });
  }

  #lookForStuck(): void {
    const { health } = this.#port;
    const { fresh, stuck } = this.#progress.look(
      (name) =>
        this.#byName.get(name)?.definition.stuckAfterMs ?? health.stuckAfterMs ?? stuckAfterMs,
    );
    for (const agent of this.#stuck) {
      if (stuck.has(agent.name)) continue;
      this.#stuck.delete(agent);
      agent.markStuck(undefined);
      this.#say(agent.name, { status: "moving", previous: "stuck" });
    }
    for (const work of fresh) this.#tellStuck(work);
  }

  #lookForLag(lagMs: number): void {
    const news = this.#lag.look(lagMs);
    if (!news) return;
    const { logger, name } = this.#port.context;
    const note = `the event loop of this process was late by ${lagMs} ms`;
    if (news === "blocked") logger.warn("Something blocks the event loop.", { lagMs });
    this.#say(name, { status: news === "blocked" ? "blocked" : "moving", note });
  }

  #tellStuck(work: StuckWork): void {
    const agent = this.#byName.get(work.agent);
    if (!agent) return;
    const note = `${work.what} has made no progress for ${Math.round(work.silentMs)} ms`;
    const task = work.taskId === undefined ? {} : { taskId: work.taskId };
    this.#port.context.logger.warn("An agent is stuck.", { agent: work.agent, note, ...task });
    this.#say(work.agent, { status: "stuck", note, ...task });
    agent.markStuck(note);
    this.#stuck.add(agent);
    if (this.#port.health.onStuck !== "restart") return;
    agent.recover(note).catch((error: unknown) => this.#warn(error));
  }

  /** Full at two looks, with work waiting: not a moment's queue, and told once. */
  #lookForFull(): void {
    const { board, context } = this.#port;
    for (const agent of this.#full.keys()) if (!this.#isFull(agent)) this.#full.delete(agent);
    for (const agent of this.#busy) {
      if (!this.#isFull(agent)) continue;
      const before = this.#full.get(agent);
      this.#full.set(agent, before !== undefined);
      if (before !== false) continue;
      const { capabilities, capacity } = agent.definition;
      const waiting = capabilities.filter((each) => board.hasClaimable(each));
      const size = waiting.reduce((sum, each) => sum + board.countClaimable(each), 0);
      const payload = { agent: agent.name, queue: waiting.join(","), size, limit: capacity };
      const event = teamEvent(context, agent.name, "agent.backpressure", payload);
      context.bus.publishEvent(event).catch((error: unknown) => this.#warn(error));
    }
  }

  #isFull(agent: RunningAgent): boolean {
    if (agent.worker.hasRoom || agent.state !== "running") return false;
    const { capabilities } = agent.definition;
    return capabilities.some((capability) => this.#port.board.hasClaimable(capability));
  }

  #say(agent: string, fields: Readonly<Record<string, unknown>>): void {
    const { context } = this.#port;
    const event = teamEvent(context, agent, "status.updated", { agent, ...fields });
    context.bus.publishEvent(event).catch((error: unknown) => this.#warn(error));
  }

  /**
   * Tasks that the log says are ours and that nobody runs: the answer of a claim was lost, or the
   * work was stopped in trouble.
   */
  async #giveBackAbandoned(): Promise<void> {
    const { board, context, desk } = this.#port;
    for (const entry of [...board.entries()]) {
      const { owner, status, id } = entry.state;
      if (!owner || !isOwned(status) || this.#taken.has(id)) continue;
      if (processOf(owner.incarnation) !== context.incarnation) continue;
      await desk.transition(entry, [leaseExpired(context, owner.agent, entry, "abandoned")]);
    }
  }

  #warn(error: unknown): void {
    if (isCadreError(error, "CLOSED")) return;
    const message = isPassing(error)
      ? "An agent's health could not be told; the store or the bus is away."
      : "An agent's health could not be told.";
    this.#port.context.logger.warn(message, { error });
  }
}
