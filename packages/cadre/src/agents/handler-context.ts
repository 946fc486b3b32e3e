/**
 * What handlers of tasks and of events have in common: held-back events, records, steps, sleeps,
 * questions.
 */
import type { Clock } from "../core/clock.ts";
import type { AgentEvent, EventOptions } from "../core/event.ts";
import { createEvent } from "../core/event.ts";
import type { Append } from "../core/commit.ts";
import type { EventRegistry } from "../core/registry.ts";
import type { JsonValue } from "../core/json.ts";
import type { AgentContext } from "./agent.ts";
import type { StepOptions } from "./step-options.ts";
import { agentStream } from "./agent-state.ts";
import type { StepCall } from "./journal-sink.ts";
import type { ChargedWork } from "./models/budget-scopes.ts";
import { HandlerModels } from "./models/handler-models.ts";
import type { ToolOptions } from "./models/model-context.ts";
import type { ToolRun } from "./models/tools.ts";
import { checkInstant } from "./schedule-trigger.ts";
import type { StepJournal } from "./step-journal.ts";
import type { TeamContext } from "./team-context.ts";
import { unheard } from "./within-time.ts";

const breathEveryMs = 10; // well below any heartbeat, and a hundred turns of the loop a second
const breathed = Promise.resolve();

export interface HandlerScope<State> {
  readonly context: TeamContext;
  readonly registry: EventRegistry | undefined;
  readonly agent: string;
  readonly attempt: number;
  readonly signal: AbortSignal;
  readonly state: State;
  readonly journal: StepJournal;
  /** The handler runs only to learn its undos: it has no effect. */
  readonly replays?: boolean;
  /** Whose models' calls are charged to whom. */
  work(): ChargedWork;
  /** What the handler's own events are caused by. */
  cause(): AgentEvent;
  /** Throws when this attempt may have no effect any more. */
  assertOwned(): void;
  /** Runs a wait without the handler's slot. */
  withoutSlot<Result>(wait: () => Promise<Result>): Promise<Result>;
}

/** Collects what a handler does, until it succeeds. */
export class HandlerContext<State> {
  readonly #scope: HandlerScope<State>;
  readonly #heldBack: AgentEvent[] = [];
  readonly #records: AgentEvent[] = [];
  readonly #models: HandlerModels;
  /** Monotonic. */
  #breathedAt = -Infinity;

  constructor(scope: HandlerScope<State>) {
    this.#scope = scope;
    this.#models = new HandlerModels(scope);
  }

  /** Nothing of what was held back until now happens. */
  forget(): void {
    this.#heldBack.length = 0;
    this.#records.length = 0;
  }

  /** What has failed, where another library says only that something has. */
  explain(error: unknown): unknown {
    return this.#models.explain(error);
  }

  /** Throws what another library has kept from the handler. */
  assertWhole(): void {
    this.#models.assertWhole();
  }

  /** Events to publish with the handler's success. */
  get heldBack(): readonly AgentEvent[] {
    return this.#heldBack;
  }

  /** Events for the agent's own stream, with the handler's success. */
  get records(): readonly AgentEvent[] {
    return this.#records;
  }

  /** Appends to the agent's own stream with the handler's success. */
  get appends(): readonly Append[] {
    if (this.#records.length === 0) return [];
    const stream = agentStream(this.#scope.agent);
    return [{ stream, expectedVersion: "any", events: this.#records, private: true }];
  }

  /** The object that the handler is given. */
  make(): AgentContext<State> {
    const scope = this.#scope;
    const { context, journal, signal } = scope;
    return {
      agent: scope.agent,
      incarnation: context.incarnation,
      attempt: scope.attempt,
      signal,
      clock: scope.replays ? hurried(context.clock) : context.clock,
      log: context.logger,
      state: scope.state,
      publish: (type, payload, options) => this.#publish(type, payload, options),
      record: (type, payload) => void this.#records.push(this.#event(type, payload, {})),
      ask: (type, payload, options) => unheard(this.#ask(type, payload, options)),
      // One function behind both overloads.
      step: ((name: string, ...rest: StepArguments) => {
        scope.assertOwned();
        return journal.step(stepCall(name, rest));
      }) as AgentContext<State>["step"],
      sleep: (name, time) => unheard(this.#sleep(name, time)),
      breathe: () => this.#breathe(),
      limit: (name, amount, limits) => unheard(this.#limit(name, amount, limits)),
      model: (model, options) => this.#models.model(model, options),
      // One tool is like the other here; the types of each are its caller's.
      tool: ((name: string, run: ToolRun, options?: ToolOptions) =>
        this.#models.tool(name, run, options)) as AgentContext["tool"],
      tools: (tools, options) => this.#models.tools(tools, options),
    };
  }

  async #publish<Type extends string>(
    type: Type,
    payload: unknown,
    options: EventOptions & { readonly isolated?: boolean } = {},
  ): Promise<AgentEvent<Type>> {
    const { isolated, ...rest } = options;
    this.#scope.assertOwned();
    const event = this.#event(type, payload, rest);
    if (isolated && !this.#scope.replays) await this.#scope.context.bus.publishEvent(event);
    else if (!isolated) this.#heldBack.push(event);
    return event;
  }

  #event<Type extends string>(
    type: Type,
    payload: unknown,
    options: EventOptions,
  ): AgentEvent<Type> {
    const { context, registry, agent } = this.#scope;
    const known = registry?.find(type);
    const checked = registry ? registry.validate(type, payload, options.version) : payload;
    const version = known ? { version: known.version } : {};
    const { clock, random, guard } = context;
    const given = { cause: this.#scope.cause(), ...options };
    const permitted = guard ? guard.permit(agent, type, given) : given;
    const making = { clock, random, source: agent, ...version };
    const event = createEvent(making, type, checked, permitted);
    return guard ? (guard.seal(event) as typeof event) : event;
  }

  async #ask(
    type: string,
    payload: unknown,
    { timeoutMs }: { readonly timeoutMs?: number } = {},
  ): Promise<JsonValue> {
    const { context, agent, signal } = this.#scope;
    this.#scope.assertOwned();
    const reply = await this.#scope.withoutSlot(() =>
      context.bus.request(type, payload, {
        cause: this.#scope.cause(),
        source: agent,
        signal,
        ...(timeoutMs === undefined ? {} : { timeoutMs }),
      }),
    );
    return reply.payload as JsonValue;
  }

  #breathe(): Promise<void> {
    const { clock } = this.#scope.context;
    const now = clock.monotonic();
    if (now - this.#breathedAt < breathEveryMs && !this.#scope.signal.aborted) return breathed;
    this.#breathedAt = now;
    return clock.yield().then(() => {
      this.#scope.signal.throwIfAborted();
      this.#scope.assertOwned();
    });
  }

  async #limit(
    name: string,
    amount: number | undefined,
    options: { readonly deadlineMs?: number } = {},
  ): Promise<void> {
    const { context, signal, replays } = this.#scope;
    this.#scope.assertOwned();
    if (replays || !context.limits.has(name)) return;
    const take = { ...options, signal };
    await this.#scope.withoutSlot(() => context.limits.take(name, amount, take));
    this.#scope.assertOwned();
  }

  async #sleep(name: string, time: number | Date): Promise<void> {
    const { context, journal, signal } = this.#scope;
    this.#scope.assertOwned();
    const isInstant = time instanceof Date;
    const ms = isInstant ? Math.max(0, checkInstant("sleep", time) - context.clock.now()) : time;
    const dueAt = await journal.timer(name, ms);
    // What is on record behind the sleep shows that it was over, whatever the wall clock says now.
    if (this.#scope.replays) return;
    // A wall clock that was set back makes no sleep longer.
    const leftMs = Math.min(ms, dueAt - context.clock.now());
    if (leftMs > 0) await this.#scope.withoutSlot(() => context.clock.sleep(leftMs, signal));
  }
}

/** Time that nobody waits for: a handler that only shows its undos need not sleep again. */
function hurried(clock: Clock): Clock {
  return {
    now: () => clock.now(),
    monotonic: () => clock.monotonic(),
    after: (ms, run) => clock.after(ms, run),
    sleep: () => clock.yield(),
    yield: () => clock.yield(),
  };
}

type Run = (stepKey: string, input: unknown) => unknown;
type Options = StepOptions<unknown, unknown>;
type StepArguments = readonly [run: Run, options?: Options] | readonly [unknown, Run, Options?];

/** The call with or without an input: an input is no function, for it must be JSON. */
function stepCall(name: string, rest: StepArguments): StepCall {
  const [first] = rest;
  if (typeof first === "function") {
    // The public overloads say which of the arguments are there.
    const [run, options = {}] = rest as readonly [Run, Options?];
    return { name, input: undefined, run: (stepKey) => run(stepKey, undefined), options };
  }
  const [input, run, options = {}] = rest as readonly [unknown, Run, Options?];
  return { name, input, run: (stepKey) => run(stepKey, input), options };
}
