/**
 * One check of the transport suite: what a transport must show, and what it needs to be shown.
 *
 * A check is registered under its id and name. It runs on topics and groups of its own, waits only
 * with a bound, and fails by throwing. What it opens through its context is closed for it.
 */
import type { Bus, BusOptions } from "../bus/bus.ts";
import type {
  Capabilities,
  ConsumeSpec,
  OnRetry,
  Outgoing,
  PublishResult,
  Transport,
} from "../bus/transport.ts";
import type { Clock } from "../core/clock.ts";
import type { AgentEvent, EventOptions } from "../core/event.ts";
import type { Random } from "../core/random.ts";

/** A process of its own that opened a subscription and holds what it is handed, unsettled. */
export interface HoldingConsumer {
  /** How many deliveries it holds. */
  held(): Promise<number>;
  /** Ends it as SIGKILL does: nothing is closed or given back. */
  kill(): Promise<void>;
}

/**
 * What the caller of the suite can do to the carrier. A function that is returned takes the fault
 * away again.
 */
export interface CarrierControls {
  /** Stops the carrier and starts it again with what it has on disk. */
  readonly restart?: () => Promise<void>;
  /** Cuts every connection to the carrier, and refuses new ones. */
  readonly cut?: () => Promise<() => Promise<void>>;
  /** Drops all traffic silently, with connections that look open. */
  readonly freeze?: () => Promise<() => Promise<void>>;
  /** Lets all traffic take `ms` milliseconds longer. */
  readonly slow?: (ms: number) => Promise<() => Promise<void>>;
  /** Fills the carrier's disk. */
  readonly fillDisk?: () => Promise<() => Promise<void>>;
  /** Moves the wall time that carrier and transport see, without any time passing. */
  readonly jumpClock?: (byMs: number) => void;
  /** Starts a consumer in a process of its own. */
  readonly startConsumer?: (spec: ConsumeSpec) => Promise<HoldingConsumer>;
}

/** What the bus refuses with UNSUPPORTED where the carrier does not declare it. */
export type Refusable = `ordered ${OnRetry}` | "deliverAt" | "history";

/** Why a check cannot pass here: what it is about is refused, and that is checked instead. */
export interface Undeclared {
  readonly reason: string;
  readonly refused: Refusable;
}

export interface ConformanceCheck {
  /**
   * `T-` and its number in CONFORMANCE.md, with a letter where one number has several checks:
   * `T-25`, `T-25b`.
   */
  readonly id: `T-${number}` | `T-${number}${"b" | "c" | "d" | "e"}`;
  /** A fact in the present tense. */
  readonly name: string;
  /** Whether it drives the port itself or a bus above it. */
  readonly level: "port" | "bus";
  /**
   * `faults` takes long or breaks things on purpose, and is left out unless it is asked for.
   * @default "basic"
   */
  readonly tier?: "basic" | "faults";
  /**
   * Why the check cannot apply to a transport with these capabilities; nothing where it applies.
   */
  readonly needs?: (
    capabilities: Capabilities,
    controls: CarrierControls,
  ) => string | Undeclared | undefined;
  /**
   * What the bus does itself where the carrier does not declare what the check is about; nothing
   * where the carrier does it. The check is made all the same.
   */
  readonly emulated?: (capabilities: Capabilities) => string | undefined;
  run(context: CheckContext): Promise<void>;
}

export interface CheckContext {
  readonly id: string;
  readonly capabilities: Capabilities;
  readonly controls: CarrierControls;
  /** Drawn once a run, printed when the check fails, taken back from `CADRE_SEED`. */
  readonly seed: number;
  readonly random: Random;
  readonly clock: Clock;
  /** How long a check waits for what should come, in milliseconds. */
  readonly boundMs: number;
  /**
   * The lease that checks ask for, in milliseconds: the shortest that the carrier keeps reliably.
   */
  readonly leaseMs: number;
  /** A fresh connection to the same carrier, closed after the check. */
  createTransport(): Promise<Transport>;
  /** A bus over a fresh connection, closed after the check. */
  createBus(options?: Partial<Omit<BusOptions, "transport">>): Promise<Bus>;
  /** A topic that no other check or run uses; the words come after the unique prefix. */
  topic(...words: readonly string[]): string;
  /** A group name that no other check or run uses. */
  group(label?: string): string;
  /** A finished event, made with the check's clock and chance. */
  event(type: string, payload?: unknown, options?: EventOptions): AgentEvent;
  /** Publishes and fails the check if any item is refused. */
  publish(
    transport: Transport,
    events: readonly (AgentEvent | Outgoing)[],
  ): Promise<readonly (PublishResult & { readonly ok: true })[]>;
  /**
   * Waits until `predicate` holds, and fails the check if it doesn't within the bound.
   * @param options.withinMs @default `boundMs`
   */
  until(
    predicate: () => unknown,
    options?: { readonly withinMs?: number; readonly what?: string },
  ): Promise<void>;
  /** Lets `ms` pass, to show that something does not happen. Never to wait for a success. */
  quiet(ms: number): Promise<void>;
  /** Runs after the check, whether it passed or not, last one first. */
  defer(cleanup: () => unknown): void;
  fail(message: string): never;
}
