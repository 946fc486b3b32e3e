/**
 * One simulated process: a team behind ports that fail by the seed.
 *
 *   frozen ◀──pause── alive ──crash at a port call, before it or after its effect──▶ dead
 *      └─────thaw──────▶ ▲ │                                                          │
 *                        │ └──closes in order──▶ exited                               │
 *                        └──── restart, with a new incarnation ◀──────────────────────┘
 *
 * A dead process answers nothing and is answered nothing: its pending calls never return and its
 * timers never fire, exactly as after SIGKILL. What it wrote stays. A frozen one gets its answers,
 * its wakes and its timers when it thaws; what it sent before takes effect meanwhile.
 */
import type { Intake, Lease, Transport } from "../bus/transport.ts";
import { CadreError } from "../core/errors.ts";
import type { Random } from "../core/random.ts";
import type { EventStore } from "../store/event-store.ts";
import type { SimClock } from "./sim-clock.ts";
import type { Fault, FaultKind, FaultRates, SimDisk } from "./sim-faults.ts";

export interface SimProcessPort {
  readonly name: string;
  readonly clock: SimClock;
  readonly random: Random;
  readonly rates: FaultRates;
  readonly disk: SimDisk;
  onFault(fault: Fault): void;
  onCrash(): void;
}

const never = <Value>(): Promise<Value> => new Promise(() => {});
const fates = ["crashBefore", "crashAfter", "loseAnswer", "fail"] as const;
const longest = { pauseMs: 40_000, partitionMs: 20_000, fullMs: 10_000, slowMs: 10_000 } as const;

export class SimProcess {
  readonly #port: SimProcessPort;
  #alive = true;
  #calm = false;
  #onEnd: () => void = () => {};
  #frozenUntil = 0;
  #cutOffUntil = 0;

  constructor(port: SimProcessPort) {
    this.#port = port;
  }

  get alive(): boolean {
    return this.#alive;
  }

  /** Virtual milliseconds for which it stands still yet. */
  get frozenMs(): number {
    return Math.max(0, this.#frozenUntil - this.#port.clock.monotonic());
  }

  /** From now on nothing fails, and what has begun to fail ends. */
  calm(): void {
    this.#calm = true;
    this.#cutOffUntil = 0;
  }

  /** Calls `listener` once, when the process exits or dies. */
  onEnd(listener: () => void): void {
    this.#onEnd = listener;
  }

  /** It has closed in order. */
  exit(): void {
    this.#alive = false;
    this.#onEnd();
  }

  kill(): void {
    if (!this.#alive) return;
    this.#alive = false;
    this.#onEnd();
    this.#port.onCrash();
  }

  store(inner: EventStore): EventStore {
    const here = this.#here.bind(this);
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
          await here();
          yield stored;
        }
      },
      watch: (wake) => inner.watch(() => void here().then(wake)),
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
        await this.#here();
        // What was on its way is lost with the connection; it comes again when its lease is over.
        if (this.#isCutOff && !signal.aborted) throw unavailable("intake.pull", "cut off");
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
    await this.#here();
    this.#begin(call);
    const slowMs = this.#draw("slow", call) ? random.next() * (rates.slowMs ?? longest.slowMs) : 0;
    if (this.#draw("pauseBefore", call)) this.#freeze();
    await this.#here();
    await clock.sleep(random.next() * (rates.delayMs ?? 5) + slowMs);
    const fate = fates.find((kind) => this.#draw(kind, call));
    if (fate === "crashBefore") this.kill();
    if (!this.#alive) return never();
    if (this.#isCutOff) return this.#refused(call, "cut off");
    if (fate === "fail") return this.#refused(call, "nothing happened");
    if (call === "store.commit" && !this.#calm && clock.monotonic() < this.#port.disk.fullUntil) {
      await this.#here();
      throw new CadreError("STORE_FULL", "Simulated full disk.", { path: "simulated" });
    }
    const value = await effect();
    if (fate === "crashAfter") this.kill();
    if (fate === "loseAnswer") return this.#refused(call, "the answer was lost");
    if (this.#draw("pauseAfter", call)) this.#freeze();
    await clock.sleep(random.next() * (rates.delayMs ?? 5));
    await this.#here();
    return value;
  }

  /** Begins what lasts a while. */
  #begin(call: string): void {
    const { clock, random, rates, disk } = this.#port;
    const now = clock.monotonic();
    if (this.#draw("partition", call)) {
      this.#cutOffUntil = now + random.next() * (rates.partitionMs ?? longest.partitionMs);
    }
    if (this.#draw("full", call)) {
      disk.fullUntil = now + random.next() * (rates.fullMs ?? longest.fullMs);
    }
  }

  #freeze(): void {
    const { clock, random, rates } = this.#port;
    this.#frozenUntil = clock.monotonic() + random.next() * (rates.pauseMs ?? longest.pauseMs);
  }

  /** Resolves when the process runs: at once, after the thaw, or never. */
  async #here(): Promise<void> {
    while (this.#alive && this.frozenMs > 0) await this.#port.clock.sleep(this.frozenMs);
    if (!this.#alive) await never();
  }

  get #isCutOff(): boolean {
    return this.#port.clock.monotonic() < this.#cutOffUntil;
  }

  async #refused(call: string, reason: string): Promise<never> {
    await this.#here();
    throw unavailable(call, reason);
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
