/**
 * What an agent hears: one durable group for each agent name with all its patterns, and a broadcast
 * for each ephemeral handler.
 *
 * The steps of a handler are journaled by group and event over all attempts. Its effects commit
 * with the delivery.
 */
import { CadreError, isCadreError, TerminalError } from "../core/errors.ts";
import type { AgentEvent } from "../core/event.ts";
import { compileFilter, type CompiledFilter } from "../core/filter.ts";
import { compilePattern } from "../core/pattern.ts";
import type { EventRegistry } from "../core/registry.ts";
import type { Bus, Delivery, SubscribeOptions } from "../bus/bus.ts";
import type { Subscription } from "../bus/subscription.ts";
import type { AnyAgent, EventWork, SagaCorrelation } from "./agent.ts";
import type { AgentState } from "./agent-state.ts";
import { sagaId } from "./define-saga.ts";
import { HandlerContext } from "./handler-context.ts";
import type { ProgressMark, ProgressWatch } from "./health/progress-watch.ts";
import { throughTrouble } from "./passing-trouble.ts";
import { StepJournal } from "./step-journal.ts";
import type { TaskDesk } from "./task-desk.ts";
import { teamEvent, type TeamContext } from "./team-context.ts";

export interface AgentListenerPort {
  readonly context: TeamContext;
  readonly registry: EventRegistry | undefined;
  readonly agent: AnyAgent;
  readonly state: AgentState<unknown>;
  readonly desk: TaskDesk;
  readonly progress: ProgressWatch;
}

interface Ear {
  readonly work: EventWork;
  readonly index: number;
  readonly matches: (type: string) => boolean;
  readonly filter: CompiledFilter | undefined;
}

type Waiting = <Result>(wait: () => Promise<Result>) => Promise<Result>;

/** The group of an agent. */
export const agentGroup = (name: string): string => `agent.${name}`;

/** Stream of the steps of one handling of one event. */
const handlingStream = (group: string, eventId: string): string => `handling/${group}/${eventId}`;

export class AgentListener {
  readonly #port: AgentListenerPort;
  readonly #durable: readonly Ear[];
  readonly #ephemeral: readonly Ear[];
  #subscriptions: Subscription[] = [];

  constructor(port: AgentListenerPort) {
    this.#port = port;
    const ears = port.agent.events.map((work, index): Ear => ({
      work,
      index,
      matches: compilePattern(work.pattern),
      filter: work.options.filter === undefined ? undefined : compileFilter(work.options.filter),
    }));
    this.#durable = ears.filter(({ work }) => !work.options.ephemeral);
    this.#ephemeral = ears.filter(({ work }) => work.options.ephemeral);
  }

  /** Creates the group, so that it misses nothing that is published from now on. */
  async declare(): Promise<void> {
    const [first] = this.#durable;
    if (!first) return;
    const { bus } = this.#port.context;
    try {
      await bus.declareGroup(first.work.pattern, this.#groupOptions());
    } catch (error) {
      throw isCadreError(error, "GROUP_MISMATCH") ? this.#otherPatterns(error) : error;
    }
  }

  #otherPatterns(error: CadreError<"GROUP_MISMATCH">): CadreError {
    const { name } = this.#port.agent;
    const message =
      `Agent "${name}" has listened on this log with other patterns (${error.details.expected}), ` +
      "and its place in the log belongs to those. Give the new handlers to an agent of another " +
      `name, or forget that place, and what it had not handled, while no process runs it: ` +
      `cadre groups delete ${error.details.group} --yes`;
    return new CadreError("GROUP_MISMATCH", message, error.details, error);
  }

  async start(): Promise<void> {
    const { bus } = this.#port.context;
    const [first] = this.#durable;
    if (first) {
      this.#subscriptions.push(
        await subscribe(bus, first.work.pattern, this.#groupOptions(), (event, delivery) =>
          this.#handle(this.#durable, event, delivery),
        ),
      );
    }
    for (const ear of this.#ephemeral) {
      const { name, capacity } = this.#port.agent;
      const options = { concurrency: ear.work.options.concurrency ?? capacity, as: name };
      this.#subscriptions.push(
        await subscribe(bus, ear.work.pattern, options, (event, delivery) =>
          this.#handle([ear], event, delivery),
        ),
      );
    }
  }

  /** Takes nothing new until it resumes; its groups keep what comes. */
  pause(): void {
    for (const subscription of this.#subscriptions) subscription.pause();
  }

  resume(): void {
    for (const subscription of this.#subscriptions) subscription.resume();
  }

  async close(deadlineMs: number): Promise<void> {
    const open = this.#subscriptions.splice(0);
    await Promise.all(open.map((subscription) => subscription.close({ deadlineMs })));
  }

  #groupOptions(): SubscribeOptions & { readonly group: string } {
    const [, ...others] = this.#durable;
    const concurrency = Math.max(
      ...this.#durable.map(({ work }) => work.options.concurrency ?? this.#port.agent.capacity),
    );
    const set = this.#durable.map(({ work }) => work.options);
    const retry = set.find((options) => options.retry !== undefined)?.retry;
    return {
      group: agentGroup(this.#port.agent.name),
      as: this.#port.agent.name,
      also: others.map(({ work }) => work.pattern),
      concurrency,
      timeoutMs: set.find((options) => options.timeoutMs !== undefined)?.timeoutMs ?? 0,
      ...(retry === undefined ? {} : { retry }),
    };
  }

  async #handle(ears: readonly Ear[], event: AgentEvent, delivery: Delivery): Promise<void> {
    const { agent, progress } = this.#port;
    let waits = 0;
    const what = `${event.type} (${event.id})`;
    const mark = progress.begin({ agent: agent.name, what }, () => waits > 0);
    const withoutSlot: Waiting = async (wait) => {
      waits += 1;
      return wait().finally(() => void (waits -= 1));
    };
    try {
      await this.#handleWith(ears, event, delivery, { mark, withoutSlot });
    } finally {
      mark.end();
    }
  }

  async #handleWith(
    ears: readonly Ear[],
    event: AgentEvent,
    delivery: Delivery,
    { mark, withoutSlot }: { readonly mark: ProgressMark; readonly withoutSlot: Waiting },
  ): Promise<void> {
    const { agent, context, registry, state } = this.#port;
    const agentState = await state.current();
    for (const ear of ears) {
      if (!ear.matches(event.type) || ear.filter?.matches(event) === false) continue;
      // Handlers of one event have their steps apart: each is its own journal.
      const group = `${agentGroup(agent.name)}/${ear.index}`;
      const journal = this.#journal(group, event, delivery);
      const common = new HandlerContext({
        context,
        registry,
        agent: agent.name,
        attempt: delivery.attempt,
        signal: delivery.signal,
        state: agentState,
        journal,
        assertOwned: () => {
          mark.touch();
          delivery.signal.throwIfAborted();
        },
        work: () => ({
          ...(event.metadata.tenant === undefined ? {} : { tenant: event.metadata.tenant }),
        }),
        cause: () => event,
        withoutSlot,
      });
      const { correlation } = ear.work;
      if (correlation) await this.#correlate(correlation, event);
      else await run(ear.work, event, common);
      await journal.flush();
      await this.#emit(common, delivery, ear);
    }
  }

  /** Begins the saga that the event is about, or sees to it that it is there. */
  async #correlate(correlation: SagaCorrelation, event: AgentEvent): Promise<void> {
    const { desk } = this.#port;
    const { saga, unknown, input } = correlation;
    const key = correlation.key(event);
    if (key === undefined) {
      if (unknown === "ignore") return;
      throw new TerminalError(
        `Event ${event.id} (${event.type}) has no key for saga ${saga.name}.`,
      );
    }
    const id = sagaId(saga, key);
    if (input) {
      await desk.create(saga, input(event), { id, cause: event });
    } else if (unknown === "refuse" && !(await desk.get(id))) {
      // Its beginning may be on the way: it is looked for again before this is a dead letter.
      const message = `Event ${event.id} (${event.type}) is for saga ${id}, which is not there.`;
      throw new CadreError("NOT_FOUND", message, { what: "saga", id });
    }
  }

  async #emit(common: HandlerContext<unknown>, delivery: Delivery, ear: Ear): Promise<void> {
    if (ear.work.options.ephemeral) {
      for (const event of common.heldBack) await this.#port.context.bus.publishEvent(event);
      if (common.appends.length > 0)
        await this.#port.context.store.commit({ appends: common.appends });
      return;
    }
    delivery.stage({ appends: common.appends, outbox: common.heldBack });
  }

  #journal(group: string, event: AgentEvent, delivery: Delivery): StepJournal {
    const { agent, context } = this.#port;
    const stream = handlingStream(group, event.id);
    let version = 0;
    let before: Promise<unknown> = Promise.resolve();
    const append = async (events: readonly AgentEvent[]): Promise<void> => {
      const appends = [{ stream, expectedVersion: version, events, private: true }];
      const commit = (): Promise<unknown> => context.store.commit({ appends });
      await throughTrouble(context.clock, context.heartbeatMs, commit).catch((error: unknown) => {
        // Another attempt writes the same journal: this one has lost its lease and must stop.
        if (isCadreError(error, "VERSION_CONFLICT")) delivery.signal.throwIfAborted();
        throw error;
      });
      version += events.length;
    };
    return new StepJournal({
      key: `${group}/${event.id}`,
      clock: context.clock,
      drift: "fail",
      allowsUndo: false,
      // Also at a first attempt: a carrier may bring one event twice, each as a delivery of its
      // own.
      history: async () => {
        const history: AgentEvent[] = [];
        for await (const stored of context.store.read({ stream })) history.push(stored.event);
        version = history.length;
        return history;
      },
      assertOwned: () => delivery.signal.throwIfAborted(),
      makeEvent: (type, payload) =>
        teamEvent(
          context,
          agent.name,
          type,
          { handling: `${group}/${event.id}`, ...payload },
          { cause: event },
        ),
      // Steps may run at once; what they write is written one after the other.
      append: (events) => {
        const written = before.then(() => append(events));
        before = written.catch(() => undefined);
        return written;
      },
    });
  }
}

async function run(
  work: EventWork,
  event: AgentEvent,
  common: HandlerContext<unknown>,
): Promise<void> {
  try {
    await work.run(event, common.make());
  } catch (error) {
    throw common.explain(error);
  }
}

function subscribe(
  bus: Bus,
  pattern: string,
  options: SubscribeOptions,
  handler: (event: AgentEvent, delivery: Delivery) => Promise<void>,
): Promise<Subscription> {
  return bus.subscribe(pattern, options, handler);
}
