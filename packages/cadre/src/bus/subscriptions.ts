/** All subscriptions of one bus: opened from their options, kept until they close. */
import type { Clock } from "../core/clock.ts";
import type { UnitOfWork } from "../core/commit.ts";
import { CadreError } from "../core/errors.ts";
import type { AgentEvent } from "../core/event.ts";
import type { CompiledFilter } from "../core/filter.ts";
import type { Random } from "../core/random.ts";
import type { DropReport } from "./backpressure.ts";
import { BroadcastFeed } from "./broadcast-feed.ts";
import { BroadcastSubscription } from "./broadcast-subscription.ts";
import type { Broadcasts } from "./broadcast.ts";
import type { Handler, SubscribeOptions } from "./bus.ts";
import { CircuitBreaker, type BreakerChange } from "./circuit-breaker.ts";
import { createCounters } from "./counters.ts";
import type { DeadLetterOffice } from "./dead-letter-office.ts";
import type { Deadlines } from "./deadline-queue.ts";
import { DedupWindow } from "./dedup-window.ts";
import type { ErrorChannel } from "./error-channel.ts";
import { FailureMemory } from "./failure-memory.ts";
import type { Fairness } from "./fairness.ts";
import type { Guard } from "./guard.ts";
import type { MemberOfBus } from "./member.ts";
import type { Middleware } from "./middleware.ts";
import { Pipeline, type PipelineParts } from "./pipeline.ts";
import type { Publisher } from "./publisher.ts";
import { RetryPolicy } from "./retry-policy.ts";
import { GroupMember } from "./subscription-group.ts";
import {
  assertSupported,
  consumeSpec,
  planSubscription,
  topicMatcher,
  type SubscriptionPlan,
} from "./subscription-plan.ts";
import type { Lease, Transport } from "./transport.ts";

export interface SubscriptionsParts {
  readonly transport: Transport;
  readonly clock: Clock;
  readonly random: Random;
  readonly errors: ErrorChannel;
  readonly middleware: Middleware;
  readonly fairness: Fairness;
  readonly deadlines: Deadlines;
  readonly publisher: Publisher;
  readonly broadcasts: Broadcasts;
  readonly deadLetters: DeadLetterOffice;
  readonly unitOfWork: UnitOfWork<Lease> | undefined;
  readonly source: string;
  readonly dedupWindow: number;
  readonly admit: PipelineParts["admit"];
  readonly guard?: Guard | undefined;
  /** Says something about the bus itself, best effort. */
  readonly announce: (type: string, payload: Readonly<Record<string, unknown>>) => void;
}

/** What members of one group share in this process. */
interface GroupMemory {
  readonly dedup: DedupWindow;
  readonly failures: FailureMemory;
}

export class Subscriptions {
  readonly #parts: SubscriptionsParts;
  readonly #members = new Set<MemberOfBus>();
  readonly #groups = new Map<string, GroupMemory>();
  /** What stops listening to a member's signal. */
  readonly #signals = new Map<MemberOfBus, () => void>();
  #paused = false;
  #closed = false;

  constructor(parts: SubscriptionsParts) {
    this.#parts = parts;
  }

  get members(): readonly MemberOfBus[] {
    return [...this.#members];
  }

  /** From now on nothing is opened. */
  close(): void {
    this.#closed = true;
  }

  pause(): void {
    this.#paused = true;
    for (const member of this.#members) member.pause();
  }

  resume(): void {
    this.#paused = false;
    for (const member of this.#members) member.resume();
  }

  async open(pattern: string, options: SubscribeOptions, handler: Handler): Promise<MemberOfBus> {
    this.#assertOpen();
    const plan = this.#permitted(planSubscription(pattern, options), options.as);
    const { transport } = this.#parts;
    assertSupported(plan, transport.name, transport.capabilities);
    if (plan.signal?.aborted) {
      throw new CadreError("CANCELLED", `The signal of subscription "${plan.name}" is aborted.`, {
        what: plan.name,
      });
    }
    const member =
      plan.group === undefined
        ? await this.#openBroadcast(plan, handler)
        : await this.#openGroup(plan, plan.group, handler);
    this.#members.add(member);
    if (this.#closed) {
      await member.close({ deadlineMs: 0 });
      this.#assertOpen();
    }
    if (this.#paused) member.pause();
    if (plan.signal) this.#closeWith(plan.signal, member);
    return member;
  }

  async declareGroup(pattern: string, options: SubscribeOptions): Promise<void> {
    this.#assertOpen();
    const plan = this.#permitted(planSubscription(pattern, options), options.as);
    if (plan.group === undefined) {
      throw new CadreError("INVALID_OPTION", "declareGroup needs the name of a group.", {
        option: "group",
      });
    }
    const { transport } = this.#parts;
    assertSupported(plan, transport.name, transport.capabilities);
    const intake = await transport.open(consumeSpec(plan, plan.group));
    await intake.close();
  }

  /** The direct path of a broadcast of the bus's own: no filter, no statistics of the user's. */
  async openOwn(pattern: string, handler: Handler): Promise<MemberOfBus> {
    const plan = planSubscription(pattern, { concurrency: ownConcurrency, timeoutMs: 0 });
    const { guard, source } = this.#parts;
    const rights = guard?.permissions;
    if (!rights) return this.#openBroadcast(plan, handler, true);
    // No right is needed to hear what a bus must hear, but walls stand.
    const behindWall: Handler = (event, delivery) =>
      rights.sees(source, event.metadata.tenant) ? handler(event, delivery) : undefined;
    return this.#openBroadcast(plan, behindWall, true);
  }

  /** What its subject may see of what it asks for. @throws {CadreError} FORBIDDEN */
  #permitted(plan: SubscriptionPlan, as: string = this.#parts.source): SubscriptionPlan {
    const permissions = this.#parts.guard?.permissions;
    if (!permissions) return plan;
    for (const pattern of plan.patterns) permissions.assertMaySubscribe(as, pattern);
    const { compiledFilter: own } = plan;
    const sees = (event: AgentEvent): boolean =>
      permissions.may(as, "subscribe", event.type, event.metadata.tenant);
    const compiledFilter: CompiledFilter = {
      matches: (event) => sees(event) && own?.matches(event) !== false,
      equalities: own?.equalities ?? new Map(),
    };
    const wall = permissions.wallOf(as);
    // A group acks what its filter keeps away: members behind different walls would each lose what
    // is for the other.
    const definition = wall === undefined ? plan.definition : `${plan.definition} of ${wall}`;
    return { ...plan, compiledFilter, definition };
  }

  #assertOpen(): void {
    if (!this.#closed) return;
    throw new CadreError("CLOSED", "The bus is closed and takes no new subscriptions.", {
      what: "bus",
    });
  }

  #closeWith(signal: AbortSignal, member: MemberOfBus): void {
    const onAbort = (): void => void member.close();
    signal.addEventListener("abort", onAbort, { once: true });
    this.#signals.set(member, () => signal.removeEventListener("abort", onAbort));
  }

  #forget(member: MemberOfBus): void {
    this.#members.delete(member);
    this.#signals.get(member)?.();
    this.#signals.delete(member);
  }

  async #openBroadcast(
    plan: SubscriptionPlan,
    handler: Handler,
    own = false,
  ): Promise<BroadcastSubscription> {
    const { transport, broadcasts, publisher, clock, errors } = this.#parts;
    const isDirect = transport.tap !== undefined && plan.from === "new";
    if (!isDirect) assertFeedable(plan, transport.name);
    const subscription = new BroadcastSubscription({
      plan,
      handler,
      ...this.#handlerParts(plan),
      clock,
      errors,
      fairness: this.#parts.fairness,
      breaker: this.#breakerFor(plan),
      delivery: { publisher, subscription: plan.name, holdsBack: false, stages: false },
      announceDrops: (report) => this.#announceDrops(report),
      setFull: (which, full) => broadcasts.setFull(which, full),
      onClose: (which) => this.#forget(which),
    });
    if (isDirect) {
      subscription.stopFeeding = broadcasts.add(subscription);
    } else {
      const name = `${plan.name}-${this.#parts.random.id(clock.now())}`;
      const intake = await transport.open(consumeSpec(plan, name));
      const { fairness, middleware, guard } = this.#parts;
      const admit = guard ? once(this.#parts.admit, guard) : this.#parts.admit;
      const passes = own ? () => true : middleware.passes.bind(middleware);
      const parts = { intake, subscription, clock, errors, fairness, admit, passes };
      const feed = new BroadcastFeed(parts);
      subscription.stopFeeding = () => feed.close();
    }
    return subscription;
  }

  async #openGroup(plan: SubscriptionPlan, group: string, handler: Handler): Promise<GroupMember> {
    const { transport, clock, errors, publisher, unitOfWork, deadLetters, fairness } = this.#parts;
    const retry = new RetryPolicy(plan.retry, this.#parts.random);
    const counters = createCounters();
    const memory = this.#memoryOf(group);
    let member: GroupMember | undefined;
    const breaker = this.#breakerFor(plan, () => member?.breakerChanged());
    const stages = unitOfWork !== undefined;
    const pipeline = new Pipeline({
      plan,
      group,
      handler,
      ...this.#handlerParts(plan),
      clock,
      errors,
      counters,
      retry,
      failures: memory.failures,
      // An inbox remembers for longer, but only the window knows what runs here at this moment.
      dedup: plan.dedup ? memory.dedup : undefined,
      deadLetters,
      publisher,
      unitOfWork,
      breaker,
      delivery: { publisher, subscription: plan.name, holdsBack: true, stages },
      maxRetryDelayMs: transport.capabilities.maxRetryDelayMs,
      matchesType: topicMatcher(plan.patterns),
      admit: this.#parts.admit,
      isGuarded: this.#parts.guard !== undefined,
    });
    const intake = await transport.open(consumeSpec(plan, group));
    member = new GroupMember(
      {
        plan,
        group,
        intake,
        pipeline,
        counters,
        clock,
        errors,
        breaker,
        fairness,
        unitOfWork,
        nativePriorities: transport.capabilities.priorities,
        announceDrops: (report) => this.#announceDrops(report),
        onClose: (which) => this.#forget(which),
      },
      this.#paused,
    );
    return member;
  }

  #handlerParts(plan: SubscriptionPlan): {
    readonly middleware: Middleware;
    readonly deadlines: Deadlines;
    readonly timeoutMs: number;
    readonly subscription: string;
  } {
    const { middleware, deadlines } = this.#parts;
    return { middleware, deadlines, timeoutMs: plan.timeoutMs, subscription: plan.name };
  }

  #breakerFor(plan: SubscriptionPlan, onChange?: () => void): CircuitBreaker | undefined {
    if (plan.breaker === false) return undefined;
    return new CircuitBreaker(plan.name, plan.breaker, this.#parts.clock, (change) => {
      onChange?.();
      this.#announceBreaker(change);
    });
  }

  #announceBreaker(change: BreakerChange): void {
    const states = { open: "opened", "half-open": "half_opened", closed: "closed" } as const;
    this.#parts.announce(`circuit_breaker.${states[change.to]}`, { ...change });
  }

  #announceDrops(report: DropReport): void {
    const { subscription, queued, maxQueued, ...rest } = report;
    const queue = { queue: subscription, size: queued, limit: maxQueued };
    this.#parts.announce("agent.backpressure", { agent: this.#parts.source, ...queue, ...rest });
  }

  #memoryOf(group: string): GroupMemory {
    let memory = this.#groups.get(group);
    if (!memory) {
      memory = { dedup: new DedupWindow(this.#parts.dedupWindow), failures: new FailureMemory() };
      this.#groups.set(group, memory);
    }
    return memory;
  }
}

const ownConcurrency = 100_000; // the bus's own handlers never wait

/**
 * A transport that this process reads like any other cannot make other processes' publishers wait.
 */
function assertFeedable(plan: SubscriptionPlan, by: string): void {
  if (plan.overflow === "drop-oldest" || plan.overflow === "drop-newest") return;
  throw new CadreError(
    "UNSUPPORTED",
    `A broadcast through transport "${by}" cannot hold its publishers up ` +
      `with overflow: "${plan.overflow}". ` +
      `Use "drop-oldest" or "drop-newest", or a group.`,
    { feature: `overflow: "${plan.overflow}"`, by },
  );
}

/** For who has no memory of what it has handled: an event that comes again is refused. */
export function once(admit: PipelineParts["admit"], guard: Guard): PipelineParts["admit"] {
  const assertNew = guard.once();
  return (event, takenAt) => {
    const admitted = admit(event, takenAt);
    assertNew(admitted);
    return admitted;
  };
}
