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
import { AgentListener } from "../agent-listener.ts";
import type { AgentState } from "../agent-state.ts";
import type { AgentActivity } from "../directory.ts";
import type { Beating } from "../heartbeat.ts";
import { throughTrouble } from "../passing-trouble.ts";
import { TaskWorker, type TaskWorkerPort } from "../task-worker.ts";
import { teamEvent, type TeamContext } from "../team-context.ts";
import { hoursAt } from "./active-when.ts";
import { restIn, type AgentWish } from "./agent-wish.ts";
import { incarnationOf, type AgentPart } from "./beat.ts";
import { CapabilityBreakers } from "./capability-breakers.ts";
import type { ProgressWatch } from "./progress-watch.ts";
import { RestartPolicy, type RestartOptions } from "./restart-policy.ts";

/** Each run of the agent has its own. */
type OfRun = "agent" | "state" | "breakers" | "isActive" | "begin" | "onChange";

/** What all agents of a process share. */
export interface RunningAgentPort extends Omit<TaskWorkerPort, OfRun> {
  /** Of the process. */
  readonly context: TeamContext;
  readonly progress: ProgressWatch;
  readonly restarts: RestartOptions | undefined;
  readonly breaker: BreakerOptions | false;
  /** Of an agent that does or hears something. */
  stateOf(agent: AnyAgent): AgentState<unknown>;
  /** Writes a beat at once: the card is known when it resolves. */
  beat(): Promise<void>;
  /** It holds tasks, or no more. */
  onBusy(agent: RunningAgent): void;
}

const settled = Promise.resolve();
const outOfHours = "these are not its hours";
const noWake = (): void => {};
const restartPatienceMs = 1_000; // for the work of an agent that is restarted by hand

export class RunningAgent implements Beating {
  readonly definition: AnyAgent;
  readonly #port: RunningAgentPort;
  #knownPolicy: RestartPolicy | undefined;
  #restarts = 0;
  #state: AgentActivity = "running";
  /** A pause or a sleep that was ordered, and is not over: no restart ends it. */
  #rest: AgentWish | undefined;
  #reason: string | undefined;
  #nextActiveAt: number | undefined;
  #stuck: string | undefined;
  #revision = 1;
  #context: TeamContext;
  /** Made when they are needed first: of ten thousand agents most are idle. */
  #knownBreakers: CapabilityBreakers | undefined;
  #knownWorker: TaskWorker | undefined;
  #listener: AgentListener | undefined;
  #closed = false;
  #turn: Promise<unknown> = settled;
  #cancelWake: () => void = noWake;
  #knownState: AgentState<unknown> | undefined;
  /** Only while it waits to be started again: ten thousand idle agents have none. */
  #waiting: AbortController | undefined;

  constructor(port: RunningAgentPort, definition: AnyAgent) {
    this.#port = port;
    this.definition = definition;
    this.#context = port.context;
    this.#listener = this.#makeListener();
    this.#keepHours();
  }

  /** Most agents never need one. */
  get #policy(): RestartPolicy {
    return (this.#knownPolicy ??= new RestartPolicy(this.#port.restarts));
  }

  get #agentState(): AgentState<unknown> {
    return (this.#knownState ??= this.#port.stateOf(this.definition));
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
    return (this.#knownWorker ??= this.#makeWorker());
  }

  card(): AgentPart {
    const { board } = this.#port;
    const agent = this.definition;
    const broken = this.#knownBreakers?.broken ?? [];
    return {
      agent: agent.name,
      incarnation: this.incarnation,
      ...(agent.version === undefined ? {} : { version: agent.version }),
      capabilities: agent.capabilities,
      specializations: agent.specializations,
      capacity: agent.capacity,
      load: board.leases(agent.name, this.incarnation),
      waiting: this.#knownWorker?.waiting ?? 0,
      state: this.#state,
      ...(this.#reason === undefined ? {} : { reason: this.#reason }),
      ...(this.#nextActiveAt === undefined ? {} : { nextActiveAt: this.#nextActiveAt }),
      ...(this.#stuck === undefined ? {} : { stuck: this.#stuck }),
      ...(broken.length === 0 ? {} : { broken }),
    };
  }

  /** The card says something else now. */
  changed(): void {
    this.#revision += 1;
  }

  async declare(): Promise<void> {
    await this.#listener?.declare();
  }

  /** Begins to hear; the worker claims as soon as the heartbeat is there. */
  async listen(): Promise<void> {
    if (this.#state === "stopped") return;
    await this.#listener?.start();
    if (this.#state !== "running") this.#listener?.pause();
  }

  /** Takes work that is there. */
  fill(): void {
    this.worker.fill();
  }

  /** What a person wants of it at its start: nothing has to be ended for that. */
  startAs(wish: AgentWish): void {
    if (wish.state === "running") return;
    this.#rest = restIn(wish);
    this.#become(wish.state, wish.reason);
    if (wish.state === "asleep") this.#sleepUntil(wish.until);
  }

  /** Obeys; resolves when it has. */
  obey(wish: AgentWish): Promise<void> {
    return this.#next(async () => {
      if (this.#closed) return;
      this.#knownPolicy?.reset();
      this.#rest = restIn(wish);
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
      if (this.#closed || this.#state === "stopped") return;
      this.#knownPolicy?.reset();
      await this.#again(deadlineMs, reason);
    });
  }

  /** Something is wrong with it: it is restarted with backoff, until that was too often. */
  recover(reason: string): Promise<void> {
    return this.#next(() => this.#recover(reason));
  }

  /** What makes no progress, in words; nothing, when all goes on. */
  markStuck(stuck: string | undefined): void {
    if (this.#stuck === stuck) return;
    this.#stuck = stuck;
    this.changed();
  }

  async close(
    deadlineMs: number,
  ): Promise<{ readonly finished: number; readonly released: number }> {
    this.#closed = true;
    this.#waiting?.abort();
    this.#cancelWake();
    if (this.#state === "running") this.#become("draining", undefined);
    return this.#stop(deadlineMs);
  }

  async #stop(
    deadlineMs: number,
  ): Promise<{ readonly finished: number; readonly released: number }> {
    const [drained] = await Promise.all([
      this.#knownWorker?.drain(deadlineMs),
      this.#listener?.close(deadlineMs),
    ]);
    this.#knownBreakers?.close();
    return drained ?? { finished: 0, released: 0 };
  }

  #next(change: () => Promise<void>): Promise<void> {
    const next = this.#turn.then(change);
    this.#turn = next.catch(() => undefined);
    return next;
  }

  #pause({ state, reason, until }: AgentWish): void {
    if (this.#state === "stopped") return;
    this.#listener?.pause();
    this.#become(state, reason);
    if (state === "asleep") this.#sleepUntil(until);
    this.#say("agent.paused", reason);
  }

  #sleepUntil(until: number | undefined): void {
    if (until === undefined) return;
    const { clock } = this.#context;
    this.#nextActiveAt = until;
    this.#cancelWake();
    this.#cancelWake = clock.after(until - clock.now(), () => {
      if (this.#state !== "asleep" || this.#closed) return;
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
      this.#cancelWake = clock.after(changesAt - clock.now(), () => this.#endHours());
    }
    return isActive;
  }

  #endHours(): void {
    this.#next(async () => {
      if (this.#closed || this.#keepHours()) return;
      this.#listener?.pause();
      this.#say("agent.paused", outOfHours);
    }).catch(() => undefined);
  }

  async #resume(reason: string | undefined): Promise<void> {
    this.#rest = undefined;
    if (this.#state === "running") return;
    if (this.#state === "stopped") return this.#begin(reason);
    this.#become("running", undefined);
    if (!this.#keepHours()) return;
    this.#listener?.resume();
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
    if (!this.#closed) await this.#begin(reason);
  }

  /** A new incarnation: the card is known before it claims or hears anything. */
  async #begin(reason: string | undefined): Promise<void> {
    const { context } = this.#port;
    this.#restarts += 1;
    this.#context = {
      ...context,
      incarnation: incarnationOf(context.incarnation, this.#restarts),
    };
    this.#knownBreakers = undefined;
    this.#stuck = undefined;
    this.#become(this.#rest?.state ?? "running", this.#rest?.reason);
    if (this.#rest?.state === "asleep") this.#sleepUntil(this.#rest.until);
    this.#knownWorker = undefined;
    this.#listener = this.#makeListener();
    const isAwake = this.#keepHours() && !this.#rest;
    try {
      // A store that is away says nothing about the agent.
      await throughTrouble(
        context.clock,
        Infinity,
        () => this.#port.beat(),
        () => !this.#closed,
      );
      await this.#listener?.start();
    } catch (error) {
      return this.#recover(`it could not start: ${describeError(error).message}`);
    }
    if (!isAwake) return this.#listener?.pause();
    this.worker.fill();
    this.#say("agent.started", reason);
  }

  async #recover(reason: string): Promise<void> {
    if (this.#closed || this.#state === "stopped") return;
    const { clock, logger } = this.#context;
    const delayMs = this.#policy.next(clock.monotonic());
    logger.warn("An agent is restarted.", { agent: this.name, reason, delayMs });
    if (delayMs === undefined) {
      return this.#end(0, `${this.#policy.limit}; the last one because ${reason}`);
    }
    await this.#end(0, reason);
    this.#waiting = new AbortController();
    await clock.sleep(delayMs, this.#waiting.signal).catch(() => undefined);
    this.#waiting = undefined;
    if (!this.#closed) await this.#begin(reason);
  }

  #become(state: AgentActivity, reason: string | undefined): void {
    this.#cancelWake();
    this.#nextActiveAt = undefined;
    this.#state = state;
    this.#reason = reason;
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

  #makeBreakers(): CapabilityBreakers {
    return new CapabilityBreakers({
      context: this.#context,
      agent: this.name,
      options: this.#port.breaker,
      onChange: () => {
        this.changed();
        this.worker.fill();
      },
    });
  }

  #makeWorker(): TaskWorker {
    const { progress } = this.#port;
    const agent = this.definition;
    return new TaskWorker({
      ...this.#port,
      agent,
      state: this.#agentState,
      context: this.#context,
      breakers: (this.#knownBreakers = this.#makeBreakers()),
      isActive: () => this.#state === "running",
      begin: (taskId, isWaiting) =>
        progress.begin({ agent: agent.name, what: `task ${taskId}`, taskId }, isWaiting),
      onChange: () => {
        this.changed();
        this.#port.onBusy(this);
      },
    });
  }

  #makeListener(): AgentListener | undefined {
    const agent = this.definition;
    if (agent.events.length === 0) return undefined;
    const { registry, desk, progress } = this.#port;
    const [context, state] = [this.#context, this.#agentState];
    return new AgentListener({ context, registry, agent, state, desk, progress });
  }
}
