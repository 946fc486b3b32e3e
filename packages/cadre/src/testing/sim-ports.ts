/** The store and the transport as one simulated process sees them. */
import type { ConsumeSpec, Intake, Lease, Transport } from "../bus/transport.ts";
import type { Commit } from "../core/commit.ts";
import type { EventStore } from "../store/event-store.ts";
import type { SimCall } from "./sim-faults.ts";
import type { Moment } from "./sim-story.ts";
import { never, refusal, type SimProcess } from "./sim-process.ts";

/** The store behind the faults of `process`; `onWritten` learns of what took effect. */
export function simulatedStore(
  process: SimProcess,
  inner: EventStore,
  onWritten: (commit: Commit) => void,
): EventStore {
  return {
    name: inner.name,
    commit: (commit) =>
      process.call("store.commit", async () => {
        const result = await inner.commit(commit);
        onWritten(commit);
        return result;
      }),
    version: (stream) => process.call("store.version", () => inner.version(stream)),
    head: () => process.call("store.head", () => inner.head()),
    slot: (name) => process.call("store.slot", () => inner.slot(name)),
    slots: (prefix) => process.call("store.slots", () => inner.slots(prefix)),
    marked: (marks) => process.call("store.marked", () => inner.marked(marks)),
    pruneInbox: (olderThanMs) =>
      process.call("store.pruneInbox", () => inner.pruneInbox(olderThanMs)),
    read: (query) => passed(process, "store.read", () => inner.read(query)),
    inspect: (range) => passed(process, "store.inspect", () => inner.inspect(range)),
    restore: (rows) => process.call("store.restore", () => inner.restore(rows)),
    holds: () => process.call("store.holds", () => inner.holds()),
    usage: (options) => process.call("store.usage", () => inner.usage(options)),
    watch: (wake) => watch(process, inner, wake),
    close: () => Promise.resolve(),
  };
}

/** What is read comes as long as the process runs. */
async function* passed<Item>(
  process: SimProcess,
  call: SimCall,
  read: () => AsyncIterable<Item>,
): AsyncGenerator<Item> {
  await process.call(call, () => Promise.resolve());
  for await (const item of read()) {
    if (!process.isRunning) await process.here();
    yield item;
  }
}

const idleWakeMs = 500; // nobody waits for a slot to change: their writers' wakes are merged

/**
 * A wake takes its time, waits for the end of a partition, and is merged with those before it: the
 * wake for a commit without events with all of a while, since every heartbeat is one.
 */
function watch(process: SimProcess, inner: EventStore, wake: () => void): () => void {
  let seen = 0;
  let isOnItsWay = false;
  let isLazy = false;
  let isEnded = false;
  const bring = async (): Promise<void> => {
    while (process.cutMs("store.read") > 0) await process.wait(process.cutMs("store.read"));
    isOnItsWay = false;
    isLazy = false;
    if (!isEnded) wake();
  };
  const look = async (): Promise<void> => {
    const head = await inner.head();
    const isNews = head > seen;
    seen = head;
    if (isNews && !isOnItsWay) {
      isOnItsWay = true;
      await process.wait(process.wayMs());
      await bring();
    } else if (!isOnItsWay && !isLazy) {
      isLazy = true;
      await process.wait(idleWakeMs);
      if (isLazy && !isOnItsWay) await bring();
    }
  };
  const end = inner.watch(() => {
    if (process.alive) void look();
  });
  return () => {
    isEnded = true;
    end();
  };
}

/** What a process has been handed by groups and has not settled. */
export type Holdings = Map<Lease, Holding>;

export interface Holding {
  /** The group and the event. */
  readonly what: string;
  /** Virtual milliseconds since the start, at which the carrier takes it back. */
  until: number;
}

/** Learns what becomes of the deliveries of groups. */
export type DeliveryListener = (
  what: "handed" | "settled",
  delivery: NonNullable<Moment["delivery"]>,
) => void;

/** The transport behind the faults of `process`. */
export function simulatedTransport(
  process: SimProcess,
  inner: Transport,
  holdings: Holdings,
  onDelivery: DeliveryListener,
): Transport {
  return {
    name: inner.name,
    capabilities: inner.capabilities,
    publish: (batch) =>
      process.call("transport.publish", async (faults) => {
        const again = faults.hit("duplicate") !== undefined;
        const results = await inner.publish(again ? [...batch, ...batch] : batch);
        return results.slice(0, batch.length);
      }),
    open: (spec) =>
      process.call("transport.open", async () => {
        const intake = await inner.open(spec);
        return new SimIntake(process, intake, spec, { holdings, onDelivery });
      }),
    ...(inner.read === undefined ? {} : { read: (query) => inner.read!(query) }),
    ...(inner.deadLetters === undefined ? {} : { deadLetters: inner.deadLetters }),
    close: () => inner.close(),
  };
}

class SimIntake implements Intake {
  readonly #process: SimProcess;
  readonly #inner: Intake;
  readonly #spec: ConsumeSpec;
  readonly #books: { readonly holdings: Holdings; readonly onDelivery: DeliveryListener };

  constructor(
    process: SimProcess,
    inner: Intake,
    spec: ConsumeSpec,
    books: { readonly holdings: Holdings; readonly onDelivery: DeliveryListener },
  ) {
    this.#process = process;
    this.#inner = inner;
    this.#spec = spec;
    this.#books = books;
  }

  async pull(max: number, signal: AbortSignal): Promise<readonly Lease[]> {
    const process = this.#process;
    const leases = await this.#inner.pull(max, signal);
    await process.here();
    if (leases.length === 0) return leases;
    // What was on its way is lost with the connection; it comes again when its lease is over.
    if (process.cutMs("intake.pull") > 0 && !signal.aborted) {
      throw refusal("intake.pull", "cut off");
    }
    const faults = process.faults("intake.pull");
    if (faults.hit("crashAfter") !== undefined) process.kill();
    const lateMs = faults.hit("late");
    if (lateMs !== undefined) await process.wait(lateMs);
    process.freeze(faults.hit("pauseAfter"));
    await process.here();
    const isFree = this.#spec.mode === "group" && this.#spec.ordered === undefined;
    const isMixed = isFree && leases.length > 1 && faults.hit("reorder") !== undefined;
    return (isMixed ? shuffled(process, leases) : leases).map((lease) => this.#lease(lease));
  }

  missed(): number {
    return this.#inner.missed?.() ?? 0;
  }

  close(): Promise<void> {
    return this.#process.alive ? this.#inner.close() : never();
  }

  #lease(inner: Lease): Lease {
    const process = this.#process;
    const { subscription, leaseMs, mode } = this.#spec;
    const { holdings, onDelivery } = this.#books;
    const { id = "", type = "what cannot be read" } = inner.recorded.event ?? {};
    const about = { group: subscription, eventId: id, type };
    const holding: Holding = {
      what: `${subscription} with ${type}`,
      until: process.nowMs + leaseMs,
    };
    if (mode === "group") {
      holdings.set(inner, holding);
      onDelivery("handed", { ...about, how: `attempt ${inner.attempt}` });
    }
    return {
      recorded: inner.recorded,
      attempt: inner.attempt,
      settle: (settlement) =>
        process.call("lease.settle", async () => {
          const answer = await inner.settle(settlement);
          holdings.delete(inner);
          const how = answer === "ok" ? settlement.kind : `too late to ${settlement.kind}`;
          if (mode === "group") onDelivery("settled", { ...about, how });
          return answer;
        }),
      extend: (ms) =>
        process.call("lease.extend", async () => {
          const answer = await inner.extend(ms);
          if (answer === "ok") holding.until = process.nowMs + ms;
          return answer;
        }),
    };
  }
}

function shuffled<Item>(process: SimProcess, items: readonly Item[]): readonly Item[] {
  const mixed = [...items];
  for (let left = mixed.length; left > 1; left -= 1) {
    const chosen = process.random.integer(left);
    const last = mixed[left - 1]!;
    mixed[left - 1] = mixed[chosen]!;
    mixed[chosen] = last;
  }
  return mixed;
}
