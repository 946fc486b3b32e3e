import type { ConsumeSpec, Intake, Lease, Settlement, Transport } from "../../bus/transport.ts";
import type { AgentEvent } from "../../core/event.ts";
import { compileFilter } from "../../core/filter.ts";
import { compilePattern } from "../../core/pattern.ts";
import type { CheckContext } from "../conformance-check.ts";

export const ack: Settlement = { kind: "ack" };
export const release: Settlement = { kind: "release" };
export const park: Settlement = { kind: "park" };

export function retry(delayMs: number = 0): Settlement {
  return { kind: "retry", delayMs };
}

/** The spec of a subscription to `patterns`; `changes` are what the check is about. */
export function specOf(
  context: CheckContext,
  patterns: string | readonly string[],
  changes: Partial<ConsumeSpec> = {},
): ConsumeSpec {
  const list = typeof patterns === "string" ? [patterns] : patterns;
  return {
    subscription: changes.subscription ?? context.group(),
    mode: "group",
    patterns: list,
    definition: JSON.stringify({ patterns: list, filter: changes.filter ?? null }),
    from: "new",
    leaseMs: Math.max(context.leaseMs, 10_000), // checks about leases ask for short ones themselves
    maxQueued: 100_000,
    ...changes,
  };
}

/**
 * One member of a group, or one broadcast subscription: sees what its patterns and filter match, as
 * the bus above does.
 */
export class Member {
  readonly intake: Intake;
  readonly spec: ConsumeSpec;
  readonly #context: CheckContext;
  readonly #matches: (event: AgentEvent) => boolean;

  constructor(context: CheckContext, intake: Intake, spec: ConsumeSpec) {
    this.#context = context;
    this.intake = intake;
    this.spec = spec;
    const matchers = spec.patterns.map((pattern) => compilePattern(pattern));
    const filter = spec.filter && compileFilter(spec.filter, { trusted: true });
    this.#matches = (event) =>
      matchers.some((matches) => matches(event.type)) && (filter?.matches(event) ?? true);
  }

  static async open(
    context: CheckContext,
    transport: Transport,
    spec: ConsumeSpec,
  ): Promise<Member> {
    return new Member(context, await transport.open(spec), spec);
  }

  /**
   * The next `count` deliveries, unsettled. Fails the check when they don't come within the bound.
   */
  async take(count: number, withinMs: number = this.#context.boundMs): Promise<Lease[]> {
    const taken = await this.#collect(count, withinMs);
    if (taken.length === count) return taken;
    const subscription = this.spec.subscription;
    return this.#context.fail(
      `${subscription} got ${taken.length} of ${count} deliveries within ${withinMs} ms`,
    );
  }

  async takeOne(withinMs?: number): Promise<Lease> {
    const [lease] = await this.take(1, withinMs);
    return lease!;
  }

  /** Takes `count` deliveries and acks each; the events in their order. */
  async handle(count: number, withinMs?: number): Promise<AgentEvent[]> {
    const leases = await this.take(count, withinMs);
    for (const lease of leases) await lease.settle(ack);
    return leases.map((lease) => eventOf(lease));
  }

  /** Fails the check if anything is handed out within `ms`. */
  async expectNothing(ms: number = 50): Promise<void> {
    const [extra] = await this.#collect(1, ms);
    if (extra) {
      this.#context.fail(`${this.spec.subscription} was handed an extra ${eventOf(extra).id}`);
    }
  }

  /**
   * Handles whatever comes until the check ends or `stop` is called, which waits for the running
   * handler.
   */
  run(handler: (lease: Lease) => unknown, credit: number = 1): () => Promise<void> {
    const controller = new AbortController();
    const loop = this.#loop(handler, credit, controller.signal);
    const stop = async (): Promise<void> => {
      controller.abort();
      await loop;
    };
    loop.catch(() => {}); // `stop` reports it
    this.#context.defer(stop);
    return stop;
  }

  async #loop(
    handler: (lease: Lease) => unknown,
    credit: number,
    signal: AbortSignal,
  ): Promise<void> {
    while (!signal.aborted) {
      const leases = await this.intake.pull(credit, signal);
      if (leases.length === 0 && !signal.aborted) return;
      for (const lease of leases) {
        if (signal.aborted) await lease.settle(release);
        else if (this.#isOurs(lease)) await handler(lease);
        else await lease.settle(ack);
      }
    }
  }

  async #collect(count: number, withinMs: number): Promise<Lease[]> {
    const controller = new AbortController();
    const cancel = this.#context.clock.after(withinMs, () => controller.abort());
    const taken: Lease[] = [];
    try {
      while (taken.length < count && !controller.signal.aborted) {
        const leases = await this.intake.pull(count - taken.length, controller.signal);
        if (leases.length > count - taken.length) {
          this.#context.fail(`a pull of ${count - taken.length} gave ${leases.length} deliveries`);
        }
        if (leases.length === 0) break;
        for (const lease of leases) {
          if (this.#isOurs(lease)) taken.push(lease);
          else await lease.settle(ack);
        }
      }
    } finally {
      cancel();
    }
    return taken;
  }

  #isOurs(lease: Lease): boolean {
    return this.#matches(eventOf(lease));
  }
}

/** The event of a delivery that must hold one. */
export function eventOf(lease: Lease): AgentEvent {
  const { event } = lease.recorded;
  if (event) return event;
  throw new Error(`A delivery held no event: ${lease.recorded.undecodable?.reason ?? "nothing"}`);
}

export function idsOf(events: readonly AgentEvent[]): string[] {
  return events.map((event) => event.id);
}

/** Several events of one type whose payloads number them from 0. */
export function numbered(
  context: CheckContext,
  type: string,
  count: number,
  options: (index: number) => Parameters<CheckContext["event"]>[2] = () => ({}),
): AgentEvent[] {
  return Array.from({ length: count }, (_, n) => context.event(type, { n }, options(n) ?? {}));
}
