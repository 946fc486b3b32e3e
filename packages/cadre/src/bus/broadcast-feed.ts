/**
 * Feeds a broadcast from an intake of the transport, where there is no direct path or it starts in
 * the past.
 */
import type { Clock } from "../core/clock.ts";
import type { AgentEvent } from "../core/event.ts";
import type { BroadcastSubscription } from "./broadcast-subscription.ts";
import type { ErrorChannel } from "./error-channel.ts";
import type { Fairness } from "./fairness.ts";
import { insideHandler } from "./handler-scope.ts";
import { InvalidEvent } from "./retry-policy.ts";
import { topicMatcher } from "./subscription-plan.ts";
import type { Intake, Recorded } from "./transport.ts";

export interface BroadcastFeedParts {
  readonly intake: Intake;
  readonly subscription: BroadcastSubscription;
  readonly clock: Clock;
  readonly errors: ErrorChannel;
  readonly fairness: Fairness;
  readonly admit: (event: AgentEvent, takenAt?: number) => AgentEvent;
  /** The bus's filters. */
  readonly passes: (event: AgentEvent) => boolean;
}

const batch = 64; // events a pull
const pullAgainMs = { first: 100, most: 10_000 }; // after a pull that failed, doubling

export class BroadcastFeed {
  readonly #parts: BroadcastFeedParts;
  readonly #closer = new AbortController();
  readonly #matchesType: (type: string) => boolean;
  readonly #stopped: Promise<void>;

  constructor(parts: BroadcastFeedParts) {
    this.#parts = parts;
    this.#matchesType = topicMatcher(parts.subscription.plan.patterns);
    this.#stopped = this.#run();
  }

  async close(): Promise<void> {
    this.#closer.abort();
    await this.#stopped;
    await this.#parts.intake.close();
  }

  async #run(): Promise<void> {
    const { intake, subscription, fairness } = this.#parts;
    const { signal } = this.#closer;
    let failures = 0;
    while (!signal.aborted) {
      const credit = this.#credit();
      if (credit === 0) {
        await subscription.room();
        continue;
      }
      try {
        const leases = await intake.pull(credit, signal);
        failures = 0;
        subscription.miss(intake.missed?.() ?? 0);
        for (const lease of leases) this.#offer(lease.recorded);
        await Promise.all(leases.map((lease) => lease.settle({ kind: "ack" })));
        if (leases.length === 0) return;
      } catch (error) {
        failures += 1;
        await this.#afterFailedPull(error, failures);
      }
      if (fairness.spend()) await fairness.turn();
    }
  }

  /**
   * With "drop-oldest" the transport does the dropping: what waits there is as good as what waits
   * here.
   */
  #credit(): number {
    const { plan, queued } = this.#parts.subscription;
    return plan.overflow === "drop-newest" ? batch : Math.min(batch, plan.maxQueued - queued);
  }

  #offer(recorded: Recorded): void {
    const { subscription, errors, admit, passes } = this.#parts;
    const { event, undecodable } = recorded;
    if (!event) {
      errors.raise({
        severity: "error",
        code: "UNDECODABLE",
        message:
          `The bytes at ${recorded.position} hold no event: ` +
          `${undecodable?.reason ?? "unknown"}.`,
        subscription: subscription.name,
      });
      return;
    }
    if (!this.#matchesType(event.type)) {
      subscription.counters.filtered += 1;
      return;
    }
    if (undecodable) {
      const what = `The payload of ${event.type} ${event.id}`;
      const message = `${what} cannot be had: ${undecodable.reason}.`;
      const { name } = subscription;
      errors.raise({ severity: "error", code: "UNDECODABLE", message, subscription: name, event });
      return;
    }
    try {
      const admitted = admit(event, recorded.recordedAt);
      if (passes(admitted)) insideHandler(offer, subscription, admitted);
      else subscription.counters.filtered += 1;
    } catch (error) {
      subscription.counters.failed += 1;
      errors.raise({
        severity: "error",
        message: `An event of type "${event.type}" was refused on arrival.`,
        cause: error instanceof InvalidEvent ? error.refused : error,
        subscription: subscription.name,
        event,
      });
    }
  }

  async #afterFailedPull(error: unknown, failures: number): Promise<void> {
    const { errors, clock, subscription } = this.#parts;
    const { signal } = this.#closer;
    if (signal.aborted) return;
    const delayMs = Math.min(pullAgainMs.most, pullAgainMs.first * 2 ** Math.min(failures - 1, 20));
    errors.raise({
      severity: failures === 1 ? "error" : "warning",
      message:
        `Broadcast "${subscription.name}" could not get its next events; it asks again ` +
        `in ${delayMs} ms.`,
      cause: error,
      subscription: subscription.name,
    });
    await clock.sleep(delayMs, signal).catch(() => {}); // rejects only when it closes
  }
}

function offer(subscription: BroadcastSubscription, event: AgentEvent): void {
  subscription.offer(event);
}
