/**
 * One entry into a task's handler: its own context, journal and held-back events.
 *
 * An attempt enters once; it enters again, on recorded results alone, where a step must be undone
 * that this process did not run.
 */
import type { AgentEvent } from "../core/event.ts";
import { CadreError } from "../core/errors.ts";
import { compileFilter } from "../core/filter.ts";
import { assertPattern } from "../core/pattern.ts";
import type { EventRegistry } from "../core/registry.ts";
import type { AnyAgent, SignalOptions, TaskContext, TaskWork } from "./agent.ts";
import type { FeatureDesk } from "./feature-desk.ts";
import { HandlerContext } from "./handler-context.ts";
import type { MapOptions } from "./orchestration/delegated.ts";
import { Delegation } from "./orchestration/delegation.ts";
import { checkHandoff, Handoff, type HandoffTarget } from "./orchestration/handoff.ts";
import type { SignalHub } from "./signal-hub.ts";
import type { JournalSink } from "./journal-sink.ts";
import { StepJournal } from "./step-journal.ts";
import type { TaskDesk } from "./task-desk.ts";
import { taskProgress } from "./task-events.ts";
import { taskStream } from "./task-fold.ts";
import type { SlotHold } from "./task-slots.ts";
import type { Proposer } from "./proposals/proposer.ts";
import type { TeamProposals } from "./proposals/team-proposals.ts";
import { runValidated } from "./proposals/validation.ts";
import { validationOf } from "./trust/gate.ts";
import type { TaskWriter } from "./task-writer.ts";
import type { TaskDefinition, TaskHandle, TaskOptions, TaskState } from "./task.ts";
import { teamEvent, type TeamContext } from "./team-context.ts";
import { never, unheard } from "./within-time.ts";

export interface TaskEntryPort {
  readonly context: TeamContext;
  readonly registry: EventRegistry | undefined;
  readonly agent: AnyAgent;
  readonly slot: SlotHold;
  readonly desk: TaskDesk;
  readonly features: FeatureDesk;
  readonly signals: SignalHub;
  readonly proposals: TeamProposals;
  readonly work: TaskWork;
  readonly writer: TaskWriter;
  /** Of this entry: aborted when its handler may have no effect any more. */
  readonly signal: AbortSignal;
  readonly agentState: unknown;
  /** What started the attempt. */
  readonly started: AgentEvent;
  /** Whether it runs only to learn the handler's undos. */
  readonly replays: boolean;
  readonly afterReceipt?: (step: string) => Promise<void>;
  /** Throws when the owner's lease may have ended. */
  assertOwned(): void;
}

type MapArguments = readonly [
  name: string,
  definition: TaskDefinition,
  items: Iterable<unknown>,
  options?: MapOptions,
];

// reports in between are merged: a loop that reports each item must not fill the log
const progressEveryMs = 1_000;

export class TaskEntry {
  readonly journal: StepJournal;
  readonly common: HandlerContext<unknown>;
  /** Set when the handler has given the task to another. */
  handedOff: Handoff | undefined;
  readonly #port: TaskEntryPort;
  #lastProgressAt = -Infinity;

  constructor(port: TaskEntryPort) {
    this.#port = port;
    this.journal = new StepJournal(this.#journalSink());
    this.common = new HandlerContext({
      context: port.context,
      registry: port.registry,
      agent: port.agent.name,
      attempt: this.#state.attempt,
      signal: port.signal,
      state: port.agentState,
      journal: this.journal,
      replays: port.replays,
      assertOwned: () => this.#assertOwned(),
      work: () => ({ task: this.#state, ...tenantOf(this.#state) }),
      cause: () => port.started,
      withoutSlot: (wait) => port.slot.without(wait),
    });
  }

  /** Runs the handler. @throws {CadreError} INVALID_PAYLOAD, when the input does not fit */
  async run(): Promise<unknown> {
    const { definition, run, validate: own } = this.#port.work;
    const input = definition.checkInput(this.#state.input);
    const context = this.#taskContext();
    const { trust } = this.#port.context;
    const { capability } = this.#state;
    const validate = await validationOf(context, this.journal, { capability, own, trust });
    if (!validate) return this.#explained(() => run(input, context));
    const forget = (): void => this.common.forget();
    const again = (ctx: TaskContext): unknown => this.#explained(() => run(input, ctx));
    return runValidated({ definition, validate, context, run: again, forget });
  }

  async #explained(run: () => unknown): Promise<unknown> {
    try {
      const result = await run();
      this.common.assertWhole();
      return result;
    } catch (error) {
      throw this.common.explain(error);
    }
  }

  get #state(): TaskState {
    return this.#port.writer.state;
  }

  #assertOwned(): void {
    this.#port.signal.throwIfAborted();
    this.#port.assertOwned();
  }

  async #history(): Promise<readonly AgentEvent[]> {
    const { epoch, attempt, id } = this.#state;
    if (epoch === 1 && attempt === 1 && !this.#port.replays && !this.#port.afterReceipt) return [];
    const events: AgentEvent[] = [];
    for await (const { event } of this.#port.context.store.read({ stream: taskStream(id) })) {
      if (event.type.startsWith("step.")) events.push(event);
    }
    return events;
  }

  #journalSink(): JournalSink {
    const { context, agent, writer, work, afterReceipt } = this.#port;
    const { id } = this.#state;
    return {
      key: id,
      clock: context.clock,
      drift: work.definition.drift ?? "fail",
      allowsUndo: true,
      history: () => this.#history(),
      assertOwned: () => this.#assertOwned(),
      makeEvent: (type, payload) => {
        const { epoch, attempt } = this.#state;
        const fields = { taskId: id, epoch, attempt, ...payload };
        return teamEvent(context, agent.name, type, fields, { cause: writer.entry.last });
      },
      append: (events) => writer.append(events),
      ...(afterReceipt === undefined ? {} : { afterReceipt }),
    };
  }

  #taskContext(): TaskContext {
    const { slot, signal } = this.#port;
    const proposer = this.#proposer();
    return {
      ...this.common.make(),
      task: this.#state,
      epoch: this.#state.epoch,
      progress: (fraction, note) => this.#progress(fraction, note),
      round: 1,
      feedback: [],
      propose: (what, options) => unheard(proposer.propose(what, options)),
      validated: (result, options) => unheard(proposer.validated(result, options)),
      debate: (question, options) => unheard(proposer.debate(question, options)),
      ...this.#delegation(),
      handoff: (to, note) => this.#handoff(to, note),
      waitFor: (pattern, options) => unheard(this.#waitFor(pattern, options)),
      spawn: (name, definition, input, options) => this.#spawn(name, definition, input, options),
      call: (name, definition, input, options) => {
        const child = this.#spawn(name, definition, input, options);
        return unheard(child.then((handle) => slot.without(() => handle.result({ signal }))));
      },
    };
  }

  #proposer(): Proposer {
    const { agent, proposals, slot, signal, work, writer } = this.#port;
    return proposals.proposer({
      agent: agent.name,
      journal: this.journal,
      slot,
      signal,
      drift: work.definition.drift ?? "fail",
      task: () => this.#state,
      cause: () => writer.entry.last,
      assertOwned: () => this.#assertOwned(),
    });
  }

  #delegation(): Pick<TaskContext, "feature" | "scatter" | "map"> {
    const { context, agent, desk, features, slot, signal, replays, writer } = this.#port;
    const delegation = new Delegation({
      context,
      desk,
      features,
      slot,
      signal,
      replays,
      agent: agent.name,
      journal: this.journal,
      state: () => this.#state,
      cause: () => writer.entry.last,
      assertOwned: () => this.#assertOwned(),
      spawn: (name, definition, input, options) => this.#spawn(name, definition, input, options),
    });
    return {
      // What the plan's tasks give is known to who has made the plan.
      feature: ((name, plan) => unheard(delegation.feature(name, plan))) as TaskContext["feature"],
      scatter: (name, definition, to, options = {}) =>
        unheard(delegation.scatter(name, definition, to, options)),
      // One function behind the overloads.
      map: ((...[name, definition, items, options]: MapArguments) =>
        unheard(delegation.map(name, definition, items, options ?? {}))) as TaskContext["map"],
    };
  }

  async #handoff(to: HandoffTarget, note: string | undefined): Promise<never> {
    if (this.#port.replays) return never();
    this.#assertOwned();
    checkHandoff(this.#state, to);
    this.handedOff = new Handoff(to, note);
    throw this.handedOff;
  }

  async #spawn<Input, Output>(
    name: string,
    definition: TaskDefinition<Input, Output>,
    input: Input,
    options: TaskOptions = {},
  ): Promise<TaskHandle<Output>> {
    const { desk, replays, writer, agent, context, work } = this.#port;
    const { id, deadlineAt, tenant, budget, depth } = this.#state;
    this.#assertOwned();
    context.guard?.permissions?.tenantFor(agent.name, tenant ?? options.tenant);
    // The child's id follows from the parent and the name: a second attempt finds the child of
    // the first.
    const childId = options.id ?? `${id}.${name}`;
    await this.journal.flush();
    if (replays && !(await desk.get(childId))) return never();
    return desk.create(definition, input, {
      ...options,
      id: childId,
      parent: id,
      sameInput: work.definition.drift !== "warn",
      cause: writer.entry.last,
      ...(deadlineAt === undefined ? {} : { parentDeadlineAt: deadlineAt }),
      ...(tenant === undefined ? {} : { tenant }),
      ...(budget === undefined ? {} : { parentBudget: budget }),
      ...(depth === undefined ? {} : { depth }),
    });
  }

  async #waitFor(pattern: string, options: SignalOptions = {}): Promise<AgentEvent | undefined> {
    const { signals, slot, signal, agent } = this.#port;
    const { name = pattern, where, timeoutMs } = options;
    const { guard } = this.#port.context;
    assertPattern(pattern);
    guard?.permissions?.assertMaySubscribe(agent.name, pattern);
    this.#assertOwned();
    const filter = where === undefined ? undefined : compileFilter(where);
    const { journal } = this;
    const known = await journal.signal(name);
    if (known) return known.event;
    const dueAt = timeoutMs === undefined ? undefined : await this.#dueAt(name, timeoutMs);
    await journal.flush();
    const found = await slot.without(() =>
      signals.wait({
        pattern,
        since: { taskId: this.#state.id, at: this.#state.createdAt },
        accepts: (event, recordedAt) =>
          !journal.hasTaken(event.id) &&
          (filter?.matches(event) ?? true) &&
          (guard?.shows(agent.name, event, recordedAt) ?? true),
        take: (event) => journal.takeSignal(name, event),
        dueAt,
        signal,
      }),
    );
    this.#assertOwned();
    if (!found) await journal.takeSignal(name, undefined);
    return found;
  }

  /** A wall clock that was set back makes no wait longer. */
  async #dueAt(name: string, timeoutMs: number): Promise<number> {
    const dueAt = await this.journal.timeWithin(name, timeoutMs);
    return Math.min(dueAt, this.#port.context.clock.now() + timeoutMs);
  }

  async #progress(fraction: number, note: string | undefined): Promise<void> {
    const { context, writer, replays } = this.#port;
    this.#assertOwned();
    const now = context.clock.monotonic();
    if (replays || now - this.#lastProgressAt < progressEveryMs) return;
    this.#lastProgressAt = now;
    await writer.append([taskProgress(context, writer.entry, fraction, note)]);
  }
}

function tenantOf({ tenant }: TaskState): { readonly tenant?: string } {
  return tenant === undefined ? {} : { tenant };
}

/** An error of a lease that ended. */
export function leaseLost(id: string): CadreError {
  const message = `The lease on task ${id} could not be renewed in time.`;
  return new CadreError("LEASE_LOST", message, { what: `task ${id}` });
}

/** An error of an attempt that is over. */
export function stopped(id: string, why: string): CadreError {
  return new CadreError("CANCELLED", `Task ${id} ${why}.`, { what: `task ${id}` });
}
