/**
 * One member of a consumer group: pulls with credit, holds a bounded queue of leases, runs
 * handlers, renews what it holds.
 *
 *   intake ─pull(credit)─▶ queue ─▶ pipeline, at most `concurrency` at once ─▶ settled
 *               ▲                        │
 *               └──── room ◀─────────────┘        renewal: all, every third of the lease
 *
 * Pausing, draining, an open breaker and lower concurrency all are "ask for fewer". What has not
 * started is given back.
 */
import type { Clock } from "../core/clock.ts";
import type { UnitOfWork } from "../core/commit.ts";
import { CadreError } from "../core/errors.ts";
import { Backpressure, type DropReport } from "./backpressure.ts";
import type { SubscriptionStats } from "./subscription.ts";
import type { CircuitBreaker } from "./circuit-breaker.ts";
import type { Counters } from "./counters.ts";
import type { ErrorChannel } from "./error-channel.ts";
import type { Fairness } from "./fairness.ts";
import { HeldLease, type HeldState } from "./held-lease.ts";
import { LeaseKeeper } from "./lease-keeper.ts";
import { assertConcurrency, type Closing, type MemberOfBus } from "./member.ts";
import type { Pipeline } from "./pipeline.ts";
import { Prefetch } from "./prefetch.ts";
import { HeldQueue } from "./held-queue.ts";
import type { SubscriptionPlan } from "./subscription-plan.ts";
import type { Intake, Lease } from "./transport.ts";
import { Wakeup } from "./wakeup.ts";

export interface GroupParts {
  readonly plan: SubscriptionPlan;
  readonly group: string;
  readonly intake: Intake;
  readonly pipeline: Pipeline;
  readonly counters: Counters;
  readonly clock: Clock;
  readonly errors: ErrorChannel;
  readonly breaker: CircuitBreaker | undefined;
  readonly fairness: Fairness;
  readonly unitOfWork: UnitOfWork<Lease> | undefined;
  /** Whether the carrier hands out by priority; otherwise the queue here does. */
  readonly nativePriorities: boolean;
  readonly announceDrops: (report: DropReport) => void;
  readonly onClose: (member: GroupMember) => void;
}

const pullAgainMs = { first: 100, most: 10_000 }; // after a pull that failed, doubling

export class GroupMember implements MemberOfBus {
  readonly #parts: GroupParts;
  readonly #queue: HeldQueue;
  readonly #held = new Set<HeldLease>();
  readonly #keeper: LeaseKeeper;
  readonly #prefetch: Prefetch;
  readonly #pressure: Backpressure;
  readonly #wake = new Wakeup();
  readonly #idle = new Wakeup();
  readonly #stopped: Promise<void>;
  /** Handlers that run. */
  #running = 0;
  /** Deliveries whose handler has ended and whose commit or settling has not. */
  #settling = 0;
  #concurrency: number;
  #paused: boolean;
  #pull: AbortController | undefined;
  readonly #closer = new AbortController();
  #closing: Promise<Closing> | undefined;

  constructor(parts: GroupParts, paused: boolean) {
    this.#parts = parts;
    this.#paused = paused;
    this.#concurrency = parts.plan.concurrency;
    this.#queue = new HeldQueue(!parts.nativePriorities && parts.plan.ordered === undefined);
    this.#keeper = new LeaseKeeper(parts, this.#held, (held, before) =>
      this.#dropLost(held, before),
    );
    this.#prefetch = new Prefetch(parts.plan.maxQueued);
    this.#pressure = new Backpressure(parts.clock, (burst) => {
      const { name, overflow, maxQueued } = parts.plan;
      const size = { queued: maxQueued, maxQueued };
      parts.announceDrops({ subscription: name, policy: overflow, ...size, ...burst });
    });
    this.#stopped = this.#run();
  }

  get name(): string {
    return this.#parts.plan.name;
  }

  get concurrency(): number {
    return this.#concurrency;
  }

  pause(): void {
    if (this.#paused) return;
    this.#paused = true;
    this.#pull?.abort();
    void this.#releaseQueued();
  }

  resume(): void {
    this.#paused = false;
    this.#wake.ring();
  }

  setConcurrency(concurrency: number): void {
    assertConcurrency(concurrency);
    this.#concurrency = concurrency;
    this.#pump();
  }

  stats(): SubscriptionStats {
    return {
      name: this.name,
      queued: this.#queue.size,
      running: this.#running + this.#settling,
      ...this.#parts.counters,
      breaker: this.#parts.breaker?.state ?? "none",
      paused: this.#paused,
    };
  }

  /** Also waits for events whose retry is held here. */
  async idle(): Promise<void> {
    while (this.#held.size > 0) await this.#idle.wait();
  }

  async close(options: { readonly deadlineMs?: number } = {}): Promise<void> {
    await this.shutDown(options.deadlineMs);
  }

  shutDown(deadlineMs?: number): Promise<Closing> {
    this.#closing ??= this.#shutDown(deadlineMs);
    return this.#closing;
  }

  /** The breaker has changed its state. */
  breakerChanged(): void {
    const { breaker, counters } = this.#parts;
    if (breaker?.state === "open") {
      this.#pull?.abort();
      counters.rejectedByBreaker += this.#queue.size;
      void this.#releaseQueued();
    }
    this.#pump();
  }

  async #run(): Promise<void> {
    const { intake, fairness } = this.#parts;
    let failures = 0;
    while (!this.#closing) {
      const credit = this.#credit();
      if (credit <= 0) {
        await this.#wake.wait();
        continue;
      }
      this.#pull = new AbortController();
      try {
        const leases = await intake.pull(credit, this.#pull.signal);
        failures = 0;
        this.#noteMissed(intake.missed?.() ?? 0);
        this.#accept(leases);
        // the intake was closed from below
        if (leases.length === 0 && !this.#pull.signal.aborted) return;
      } catch (error) {
        failures += 1;
        await this.#afterFailedPull(error, failures);
      } finally {
        this.#pull = undefined;
      }
      if (fairness.spend()) await fairness.turn();
    }
  }

  async #afterFailedPull(error: unknown, failures: number): Promise<void> {
    const { errors, clock } = this.#parts;
    if (this.#closing) return;
    const delayMs = Math.min(pullAgainMs.most, pullAgainMs.first * 2 ** Math.min(failures - 1, 20));
    errors.raise({
      severity: failures === 1 ? "error" : "warning",
      message:
        `Subscription "${this.name}" could not get its next events; it asks again in ` +
        `${delayMs} ms.`,
      cause: error,
      subscription: this.name,
    });
    await clock.sleep(delayMs, this.#closer.signal).catch(() => {}); // rejects only when it closes
  }

  get #active(): number {
    return this.#running + this.#settling + this.#queue.size;
  }

  #credit(): number {
    const { breaker, plan } = this.#parts;
    if (this.#paused || this.#closing) return 0;
    if (breaker && breaker.state !== "closed") {
      return breaker.allows && this.#active === 0 ? 1 : 0;
    }
    const active = this.#active;
    const waiting = this.#held.size - active; // retries held for the carrier: bounded apart
    if (waiting >= plan.maxQueued) return 0;
    return this.#concurrency + this.#prefetch.depth(this.#concurrency) - active;
  }

  #accept(leases: readonly Lease[]): void {
    if (leases.length === 0) return;
    const { clock, plan, unitOfWork, group } = this.#parts;
    const now = clock.monotonic();
    const ids = leases.flatMap((lease) => lease.recorded.event?.id ?? []);
    const handled = plan.dedup && unitOfWork ? unitOfWork.handled(group, ids) : undefined;
    handled?.catch(() => {}); // each delivery that needs the answer awaits it and sees the failure
    for (const lease of leases) {
      const held = new HeldLease(lease, now, plan.leaseMs, handled);
      this.#held.add(held);
      this.#queue.push(held);
    }
    this.#keeper.watch();
    if (this.#paused || this.#closing || this.#parts.breaker?.state === "open")
      void this.#releaseQueued();
    else this.#pump();
  }

  #pump(): void {
    const { clock, breaker } = this.#parts;
    while (this.#running < this.#concurrency && this.#queue.size > 0 && !this.#paused) {
      if (breaker && !breaker.allows) break;
      const held = this.#queue.shift(clock.monotonic())!;
      if (held.lost) continue;
      const isProbe = breaker?.state === "half-open";
      breaker?.enter();
      this.#running += 1;
      held.state = "running";
      void this.#handle(held, isProbe);
    }
    this.#wake.ring();
  }

  async #handle(held: HeldLease, isProbe: boolean): Promise<void> {
    const { clock, pipeline, breaker, plan } = this.#parts;
    const startedAt = clock.monotonic();
    let isHandled = false;
    // The wait for a disk holds no slot, unless the next handler may count on what this one wrote.
    if (this.#concurrency > 1 && plan.ordered === undefined) {
      held.onHandled = () => {
        isHandled = true;
        this.#prefetch.took(clock.monotonic() - startedAt);
        this.#running -= 1;
        this.#settling += 1;
        this.#pump();
      };
    }
    await pipeline.run(held);
    if (!isHandled) this.#prefetch.took(clock.monotonic() - startedAt);
    // if it ended before its handler; otherwise the breaker has been told
    if (isProbe) breaker?.giveUp();
    if (isHandled) this.#settling -= 1;
    else this.#running -= 1;
    if (held.state === "waiting") held.onSettled = () => this.#forget(held);
    else this.#forget(held);
    this.#pump();
  }

  #forget(held: HeldLease): void {
    this.#held.delete(held);
    if (this.#held.size === 0) {
      this.#keeper.rest();
      this.#pressure.relieve();
      this.#idle.ring();
    }
  }

  #dropLost(held: HeldLease, before: HeldState): void {
    if (before === "waiting") held.hurry?.();
    if (before !== "queued") return; // the pipeline reports it when its handler has ended
    this.#parts.counters.lostLeases += 1;
    this.#parts.errors.raise({
      severity: "warning",
      code: "LEASE_LOST",
      message: `The lease on an event that waited in "${this.name}" was lost; another has it.`,
      subscription: this.name,
      event: held.lease.recorded.event,
    });
    this.#forget(held);
  }

  #noteMissed(count: number): void {
    if (count === 0) return;
    this.#parts.counters.dropped += count;
    this.#pressure.drop(count);
  }

  async #releaseQueued(): Promise<number> {
    const queued = this.#queue.clear();
    await Promise.all(queued.map((held) => this.#release(held)));
    return queued.length;
  }

  async #release(held: HeldLease): Promise<void> {
    try {
      await held.settle({ kind: "release" });
    } catch (error) {
      this.#parts.errors.raise({
        severity: "warning",
        message:
          `An event of "${this.name}" could not be given back; it comes again when ` +
          `its lease runs out.`,
        cause: error,
        subscription: this.name,
        event: held.lease.recorded.event,
      });
    }
    this.#forget(held);
  }

  async #shutDown(deadlineMs: number | undefined): Promise<Closing> {
    const { clock, intake, breaker } = this.#parts;
    this.#pull?.abort();
    this.#closer.abort();
    this.#wake.ring();
    breaker?.close();
    const running = this.#running + this.#settling;
    let aborted = 0;
    const cancel =
      deadlineMs === undefined
        ? undefined
        : clock.after(deadlineMs, () => {
            aborted = this.#abortAll();
          });
    const released = this.#releaseQueued();
    for (const held of this.#held) held.hurry?.();
    await this.#stopped;
    await this.idle();
    cancel?.();
    this.#keeper.rest();
    this.#pressure.close();
    await intake.close();
    this.#parts.onClose(this);
    return { finished: running - aborted, aborted, released: await released };
  }

  #abortAll(): number {
    let aborted = 0;
    const reason = new CadreError("CLOSED", `Subscription "${this.name}" was closed.`, {
      what: this.name,
    });
    for (const held of this.#held) {
      if (held.state !== "running") continue;
      aborted += 1;
      held.givenUp = true;
      held.delivery?.abort(reason);
      held.abandon?.(reason);
    }
    return aborted;
  }
}
