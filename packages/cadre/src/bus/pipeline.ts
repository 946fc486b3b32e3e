/**
 * What happens to one delivery of a group, from the lease to its end. This file is the drawing;
 * nothing else decides it.
 *
 *   lease
 *     ├─ discarded by a purge ─────────────────────────────────────▶ ack
 *     ├─ decode ── no event in the bytes ──────────────────────────▶ dead letter "undecodable"
 *     ├─ pattern ─ the carrier handed out more than was asked for ─▶ ack, counted
 *     ├─ expire ── too late ───────────────────────────────────────▶ ack, counted | dead letter
 *     ├─ dedup ─── handled before ─────────────────────────────────▶ ack, counted
 *     ├─ verify: signature, key, permission ── refused ────────────▶ dead letter "rejected"
 *     ├─ upcast, schema (if it crossed a process) ── refused ──────▶ dead letter "invalid"
 *     ├─ filter of the subscription and of the bus ── no match ────▶ ack, counted
 *     ├─ attempts ─ used up by members that died ──────────────────▶ dead letter "attempts"
 *     ├─ user middleware ─▶ handler, with timeout and signal
 *     ├─ commit { effects, held-back events, dedup mark } ─▶ settle
 *     └─ on an error: classify ─▶ retry | park | dead letter ─▶ error record ─▶ settle
 *
 * The pattern is matched before anything can refuse the event: what was not asked for must not
 * become this group's dead letter. Nothing is swallowed: whatever cannot be settled is recorded,
 * and comes again when its lease runs out.
 */
import type { Clock } from "../core/clock.ts";
import type { UnitOfWork } from "../core/commit.ts";
import { CadreError, isCadreError } from "../core/errors.ts";
import type { AgentEvent } from "../core/event.ts";
import type { CircuitBreaker } from "./circuit-breaker.ts";
import type { Counters } from "./counters.ts";
import { deadLetterOf, discardAttempt, type DeadLetterOffice } from "./dead-letter-office.ts";
import type { DedupWindow } from "./dedup-window.ts";
import { RunningDelivery, type DeliveryParts } from "./delivery.ts";
import type { ErrorChannel } from "./error-channel.ts";
import type { FailureMemory } from "./failure-memory.ts";
import { finishHandler, isPromise, startHandler, type HandlerRunParts } from "./handler-run.ts";
import { insideHandler } from "./handler-scope.ts";
import type { HeldLease } from "./held-lease.ts";
import type { Publisher } from "./publisher.ts";
import { InvalidEvent, type RetryPolicy } from "./retry-policy.ts";
import type { SubscriptionPlan } from "./subscription-plan.ts";
import type { DeadLetter, Lease, Settlement } from "./transport.ts";

export interface PipelineParts extends HandlerRunParts {
  readonly plan: SubscriptionPlan;
  readonly group: string;
  readonly clock: Clock;
  readonly errors: ErrorChannel;
  readonly counters: Counters;
  readonly retry: RetryPolicy;
  readonly failures: FailureMemory;
  readonly dedup: DedupWindow | undefined;
  readonly deadLetters: DeadLetterOffice;
  readonly publisher: Publisher;
  readonly unitOfWork: UnitOfWork<Lease> | undefined;
  readonly breaker: CircuitBreaker | undefined;
  readonly delivery: DeliveryParts;
  /** The longest retry delay that the carrier keeps. */
  readonly maxRetryDelayMs: number;
  readonly matchesType: (type: string) => boolean;
  /** Verifies, upcasts and, if it crossed a process, validates. @throws InvalidEvent */
  readonly admit: (event: AgentEvent, takenAt?: number) => AgentEvent;
  /** Whether it looks at who an event comes from. */
  readonly isGuarded: boolean;
}

const buryAgainMs = 1_000; // until a dead letter that could not be written is tried again

export class Pipeline {
  readonly #parts: PipelineParts;

  constructor(parts: PipelineParts) {
    this.#parts = parts;
  }

  /** Takes one delivery to its end. Never rejects. */
  async run(held: HeldLease): Promise<void> {
    try {
      await this.#run(held);
    } catch (error) {
      this.#parts.errors.raise({
        severity: "error",
        message:
          `A delivery of "${this.#parts.group}" could not be settled; it comes again ` +
          `when its lease runs out.`,
        cause: error,
        subscription: this.#parts.subscription,
        event: held.lease.recorded.event,
        attempt: held.lease.attempt,
      });
    }
  }

  async #run(held: HeldLease): Promise<void> {
    const { counters, plan, clock, dedup } = this.#parts;
    const { recorded, attempt } = held.lease;
    const event = recorded.event;
    if (attempt >= discardAttempt) return this.#settle(held, { kind: "ack" });
    if (!event) return this.#bury(held, "undecodable", undecodable(held.lease));
    if (!this.#parts.matchesType(event.type)) {
      counters.filtered += 1;
      return this.#settle(held, { kind: "ack" });
    }
    if (recorded.undecodable) return this.#bury(held, "undecodable", undecodable(held.lease));
    const { expiresAt } = event.metadata;
    if (expiresAt !== undefined && expiresAt <= clock.now()) {
      counters.expired += 1;
      if (plan.expired === "drop") return this.#settle(held, { kind: "ack" });
      return this.#bury(held, "expired", expiredError(event, expiresAt));
    }
    if (!dedup) return this.#handle(held, event);
    while (!dedup.claim(event.id)) await dedup.whenReleased(event.id);
    try {
      if (dedup.has(event.id) || (held.handled && (await held.handled).has(event.id))) {
        counters.duplicates += 1;
        return await this.#settle(held, { kind: "ack" });
      }
      return await this.#handle(held, event);
    } finally {
      dedup.release(event.id);
    }
  }

  async #handle(held: HeldLease, arrived: AgentEvent): Promise<void> {
    const { plan, counters, middleware, failures } = this.#parts;
    const { attempt } = held.lease;
    let event: AgentEvent;
    try {
      event = this.#parts.admit(arrived, held.lease.recorded.recordedAt);
    } catch (error) {
      return this.#failed(held, error);
    }
    if (plan.compiledFilter?.matches(event) === false || !middleware.passes(event)) {
      counters.filtered += 1;
      return this.#settle(held, { kind: "ack" });
    }
    const last = failures.get(arrived.id);
    if (last?.verdict) return this.#bury(held, last.verdict, last.error);
    if (attempt > this.#parts.retry.maxAttempts) {
      return this.#bury(held, "attempts", last?.error ?? unanswered(attempt - 1));
    }
    const delivery = new RunningDelivery(this.#parts.delivery, event, attempt, (ms) =>
      this.#extend(held, ms),
    );
    held.delivery = delivery;
    try {
      await this.#call(held, event, delivery);
      await this.#commit(held, delivery);
    } catch (error) {
      delivery.end();
      return this.#failed(held, error);
    }
    failures.forget(arrived.id);
    return undefined;
  }

  async #call(held: HeldLease, event: AgentEvent, delivery: RunningDelivery): Promise<void> {
    const { breaker } = this.#parts;
    try {
      const running = insideHandler(startHandler, this.#parts, event, delivery);
      if (isPromise(running)) {
        await finishHandler(this.#parts, running, delivery, (abandon) => {
          held.abandon = abandon;
        });
      }
      delivery.end();
      breaker?.succeed();
      held.onHandled?.();
    } catch (error) {
      if (held.givenUp || held.lost) breaker?.giveUp();
      else breaker?.fail();
      throw error;
    } finally {
      held.abandon = undefined;
    }
  }

  async #commit(held: HeldLease, delivery: RunningDelivery): Promise<void> {
    const { unitOfWork, plan, group, counters, dedup, publisher } = this.#parts;
    const eventId = delivery.event.id;
    if (held.lost) return this.#reportLost(held);
    if (!unitOfWork) {
      await publisher.sendAll(delivery.heldBack);
      dedup?.mark(eventId);
      counters.handled += 1;
      return this.#settle(held, { kind: "ack" });
    }
    const answer = await unitOfWork.commit({
      commit: {
        appends: delivery.appends,
        slots: delivery.slots,
        inbox: plan.dedup ? [{ subscription: group, eventId }] : [],
        outbox: delivery.heldBack,
      },
      lease: held.lease,
    });
    if (answer === "lost") {
      held.state = "lost";
      return this.#reportLost(held);
    }
    publisher.published += delivery.heldBack.length;
    dedup?.mark(eventId);
    counters.handled += 1;
    if (!unitOfWork.settles) return this.#settle(held, { kind: "ack" });
    held.state = "settled";
    return undefined;
  }

  async #failed(held: HeldLease, error: unknown): Promise<void> {
    const { counters, retry, errors, failures, clock, subscription } = this.#parts;
    const { attempt, recorded } = held.lease;
    if (held.lost) return this.#reportLost(held);
    if (held.givenUp) return this.#settle(held, { kind: "release" });
    counters.failed += 1;
    const cause = error instanceof InvalidEvent ? error.refused : error;
    // What is not what it says it is leaves no memory under the id that it bears.
    if (error instanceof InvalidEvent && error.reason === "rejected") {
      return this.#bury(held, "rejected", cause);
    }
    const verdict = retry.judge(error, attempt, (thrown) => {
      errors.raise({
        severity: "error",
        message: `retryIf of "${subscription}" threw; the event is tried again.`,
        cause: thrown,
        subscription,
      });
    });
    const event = recorded.event!;
    failures.remember(event.id, cause, clock.now());
    if (verdict.kind === "dead") {
      failures.remember(event.id, cause, clock.now(), verdict.reason);
      return this.#bury(held, verdict.reason, cause);
    }
    counters.retried += 1;
    errors.raise({
      severity: "warning",
      message:
        `Attempt ${attempt} of "${subscription}" at ${event.type} failed: ${messageOf(cause)}. ` +
        `Next one in ${verdict.delayMs} ms.`,
      cause,
      subscription,
      event,
      attempt,
    });
    return this.#retry(held, verdict.delayMs);
  }

  /** What the carrier cannot delay for so long, this member holds for it, renewing its lease. */
  async #retry(held: HeldLease, delayMs: number): Promise<void> {
    const { maxRetryDelayMs, clock } = this.#parts;
    const native = Math.min(delayMs, maxRetryDelayMs);
    if (native === delayMs) return this.#settle(held, { kind: "retry", delayMs });
    held.state = "waiting";
    // Not awaited: the handler's slot is free in the meantime. The lease stays on the
    // subscription's list.
    const settleLater = (): void => {
      if (!held.hurry) return;
      held.hurry = undefined;
      cancel();
      void this.#settleSafely(held, { kind: "retry", delayMs: native });
    };
    const cancel = clock.after(delayMs - native, settleLater);
    held.hurry = settleLater;
    return undefined;
  }

  async #bury(held: HeldLease, reason: DeadLetter["reason"], error: unknown): Promise<void> {
    const { counters, errors, deadLetters, failures, clock, group, plan, subscription } =
      this.#parts;
    const { lease } = held;
    const { event } = lease.recorded;
    const isVerified = this.#isVerified(held, reason);
    const parks = plan.ordered === "park-key" && isVerified;
    const key = parks ? event?.metadata.key : undefined;
    const known = event && isVerified ? failures.get(event.id) : undefined;
    const now = clock.now();
    const since = known?.since;
    const letter = deadLetterOf({ group, lease, reason, error, key, now, since, isVerified });
    try {
      await deadLetters.put(letter);
    } catch (thrown) {
      if (event && isVerified) failures.remember(event.id, error, now, reason);
      errors.raise({
        severity: "error",
        message:
          `The dead letter of "${group}" for event ${event?.id ?? lease.recorded.position} ` +
          `could not be written; tried again in ${buryAgainMs} ms.`,
        cause: thrown,
        subscription,
        event,
        attempt: lease.attempt,
      });
      return this.#retry(held, buryAgainMs);
    }
    counters.deadLettered += 1;
    if (event && isVerified) failures.forget(event.id);
    errors.raise({
      severity: "error",
      message:
        `Event ${event?.type ?? lease.recorded.position} of "${group}" is a dead letter ` +
        `(${reason}): ${messageOf(error)}.`,
      cause: error,
      subscription,
      event,
      attempt: lease.attempt,
    });
    return this.#settle(held, { kind: key === undefined ? "ack" : "park" });
  }

  /** Whether the event is what it says it is; what has no payload cannot show it. */
  #isVerified({ delivery, lease }: HeldLease, reason: DeadLetter["reason"]): boolean {
    if (!this.#parts.isGuarded || delivery) return true;
    if (reason === "undecodable" || reason === "rejected") return false;
    const { event, recordedAt } = lease.recorded;
    if (reason !== "expired" || !event) return true;
    try {
      this.#parts.admit(event, recordedAt); // nobody has looked at it yet
      return true;
    } catch (error) {
      return !(error instanceof InvalidEvent && error.reason === "rejected");
    }
  }

  async #settle(held: HeldLease, settlement: Settlement): Promise<void> {
    if ((await held.settle(settlement)) === "lost") this.#reportLost(held);
  }

  async #settleSafely(held: HeldLease, settlement: Settlement): Promise<void> {
    try {
      await this.#settle(held, settlement);
    } catch (error) {
      this.#parts.errors.raise({
        severity: "error",
        message:
          `A retry of "${this.#parts.group}" could not be settled; it comes again when ` +
          `its lease runs out.`,
        cause: error,
        subscription: this.#parts.subscription,
        event: held.lease.recorded.event,
      });
    }
    held.onSettled?.();
  }

  #reportLost(held: HeldLease): void {
    this.#parts.counters.lostLeases += 1;
    this.#parts.errors.raise({
      severity: "error",
      code: "LEASE_LOST",
      message:
        `The lease on event ${held.lease.recorded.event?.id ?? held.lease.recorded.position} ` +
        `of "${this.#parts.group}" was lost; what this member did with it was not committed.`,
      subscription: this.#parts.subscription,
      event: held.lease.recorded.event,
      attempt: held.lease.attempt,
    });
  }

  async #extend(held: HeldLease, ms: number): Promise<void> {
    if (held.state === "running" && (await held.lease.extend(ms)) === "ok") {
      held.ownedUntil = Math.max(held.ownedUntil, this.#parts.clock.monotonic() + ms);
      return;
    }
    const error = leaseLost(this.#parts.group);
    if (held.state === "running") held.state = "lost";
    held.delivery?.abort(error);
    throw error;
  }
}

export function leaseLost(group: string): CadreError<"LEASE_LOST"> {
  return new CadreError(
    "LEASE_LOST",
    `The lease on a delivery of "${group}" was lost: another member has the event now.`,
    { what: `delivery of ${group}` },
  );
}

function undecodable(lease: Lease): CadreError<"UNDECODABLE"> {
  const { event, undecodable: found } = lease.recorded;
  const reason = found?.reason ?? "the carrier handed out no event";
  const what = event ? "The payload cannot be had" : "The bytes hold no event";
  return new CadreError("UNDECODABLE", `${what}: ${reason}.`, { reason });
}

function expiredError(event: AgentEvent, expiresAt: number): Error {
  return new Error(`Event ${event.id} expired at ${new Date(expiresAt).toISOString()}.`);
}

function unanswered(attempts: number): Error {
  return new Error(
    `${attempts} attempts ended without an answer: their members died, or lost the lease.`,
  );
}

function messageOf(error: unknown): string {
  if (isCadreError(error)) return `${error.code}: ${error.message}`.replace(/\.$/, "");
  return (error instanceof Error ? error.message : String(error)).replace(/\.$/, "");
}
