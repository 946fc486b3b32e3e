/** A team that runs: its parts, in the order in which they start and close. */
import type { Bus, DrainReport } from "../bus/bus.ts";
import type { Subscription } from "../bus/subscription.ts";
import { CadreError, describeError } from "../core/errors.ts";
import type { EventRegistry } from "../core/registry.ts";
import { startRelay, type Relay } from "../outbox/relay.ts";
import type { EventStore } from "../store/event-store.ts";
import type { AnyAgent } from "./agent.ts";
import { AgentState } from "./agent-state.ts";
import type { Cadre, CadreStats } from "./cadre.ts";
import type { Directory } from "./directory.ts";
import { FeatureDesk } from "./feature-desk.ts";
import { AgentControl } from "./health/agent-control.ts";
import type { SharedRateLimits } from "./health/rate-limits.ts";
import type { HealthOptions } from "./health/health-options.ts";
import { IdleWatch } from "./health/idle-watch.ts";
import { NobodyWatch } from "./health/nobody-watch.ts";
import { Workforce } from "./health/workforce.ts";
import { budgetsOf, type Budgets } from "./models/team-models.ts";
import type { TenantShares } from "./orchestration/fair-queue.ts";
import type { FlowExpectation } from "./orchestration/flow-expectation.ts";
import { startFlowWatch, type FlowWatch } from "./orchestration/flow-watch.ts";
import type { OrchestratorSettings } from "./orchestration/orchestrator-options.ts";
import { startOrchestrator, type Orchestrator } from "./orchestrator.ts";
import { PresenceObserver } from "./presence.ts";
import { announcePresence, ProcessCard, processProbe } from "./process-card.ts";
import type { Person } from "./proposals/people.ts";
import { TeamProposals } from "./proposals/team-proposals.ts";
import { SagaDesk } from "./saga-desk.ts";
import { ScheduleDesk } from "./schedule-desk.ts";
import { SchedulePoller } from "./schedule-poller.ts";
import { SignalHub } from "./signal-hub.ts";
import {
  reconstruct,
  type Reconstructable,
  type Reconstructed,
  type ReconstructOptions,
} from "./reconstruct.ts";
import { resolveStep, type StepResolution } from "./step-resolution.ts";
import { TaskBoard } from "./task-board.ts";
import { TaskDesk } from "./task-desk.ts";
import { TaskSweeper } from "./task-sweeper.ts";
import type { TaskState } from "./task.ts";
import type { TeamContext } from "./team-context.ts";
import { learnKeys, watchOver } from "./trust/team-guarding.ts";
import { strandedWork, type StrandedWork } from "./work-version.ts";

export interface TeamParts {
  readonly agents: readonly AnyAgent[];
  readonly registry: EventRegistry | undefined;
  /** Whether the store's log must be told to the bus. */
  readonly relays: boolean;
  readonly orchestrator: OrchestratorSettings | undefined;
  readonly shares: TenantShares;
  readonly expectations: readonly FlowExpectation[];
  /** Whether the bus can be listened to beside the groups. */
  readonly subscribes: boolean;
  readonly stranded: "warn" | "refuse";
  readonly people: readonly Person[];
  readonly health: HealthOptions;
  readonly limits: SharedRateLimits;
  closeHomes(): Promise<void>;
}

const closeDeadlineMs = 10_000;
const agentsPerResponder = 1_000; // a filter takes no more than 1,024 values
const farewellMs = 1_000; // for the last writes of a team that has used its time up

export class RunningTeam implements Cadre {
  readonly name: string;
  readonly bus: Bus;
  readonly store: EventStore;
  readonly directory: Directory;
  readonly tasks: Cadre["tasks"];
  readonly features: FeatureDesk;
  readonly sagas: SagaDesk;
  readonly trust: Cadre["trust"];
  readonly budgets: Budgets;
  readonly proposals: TeamProposals;
  readonly schedules: ScheduleDesk;
  readonly agents: AgentControl;
  readonly closed: Promise<void>;
  readonly #context: TeamContext;
  readonly #parts: TeamParts;
  readonly #board: TaskBoard;
  readonly #presence: PresenceObserver;
  readonly #sweeper: TaskSweeper;
  readonly #workforce: Workforce;
  readonly #nobody: NobodyWatch;
  readonly #idle: IdleWatch;
  readonly #process: ProcessCard;
  readonly #desk: TaskDesk;
  readonly #signals: SignalHub;
  readonly #poller: SchedulePoller;
  #relay: Relay | undefined;
  #orchestrator: Orchestrator | undefined;
  #flows: FlowWatch | undefined;
  #subscriptions: Subscription[] = [];
  #closing: Promise<DrainReport> | undefined;
  #starting: Promise<void> = Promise.resolve();
  #resolveClosed: () => void = () => {};
  #stopAnnouncing: () => void = () => {};

  constructor(context: TeamContext, parts: TeamParts) {
    this.name = context.name;
    this.bus = context.bus;
    this.store = context.store;
    this.#context = context;
    this.#parts = parts;
    this.#process = new ProcessCard(context.clock);
    this.#board = new TaskBoard(context, parts.shares);
    this.#presence = new PresenceObserver(
      context,
      processProbe,
      (agent, incarnation) => this.#board.leases(agent, incarnation),
      (agent) => this.#workforce.members.get(agent)?.name ?? agent,
    );
    this.directory = this.#presence;
    this.#desk = new TaskDesk(context, this.#board);
    this.#signals = new SignalHub(context);
    this.tasks = this.#desk;
    this.budgets = budgetsOf(context.models);
    this.trust = context.trust;
    this.sagas = new SagaDesk(context, this.#desk);
    this.features = new FeatureDesk(context, this.#desk, this.#presence);
    this.proposals = new TeamProposals({
      context,
      board: this.#board,
      directory: this.#presence,
      tasks: this.#desk,
      agents: parts.agents,
      people: parts.people,
    });
    this.#poller = new SchedulePoller(context);
    this.schedules = new ScheduleDesk(context, parts.registry, (id, record) =>
      this.#poller.learn(id, record),
    );
    this.#sweeper = new TaskSweeper({
      context,
      board: this.#board,
      desk: this.#desk,
      presence: this.#presence,
    });
    this.#workforce = this.#makeWorkforce();
    this.#desk.addClaimer(this.#workforce);
    this.#nobody = new NobodyWatch(context, this.#presence);
    this.#desk.tellOfUnclaimed(this.#nobody);
    this.#idle = new IdleWatch(context, this.#board, this.#presence);
    this.agents = new AgentControl(context, this.#presence, this.#workforce.members);
    this.closed = new Promise((resolve) => {
      this.#resolveClosed = resolve;
    });
  }

  #makeWorkforce(): Workforce {
    const { agents, health, registry } = this.#parts;
    const workforce = new Workforce({
      context: this.#context,
      board: this.#board,
      desk: this.#desk,
      presence: this.#presence,
      process: this.#process,
      health,
      forAgents: {
        registry,
        signals: this.#signals,
        proposals: this.proposals,
        features: this.features,
        stateOf: ({ name, state }) => new AgentState<unknown>(this.store, name, state, registry),
      },
      onBeat: () => void this.agents.look(),
      onError: (error, task) => this.#onTaskError(error, task),
    });
    for (const agent of agents) workforce.add(agent);
    return workforce;
  }

  start(): Promise<void> {
    const starting = this.#start();
    this.#starting = starting.catch(() => undefined);
    return starting;
  }

  /** Steps of the start; a team that is told to close meanwhile stops between two of them. */
  async #start(): Promise<void> {
    const { clock, random, logger } = this.#context;
    this.#stopAnnouncing = announcePresence(this.#context, this.#presence);
    const steps: readonly (() => Promise<unknown> | void)[] = [
      ...this.#workforce.agents.map((agent) => () => agent.declare()),
      () => this.#board.start(),
      () => this.#lookForStranded(),
      () => learnKeys(this.#context),
      () => this.#presence.look(),
      () => this.proposals.start(),
      () => this.agents.begin(),
      () => this.#context.trust?.start(),
      () => this.#workforce.start(),
      ...this.#workforce.agents.map((agent) => () => agent.listen()),
      () => (this.#parts.subscribes ? this.#listenToSystem() : undefined),
      async () => {
        if (!this.#parts.relays) return;
        this.#relay = await startRelay({ store: this.store, bus: this.bus, clock, random, logger });
      },
      async () => {
        const { orchestrator: settings } = this.#parts;
        if (!settings) return;
        this.#orchestrator = await startOrchestrator(this.#context, {
          settings,
          desk: this.#desk,
          board: this.#board,
          directory: this.#presence,
          subscribes: this.#parts.subscribes,
        });
      },
      async () => {
        if (this.#parts.expectations.length === 0) return;
        this.#flows = await startFlowWatch(this.#context, this.#parts.expectations);
      },
      () => this.#sweeper.start(),
      () => this.#idle.start(),
      () => this.#poller.start(),
    ];
    for (const step of steps) {
      if (this.#closing) throw new CadreError("CLOSED", "The team was closed.", { what: "team" });
      await step();
    }
  }

  async reconstruct<State = unknown>(
    agent: Reconstructable<State> | string,
    options: ReconstructOptions = {},
  ): Promise<Reconstructed<State>> {
    const events = this.#parts.registry;
    const past = { ...options, ...(events ? { events } : {}) };
    if (typeof agent !== "string") return reconstruct(this.store, agent, past);
    const known = this.#parts.agents.find(({ name }) => name === agent);
    if (known) return reconstruct<State>(this.store, known, past);
    const message = `No agent of this team is named "${agent}". Give its definition instead.`;
    throw new CadreError("NOT_FOUND", message, { what: "agent", id: agent });
  }

  resolveStep(taskId: string, step: string, resolution: StepResolution): Promise<TaskState> {
    return resolveStep(this.#context, taskId, step, resolution);
  }

  stranded(): readonly StrandedWork[] {
    const open = [...this.#board.entries()].map(({ state }) => state);
    return strandedWork(this.#parts.agents, open);
  }

  #lookForStranded(): void {
    const stranded = this.stranded();
    if (stranded.length === 0) return;
    const list = stranded.map(({ name, version, count }) => `${count} of ${name} ${version}`);
    const message =
      `Open tasks are of versions that no agent here takes: ${list.join(", ")}. ` +
      "Let the code that began them finish them, or name the version in `resumes`.";
    if (this.#parts.stranded === "refuse") {
      throw new CadreError("WRONG_STATE", message, { what: "team", state: "stranded work" });
    }
    this.#context.logger.warn(message, { stranded });
  }

  stats(): CadreStats {
    const { completed, failed, cancelled, rejected, expired } = this.#board.counts;
    return {
      tasksOpen: this.#board.size,
      tasksRunningHere: this.#workforce.running,
      tasksCompleted: completed,
      tasksFailed: failed,
      tasksCancelled: cancelled,
      rejectedLateResults: rejected,
      leasesExpired: expired,
    };
  }

  close(options: { readonly deadlineMs?: number } = {}): Promise<DrainReport> {
    this.#closing ??= this.#closeAll(options.deadlineMs ?? closeDeadlineMs);
    return this.#closing;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }

  /** However badly a part closes, the homes are closed and who waits for the end is told. */
  async #closeAll(deadlineMs: number): Promise<DrainReport> {
    try {
      return await this.#close(deadlineMs);
    } finally {
      this.#process.close();
      await this.#parts.closeHomes().finally(this.#resolveClosed);
    }
  }

  async #close(deadlineMs: number): Promise<DrainReport> {
    const { clock } = this.#context;
    const startedAt = clock.monotonic();
    const leftMs = (): number => Math.max(0, Math.ceil(startedAt + deadlineMs - clock.monotonic()));
    // The board goes first if it is still reading its way to the present: nothing waits for it.
    if (!this.#board.isReady) this.#board.close();
    await this.#within(leftMs(), this.#starting);
    await this.#within(leftMs(), this.#poller.close());
    await this.#within(leftMs(), this.proposals.close());
    await this.#within(leftMs(), this.#orchestrator?.close());
    await this.#within(leftMs(), this.#flows?.close());
    await this.#within(leftMs(), this.#sweeper.close());
    const drained = await this.#workforce.drain(leftMs());
    await this.#within(leftMs() + farewellMs, this.#workforce.leave());
    await this.#within(leftMs() + farewellMs, this.#context.trust?.close());
    this.#parts.limits.close();
    this.#board.close();
    this.features.close();
    this.#stopAnnouncing();
    this.#nobody.close();
    this.#idle.close();
    // What was committed is told, as far as the deadline allows; the rest when a team starts again.
    await this.#within(
      leftMs(),
      this.#relay?.idle().catch(() => undefined),
    );
    await this.#within(leftMs() + farewellMs, this.#relay?.close());
    const report = await this.bus.close({ deadlineMs: leftMs() });
    const { finished, released } = drained;
    return {
      ...report,
      finished: report.finished + finished,
      released: report.released + released,
      clean: report.clean && released === 0,
      elapsedMs: clock.monotonic() - startedAt,
    };
  }

  /** Waits for `ending`, but no longer: a store that does not answer must not keep the team. */
  async #within(ms: number, ending: Promise<unknown> | undefined): Promise<void> {
    if (!ending) return;
    let cancel = (): void => {};
    const late = new Promise<void>((resolve) => {
      cancel = this.#context.clock.after(ms, resolve);
    });
    const ended = ending.catch((error: unknown) => {
      this.#context.logger.warn("A part of the team did not close well.", { error });
    });
    await Promise.race([ended, late]);
    cancel();
  }

  /** What every team answers: a shutdown for all, and questions to one agent. */
  async #listenToSystem(): Promise<void> {
    const { bus, guard } = this.#context;
    this.#subscriptions.push(...(await watchOver(this.#context)));
    this.#subscriptions.push(
      await bus.subscribe("system.shutdown", () => {
        // Not awaited: closing waits for the handlers that run, and this is one.
        this.close().catch((error: unknown) => {
          this.#context.logger.error("The team did not close well.", { error });
        });
      }),
    );
    const { members } = this.#workforce;
    const types = [...members.keys()].map((agent) => `agent.${agent}.query`);
    // One subscription for many agents; whoever else runs an agent of that name answers too.
    for (let from = 0; from < types.length; from += agentsPerResponder) {
      const filter = { type: { $in: types.slice(from, from + agentsPerResponder) } };
      this.#subscriptions.push(
        await bus.respond("agent.*.query", { filter }, ({ type, metadata: { tenant } }) => {
          const name = type.split(".")[1] ?? "";
          guard?.permissions?.assertSees(name, tenant);
          const agent = members.get(name);
          return { ...agent?.card(), ...this.#workforce.pulse() };
        }),
      );
    }
  }

  #onTaskError(error: unknown, task: string): void {
    const message = `The work on task ${task} ended badly: ${describeError(error).message}`;
    const code = error instanceof CadreError ? error.code : "INTERNAL";
    this.bus.raise({
      severity: code === "LEASE_LOST" ? "warning" : "error",
      code,
      message,
      cause: error,
    });
  }
}
