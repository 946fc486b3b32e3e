/**
 * One simulated process: a team behind ports that fail by the seed.
 *
 *   alive ──crash at a port call, before it or after its effect──▶ dead
 *     ▲                                                             │
 *     └───────────── restart, with a new incarnation ───────────────┘
 *
 * A dead process answers nothing and is answered nothing: its pending calls never return and its
 * timers never fire, exactly as after SIGKILL. What it wrote stays.
 */
import type { Intake, Lease, Transport } from "../bus/transport.ts";
import { CadreError } from "../core/errors.ts";
import type { Random } from "../core/random.ts";
import type { EventStore } from "../store/event-store.ts";
import type { SimClock } from "./sim-clock.ts";

/** Chances at each port call, 0 to 1. */
export interface FaultRates {
  /** The process dies before the call has any effect. @default 0 */
  readonly crashBefore?: number;
  /** The process dies after the effect, before the answer. @default 0 */
  readonly crashAfter?: number;
  /** The effect happens and the caller is told that it failed. @default 0 */
  readonly loseAnswer?: number;
  /** Nothing happens and the caller is told so. @default 0 */
  readonly fail?: number;
  /** A published event is published twice. @default 0 */
  readonly duplicate?: number;
  /** Longest delay of a call, in virtual milliseconds. @default 5 */
  readonly delayMs?: number;
  /** Longest wrongness of a process's wall clock, either way, in milliseconds. @default 0 */
  readonly clockSkewMs?: number;
}

export type FaultKind = "crashBefore" | "crashAfter" | "loseAnswer" | "fail" | "duplicate";

export interface Fault {
  /** Virtual milliseconds since the start. */
  readonly at: number;
  readonly process: string;
  readonly call: string;
  readonly kind: FaultKind;
}

export interface SimProcessPort {
  readonly name: string;
  readonly clock: SimClock;
  readonly random: Random;
  readonly rates: FaultRates;
  onFault(fault: Fault): void;
  onCrash(): void;
}

const never = <Value>(): Promise<Value> => new Promise(() => {});
const fates = ["crashBefore", "crashAfter", "loseAnswer", "fail"] as const;

export class SimProcess {
  readonly #port: SimProcessPort;
  #alive = true;
  #calm = false;

  constructor(port: SimProcessPort) {
    this.#port = port;
  }

  get alive(): boolean {
    return this.#alive;
  }

  /** From now on nothing fails. */
  calm(): void {
    this.#calm = true;
  }

  kill(): void {
    if (!this.#alive) return;
    this.#alive = false;
    this.#port.onCrash();
  }

  store(inner: EventStore): EventStore {
    const isAlive = (): boolean => this.#alive;
    const call = this.#call.bind(this);
    return {
      name: inner.name,
      commit: (commit) => call("store.commit", () => inner.commit(commit)),
      version: (stream) => call("store.version", () => inner.version(stream)),
      head: () => call("store.head", () => inner.head()),
      slot: (name) => call("store.slot", () => inner.slot(name)),
      slots: (prefix) => call("store.slots", () => inner.slots(prefix)),
      marked: (marks) => call("store.marked", () => inner.marked(marks)),
      pruneInbox: (olderThanMs) => call("store.pruneInbox", () => inner.pruneInbox(olderThanMs)),
      async *read(query) {
        await call("store.read", () => Promise.resolve());
        for await (const stored of inner.read(query)) {
          if (!isAlive()) await never();
          yield stored;
        }
      },
      watch: (wake) =>
        inner.watch(() => {
          if (isAlive()) wake();
        }),
      close: () => Promise.resolve(),
    };
  }

  transport(inner: Transport): Transport {
    const call = this.#call.bind(this);
    return {
      name: inner.name,
      capabilities: inner.capabilities,
      publish: (batch) => {
        const sent = this.#draw("duplicate", "transport.publish") ? [...batch, ...batch] : batch;
        return call("transport.publish", async () =>
          (await inner.publish(sent)).slice(0, batch.length),
        );
      },
      open: (spec) => call("transport.open", async () => this.#intake(await inner.open(spec))),
      ...(inner.read === undefined ? {} : { read: (query) => inner.read!(query) }),
      ...(inner.deadLetters === undefined ? {} : { deadLetters: inner.deadLetters }),
      close: () => inner.close(),
    };
  }

  #intake(inner: Intake): Intake {
    return {
      pull: async (max, signal) => {
        const leases = await inner.pull(max, signal);
        if (!this.#alive) return never();
        return leases.map((lease) => this.#lease(lease));
      },
      ...(inner.missed === undefined ? {} : { missed: () => inner.missed!() }),
      close: () => (this.#alive ? inner.close() : never()),
    };
  }

  #lease(inner: Lease): Lease {
    return {
      recorded: inner.recorded,
      attempt: inner.attempt,
      settle: (settlement) => this.#call("lease.settle", () => inner.settle(settlement)),
      extend: (ms) => this.#call("lease.extend", () => inner.extend(ms)),
    };
  }

  async #call<Value>(call: string, effect: () => Promise<Value>): Promise<Value> {
    const { clock, random, rates } = this.#port;
    if (!this.#alive) return never();
    await clock.sleep(random.next() * (rates.delayMs ?? 5));
    if (!this.#alive) return never();
    const fate = fates.find((kind) => this.#draw(kind, call));
    if (fate === "crashBefore") {
      this.kill();
      return never();
    }
    if (fate === "fail") throw unavailable(call, "nothing happened");
    const value = await effect();
    if (fate === "crashAfter") this.kill();
    if (!this.#alive) return never();
    if (fate === "loseAnswer") throw unavailable(call, "the answer was lost");
    await clock.sleep(random.next() * (rates.delayMs ?? 5));
    return this.#alive ? value : never();
  }

  #draw(kind: FaultKind, call: string): boolean {
    if (this.#calm || !this.#alive) return false;
    const rate = this.#port.rates[kind] ?? 0;
    // Always drawn, so that a rate of 0 shifts no other draw.
    if (this.#port.random.next() >= rate) return false;
    const { name, clock } = this.#port;
    this.#port.onFault({ at: clock.monotonic(), process: name, call, kind });
    return true;
  }
}

function unavailable(call: string, reason: string): CadreError {
  return new CadreError("STORE_UNAVAILABLE", `Simulated failure of ${call}: ${reason}.`, {
    path: "simulated",
    reason,
  });
}
