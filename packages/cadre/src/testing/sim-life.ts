/** One start of a simulated process: its team, and what runs beside it, until it ends. */
import type { Cadre } from "../agents/cadre.ts";
import { startCadre } from "../agents/start-cadre.ts";
import { memory, type MemoryCarrier } from "../bus/memory-transport.ts";
import type { Transport } from "../bus/transport.ts";
import type { Commit } from "../core/commit.ts";
import type { SeededRandom } from "../core/random.ts";
import type { EventStore } from "../store/event-store.ts";
import { foldProjection } from "../store/projection.ts";
import { startProjection, type RunningProjection } from "../store/running-projection.ts";
import { ProcessClock, type SimClock } from "./sim-clock.ts";
import { FaultPlan, type Fault, type ScheduledFault, type SimDisk } from "./sim-faults.ts";
import type { Live } from "./sim-live.ts";
import type { AnyProjection, SimulationOptions, Violation } from "./sim-options.ts";
import { simulatedStore, simulatedTransport } from "./sim-ports.ts";
import type { DeliveryListener, Holdings } from "./sim-ports.ts";
import { SimProcess } from "./sim-process.ts";
import type { Author, Moment } from "./sim-story.ts";

/** The world that a life is in. */
export interface LifeHost<World> {
  readonly options: SimulationOptions<World>;
  readonly clock: SimClock;
  readonly store: EventStore;
  readonly carrier: MemoryCarrier;
  readonly world: World;
  readonly disk: SimDisk;
  readonly authors: Map<string, Author>;
  readonly isCalm: boolean;
  pending(name: string): ScheduledFault[];
  fault(fault: Fault): void;
  moment(moment: Omit<Moment, "at">): void;
  powerCut(): void;
  ended(life: SimLife<World>): void;
  broken(invariant: string, message: string): void;
}

interface LifePlace {
  readonly name: string;
  /** From 1. */
  readonly number: number;
  readonly random: SeededRandom;
}

const closeMs = 2_000; // what a process that leaves gives its running work
const originRangeMs = 1e9; // monotonic clocks begin anywhere
// often enough that a run of a minute dies between two of them
const checkpoints = { checkpointEvery: 10, checkpointAfterMs: 5_000 } as const;

export class SimLife<World> {
  readonly name: string;
  readonly number: number;
  readonly random: SeededRandom;
  readonly #host: LifeHost<World>;
  readonly #process: SimProcess;
  readonly #held: Holdings = new Map();
  readonly #inner: Transport;
  readonly #projections: RunningProjection<unknown>[] = [];
  readonly #beside: { close(): Promise<void> }[] = [];
  #clock: ProcessClock | undefined;
  #team: Cadre | undefined;
  #isStarted = false;
  #isClosing = false;

  constructor(host: LifeHost<World>, { name, number, random }: LifePlace) {
    this.name = name;
    this.number = number;
    this.random = random.fork("life");
    this.#host = host;
    this.#inner = memory({ carrier: host.carrier });
    const { clock, disk, options } = host;
    const rates = options.faults ?? {};
    this.#process = new SimProcess({
      name,
      life: number,
      clock,
      random: random.fork("calls"),
      rates,
      plan: new FaultPlan(rates, random.fork("faults"), host.pending(name)),
      disk,
      onFault: (fault) => host.fault(fault),
      onEnd: (how) => this.#ended(how),
      onPowerCut: () => host.powerCut(),
      onLeave: () => void this.#leave(),
      onClockJump: (byMs) => this.#clock?.jump(byMs),
    });
  }

  get alive(): boolean {
    return this.#process.alive;
  }

  kill(): void {
    // a process that is down has nothing to lose
    if (this.#isStarted) this.#process.kill();
  }

  calm(): void {
    this.#process.calm();
  }

  start(): void {
    const host = this.#host;
    if (host.isCalm) this.#process.calm();
    this.#isStarted = true;
    this.#moment("started");
    const { faults = {}, store, transport, team, agents } = host.options;
    const either = (): number => this.random.next() * 2 - 1;
    const clock = new ProcessClock(host.clock, this.#process, {
      skewMs: Math.round(either() * (faults.clockSkewMs ?? 0)),
      drift: either() * (faults.clockDrift ?? 0),
      origin: this.random.integer(originRangeMs),
    });
    this.#clock = clock;
    const { name, number: life } = this;
    const author = { process: name, life };
    const onWritten = ({ appends = [], outbox = [] }: Commit): void => {
      for (const { events } of appends) for (const { id } of events) note(host, id, author);
      for (const { id } of outbox) note(host, id, author);
    };
    const onDelivery: DeliveryListener = (what, delivery) =>
      host.moment({ ...author, what, delivery });
    const ports = {
      store: simulatedStore(this.#process, host.store, onWritten),
      transport: simulatedTransport(this.#process, this.#inner, this.#held, onDelivery),
    };
    const own = store?.(ports.store) ?? ports.store;
    const random = this.random.fork("team");
    startCadre({
      ...team,
      name,
      agents: agents(name, host.world),
      store: own,
      bus: transport?.(ports.transport) ?? ports.transport,
      clock,
      random,
    })
      .then(async (running) => {
        this.#team = running;
        void running.closed.then(() => this.#process.leave());
        await this.#startBeside(running, own, clock);
      })
      // a start that fails is a process that exits, and is started again
      .catch(() => this.#process.kill());
  }

  async #startBeside(team: Cadre, store: EventStore, clock: ProcessClock): Promise<void> {
    const { projections = [], beside } = this.#host.options;
    for (const projection of projections) {
      const running = await startProjection(store, projection, { clock, ...checkpoints });
      this.#projections.push(running);
      this.#beside.push(running);
    }
    if (!beside) return;
    const random = this.random.fork("beside");
    const process = { name: this.name, team, store, clock, random };
    this.#beside.push(await beside(process, this.#host.world));
  }

  async #leave(): Promise<void> {
    const team = this.#team;
    if (!team || this.#isClosing || this.#host.isCalm) return;
    this.#isClosing = true;
    this.#moment("closing");
    try {
      for (const part of this.#beside) await part.close();
      await team.close({ deadlineMs: closeMs });
    } catch (error) {
      this.#host.broken("closing ends", `${this.name} did not close: ${String(error)}`);
    }
  }

  #ended(how: "died" | "left"): void {
    this.#moment(how);
    // The carrier notices that the connection is gone, as a broker does.
    void this.#inner.close();
    this.#host.ended(this);
  }

  #moment(what: Moment["what"]): void {
    this.#host.moment({ process: this.name, life: this.number, what });
  }

  /** Its team, if it is up. */
  live(): readonly Live[] {
    return this.#team ? [{ name: this.name, team: this.#team }] : [];
  }

  /** What does not hold of it at the end of a run. */
  async violations(): Promise<readonly Violation[]> {
    const found: Violation[] = [];
    const say = (invariant: string, message: string): void =>
      void found.push({ invariant, message });
    if (!this.#team) say("quiescence", `${this.name} has not come up`);
    if (this.#isClosing) say("closing ends", `${this.name} is still closing`);
    const now = this.#host.clock.monotonic();
    for (const { what, until } of this.#held.values()) {
      if (until > now) say("quiescence", `${this.name} still holds a delivery of ${what}`);
    }
    const declared = this.#host.options.projections ?? [];
    for (const [index, running] of this.#projections.entries()) {
      const message = await difference(this.#host.store, declared[index]!, running);
      if (message !== undefined) {
        say("live projection = rebuilt projection", `${message}, in process ${this.name}`);
      }
    }
    return found;
  }
}

function note<World>(host: LifeHost<World>, id: string, author: Author): void {
  // An event that is committed again was written by the first.
  if (!host.authors.has(id)) host.authors.set(id, author);
}

/** Compares what a process has in memory, and what is kept, with a fold of the whole log. */
async function difference(
  store: EventStore,
  projection: AnyProjection,
  running: RunningProjection<unknown>,
): Promise<string | undefined> {
  const whole = await foldProjection(store, projection, { fromStart: true });
  const kept = await foldProjection(store, projection);
  const rebuilt = JSON.stringify(whole.state);
  const { phase } = await running.status();
  if (phase !== "live") return `projection ${projection.name} is ${phase}`;
  const live = JSON.stringify(running.state);
  if (live !== rebuilt) return `projection ${projection.name}: live ${live}, rebuilt ${rebuilt}`;
  const fromCheckpoint = JSON.stringify(kept.state);
  return fromCheckpoint === rebuilt
    ? undefined
    : `projection ${projection.name}: from its checkpoint ${fromCheckpoint}, rebuilt ${rebuilt}`;
}
