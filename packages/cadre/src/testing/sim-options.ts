/** What a simulation is told, and what it answers. */
import type { AnyAgent } from "../agents/agent.ts";
import type { Cadre, CadreOptions } from "../agents/cadre.ts";
import type { Transport } from "../bus/transport.ts";
import type { Clock } from "../core/clock.ts";
import type { Random } from "../core/random.ts";
import type { EventStore } from "../store/event-store.ts";
import type { Projection } from "../store/projection.ts";
import type { Fault, FaultKind, FaultRates, ScheduledFault } from "./sim-faults.ts";
import type { LogCounts } from "./sim-invariants.ts";

/** One thing that does not hold. */
export interface Violation {
  readonly invariant: string;
  readonly message: string;
  /** The stream that shows it. */
  readonly stream?: string;
}

/** Looks at the end of a run, and says what does not hold. */
export type Invariant<World = undefined> = (
  store: EventStore,
  world: World,
) => Promise<readonly (string | Violation)[]>;

/** A simulated process, as what runs beside its agents sees it. */
export interface SimulatedProcess {
  readonly name: string;
  readonly team: Cadre;
  /** The store behind the faults of this process. */
  readonly store: EventStore;
  /** The clock of this process. */
  readonly clock: Clock;
  readonly random: Random;
}

/** A projection of any state, for lists of projections. */
// The state goes in and comes out: no other type takes all.
// oxlint-disable-next-line typescript/no-explicit-any
export type AnyProjection = Projection<any>;

/** What is simulated, apart from what goes wrong: a team, its work, and what must hold of it. */
export interface Scenario<World = undefined> {
  /**
   * Makes what is outside of all processes, such as the bank that is paid through. Each run has its
   * own.
   */
  readonly world?: () => World;
  /** Makes the agents of one process anew at each of its starts, as a real start would. */
  readonly agents: (process: string, world: World) => readonly AnyAgent[];
  /** Names of the processes. @default ["a", "b"] */
  readonly processes?: readonly string[];
  /**
   * What is asked of the team, by a client that never fails; the clock is the client's. The run
   * ends when this has resolved and no task is open.
   */
  readonly work: (team: Cadre, world: World, clock: Clock) => Promise<unknown>;
  /** More that must hold at the end, beside the built-in invariants. */
  readonly invariants?: readonly Invariant<World>[];
  /** Every process runs these; in the end each equals what a fold of the whole log makes. */
  readonly projections?: readonly AnyProjection[];
  /** What else each process runs, and closes when it leaves. */
  readonly beside?: (
    process: SimulatedProcess,
    world: World,
  ) => Promise<{ close(): Promise<void> }>;
  readonly team?: Pick<
    CadreOptions,
    "events" | "heartbeatMs" | "leaseMs" | "suspectAfterMs" | "models" | "budgets"
  >;
}

export interface SimulationOptions<World = undefined> extends Scenario<World> {
  /** @default `CADRE_SEED`, else 1 */
  readonly seed?: number;
  /** What goes wrong by chance. @default nothing */
  readonly faults?: FaultRates;
  /** What goes wrong exactly when, beside what goes wrong by chance. */
  readonly schedule?: readonly ScheduledFault[];
  /**
   * Puts something between each process and its store, such as a mistake that must be found. What
   * it calls fails by itself: between any two of its calls the process may die.
   */
  readonly store?: (store: EventStore) => EventStore;
  /** Puts something between each process and its bus. */
  readonly transport?: (transport: Transport) => Transport;
  /**
   * Longest wait before a process that has ended is started again, in virtual milliseconds.
   * @default 20_000
   */
  readonly restartMs?: number;
  /** The run must be done after so much virtual time. @default one hour */
  readonly maxVirtualMs?: number;
  /**
   * How many runs a failure may cost to find the few faults that it takes; 0 leaves them all.
   * @default 200
   */
  readonly shortenRuns?: number;
}

export interface SimulationResult extends LogCounts {
  readonly seed: number;
  readonly virtualMs: number;
  /** Processes that died. */
  readonly crashes: number;
  /** Processes that closed in order. */
  readonly closes: number;
  readonly faults: readonly Fault[];
  readonly faultCounts: Readonly<Record<FaultKind, number>>;
  /** The log as text, one line an event, without ids. */
  readonly trace: readonly string[];
  /**
   * SHA-256 over all that has happened, ids and faults included: a seed has the same each time, on
   * the same code.
   */
  readonly hash: string;
}
