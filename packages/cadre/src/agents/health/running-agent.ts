/**
 * One agent as its process runs it, and restarts it.
 *
 *   running ⇄ paused | asleep          claims nothing; what runs goes on
 *      │ ──drain──▶ draining ──▶ stopped ──resume──▶ running, a new incarnation
 *      │ ──restart, or found stuck──▶ draining ──backoff──▶ running, a new incarnation
 *      └──────── restarted too often ────────▶ stopped, with the reason
 *
 * Strategy: one for one. What befalls an agent restarts that agent alone; a process that dies is
 * restarted by whoever runs it. Changes of state are made one after the other.
 */
import { describeError } from "../../core/errors.ts";
import type { BreakerOptions } from "../../bus/bus.ts";
import type { AnyAgent } from "../agent.ts";
import type { AgentState } from "../agent-state.ts";
import type { AgentActivity } from "../directory.ts";
import type { Beating } from "../heartbeat.ts";
import { throughTrouble } from "../passing-trouble.ts";
import type { TaskWorker, TaskWorkerPort } from "../task-worker.ts";
import { teamEvent, type TeamContext } from "../team-context.ts";
import { hoursAt } from "./active-when.ts";
import { AgentRun } from "./agent-run.ts";
import { restIn, type AgentWish } from "./agent-wish.ts";
import { incarnationOf, type AgentPart } from "./beat.ts";
import type { ProgressWatch } from "./progress-watch.ts";
import { RestartPolicy, type RestartOptions } from "./restart-policy.ts";

/** Each run of the agent has its own. */
type OfRun = "agent" | "state" | "breakers" | "isActive" | "begin" | "onChange" | "onFree";

/** What all agents of a process share. */
export interface RunningAgentPort extends Omit<TaskWorkerPort, OfRun> {
  /** Of the process. */
  readonly context: TeamContext;
  readonly progress: ProgressWatch;
  readonly restarts: RestartOptions | undefined;
  readonly breaker: BreakerOptions | false;
  /** Of an agent that does or hears something. */
  stateOf(agent: AnyAgent): AgentState<unknown>;
  /** The process ends: its agents are closed, and none of them begins anew. */
  isClosing(): boolean;
  /** Writes a beat at once: the card is known when it resolves. */
  beat(): Promise<void>;
  /** It holds tasks, or no more. */
  onBusy(agent: RunningAgent): void;
  /** It may take a task again. */
  onRoom(agent: RunningAgent): void;
}

/** How it fares, beside simply running: most of ten thousand agents have nothing of it. */
interface Fortune {
  policy?: RestartPolicy | undefined;
  restarts: number;
  /** Of the run of now; another one after each restart. */
  context: TeamContext;
  /** A pause or a sleep that was ordered, and is not over: no restart ends it. */
  rest?: AgentWish | undefined;
  reason?: string | undefined;
  nextActiveAt?: number | undefined;
  stuck?: string | undefined;
  cancelWake: () => void;
  /** Only while it waits to be started again. */
  waiting?: AbortController | undefined;
  /** The change that was asked for last. */
  turn: Promise<unknown>;
}

const settled = Promise.resolve();
const outOfHours = "these are not its hours";
const noWake = (): void => {};
const restartPatienceMs = 1_000; // for the work of an agent that is restarted by hand

export class RunningAgent implements Beating {
  readonly definition: AnyAgent;
  readonly #port: RunningAgentPort;
  #state: AgentActivity = "running";
  #revision = 1;
  #knownFortune: Fortune | undefined;
  /** Made when it is needed first. */
  #knownRun: AgentRun | undefined;

  constructor(port: RunningAgentPort, definition: AnyAgent) {
    this.#port = port;
    this.definition = definition;
    if (definition.events.length > 0) this.#knownRun = this.#begun(undefined);
    this.#keepHours();
  }

  get #fortune(): Fortune {
    const { context } = this.#port;
    return (this.#knownFortune ??= { restarts: 0, context, cancelWake: noWake, turn: settled });
  }

  get #run(): AgentRun {
    return (this.#knownRun ??= this.#begun(undefined));
  }

  get #context(): TeamContext {
    return this.#knownFortune?.context ?? this.#port.context;
  }

  get name(): string {
    return this.definition.name;
  }

  get incarnation(): string {
    return this.#context.incarnation;
  }

  get revision(): number {
    return this.#revision;
  }

  get state(): AgentActivity {
    return this.#state;
  }

  get worker(): TaskWorker {
    return this.#run.worker;
  }

  get hasRoom(): boolean {
    return this.#knownRun?.hasRoom ?? true;
  }

  card(): AgentPart {
    const { board } = this.#port;
    const agent = this.definition;
    const { reason, nextActiveAt, stuck } = this.#knownFortune ?? {};
    const broken = this.#knownRun?.broken ?? [];
    return {
      agent: agent.name,
      incarnation: this.incarnation,
      ...(agent.version === undefined ? {} : { version: agent.version }),
      capabilities: agent.capabilities,
      specializations: agent.specializations,
      capacity: agent.capacity,
      load: board.leases(agent.name, this.incarnation),
      waiting: this.#knownRun?.waiting ?? 0,
      state: this.#state,
      ...(reason === undefined ? {} : { reason }),
      ...(nextActiveAt === undefined ? {} : { nextActiveAt }),
      ...(stuck === undefined ? {} : { stuck }),
      ...(broken.length === 0 ? {} : { broken }),
    };
  }

  /** The card says something else now. */
  changed(): void {
    this.#revision += 1;
  }

  async declare(): Promise<void> {
    await this.#knownRun?.listener?.declare();
  }

  /** Begins to hear; the worker claims as soon as the heartbeat is there. */
  async listen(): Promise<void> {
    if (this.#state === "stopped") return;
    await this.#knownRun?.listener?.start();
    if (this.#state !== "running") this.#knownRun?.listener?.pause();
  }

  /** What a person wants of it at its start: nothing has to be ended for that. */
  startAs(wish: AgentWish): void {
    if (wish.state === "running") return;
    this.#fortune.rest = restIn(wish);
    this.#become(wish.state, wish.reason);
    if (wish.state === "asleep") this.#sleepUntil(wish.until);
  }

  /** Obeys; resolves when it has. */
  obey(wish: AgentWish): Promise<void> {
    return this.#next(async () => {
      if (this.#port.isClosing()) return;
      this.#knownFortune?.policy?.reset();
      this.#fortune.rest = restIn(wish);
      if (wish.state === "stopped") await this.#end(wish.deadlineMs ?? Infinity, wish.reason);
      else if (wish.state === "running") await this.#resume(wish.reason);
      else this.#pause(wish);
      // Others needn't wait for the next regular beat; if this one fails, they do.
      this.#port.beat().catch(() => undefined);
    });
  }

  /** By hand, with time for what runs. */
  restart(reason: string, deadlineMs: number = restartPatienceMs): Promise<void> {
    return this.#next(async () => {
      if (this.#port.isClosing() || this.#state === "stopped") return;
      this.#knownFortune?.policy?.reset();
      await this.#again(deadlineMs, reason);
    });
  }

  /** Something is wrong with it: it is restarted with backoff, until that was too often. */
  recover(reason: string): Promise<void> {
    return this.#next(() => this.#recover(reason));
  }

  /** What makes no progress, in words; nothing, when all goes on. */
  markStuck(stuck: string | undefined): void {
    if (this.#knownFortune?.stuck === stuck) return;
    this.#fortune.stuck = stuck;
    this.changed();
  }

  async close(
    deadlineMs: number,
  ): Promise<{ readonly finished: number; readonly released: number }> {
    this.#knownFortune?.waiting?.abort();
    this.#knownFortune?.cancelWake();
    if (this.#state === "running") this.#become("draining", undefined);
    return this.#stop(deadlineMs);
  }

  async #stop(
    deadlineMs: number,
  ): Promise<{ readonly finished: number; readonly released: number }> {
    return (await this.#knownRun?.stop(deadlineMs)) ?? { finished: 0, released: 0 };
  }

  #next(change: () => Promise<void>): Promise<void> {
    const fortune = this.#fortune;
    const next = fortune.turn.then(change);
    fortune.turn = next.catch(() => undefined);
    return next;
  }

  #pause({ state, reason, until }: AgentWish): void {
    if (this.#state === "stopped") return;
    this.#knownRun?.listener?.pause();
    this.#become(state, reason);
    if (state === "asleep") this.#sleepUntil(until);
    this.#say("agent.paused", reason);
  }

  #sleepUntil(until: number | undefined): void {
    if (until === undefined) return;
    const { clock } = this.#context;
    const fortune = this.#fortune;
    fortune.nextActiveAt = until;
    fortune.cancelWake();
    fortune.cancelWake = clock.after(until - clock.now(), () => {
      if (this.#state !== "asleep" || this.#port.isClosing()) return;
      this.#next(() => this.#resume("its time has come")).catch(() => undefined);
    });
  }

  /**
   * Outside its hours it sleeps until the next begin; within them it looks again at their end.
   * Returns whether it runs.
   */
  #keepHours(): boolean {
    const hours = this.definition.activeWhen;
    if (!hours || this.#state !== "running") return true;
    const { clock } = this.#context;
    const { isActive, changesAt } = hoursAt(hours, clock.now());
    if (!isActive) {
      this.#become("asleep", outOfHours);
      this.#sleepUntil(changesAt);
    } else if (changesAt !== undefined) {
      this.#fortune.cancelWake = clock.after(changesAt - clock.now(), () => this.#endHours());
    }
    return isActive;
  }

  #endHours(): void {
    this.#next(async () => {
      if (this.#port.isClosing() || this.#keepHours()) return;
      this.#knownRun?.listener?.pause();
      this.#say("agent.paused", outOfHours);
    }).catch(() => undefined);
  }

  async #resume(reason: string | undefined): Promise<void> {
    this.#fortune.rest = undefined;
    if (this.#state === "running") return;
    if (this.#state === "stopped") return this.#begin(reason);
    this.#become("running", undefined);
    if (!this.#keepHours()) return;
    this.#knownRun?.listener?.resume();
    this.worker.fill();
    this.#say("agent.started", reason);
  }

  /** Nothing new; what runs ends, or is given back at the deadline. */
  async #end(deadlineMs: number, reason: string | undefined): Promise<void> {
    if (this.#state === "stopped") return;
    this.#become("draining", reason);
    const boundedMs = Math.min(deadlineMs, 2 ** 31);
    await this.#stop(boundedMs);
    this.#become("stopped", reason);
    this.#say("agent.stopped", reason);
  }

  async #again(deadlineMs: number, reason: string): Promise<void> {
    await this.#end(deadlineMs, reason);
    if (!this.#port.isClosing()) await this.#begin(reason);
  }

  /** A new incarnation: the card is known before it claims or hears anything. */
  async #begin(reason: string | undefined): Promise<void> {
    const { context } = this.#port;
    const fortune = this.#fortune;
    fortune.restarts += 1;
    fortune.context = {
      ...context,
      incarnation: incarnationOf(context.incarnation, fortune.restarts),
    };
    fortune.stuck = undefined;
    const { rest } = fortune;
    this.#become(rest?.state ?? "running", rest?.reason);
    if (rest?.state === "asleep") this.#sleepUntil(rest.until);
    this.#knownRun = this.#begun(this.#knownRun);
    this.#port.onRoom(this);
    const isAwake = this.#keepHours() && !rest;
    try {
      // A store that is away says nothing about the agent.
      await throughTrouble(
        context.clock,
        Infinity,
        () => this.#port.beat(),
        () => !this.#port.isClosing(),
      );
      await this.#knownRun?.listener?.start();
    } catch (error) {
      return this.#recover(`it could not start: ${describeError(error).message}`);
    }
    if (!isAwake) return this.#knownRun?.listener?.pause();
    this.worker.fill();
    this.#say("agent.started", reason);
  }

  async #recover(reason: string): Promise<void> {
    if (this.#port.isClosing() || this.#state === "stopped") return;
    const { clock, logger } = this.#context;
    const fortune = this.#fortune;
    const policy = (fortune.policy ??= new RestartPolicy(this.#port.restarts));
    const delayMs = policy.next(clock.monotonic());
    logger.warn("An agent is restarted.", { agent: this.name, reason, delayMs });
    if (delayMs === undefined) {
      return this.#end(0, `${policy.limit}; the last one because ${reason}`);
    }
    await this.#end(0, reason);
    fortune.waiting = new AbortController();
    await clock.sleep(delayMs, fortune.waiting.signal).catch(() => undefined);
    fortune.waiting = undefined;
    if (!this.#port.isClosing()) await this.#begin(reason);
  }

  #become(state: AgentActivity, reason: string | undefined): void {
    this.#state = state;
    // Ten thousand that close have nothing to remember of it.
    const fortune = reason === undefined ? this.#knownFortune : this.#fortune;
    if (fortune) {
      fortune.cancelWake();
      fortune.nextActiveAt = undefined;
      fortune.reason = reason;
    }
    this.changed();
  }

  #say(type: string, reason: string | undefined): void {
    const { name, incarnation } = this;
    const why = reason === undefined ? {} : { reason };
    const payload = { agent: name, incarnation, status: this.#state, ...why };
    const event = teamEvent(this.#context, name, type, payload);
    const { bus, logger } = this.#context;
    bus.publishEvent(event).catch((error: unknown) => {
      logger.warn("A change of an agent could not be published.", { agent: name, error });
    });
  }

  #begun(before: AgentRun | undefined): AgentRun {
    return new AgentRun(this.#port, this, this.#context, before);
  }
}
