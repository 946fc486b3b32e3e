/**
 * The agent: a name, capabilities, a capacity and handlers; its state, if it has one, is a fold of
 * its own events.
 */
import type { AgentEvent, EventOptions } from "../core/event.ts";
import type {
  CheckedPattern,
  EventMap,
  EventOf,
  EventType,
  PayloadOf,
} from "../core/event-types.ts";
import type { Clock } from "../core/clock.ts";
import type { FilterDocument } from "../core/filter.ts";
import type { JsonValue } from "../core/json.ts";
import type { Logger } from "../core/logger.ts";
import type { EventRegistry } from "../core/registry.ts";
import type { RetryOptions } from "../bus/bus.ts";
import type { Identity } from "../bus/identity/identity.ts";
import type { SnapshotPolicy } from "../store/snapshot-policy.ts";
import type { SagaDefinition } from "./define-saga.ts";
import type { ModelContext } from "./models/model-context.ts";
import type { ActiveWhen } from "./health/active-when.ts";
import type { Ballot, BallotAnswer } from "./proposals/ballots.ts";
import type { DebatePart } from "./proposals/debate-tasks.ts";
import type { ProposalContext } from "./proposals/proposal-context.ts";
import type { TaskValidation } from "./proposals/validation.ts";
import type { FeaturePlan } from "./feature.ts";
import type {
  Gathered,
  MapOptions,
  MapOutcome,
  ScatterOptions,
  ScatterTo,
} from "./orchestration/delegated.ts";
import type { HandoffTarget } from "./orchestration/handoff.ts";
import type { StepOptions } from "./step-options.ts";
import type { TaskDefinition, TaskHandle, TaskOptions, TaskState } from "./task.ts";

/** What a handler waits for, beside the pattern. */
export interface SignalOptions {
  /** The journal's name for the wait; unique in its handler. @default the pattern */
  readonly name?: string;
  /** Which of the events that match. */
  readonly where?: FilterDocument;
  /** Durable: after a crash only the rest is waited for. @default none */
  readonly timeoutMs?: number;
}

/** What every handler of an agent is given. */
export interface AgentContext<
  State = unknown,
  Events extends object = EventMap,
> extends ModelContext {
  /**
   * Only for inference; never set. It also lets a typed context pass where any context is taken.
   */
  readonly events?: { readonly [Type in keyof Events]-?: Events[Type] };
  readonly agent: string;
  readonly incarnation: string;
  readonly attempt: number;
  /**
   * Aborted when the lease is lost, the task cancelled, its time up, or the runtime's close reaches
   * its deadline.
   */
  readonly signal: AbortSignal;
  readonly clock: Clock;
  readonly log: Logger;
  /** The agent's state as of this handler's start; a fold of its own events. */
  readonly state: State;
  /** Held back until the handler succeeds; caused by what is being handled. */
  publish<Type extends EventType<Events>>(
    type: Type,
    payload: PayloadOf<Events, Type>,
    options?: EventOptions & { readonly isolated?: boolean },
  ): Promise<AgentEvent<Type, PayloadOf<Events, Type>>>;
  /**
   * Adds an event to the agent's own stream, which its state folds; commits with the handler's
   * success.
   */
  record(type: string, payload: unknown): void;
  /** Asks whoever responds; gives the slot back while it waits. */
  ask<Type extends EventType<Events>>(
    type: Type,
    payload: PayloadOf<Events, Type>,
    options?: { readonly timeoutMs?: number },
  ): Promise<JsonValue>;
  /**
   * Runs `run` once over all attempts: after a crash the handler runs again from the top, and
   * finished steps return their recorded results, matched by name and input. `run` gets a key that
   * is the same in every attempt, for effects that take one. A `run` that throws a `TerminalError`
   * says that it certainly had no effect; what else it throws leaves the step in doubt.
   *
   * @throws {CadreError} STEP_DRIFT, when this name was journaled with another input
   * @throws {CadreError} STEP_IN_DOUBT, when the policy is to ask: a task waits for a person
   */
  step<Result>(
    name: string,
    run: (stepKey: string) => Promise<Result> | Result,
    options?: StepOptions<Result>,
  ): Promise<Result>;
  /** With an input, which must be the same in every attempt. */
  step<Input, Result>(
    name: string,
    input: Input,
    run: (stepKey: string, input: Input) => Promise<Result> | Result,
    options?: StepOptions<Result, Input>,
  ): Promise<Result>;
  /** Milliseconds, or until an instant. Durable: a crash makes it no longer. Frees the slot. */
  sleep(name: string, time: number | Date): Promise<void>;
  /**
   * For long computations: call it often. Lets heartbeats and other handlers run when that is due,
   * counts as progress, and throws the signal's reason when the handler is to stop. Costs next to
   * nothing in between.
   */
  breathe(): Promise<void>;
  /**
   * Waits until `amount` was taken from a rate limit that all processes share, such as
   * `provider:openai`; at once where there is none of that name. Gives the slot back meanwhile.
   *
   * @throws {CadreError} RATE_LIMITED, when that would take longer than `deadlineMs`
   */
  limit(name: string, amount?: number, options?: { readonly deadlineMs?: number }): Promise<void>;
}

export interface TaskContext<State = unknown, Events extends object = EventMap>
  extends AgentContext<State, Events>, ProposalContext {
  readonly task: TaskState;
  readonly epoch: number;
  /**
   * Waits for an event of the bus, and gives the slot back meanwhile. None that is published after
   * the task was created is missed, also over restarts; each is taken once by this task. Resolves
   * with `undefined` when nothing came within `timeoutMs`.
   */
  waitFor<const Pattern extends string>(
    pattern: CheckedPattern<Pattern, Events>,
    options?: SignalOptions,
  ): Promise<EventOf<Events, Pattern> | undefined>;
  /** Says how far it is, 0 to 1; never held back, at most one a second reaches the log. */
  progress(fraction: number, note?: string): Promise<void>;
  /**
   * Creates a child task (a step: at most one for each name) and gives the slot back until its
   * result is there.
   */
  call<Input, Output>(
    name: string,
    definition: TaskDefinition<Input, Output>,
    input: Input,
    options?: TaskOptions,
  ): Promise<Output>;
  /**
   * Asks for a feature (at most one for each name) and gives the slot back until it has ended. Its
   * time, its budget and its tenant are this task's, or less; it is cancelled when this task fails
   * or is cancelled. Resolves with the results of its tasks, by their names in the plan; name
   * their types, if the plan's tasks are known: `ctx.feature<{ report: Report }>(…)`.
   *
   * @throws {CadreError} FEATURE_BLOCKED, when it is blocked or was cancelled: the task fails
   * @throws {CadreError} INVALID_PLAN
   */
  feature<Results extends object = Readonly<Record<string, JsonValue>>>(
    name: string,
    plan: FeaturePlan,
  ): Promise<Results>;
  /**
   * Gives the task to another agent and ends this handler. What it has done stays done: the other
   * finds its steps in the journal. No attempt is used up.
   */
  handoff(to: HandoffTarget, note?: string): Promise<never>;
  /**
   * One child for each input, or for each agent; resolves with the first results, as many as the
   * quorum says, and tells the rest to stop. The choice is a step of the journal.
   *
   * @throws {CadreError} TERMINAL, when too many have failed, or the time is over
   */
  scatter<Input, Output>(
    name: string,
    definition: TaskDefinition<Input, Output>,
    to: ScatterTo<Input>,
    options?: ScatterOptions,
  ): Promise<readonly Gathered<Output>[]>;
  /**
   * One child for each item, so many at once, each once over all attempts; results in the order of
   * the items, folded by `reduce` if there are more than memory should hold.
   *
   * @throws {CadreError} TERMINAL, when one has failed, unless failures are collected
   */
  map<Input, Output, Sum>(
    name: string,
    definition: TaskDefinition<Input, Output>,
    items: Iterable<Input>,
    options: MapOptions<Output, Sum> & {
      readonly reduce: (sum: Sum, result: Output, index: number) => Sum;
      readonly initial: Sum;
    },
  ): Promise<Sum>;
  map<Input, Output>(
    name: string,
    definition: TaskDefinition<Input, Output>,
    items: Iterable<Input>,
    options: MapOptions<Output> & { readonly onFailure: "collect" },
  ): Promise<readonly MapOutcome<Output>[]>;
  map<Input, Output>(
    name: string,
    definition: TaskDefinition<Input, Output>,
    items: Iterable<Input>,
    options?: MapOptions<Output>,
  ): Promise<readonly Output[]>;
  /** Creates a child task without waiting for it. */
  spawn<Input, Output>(
    name: string,
    definition: TaskDefinition<Input, Output>,
    input: Input,
    options?: TaskOptions,
  ): Promise<TaskHandle<Output>>;
}

export interface OnOptions {
  readonly filter?: FilterDocument;
  /**
   * The durable handlers of an agent are one group: set it on one of them, and it holds for all.
   */
  readonly retry?: RetryOptions;
  /**
   * Time for one attempt in milliseconds, for all durable handlers together. 0 is no limit: a
   * handler may sleep for days, and its lease is renewed meanwhile.
   * @default 0
   */
  readonly timeoutMs?: number;
  /** Broadcast instead of the agent's durable group: at most once, no retry. */
  readonly ephemeral?: boolean;
  /** Events at once. The largest of the durable handlers holds for all. @default the capacity */
  readonly concurrency?: number;
}

export interface AgentOptions<State = undefined, Own extends object = EventMap> {
  /** One word of `[a-z0-9_-]`, at most 64 characters. */
  readonly name: string;
  /**
   * The registry of what it hears and publishes, beside the built-in events: it types the handlers,
   * and it is in force in every team that the agent is part of. A team's own comes before it.
   * @default any type, as the team takes it
   */
  readonly events?: EventRegistry<Own>;
  /** Capabilities beyond those of the tasks that it does. */
  readonly capabilities?: readonly string[];
  readonly specializations?: readonly string[];
  /** Tasks at once. @default 1 */
  readonly capacity?: number;
  /** Of the agent's code, for its card and for `directory.find`. */
  readonly version?: string;
  /**
   * Time without any sign of progress after which a handler of its is taken to be stuck, in
   * milliseconds. @default that of `startCadre`
   */
  readonly stuckAfterMs?: number;
  /**
   * Its hours, by two cron expressions: outside of them it sleeps, claims nothing and hears nothing
   * new; what runs goes on, and its work goes to others or waits. @default always
   */
  readonly activeWhen?: ActiveWhen;
  /** Signs its events. @default the team's, where it has one */
  readonly identity?: Identity;
  /** The agent's state as a fold of its own stream `agent/<name>`. */
  readonly state?: {
    readonly initial: State;
    readonly apply: (state: State, event: AgentEvent) => State;
    /** Version of the fold's code: snapshots of another one are ignored. @default 1 */
    readonly version?: number;
    /** Keeps snapshots, so that a start and a look back needn't fold everything. @default none */
    readonly snapshot?: SnapshotPolicy;
  };
}

/** An agent of any state and any events, for lists of agents. */
// Both go in and come out: no other type takes all.
// oxlint-disable-next-line typescript/no-explicit-any
export type AnyAgent = AgentDefinition<any, any>;

export interface TaskWork<State = unknown> {
  readonly definition: TaskDefinition;
  readonly run: (input: unknown, context: TaskContext<State>) => unknown;
  /** Who must pass its results. */
  readonly validate?: TaskValidation;
}

/** What the events of a pattern are to a saga: its beginning, or expected by an instance. */
export interface SagaCorrelation {
  readonly saga: TaskDefinition;
  readonly key: (event: AgentEvent) => string | undefined;
  readonly input?: (event: AgentEvent) => unknown;
  readonly unknown: "ignore" | "refuse";
}

export interface EventWork<State = unknown> {
  readonly pattern: string;
  /** Instead of a handler. */
  readonly correlation?: SagaCorrelation;
  readonly options: OnOptions;
  readonly run: (event: AgentEvent, context: AgentContext<State>) => unknown;
}

/** An agent as declared; nothing runs before `startCadre`. Each call returns a new definition. */
export interface AgentDefinition<State = undefined, Events extends object = EventMap> {
  readonly name: string;
  readonly version?: string;
  readonly stuckAfterMs?: number;
  readonly activeWhen?: ActiveWhen;
  readonly capacity: number;
  readonly capabilities: readonly string[];
  readonly specializations: readonly string[];
  readonly tasks: readonly TaskWork<State>[];
  readonly events: readonly EventWork<State>[];
  readonly registry?: EventRegistry;
  readonly identity?: Identity;
  readonly state?: AgentOptions<State>["state"];
  /** A task: exactly one agent does it. */
  does<Input, Output>(
    definition: TaskDefinition<Input, Output>,
    run: (input: Input, context: TaskContext<State, Events>) => Promise<Output> | Output,
  ): AgentDefinition<State, Events>;
  /** A task whose results are released only when others have passed them. */
  does<Input, Output>(
    definition: TaskDefinition<Input, Output>,
    options: { readonly validate: TaskValidation },
    run: (input: Input, context: TaskContext<State, Events>) => Promise<Output> | Output,
  ): AgentDefinition<State, Events>;
  /**
   * Votes on proposals whose voters it is among, by its name or by a capability. It is asked by a
   * task that only it can do. `Content` is what is proposed to it, if that is known:
   * `votes<Change>(…)`; it is not checked.
   */
  votes<Content = JsonValue>(
    run: (
      ballot: Ballot<Content>,
      context: TaskContext<State, Events>,
    ) => Promise<BallotAnswer> | BallotAnswer,
  ): AgentDefinition<State, Events>;
  /** Takes part in debates in which it is named. */
  debates(part: DebatePart<TaskContext<State, Events>>): AgentDefinition<State, Events>;
  /** A saga, and the events that begin it. */
  does<Input, Output>(saga: SagaDefinition<Input, Output>): AgentDefinition<State, Events>;
  /** A fact: all who listen hear it; the agents of one name share one durable group. */
  on<const Pattern extends string>(
    pattern: CheckedPattern<Pattern, Events>,
    run: (event: EventOf<Events, Pattern>, context: AgentContext<State, Events>) => unknown,
  ): AgentDefinition<State, Events>;
  on<const Pattern extends string>(
    pattern: CheckedPattern<Pattern, Events>,
    options: OnOptions,
    run: (event: EventOf<Events, Pattern>, context: AgentContext<State, Events>) => unknown,
  ): AgentDefinition<State, Events>;
}
