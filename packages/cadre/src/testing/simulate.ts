/**
 * The simulator: a team of several processes, its store and its transport in one process, on a
 * virtual clock and a seeded scheduler, with crashes at every port call. A failure is a seed: the
 * same seed runs the same way.
 */
import { memory, memoryCarrier } from "../bus/memory-transport.ts";
import { systemClock } from "../core/clock.ts";
import { CadreError } from "../core/errors.ts";
import { SeededRandom } from "../core/random.ts";
import { memoryStore } from "../store/memory-store.ts";
import type { AnyAgent } from "../agents/agent.ts";
import type { Cadre, CadreOptions } from "../agents/cadre.ts";
import { startCadre } from "../agents/start-cadre.ts";
import type { EventStore } from "../store/event-store.ts";
import { ProcessClock, SimClock } from "./sim-clock.ts";
import { checkLog, emptyCounts, type LogCounts, type Violation } from "./sim-invariants.ts";
import type { Fault, FaultRates } from "./sim-faults.ts";
import { liveViolations, type Live } from "./sim-live.ts";
import { SimProcess } from "./sim-process.ts";

export interface SimulationOptions {
  /** @default `CADRE_SEED`, else 1 */
  readonly seed?: number;
  /** Makes the agents of one process anew at each of its starts, as a real start would. */
  readonly agents: (process: string) => readonly AnyAgent[];
  /** Names of the processes. @default ["a", "b"] */
  readonly processes?: readonly string[];
  /**
   * What is asked of the team, by a client that never fails. The run ends when this has resolved
   * and no task is open.
   */
  readonly work: (team: Cadre) => Promise<unknown>;
  readonly faults?: FaultRates;
  /** Puts something between the processes and the store, such as a mistake that must be found. */
  readonly store?: (store: EventStore) => EventStore;
  /** More that must hold at the end, beside the built-in invariants. */
  readonly invariants?: readonly ((store: EventStore) => Promise<readonly string[]>)[];
  /**
   * Longest wait before a crashed process is started again, in virtual milliseconds. @default
   * 20_000
   */
  readonly restartMs?: number;
  /** The run must be done after so much virtual time. @default one hour */
  readonly maxVirtualMs?: number;
  readonly team?: Pick<CadreOptions, "heartbeatMs" | "leaseMs" | "suspectAfterMs">;
}

export interface SimulationResult extends LogCounts {
  readonly seed: number;
  readonly virtualMs: number;
  readonly crashes: number;
  /** Processes that closed in order. */
  readonly closes: number;
  readonly faults: readonly Fault[];
  /** The log as text, one line an event, without ids: equal seeds give equal text. */
  readonly trace: readonly string[];
}

/**
 * A run that broke an invariant, or did not end. The message holds the seed, the last faults, and
 * the story of the stream at fault.
 */
export class SimulationError extends Error {
  override readonly name: string = "SimulationError";
  readonly seed: number;
  readonly violations: readonly Violation[];

  constructor(seed: number, violations: readonly Violation[], message: string) {
    super(message);
    this.seed = seed;
    this.violations = violations;
  }
}

const hourMs = 3_600_000;
// after the last task: late results, second relays and deliveries of the dead come within this
const quietMs = 120_000;
const stillMs = 30_000; // the end of the quiet, in which nobody may write to the log any more
const closeMs = 2_000; // what a process that leaves gives its running work
const shownFaults = 12;

/**
 * Runs one simulation to its end.
 *
 * @throws {SimulationError} when an invariant is broken or the run does not end
 */
export async function simulate(options: SimulationOptions): Promise<SimulationResult> {
  const seed = options.seed ?? Number(process.env["CADRE_SEED"] ?? 1);
  return new Simulation(seed, options).run();
}

class Simulation {
  readonly #seed: number;
  readonly #options: SimulationOptions;
  readonly #random: SeededRandom;
  readonly #clock: SimClock;
  readonly #store: EventStore;
  readonly #carrier: ReturnType<typeof memoryCarrier>;
  readonly #faults: Fault[] = [];
  readonly #processes = new Map<string, { readonly simulated: SimProcess; team?: Cadre }>();
  readonly #disk = { fullUntil: 0 };
  #crashes = 0;
  #closes = 0;
  #starts = 0;
  #closing = 0;
  readonly #broken: Violation[] = [];
  #calm = false;

  constructor(seed: number, options: SimulationOptions) {
    this.#seed = seed;
    this.#options = options;
    this.#random = new SeededRandom(seed);
    this.#clock = new SimClock(this.#random.fork("scheduler"));
    this.#store = memoryStore({ clock: this.#clock });
    this.#carrier = memoryCarrier({ clock: this.#clock });
  }

  async run(): Promise<SimulationResult> {
    const maxMs = this.#options.maxVirtualMs ?? hourMs;
    const client = await this.#until(this.#startClient(), maxMs);
    for (const name of this.#options.processes ?? ["a", "b"]) this.#start(name, 0);
    let failure: { readonly error: unknown } | undefined;
    let done = false;
    this.#options.work(client).then(
      () => void (done = true),
      (error: unknown) => void (failure = { error }),
    );
    while ((!done || client.stats().tasksOpen > 0) && this.#clock.monotonic() < maxMs) {
      if (failure) throw this.#failed([], `The work itself failed: ${String(failure.error)}`);
      if (!(await this.#clock.step())) break;
    }
    this.#calm = true;
    for (const { simulated } of this.#processes.values()) simulated.calm();
    const quietUntil = this.#clock.monotonic() + quietMs;
    await this.#stepUntil(quietUntil - stillMs);
    const stillFrom = await this.#store.head();
    await this.#stepUntil(quietUntil);
    // Time goes on while it judges: a store that is read in pages waits for it between two.
    return this.#until(this.#judge(client, stillFrom), Infinity);
  }

  async #stepUntil(instant: number): Promise<void> {
    while (this.#clock.monotonic() < instant && (await this.#clock.step()));
  }

  #startClient(): Promise<Cadre> {
    return startCadre({
      ...this.#options.team,
      name: "client",
      agents: [],
      orchestrator: false,
      // the relay is one of the parts that must survive: the client never fails
      relay: false,
      store: this.#store,
      bus: memory({ carrier: this.#carrier }),
      clock: this.#clock,
      random: this.#random.fork("client"),
    });
  }

  #start(name: string, afterMs: number): void {
    const rates = this.#options.faults ?? {};
    const random = this.#random.fork(`${name}/${(this.#starts += 1)}`);
    const inner = memory({ carrier: this.#carrier });
    const simulated: SimProcess = new SimProcess({
      name,
      clock: this.#clock,
      random: random.fork("faults"),
      rates,
      disk: this.#disk,
      onFault: (fault) => void this.#faults.push(fault),
      onCrash: () => {
        this.#crashes += 1;
        this.#restart(name, inner, random);
      },
    });
    const running: { simulated: SimProcess; team?: Cadre } = { simulated };
    this.#processes.set(name, running);
    const skewMs = (random.next() * 2 - 1) * (rates.clockSkewMs ?? 0);
    const clock = new ProcessClock(this.#clock, simulated, Math.round(skewMs));
    const lifeMs = random.next() * (rates.leaveAfterMs ?? 0);
    this.#clock.after(afterMs, () => {
      if (this.#calm) simulated.calm();
      startCadre({
        ...this.#options.team,
        name,
        agents: this.#options.agents(name),
        store: simulated.store(this.#options.store?.(this.#store) ?? this.#store),
        bus: simulated.transport(inner),
        clock,
        random,
      }).then(
        (team) => {
          running.team = team;
          void team.closed.then(() => this.#left(name, simulated, inner, random));
          if (rates.leaveAfterMs !== undefined) {
            this.#clock.after(lifeMs, () => this.#leave(simulated, team));
          }
        },
        // a start that fails is a process that exits, and is started again
        () => simulated.kill(),
      );
    });
  }

  #restart(name: string, inner: { close(): Promise<void> }, random: SeededRandom): void {
    // The carrier notices that the connection is gone, as a broker does.
    void inner.close();
    this.#start(name, random.next() * (this.#options.restartMs ?? 20_000));
  }

  #leave(simulated: SimProcess, team: Cadre): void {
    if (!simulated.alive || this.#calm) return;
    this.#closing += 1;
    const end = (): void => void (this.#closing -= 1);
    // It may die while it closes: then it is not waited for.
    simulated.onEnd(end);
    team.close({ deadlineMs: closeMs }).catch((error: unknown) => {
      this.#broken.push({ invariant: "closing ends", message: String(error) });
    });
  }

  #left(
    name: string,
    simulated: SimProcess,
    inner: { close(): Promise<void> },
    random: SeededRandom,
  ): void {
    if (!simulated.alive) return;
    simulated.exit();
    this.#closes += 1;
    this.#restart(name, inner, random);
  }

  async #until<Value>(promise: Promise<Value>, maxMs: number): Promise<Value> {
    let settled = false;
    const mark = (): void => void (settled = true);
    promise.then(mark, mark);
    while (!settled && this.#clock.monotonic() < maxMs) {
      if (await this.#clock.step()) continue;
      await systemClock.yield();
    }
    return promise;
  }

  async #judge(client: Cadre, stillFrom: number): Promise<SimulationResult> {
    const { violations, counts } = await checkLog(this.#store);
    const all = [...this.#broken, ...violations];
    for (const invariant of this.#options.invariants ?? []) {
      for (const message of await invariant(this.#store)) all.push({ invariant: "yours", message });
    }
    const live: Live[] = [{ name: "client", team: client }];
    for (const [name, { simulated, team }] of this.#processes) {
      if (team && simulated.alive) live.push({ name, team });
    }
    all.push(...(await liveViolations(live, this.#store, counts, stillFrom)));
    if (this.#closing > 0) {
      all.push({ invariant: "closing ends", message: `${this.#closing} processes still close` });
    }
    if (all.length > 0) throw this.#failed(all, await this.#story(all));
    return {
      ...counts,
      seed: this.#seed,
      virtualMs: this.#clock.monotonic(),
      crashes: this.#crashes,
      closes: this.#closes,
      faults: this.#faults,
      trace: await this.#trace(),
    };
  }

  #failed(violations: readonly Violation[], story: string): SimulationError {
    const faults = this.#faults
      .slice(-shownFaults)
      .map(
        ({ at, process: name, call, kind }) => `  ${Math.round(at)} ms  ${name}  ${call}  ${kind}`,
      );
    const lines = [
      `Seed ${this.#seed} broke ${violations.length} invariants. ` +
        `Run it again with CADRE_SEED=${this.#seed}.`,
      ...violations.map(({ invariant, message }) => `- ${invariant}: ${message}`),
      `The last of ${this.#faults.length} faults:`,
      ...faults,
      story,
    ];
    return new SimulationError(this.#seed, violations, lines.join("\n"));
  }

  async #story(violations: readonly Violation[]): Promise<string> {
    const stream = violations.find((violation) => violation.stream !== undefined)?.stream;
    if (stream === undefined) return "";
    const lines = [`The story of ${stream}:`];
    for await (const { event, version } of this.#store.read({ stream })) {
      const { agent, epoch } = event.payload as {
        readonly agent?: string;
        readonly epoch?: number;
      };
      const who = agent === undefined ? event.source : agent;
      lines.push(
        `  ${version}. ${event.type} by ${who}${epoch === undefined ? "" : ` (epoch ${epoch})`}`,
      );
    }
    return lines.join("\n");
  }

  async #trace(): Promise<readonly string[]> {
    const lines: string[] = [];
    for await (const { event, stream, recordedAt } of this.#store.read()) {
      lines.push(`${recordedAt} ${event.source} ${event.type} ${stream?.split("/")[0] ?? "-"}`);
    }
    return lines;
  }
}

/** Runs many seeds and adds up what they counted. Stops at the first that fails. */
export async function simulateSeeds(
  options: Omit<SimulationOptions, "seed"> & { readonly from?: number; readonly seeds: number },
): Promise<
  {
    readonly runs: number;
    readonly crashes: number;
    readonly closes: number;
    readonly virtualMs: number;
  } & LogCounts
> {
  const sum = { ...emptyCounts, runs: 0, crashes: 0, closes: 0, virtualMs: 0 };
  const { from = 1, seeds, ...rest } = options;
  if (!Number.isInteger(seeds) || seeds < 1) {
    throw new CadreError("INVALID_OPTION", `seeds is ${seeds}. Give a whole number above 0.`, {
      option: "seeds",
      value: seeds,
    });
  }
  for (let seed = from; seed < from + seeds; seed += 1) {
    const result = await simulate({ ...rest, seed });
    sum.runs += 1;
    for (const key of Object.keys(sum) as (keyof typeof sum)[]) {
      if (key !== "runs") sum[key] += result[key];
    }
  }
  return sum;
}
