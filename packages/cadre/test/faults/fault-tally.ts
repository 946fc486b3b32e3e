/** Counts what becomes of events while their carrier breaks, and says it in one line. */
import assert from "node:assert/strict";
import type { TestContext } from "node:test";
import {
  createEvent,
  isCadreError,
  secureRandom,
  systemClock,
  type AgentEvent,
  type ConsumeSpec,
  type Lease,
  type Transport,
} from "cadre";

export const faultType = "fault.counted";

export function specOf(changes: Partial<ConsumeSpec> = {}): ConsumeSpec {
  return {
    subscription: "survivors",
    mode: "group",
    patterns: ["fault.#"],
    definition: "fault.#",
    from: "new",
    leaseMs: 3_000,
    maxQueued: 1_000,
    ...changes,
  };
}

export async function until(
  what: string,
  withinMs: number,
  holds: () => boolean | Promise<boolean>,
): Promise<void> {
  const end = systemClock.monotonic() + withinMs;
  while (!(await holds())) {
    assert.ok(systemClock.monotonic() < end, `${what}: not within ${withinMs} ms`);
    await systemClock.sleep(10);
  }
}

export class FaultTally {
  readonly resolved = new Set<string>();
  readonly delivered = new Map<string, number>();
  readonly recoveriesMs: number[] = [];
  published = 0;
  /** How many publishes failed with each code. */
  readonly refusals: Record<string, number> = {};
  /** Settlements that were answered `ok`. */
  settled = 0;
  readonly #untyped = new Set<string>();
  #brokenAt: number | undefined;

  /** Since now nothing works: the next publish that resolves ends the time of recovery. */
  broken(): void {
    this.#brokenAt = systemClock.monotonic();
  }

  /** Publishes once; true when it has resolved. */
  async attempt(transport: Transport, event: AgentEvent): Promise<boolean> {
    const startedAt = systemClock.monotonic();
    const [result] = await transport
      .publish([{ event }])
      .catch((error: unknown) => [{ ok: false as const, error }]);
    if (!result!.ok) {
      const code = isCadreError(result!.error) ? result!.error.code : String(result!.error);
      if (code === "CLOSED") throw result!.error; // the run is over
      this.refusals[code] = (this.refusals[code] ?? 0) + 1;
      if (!isCadreError(result!.error)) this.#untyped.add(code);
      return false;
    }
    this.resolved.add(event.id);
    if (this.#brokenAt !== undefined && startedAt >= this.#brokenAt) {
      this.recoveriesMs.push(Math.round(systemClock.monotonic() - this.#brokenAt));
      this.#brokenAt = undefined;
    }
    return true;
  }

  /** Publishes one event, again under its id until it is taken, as an outbox's relay does. */
  async publish(transport: Transport): Promise<void> {
    this.published += 1;
    const event = newEvent(this.published);
    while (!(await this.attempt(transport, event))) await systemClock.sleep(20);
  }

  /** Publishes `count` events from so many publishers, spread over the transports. */
  async publishAll(
    transports: readonly Transport[],
    { count, publishers }: { readonly count: number; readonly publishers: number },
    onPublished: () => void = () => {},
  ): Promise<void> {
    let left = count;
    const publisher = async (_: unknown, index: number): Promise<void> => {
      while (left > 0) {
        left -= 1;
        await this.publish(transports[index % transports.length]!);
        onPublished();
      }
    };
    await Promise.all(Array.from({ length: publishers }, publisher));
  }

  /** Handles what comes until `done`. Resolves when its last settlement is answered. */
  async consume(
    transport: Transport,
    spec: ConsumeSpec,
    done: AbortSignal,
    { credit = 50 }: { readonly credit?: number } = {},
  ): Promise<void> {
    const intake = await transport.open(spec);
    while (!done.aborted) {
      const leases = await intake.pull(credit, done).catch(() => []); // away for longer
      if (leases.length === 0) await systemClock.sleep(10);
      await Promise.all(leases.map((lease) => this.handle(lease)));
    }
    await intake.close();
  }

  async handle(lease: Lease): Promise<void> {
    const { id } = lease.recorded.event!;
    this.delivered.set(id, (this.delivered.get(id) ?? 0) + 1);
    // An answer that the broken connection has swallowed: the event comes again.
    const answer = await lease.settle({ kind: "ack" }).catch(() => "lost");
    if (answer === "ok") this.settled += 1;
  }

  get refused(): number {
    return Object.values(this.refusals).reduce((sum, count) => sum + count, 0);
  }

  get lost(): readonly string[] {
    return [...this.resolved].filter((id) => !this.delivered.has(id));
  }

  get duplicated(): number {
    return [...this.delivered.values()].filter((count) => count > 1).length;
  }

  async untilDelivered(withinMs = 60_000): Promise<void> {
    const end = systemClock.monotonic() + withinMs;
    while (this.lost.length > 0 && systemClock.monotonic() < end) await systemClock.sleep(50);
  }

  /** Prints the figures, and fails when anything is lost, came from nowhere, or was untyped. */
  report(
    t: TestContext,
    of: { readonly carrier: string; readonly fault: string },
    more: object = {},
  ): void {
    const figures = {
      ...of,
      published: this.published,
      resolved: this.resolved.size,
      refused: this.refusals,
      delivered: this.delivered.size,
      duplicated: this.duplicated,
      lost: this.lost.length,
      recoveryMs: this.recoveriesMs,
      ...more,
      peakRssMb: Math.round(process.resourceUsage().maxRSS / 1_024),
    };
    t.diagnostic(JSON.stringify(figures));
    assert.deepEqual(this.lost, [], "lost");
    assert.ok(this.delivered.size <= this.published, "something came that nobody published");
    assert.deepEqual([...this.#untyped], [], "refused without a type");
    assert.ok(figures.peakRssMb < 700, `${figures.peakRssMb} MB of memory`);
  }
}

export function newEvent(n: number, padding: string = ""): AgentEvent {
  const context = { clock: systemClock, random: secureRandom, source: "publisher" };
  return createEvent(context, faultType, { n, padding });
}
