/**
 * One run of a simulation: the world, its processes, and the time that passes.
 *
 *   client and processes start ─▶ work, until it is done ─▶ calm ─▶ quiet, two minutes ─▶ judged
 *
 * Everything that happens follows from the seed, the code and the schedule.
 */
import { createHash } from "node:crypto";

import type { Cadre } from "../agents/cadre.ts";
import { startCadre } from "../agents/start-cadre.ts";
import { memory, memoryCarrier, type MemoryCarrier } from "../bus/memory-transport.ts";
import { systemClock } from "../core/clock.ts";
import { SeededRandom } from "../core/random.ts";
import type { EventStore, StoredEvent } from "../store/event-store.ts";
import { memoryStore } from "../store/memory-store.ts";
import { SimClock } from "./sim-clock.ts";
import type { Fault, ScheduledFault, SimDisk } from "./sim-faults.ts";
import { checkLog, type LogCounts } from "./sim-invariants.ts";
import { SimLife, type LifeHost } from "./sim-life.ts";
import { liveViolations } from "./sim-live.ts";
import type { SimulationOptions, Violation } from "./sim-options.ts";
import type { Author, Moment } from "./sim-story.ts";

/** All that is known of a run when it is over. */
export interface RunOutcome {
  readonly violations: readonly Violation[];
  readonly counts: LogCounts;
  readonly faults: readonly Fault[];
  /** Starts and ends of processes. */
  readonly moments: readonly Moment[];
  readonly log: readonly StoredEvent[];
  /** Which life of which process wrote an event, by the event's id; no entry is the client. */
  readonly authors: ReadonlyMap<string, Author>;
  readonly virtualMs: number;
  readonly startedAt: number;
  readonly hash: string;
}

const hourMs = 3_600_000;
// after the last task: late results, second relays and deliveries of the dead come within this
const quietMs = 120_000;
const stillMs = 30_000; // the end of the quiet, in which nobody may write to the log any more
const restartMs = 20_000;

export class SimRun<World> implements LifeHost<World> {
  readonly options: SimulationOptions<World>;
  readonly clock: SimClock;
  readonly store: EventStore;
  readonly carrier: MemoryCarrier;
  readonly world: World;
  readonly disk: SimDisk = { fullUntil: 0 };
  readonly authors: Map<string, Author> = new Map();
  readonly #random: SeededRandom;
  readonly #schedule: readonly ScheduledFault[];
  readonly #pending = new Map<string, ScheduledFault[]>();
  readonly #lives = new Map<string, SimLife<World>>();
  readonly #faults: Fault[] = [];
  readonly #moments: Moment[] = [];
  readonly #broken: Violation[] = [];
  #isCalm = false;

  constructor(seed: number, options: SimulationOptions<World>) {
    this.options = options;
    this.#random = new SeededRandom(seed);
    this.#schedule = options.schedule ?? [];
    this.clock = new SimClock(this.#random.fork("scheduler"));
    this.store = memoryStore({ clock: this.clock });
    this.carrier = memoryCarrier({ clock: this.clock });
    // Whoever gives no world has the type undefined, and gets that.
    this.world = options.world?.() as World;
  }

  async run(): Promise<RunOutcome> {
    const { work, processes = ["a", "b"], maxVirtualMs = hourMs } = this.options;
    const startedAt = this.clock.now();
    const client = await this.#until(this.#startClient(), Infinity);
    for (const name of processes) this.#start(name, 1, 0);
    let state: "going" | "done" | "failed" = "going";
    work(client, this.world, this.clock).then(
      () => (state = "done"),
      (error: unknown) => {
        state = "failed";
        this.broken("the work succeeds", `the work of the client failed: ${describe(error)}`);
      },
    );
    const isGoing = (): boolean =>
      state !== "failed" && (state === "going" || client.stats().tasksOpen > 0);
    while (isGoing() && this.clock.monotonic() < maxVirtualMs) {
      if (!(await this.clock.step())) break;
    }
    if (state === "going") {
      this.broken("the work ends", `the work of the client goes on after ${maxVirtualMs} ms`);
    }
    const workedMs = this.clock.monotonic();
    this.#calmDown();
    const quietUntil = workedMs + quietMs;
    await this.#stepUntil(quietUntil - stillMs);
    const stillFrom = await this.store.head();
    await this.#stepUntil(quietUntil);
    // Time goes on while it judges: a store that is read in pages waits for it between two.
    return this.#until(this.#judge(client, { stillFrom, startedAt }), Infinity);
  }

  get isCalm(): boolean {
    return this.#isCalm;
  }

  broken(invariant: string, message: string): void {
    this.#broken.push({ invariant, message });
  }

  fault(fault: Fault): void {
    this.#faults.push(fault);
  }

  moment(moment: Omit<Moment, "at">): void {
    this.#moments.push({ at: this.clock.monotonic(), ...moment });
  }

  powerCut(): void {
    for (const life of [...this.#lives.values()]) life.kill();
  }

  /** What is scheduled for a process; the same list for all its lives. */
  pending(name: string): ScheduledFault[] {
    let pending = this.#pending.get(name);
    if (!pending) {
      pending = this.#schedule.filter((fault) => fault.process === name);
      this.#pending.set(name, pending);
    }
    return pending;
  }

  ended(life: SimLife<World>): void {
    const waitMs = life.random.next() * (this.options.restartMs ?? restartMs);
    this.#start(life.name, life.number + 1, waitMs);
  }

  #start(name: string, number: number, afterMs: number): void {
    const random = this.#random.fork(`${name}/${number}`);
    const life = new SimLife(this, { name, number, random });
    this.#lives.set(name, life);
    this.clock.after(afterMs, () => life.start());
  }

  #calmDown(): void {
    this.#isCalm = true;
    this.disk.fullUntil = 0;
    for (const life of this.#lives.values()) life.calm();
  }

  #startClient(): Promise<Cadre> {
    return startCadre({
      ...this.options.team,
      name: "client",
      agents: [],
      orchestrator: false,
      // the relay is one of the parts that must survive: the client never fails
      relay: false,
      store: this.store,
      bus: memory({ carrier: this.carrier }),
      clock: this.clock,
      random: this.#random.fork("client"),
    });
  }

  async #stepUntil(instant: number): Promise<void> {
    while (this.clock.monotonic() < instant && (await this.clock.step()));
  }

  async #until<Value>(promise: Promise<Value>, maxMs: number): Promise<Value> {
    let settled = false;
    const mark = (): void => void (settled = true);
    promise.then(mark, mark);
    while (!settled && this.clock.monotonic() < maxMs) {
      if (await this.clock.step()) continue;
      await systemClock.yield();
    }
    return promise;
  }

  async #judge(
    client: Cadre,
    { stillFrom, startedAt }: { readonly stillFrom: number; readonly startedAt: number },
  ): Promise<RunOutcome> {
    const virtualMs = this.clock.monotonic();
    const log: StoredEvent[] = [];
    for await (const stored of this.store.read()) log.push(stored);
    const { violations, counts } = checkLog(log, this.authors);
    const all = [...this.#broken, ...violations];
    for (const invariant of this.options.invariants ?? []) {
      for (const found of await invariant(this.store, this.world)) {
        all.push(typeof found === "string" ? { invariant: "yours", message: found } : found);
      }
    }
    const lives = [...this.#lives.values()].filter((life) => life.alive);
    const live = [{ name: "client", team: client }, ...lives.flatMap((life) => life.live())];
    all.push(...liveViolations(live, counts, log.slice(stillFrom)));
    for (const life of lives) all.push(...(await life.violations()));
    const { authors } = this;
    const outcome = { counts, faults: this.#faults, moments: this.#moments, log, authors };
    return { ...outcome, violations: all, virtualMs, startedAt, hash: this.#hash(log) };
  }

  #hash(log: readonly StoredEvent[]): string {
    const hash = createHash("sha256");
    for (const stored of log) hash.update(JSON.stringify(stored));
    hash.update(JSON.stringify([this.#faults, this.#moments]));
    return hash.digest("hex");
  }
}

function describe(error: unknown): string {
  return error instanceof Error ? `${error.name}: ${error.message}` : String(error);
}
