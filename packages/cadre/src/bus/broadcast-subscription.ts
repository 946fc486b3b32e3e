/**
 * One broadcast subscription: every event once, at most once, in order; a failure is an error
 * record.
 *
 *   offer ─▶ filter ─▶ a handler is free ─▶ run
 *                  └─▶ queue (bounded: wait | reject | drop-oldest | drop-newest) ─▶ run
 *
 * Events come from the direct path, or from an intake of the transport that `BroadcastFeed` pulls
 * from.
 */
import type { Clock } from "../core/clock.ts";
import { CadreError } from "../core/errors.ts";
import type { AgentEvent } from "../core/event.ts";
import { Backpressure, type DropReport } from "./backpressure.ts";
import type { Subscription, SubscriptionStats } from "./subscription.ts";
import type { CircuitBreaker } from "./circuit-breaker.ts";
import { createCounters, type Counters } from "./counters.ts";
import { RunningDelivery, type DeliveryParts } from "./delivery.ts";
import type { ErrorChannel } from "./error-channel.ts";
import {
  isPromise,
  startHandler,
  type HandlerFailure,
  type HandlerRunParts,
} from "./handler-run.ts";
import { insideHandler } from "./handler-scope.ts";
import { Queue } from "./queue.ts";
import { RunningHandlers } from "./running-handlers.ts";
import type { SubscriptionPlan } from "./subscription-plan.ts";
import { Wakeup } from "./wakeup.ts";
import type { Fairness } from "./fairness.ts";
import { assertConcurrency, type Closing, type MemberOfBus } from "./member.ts";

export interface BroadcastParts extends HandlerRunParts {
  readonly plan: SubscriptionPlan;
  readonly clock: Clock;
  readonly errors: ErrorChannel;
  readonly breaker: CircuitBreaker | undefined;
  readonly delivery: DeliveryParts;
  readonly fairness: Fairness;
  readonly announceDrops: (report: DropReport) => void;
  /** The publishers' side: told when the queue fills up, and when it has room again. */
  readonly setFull: (subscription: BroadcastSubscription, full: boolean) => void;
  readonly onClose: (subscription: BroadcastSubscription) => void;
}

export class BroadcastSubscription implements Subscription, MemberOfBus {
  readonly plan: SubscriptionPlan;
  readonly counters: Counters = createCounters();
  readonly #parts: BroadcastParts;
  readonly #queue = new Queue<AgentEvent>();
  readonly #running: RunningHandlers;
  /** At the deadline of a close: however a handler ends now, it is not the handler's failure. */
  #givenUp = false;
  readonly #idle = new Wakeup();
  readonly #room = new Wakeup();
  readonly #pressure: Backpressure;
  /** Ends what feeds this subscription. */
  stopFeeding: () => Promise<void> | void = () => {};
  /** How many events its filter kept away without their being offered. */
  keptAway: () => number = () => 0;
  #syncRuns = 0;
  #concurrency: number;
  #paused = false;
  #full = false;
  #pumping = false;
  #closing: Promise<Closing> | undefined;

  constructor(parts: BroadcastParts) {
    this.#parts = parts;
    this.plan = parts.plan;
    this.#running = new RunningHandlers(parts, this.#onEnd);
    this.#concurrency = parts.plan.concurrency;
    this.#pressure = new Backpressure(parts.clock, (burst) => {
      const { name, overflow, maxQueued } = this.plan;
      const size = { queued: this.#queue.size, maxQueued };
      parts.announceDrops({ subscription: name, policy: overflow, ...size, ...burst });
    });
  }

  get name(): string {
    return this.plan.name;
  }

  get queued(): number {
    return this.#queue.size;
  }

  get concurrency(): number {
    return this.#concurrency;
  }

  /**
   * Takes an event that the bus's filters let through. Never throws. To be called from inside a
   * handler's scope, which is entered once for all who take the event.
   */
  offer(event: AgentEvent): void {
    if (this.#closing) return;
    if (this.plan.compiledFilter?.matches(event) === false) this.counters.filtered += 1;
    else this.take(event);
  }

  /** As `offer`, for an event that its own filter, too, has let through. */
  take(event: AgentEvent): void {
    if (this.#closing) return;
    if (this.#queue.size === 0 && this.#isFree) this.#start(event);
    else this.#enqueue(event);
  }

  /** Events that the transport dropped before they came here. */
  miss(count: number): void {
    if (count === 0) return;
    this.counters.dropped += count;
    this.#pressure.drop(count);
  }

  /** Resolves when the queue may have room; ask again then. */
  room(): Promise<void> {
    return this.#room.wait();
  }

  pause(): void {
    this.#paused = true;
  }

  resume(): void {
    this.#paused = false;
    this.pump();
  }

  setConcurrency(concurrency: number): void {
    assertConcurrency(concurrency);
    this.#concurrency = concurrency;
    this.pump();
  }

  stats(): SubscriptionStats {
    return {
      name: this.name,
      queued: this.#queue.size,
      running: this.#running.size + this.#syncRuns,
      ...this.counters,
      filtered: this.counters.filtered + this.keptAway(),
      breaker: this.#parts.breaker?.state ?? "none",
      paused: this.#paused,
    };
  }

  async idle(): Promise<void> {
    while (this.#queue.size > 0 || this.#running.size > 0) await this.#idle.wait();
  }

  async close(options: { readonly deadlineMs?: number } = {}): Promise<void> {
    await this.shutDown(options.deadlineMs);
  }

  /** What had not started is dropped: a broadcast is at most once. */
  shutDown(deadlineMs?: number): Promise<Closing> {
    this.#closing ??= this.#shutDown(deadlineMs);
    return this.#closing;
  }

  async #shutDown(deadlineMs: number | undefined): Promise<Closing> {
    const { clock, breaker } = this.#parts;
    const running = this.#running.size;
    const released = this.#queue.clear().length;
    this.counters.dropped += released;
    this.#relieve();
    this.#pressure.close();
    breaker?.close();
    const stopped = Promise.resolve(this.stopFeeding());
    let aborted = 0;
    const cancel =
      deadlineMs === undefined
        ? undefined
        : clock.after(deadlineMs, () => {
            aborted = this.#running.size;
            this.#giveUp();
          });
    await this.idle();
    cancel?.();
    await stopped;
    this.#parts.onClose(this);
    return { finished: running - aborted, aborted, released };
  }

  #giveUp(): void {
    this.#givenUp = true;
    this.#running.abandonAll(
      new CadreError("CLOSED", `Subscription "${this.name}" was closed.`, { what: this.name }),
    );
  }

  get #isFree(): boolean {
    return (
      !this.#paused && !this.#pumping && this.#running.size + this.#syncRuns < this.#concurrency
    );
  }

  #enqueue(event: AgentEvent): void {
    const { maxQueued, overflow } = this.plan;
    if (this.#queue.size >= maxQueued && overflow === "drop-newest") {
      this.counters.dropped += 1;
      this.#pressure.drop(1, event.id);
      return;
    }
    this.#queue.push(event);
    if (overflow === "drop-oldest") {
      if (this.#queue.size <= maxQueued) return;
      const oldest = this.#queue.shift();
      this.counters.dropped += 1;
      this.#pressure.drop(1, oldest?.id);
    } else if (overflow !== "drop-newest" && this.#queue.size >= maxQueued && !this.#full) {
      this.#full = true;
      this.#parts.setFull(this, true);
    }
  }

  /** Starts what can be started. */
  pump(): void {
    if (this.#pumping) return;
    if (this.#queue.size > 0) insideHandler(this.#startQueued);
    if (this.#pumping) return;
    if (this.#queue.size === 0 && this.#running.size === 0) this.#idle.ring();
  }

  readonly #startQueued = (): void => {
    this.#pumping = true;
    while (
      this.#queue.size > 0 &&
      !this.#paused &&
      this.#running.size + this.#syncRuns < this.#concurrency
    ) {
      if (this.#parts.fairness.spend()) {
        void this.#pumpAfterTurn();
        return;
      }
      this.#start(this.#queue.shift()!);
      this.#afterTaking();
    }
    this.#pumping = false;
  };

  async #pumpAfterTurn(): Promise<void> {
    await this.#parts.fairness.turn();
    this.#pumping = false;
    this.pump();
  }

  #afterTaking(): void {
    const { maxQueued } = this.plan;
    if (this.#full && this.#queue.size < maxQueued) this.#relieve();
    if (this.#queue.size <= maxQueued / 2) this.#pressure.relieve();
  }

  #relieve(): void {
    this.#full = false;
    this.#parts.setFull(this, false);
    this.#room.ring();
  }

  #start(event: AgentEvent): void {
    const { clock, breaker } = this.#parts;
    const { expiresAt } = event.metadata;
    if (expiresAt !== undefined && expiresAt <= clock.now()) {
      this.counters.expired += 1;
      return;
    }
    if (breaker && !breaker.enter()) {
      this.counters.rejectedByBreaker += 1;
      return;
    }
    const delivery = new RunningDelivery(this.#parts.delivery, event, 1);
    this.#syncRuns += 1;
    try {
      const running = startHandler(this.#parts, event, delivery);
      if (isPromise(running)) this.#running.watch(running, delivery);
      else this.#succeeded(delivery);
    } catch (error) {
      this.#failed(delivery, error);
    } finally {
      this.#syncRuns -= 1;
    }
  }

  // One function for all runs: a closure and a promise for each cost more than a small handler.
  readonly #onEnd = (delivery: RunningDelivery, failure: HandlerFailure | undefined): void => {
    if (!failure) this.#succeeded(delivery);
    else if (this.#givenUp) delivery.end();
    else this.#failed(delivery, failure.error);
    this.pump();
  };

  #succeeded(delivery: RunningDelivery): void {
    delivery.end();
    this.counters.handled += 1;
    this.#parts.breaker?.succeed();
  }

  #failed(delivery: RunningDelivery, error: unknown): void {
    delivery.end();
    this.counters.failed += 1;
    this.#parts.breaker?.fail();
    this.#parts.errors.raise({
      severity: "error",
      message: `The handler of broadcast "${this.name}" failed at ${delivery.event.type}.`,
      cause: error,
      subscription: this.name,
      event: delivery.event,
      attempt: 1,
    });
  }
}
