/**
 * A transport with faults, drawn from a seed, around any other.
 *
 *   drop         a delivery gets lost on its way: a group's comes again when its lease runs out, a
 *                broadcast's does not
 *   duplicate    an event is published twice under its id
 *   delayMs      a call takes up to so long more
 *   reorder      the deliveries of one pull come in another order
 *   refuse       a publish fails and has done nothing
 *   loseAnswer   a publish or a settling has been done, and its caller is told that it failed
 *
 * Faults that the port's promises allow: whatever stands on a carrier must get along with all but
 * `reorder`, which breaks the order that the carrier declares, and `drop` of a broadcast.
 */
import type {
  ConsumeSpec,
  Intake,
  Lease,
  Outgoing,
  PublishResult,
  ReadQuery,
  Recorded,
  Settlement,
  Transport,
} from "../bus/transport.ts";
import { systemClock, type Clock } from "../core/clock.ts";
import type { DeliveredWork, UnitOfWork } from "../core/commit.ts";
import { CadreError } from "../core/errors.ts";
import type { AgentEvent } from "../core/event.ts";
import { checkOptions, numberBetween, someFunction } from "../core/options.ts";
import { someObject, wholeNumber, type OptionRules } from "../core/options.ts";
import { SeededRandom } from "../core/random.ts";

/** One call on the port. */
export interface PortCall {
  readonly name: "publish" | "open" | "pull" | "settle" | "extend" | "commit" | "close";
  /** The subscription, where the call belongs to one. */
  readonly subscription?: string;
  /** The ids of the events that it is about. */
  readonly eventIds: readonly string[];
}

/** Chances are from 0 to 1; nothing happens unless asked for. */
export interface FaultyOptions {
  readonly seed: number;
  readonly clock?: Clock;
  readonly drop?: number;
  readonly duplicate?: number;
  readonly delayMs?: number;
  readonly reorder?: number;
  readonly refuse?: number;
  readonly loseAnswer?: number;
  /**
   * Runs before the call has any effect. What it throws is what the caller gets: a crash before the
   * effect.
   */
  readonly before?: (call: PortCall) => unknown;
  /**
   * Runs after the effect. What it throws is what the caller gets: a crash, or an answer that was
   * lost.
   */
  readonly after?: (call: PortCall) => unknown;
}

export interface FaultCounts {
  dropped: number;
  duplicated: number;
  reordered: number;
  refused: number;
  answersLost: number;
}

export interface FaultyTransport extends Transport {
  /** The faults so far. */
  readonly faults: Readonly<FaultCounts>;
}

const chance = numberBetween(0, 1);
const rules: OptionRules<FaultyOptions> = {
  seed: wholeNumber(0),
  clock: someObject,
  drop: chance,
  duplicate: chance,
  delayMs: wholeNumber(0),
  reorder: chance,
  refuse: chance,
  loseAnswer: chance,
  before: someFunction,
  after: someFunction,
};

/**
 * Wraps a transport; closing it closes the inner one. What the inner one cannot do the outer cannot
 * either.
 *
 * @throws {CadreError} INVALID_OPTION
 */
export function faulty(transport: Transport, options: FaultyOptions): FaultyTransport {
  checkOptions("faulty", options, rules);
  const faults = new Faults(options);
  const { deadLetters, unitOfWork } = transport;
  return {
    name: transport.name,
    capabilities: transport.capabilities,
    faults: faults.counts,
    publish: (batch) => publish(transport, faults, batch),
    open: (spec) => open(transport, faults, spec),
    close: () => faults.around({ name: "close", eventIds: [] }, () => transport.close()),
    ...(deadLetters && { deadLetters }),
    ...(unitOfWork && { unitOfWork: wrapUnitOfWork(unitOfWork, faults) }),
    ...(transport.tap && { tap: (listener) => tap(transport, faults, listener) }),
    ...(transport.read && { read: (query: ReadQuery) => transport.read!(query) }),
    ...(transport.groups && { groups: () => transport.groups!() }),
    ...(transport.deleteGroup && { deleteGroup: (name: string) => transport.deleteGroup!(name) }),
    ...(transport.health && { health: () => transport.health!() }),
  };
}

class Faults {
  readonly counts: FaultCounts = {
    dropped: 0,
    duplicated: 0,
    reordered: 0,
    refused: 0,
    answersLost: 0,
  };
  readonly #options: FaultyOptions;
  readonly #clock: Clock;
  readonly #random: SeededRandom;

  constructor(options: FaultyOptions) {
    this.#options = options;
    this.#clock = options.clock ?? systemClock;
    this.#random = new SeededRandom(options.seed);
  }

  /** Draws whether a fault happens, and counts it. */
  draw(fault: "drop" | "duplicate" | "reorder" | "refuse" | "loseAnswer"): boolean {
    const probability = this.#options[fault] ?? 0;
    if (probability === 0 || this.#random.next() >= probability) return false;
    this.counts[countOf[fault]] += 1;
    return true;
  }

  /** Draws which of two neighbours goes first. */
  shuffle<Item>(items: readonly Item[]): Item[] {
    const mixed = [...items];
    for (let left = mixed.length; left > 1; left -= 1) {
      const chosen = this.#random.integer(left);
      const last = mixed[left - 1]!;
      mixed[left - 1] = mixed[chosen]!;
      mixed[chosen] = last;
    }
    return mixed;
  }

  async around<Result>(call: PortCall, effect: () => Promise<Result>): Promise<Result> {
    const { delayMs = 0, before, after } = this.#options;
    if (delayMs > 0) await this.#clock.sleep(this.#random.integer(delayMs + 1));
    await before?.(call);
    const result = await effect();
    await after?.(call);
    return result;
  }

  failure(what: string): CadreError<"UNREACHABLE"> {
    return new CadreError("UNREACHABLE", `The faulty transport ${what}.`, {
      url: "faulty:",
      tried: 1,
    });
  }
}

const countOf = {
  drop: "dropped",
  duplicate: "duplicated",
  reorder: "reordered",
  refuse: "refused",
  loseAnswer: "answersLost",
} as const;

function publish(
  transport: Transport,
  faults: Faults,
  batch: readonly Outgoing[],
): Promise<readonly PublishResult[]> {
  const eventIds = batch.map(({ event }) => event.id);
  return faults.around({ name: "publish", eventIds }, async () => {
    if (faults.draw("refuse")) throw faults.failure("did not take the events");
    const results = await transport.publish(batch);
    const again = batch.filter((item) => item.to === undefined && faults.draw("duplicate"));
    if (again.length > 0) await transport.publish(again);
    if (faults.draw("loseAnswer")) throw faults.failure("lost the answer to a publish");
    return results;
  });
}

async function open(transport: Transport, faults: Faults, spec: ConsumeSpec): Promise<Intake> {
  const { subscription } = spec;
  const call: PortCall = { name: "open", subscription, eventIds: [] };
  const intake = await faults.around(call, () => transport.open(spec));
  const pull = async (max: number, signal: AbortSignal): Promise<readonly Lease[]> => {
    for (;;) {
      const leases = await intake.pull(max, signal);
      // An empty answer means the end: where all were dropped, pull again.
      const kept = leases.filter(() => !faults.draw("drop"));
      if (kept.length === 0 && leases.length > 0) continue;
      const ordered = kept.length > 1 && faults.draw("reorder") ? faults.shuffle(kept) : kept;
      return ordered.map((lease) => new FaultyLease(lease, faults, subscription));
    }
  };
  return {
    pull: (max, signal) =>
      faults.around({ name: "pull", subscription, eventIds: [] }, () => pull(max, signal)),
    ...(intake.missed && { missed: () => intake.missed!() }),
    close: () => intake.close(),
  };
}

function tap(
  transport: Transport,
  faults: Faults,
  listener: (event: AgentEvent) => boolean,
): () => void {
  return transport.tap!((event) => {
    if (faults.draw("drop")) return true; // it was on its way to somebody
    return listener(event);
  });
}

class FaultyLease implements Lease {
  readonly recorded: Recorded;
  readonly attempt: number;
  readonly inner: Lease;
  readonly #faults: Faults;
  readonly #subscription: string;

  constructor(inner: Lease, faults: Faults, subscription: string) {
    this.inner = inner;
    this.recorded = inner.recorded;
    this.attempt = inner.attempt;
    this.#faults = faults;
    this.#subscription = subscription;
  }

  settle(settlement: Settlement): Promise<"ok" | "lost"> {
    return this.#faults.around(this.#call("settle"), async () => {
      const answer = await this.inner.settle(settlement);
      if (!this.#faults.draw("loseAnswer")) return answer;
      throw this.#faults.failure("lost the answer to a settling");
    });
  }

  extend(ms: number): Promise<"ok" | "lost"> {
    return this.#faults.around(this.#call("extend"), () => this.inner.extend(ms));
  }

  #call(name: PortCall["name"]): PortCall {
    const id = this.recorded.event?.id;
    const eventIds = id === undefined ? [] : [id];
    return { name, subscription: this.#subscription, eventIds };
  }
}

function wrapUnitOfWork(inner: UnitOfWork<Lease>, faults: Faults): UnitOfWork<Lease> {
  return {
    settles: inner.settles,
    ...(inner.log === undefined ? {} : { log: inner.log }),
    handled: (subscription, eventIds) => inner.handled(subscription, eventIds),
    commit: (work: DeliveredWork<Lease>) => {
      const id = work.lease.recorded.event?.id;
      const lease = work.lease instanceof FaultyLease ? work.lease.inner : work.lease;
      const eventIds = id === undefined ? [] : [id];
      return faults.around({ name: "commit", eventIds }, () => inner.commit({ ...work, lease }));
    },
  };
}
