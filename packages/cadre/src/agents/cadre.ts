/** The running team. `start-cadre.ts` makes one. */
import type { Bus, DrainReport } from "../bus/bus.ts";
import type { Identity } from "../bus/identity/identity.ts";
import type { SignatureOptions } from "../bus/identity/signature-options.ts";
import type { PermissionOptions } from "../bus/permission-rules.ts";
import type { Transport } from "../bus/transport.ts";
import type { WithBuiltinEvents } from "../core/builtin/registry.ts";
import type { Clock } from "../core/clock.ts";
import type { EventMap } from "../core/event-types.ts";
import type { Logger } from "../core/logger.ts";
import type { Random } from "../core/random.ts";
import type { EventRegistry, EventsOf } from "../core/registry.ts";
import type { ArchiveOptions } from "../outbox/archive.ts";
import type { EventStore } from "../store/event-store.ts";
import type { AnyAgent } from "./agent.ts";
import type { SagaDefinition } from "./define-saga.ts";
import type { Directory } from "./directory.ts";
import type { FeatureHandle, FeaturePlan } from "./feature.ts";
import type { AgentOrders } from "./health/agent-control.ts";
import type { HealthOptions, PresencePreset } from "./health/health-options.ts";
import type { RateLimit } from "./health/rate-limit-rules.ts";
import type { TeamBudgets } from "./models/budget-scopes.ts";
import type { ModelOptions } from "./models/model-options.ts";
import type { Budgets } from "./models/team-models.ts";
import type { TenantShares } from "./orchestration/fair-queue.ts";
import type { FlowExpectation } from "./orchestration/flow-expectation.ts";
import type { OrchestratorOptions } from "./orchestration/orchestrator-options.ts";
import type { LargePayloads } from "./large-payloads.ts";
import type { AuditOptions, TeamRetentionOptions } from "./log-upkeep.ts";
import type { Person } from "./proposals/people.ts";
import type { Weigh } from "./proposals/proposal.ts";
import type { Proposals } from "./proposals/team-proposals.ts";
import type { Reconstructable, Reconstructed, ReconstructOptions } from "./reconstruct.ts";
import type { Schedules } from "./schedule.ts";
import type { SagaQuery, SagaState, StartSagaOptions } from "./saga-desk.ts";
import type { StepResolution } from "./step-resolution.ts";
import type { TaskDefinition, TaskHandle, TaskOptions, TaskState } from "./task.ts";
import type { TrustOptions, TrustView } from "./trust/trust.ts";
import type { StrandedWork } from "./work-version.ts";

export interface CadreOptions<Own extends object = EventMap> {
  readonly agents?: readonly AnyAgent[];
  /**
   * A store, or a URL: `memory:`, `sqlite:./team.db`, `postgres://localhost/team`. @default
   * "memory:"
   */
  readonly store?: EventStore | string;
  /** A transport, or a URL. @default the store's own log where it has one, else "memory:" */
  readonly bus?: Transport | string;
  /**
   * The registry of the team, beside the built-in events and those that agents bring along. It
   * types `bus`.
   * @default any type for the compiler; at run time the built-in ones, of which `custom.#` is yours
   */
  readonly events?: EventRegistry<Own>;
  /**
   * Runs the orchestrator for features in this process. Any number of processes may. @default true
   */
  readonly orchestrator?: boolean;
  /**
   * What must follow what in a flow, and in which time: otherwise `flow.stuck` is said, once,
   * whatever the number of processes. @default none
   */
  readonly expectations?: readonly FlowExpectation[];
  /**
   * `polling` holds no subscription: the store and the groups of handlers are looked at every
   * `pollEveryMs`. Agents and guarantees are the same; what is answered to all at once is not
   * heard: `system.shutdown`, `agent.<name>.query`, and ephemeral handlers, which are refused.
   * @default "subscribed"
   */
  readonly mode?: "subscribed" | "polling";
  /** In milliseconds. @default 1_000 */
  readonly pollEveryMs?: number;
  /** How it assigns and releases tasks. */
  readonly orchestration?: OrchestratorOptions;
  /**
   * How many tasks of a tenant are begun for each of a tenant whose share is 1, while both wait and
   * neither is more urgent. All processes should say the same. @default 1 for each tenant
   */
  readonly shares?: TenantShares;
  /**
   * Tells the store's log to the bus from this process, where they are two systems. One process
   * does at a time; at least one must be able to. @default true
   */
  readonly relay?: boolean;
  /**
   * Keeps everything that passes the bus in the store, where they are two systems: `bus.history`
   * and `bus.replay` then work on every broker. Processes that archive share the work. The names of
   * patterns to keep, or of another group, may be given. @default false
   */
  readonly archive?: boolean | Pick<ArchiveOptions, "patterns" | "group">;
  /**
   * When open tasks are of versions that no agent here can go on with, though it knows their names:
   * say so in the log, or refuse to start. @default "warn"
   */
  readonly stranded?: "warn" | "refuse";
  /**
   * Events after which a process notes where the next start may begin to read the log, so that a
   * start costs what is open and not what is over; 0 is never. @default 2_000
   */
  readonly markEvery?: number;
  /**
   * How soon a silent agent is given up: a preset of the next three. `fast` beats each second,
   * suspects after 3 s and gives up after 5; `standard` 2, 10 and 15; `relaxed`, for slow networks
   * and expensive takeovers, 30, 90 and 120. @default "standard"
   */
  readonly presence?: PresencePreset;
  /** People and their roles, written into the store at the start: they may vote by them. */
  readonly people?: readonly Person[];
  /** What a vote on a proposal weighs, such as by trust. @default 1 */
  readonly weigh?: Weigh;
  /** @default 2_000 */
  readonly heartbeatMs?: number;
  /** Silence after which an agent is suspected. @default 10_000 */
  readonly suspectAfterMs?: number;
  /** Silence after which its tasks are offered again. @default 15_000 */
  readonly leaseMs?: number;
  /** Signs what the runtime says, and its agents that have no identity of their own. */
  readonly identity?: Identity;
  /** Whether signatures are checked, and whose keys count beside those of this team's agents. */
  readonly signatures?: SignatureOptions;
  /** Who may publish, subscribe, claim and vote. @default everybody everything */
  readonly permissions?: PermissionOptions;
  /**
   * Keeps scores of agents from what is seen of their work, and says `score.updated`. All processes
   * should say the same. @default false
   */
  readonly trust?: boolean | TrustOptions;
  /** When agents of this process are taken to be stuck or broken, and what then. */
  readonly health?: HealthOptions;
  /**
   * Rate limits by name, shared by all processes of the store; all must say the same. Claims of an
   * agent keep to `agent:<name>` and `capability:<name>`; every other name is for `ctx.limit`.
   */
  readonly limits?: Readonly<Record<string, RateLimit>>;
  /** How models are called that agents don't say it of. */
  readonly models?: Omit<ModelOptions, "name">;
  /**
   * What all the work for a tenant may spend on models, ever. All processes must say the same.
   * @default none
   */
  readonly budgets?: TeamBudgets;
  /**
   * Seals the log behind its head, and to its end when the team closes: `cadre verify` then finds
   * the first row that was changed, removed or inserted. @default false
   */
  readonly audit?: boolean | AuditOptions;
  /** What is removed from the log, and when. @default nothing */
  readonly retention?: TeamRetentionOptions;
  /**
   * Payloads over a size are kept apart, and events carry a reference. All processes of one log
   * must say the same. @default every payload travels with its event
   */
  readonly largePayloads?: LargePayloads;
  /**
   * For tests: the handlers of tasks are left behind after every step and entered again, and one
   * that is not the same then fails its task; the function is told how it differs.
   */
  readonly strict?: (difference: Error) => void;
  readonly clock?: Clock;
  readonly random?: Random;
  readonly logger?: Logger;
  /** Name of this runtime in events. @default "cadre" */
  readonly name?: string;
}

export interface TaskQuery {
  readonly status?: TaskState["status"];
  readonly capability?: string;
  readonly agent?: string;
  readonly feature?: string;
  readonly limit?: number;
}

export interface CadreStats {
  readonly tasksOpen: number;
  readonly tasksRunningHere: number;
  readonly tasksCompleted: number;
  readonly tasksFailed: number;
  readonly tasksCancelled: number;
  readonly rejectedLateResults: number;
  readonly leasesExpired: number;
}

export interface Cadre<Events extends object = EventMap> {
  readonly name: string;
  readonly bus: Bus<Events>;
  readonly store: EventStore;
  readonly directory: Directory;
  readonly tasks: {
    /**
     * Creates a task; resolves when it is in the store.
     * @throws {CadreError} INVALID_PAYLOAD, when the input does not fit
     * @throws {CadreError} DUPLICATE_ID, when a task of another name has the id
     */
    create<Input, Output>(
      definition: TaskDefinition<Input, Output>,
      input: Input,
      options?: TaskOptions,
    ): Promise<TaskHandle<Output>>;
    /** Many in one commit. */
    createAll(
      tasks: readonly { definition: TaskDefinition; input: unknown; options?: TaskOptions }[],
    ): Promise<readonly TaskHandle[]>;
    get(id: string): Promise<TaskState | undefined>;
    list(query?: TaskQuery): Promise<readonly TaskState[]>;
    cancel(id: string, reason: string): Promise<boolean>;
  };
  readonly features: {
    /**
     * @throws {CadreError} INVALID_PLAN, naming all that is wrong with the plan at once: a cycle,
     * an unknown dependency, an input that doesn't fit, more budget or time than there is
     */
    create(plan: FeaturePlan): Promise<FeatureHandle>;
    get(id: string): Promise<FeatureHandle | undefined>;
  };
  /**
   * An agent's state as of a position or an instant, by the agent's name or definition.
   * @throws {CadreError} NOT_FOUND, when no agent of the team has that name
   * @throws {CadreError} WRONG_STATE, when the agent is defined without a state
   */
  reconstruct<State = unknown>(
    agent: Reconstructable<State> | string,
    options?: ReconstructOptions,
  ): Promise<Reconstructed<State>>;
  readonly sagas: {
    /**
     * Begins the instance of this key, or finds it: however often it is asked for, there is one.
     * @throws {CadreError} INVALID_PAYLOAD, when the input does not fit
     */
    start<Input, Output>(
      saga: SagaDefinition<Input, Output>,
      input: Input,
      options: StartSagaOptions,
    ): Promise<TaskHandle<Output>>;
    /** Sagas, and tasks that have steps with undos. */
    list(query?: SagaQuery): Promise<readonly TaskState[]>;
    /** A task with the state of each of its steps. */
    get(id: string): Promise<SagaState | undefined>;
  };
  /** Orders to agents, in whichever process they run. */
  readonly agents: AgentOrders;
  /** What was spent of budgets, by all processes. */
  readonly budgets: Budgets;
  /** Scores of agents, where the team was started with `trust`. */
  readonly trust: TrustView | undefined;
  /** What happens only if its voters agree. */
  readonly proposals: Proposals;
  /** What fires at an instant, every so often, or by a cron expression. */
  readonly schedules: Schedules;
  /**
   * A person's decision about a step in doubt, or about an undo that is stuck. It is on record, and
   * the task goes on with it, here or elsewhere.
   *
   * @throws {CadreError} NOT_FOUND, when there is no such task
   * @throws {CadreError} WRONG_STATE, when it does not wait for a decision about this step, or the
   * action does not fit
   */
  resolveStep(taskId: string, step: string, resolution: StepResolution): Promise<TaskState>;
  /** Open tasks that the agents here know by name, in versions that none of them takes. */
  stranded(): readonly StrandedWork[];
  stats(): CadreStats;
  /**
   * Drains in order: no new tasks, running ones finish or are given back at the deadline, agents
   * say goodbye, bus, store.
   */
  close(options?: { readonly deadlineMs?: number }): Promise<DrainReport>;
  /**
   * Resolves when the runtime has closed, by `close`, by `system.shutdown`, or by a critical error.
   */
  readonly closed: Promise<void>;
  [Symbol.asyncDispose](): Promise<void>;
}

/** The team that `startCadre` makes of a registry, for helpers: `TeamOf<typeof events>`. */
export type TeamOf<Registry> = Cadre<WithBuiltinEvents<EventsOf<Registry>>>;
