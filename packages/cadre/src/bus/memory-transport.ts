/**
 * The reference transport: events within one process, as strict as a broker about leases, order and
 * bounds. It is the specification of the port in code; nothing of it survives the process.
 */
import { systemClock, type Clock } from "../core/clock.ts";
import { CadreError } from "../core/errors.ts";
import type { AgentEvent } from "../core/event.ts";
import { silentLogger, type Logger } from "../core/logger.ts";
import { checkOptions, someObject, wholeNumber, type OptionRules } from "../core/options.ts";
import { Carrier } from "./memory-carrier.ts";
import type { MemoryGroup } from "./memory-group.ts";
import { Publishing } from "./memory-publishing.ts";
import type { Puller } from "./memory-pulls.ts";
import type {
  Capabilities,
  ConsumeSpec,
  DeadLetterBox,
  GroupState,
  Intake,
  Lease,
  Outgoing,
  PublishResult,
  ReadQuery,
  Recorded,
  Transport,
} from "./transport.ts";

export interface MemoryCarrierOptions {
  /** @default the machine's */
  readonly clock?: Clock;
  readonly logger?: Logger;
  /** Past events kept for `read` and for subscriptions that start in the past. @default 10_000 */
  readonly historySize?: number;
  /**
   * Events that may wait for one group that declares no `overflow`; beyond it a publish is refused.
   * @default 100_000
   */
  readonly maxBacklog?: number;
  /**
   * Publishes that may wait for room in one group; beyond it a publish is refused all the same.
   * @default 10_000
   */
  readonly maxWaiting?: number;
  /**
   * Events that may wait for their `deliverAt`; beyond it a publish is refused. @default 100_000
   */
  readonly maxDelayed?: number;
  /** Beyond it the oldest dead letter is dropped, with a warning. @default 10_000 */
  readonly maxDeadLetters?: number;
  /**
   * The head start that one step of priority is worth, in milliseconds: how long `low` can be held
   * up by `normal`. @default 10_000
   */
  readonly agingMs?: number;
}

export interface MemoryOptions extends MemoryCarrierOptions {
  /**
   * Shares what another memory transport works on, with that one's settings; no other option may be
   * given with it.
   */
  readonly carrier?: MemoryCarrier;
}

/** What memory transports share as processes share a broker. It outlives its connections. */
export interface MemoryCarrier {
  /** Another transport on this carrier, as `memory({ carrier })` makes it. */
  connect(): Transport;
}

const defaults = {
  historySize: 10_000,
  maxBacklog: 100_000,
  maxWaiting: 10_000,
  maxDelayed: 100_000,
  maxDeadLetters: 10_000,
  agingMs: 10_000,
} as const;

const unlimited = Number.MAX_SAFE_INTEGER; // JSON, and so the table of guarantees, has no infinity

const capabilities: Capabilities = Object.freeze({
  durable: "no",
  durableGroups: false,
  history: "ring",
  order: "total",
  keyOrder: Object.freeze(["block", "park-key", "skip"] as const),
  maxRetryDelayMs: unlimited,
  durableDelay: false,
  delayedPublish: true,
  durableAttempts: true,
  priorities: true,
  publisherDedupeMs: 0,
  reportsUnroutable: true,
  maxBytes: unlimited,
  crossesProcess: false,
  effects: "at-least-once",
});

const carrierRules: OptionRules<MemoryCarrierOptions> = {
  clock: someObject,
  logger: someObject,
  historySize: wholeNumber(0),
  maxBacklog: wholeNumber(1),
  maxWaiting: wholeNumber(0),
  maxDelayed: wholeNumber(0),
  maxDeadLetters: wholeNumber(1),
  agingMs: wholeNumber(0),
};

/**
 * Makes a carrier for several memory transports: `memory({ carrier })` connects to it.
 *
 * @throws {CadreError} INVALID_OPTION
 */
export function memoryCarrier(options: MemoryCarrierOptions = {}): MemoryCarrier {
  checkOptions("memoryCarrier", options, carrierRules);
  const carrier = new Carrier({
    clock: options.clock ?? systemClock,
    logger: options.logger ?? silentLogger,
    historySize: options.historySize ?? defaults.historySize,
    maxBacklog: options.maxBacklog ?? defaults.maxBacklog,
    maxWaiting: options.maxWaiting ?? defaults.maxWaiting,
    maxDelayed: options.maxDelayed ?? defaults.maxDelayed,
    maxDeadLetters: options.maxDeadLetters ?? defaults.maxDeadLetters,
    agingMs: options.agingMs ?? defaults.agingMs,
  });
  return { connect: () => new MemoryTransport(carrier) };
}

/**
 * A transport within this process. Nothing survives the process; within it, groups keep their place
 * while they have no members, and several buses may share one transport.
 *
 * `close` ends this connection: its intakes end, what they own goes to other members as another
 * attempt, publishes that wait for room are refused with CLOSED. The carrier and its other
 * connections go on.
 *
 * @throws {CadreError} INVALID_OPTION
 */
export function memory(options: MemoryOptions = {}): Transport {
  const { carrier, ...own } = options;
  if (carrier === undefined) return memoryCarrier(own).connect();
  const [option] = Object.keys(own);
  if (option !== undefined) {
    throw new CadreError(
      "INVALID_OPTION",
      `\`${option}\` cannot be set beside \`carrier\`, which has its own. ` +
        "Give it to memoryCarrier().",
      { option },
    );
  }
  return carrier.connect();
}

class MemoryTransport implements Transport {
  readonly name: string = "memory";
  readonly capabilities: Capabilities = capabilities;
  readonly deadLetters: DeadLetterBox;
  readonly #carrier: Carrier;
  readonly #intakes = new Set<Intake>();
  readonly #waiting = new Set<Publishing>();
  readonly #taps = new Set<() => void>();
  #closed = false;

  constructor(carrier: Carrier) {
    this.#carrier = carrier;
    this.deadLetters = carrier.deadLetters;
    carrier.connect();
  }

  publish(batch: readonly Outgoing[]): Promise<readonly PublishResult[]> {
    return this.#closed
      ? Promise.reject(closedError())
      : this.#carrier.publish(batch, this.#waiting);
  }

  publishNow(event: AgentEvent, madeBy?: Clock): "taken" | "unroutable" | undefined {
    return this.#closed ? undefined : this.#carrier.publishNow(event, madeBy);
  }

  async open(spec: ConsumeSpec): Promise<Intake> {
    this.#assertOpen();
    const forget = (intake: Intake): void => void this.#intakes.delete(intake);
    let intake: Intake;
    if (spec.mode === "broadcast") {
      intake = this.#carrier.openBroadcast(spec, forget);
    } else {
      const group = this.#carrier.openGroup(spec);
      intake = new GroupIntake(group, { leaseMs: spec.leaseMs, connection: this }, forget);
    }
    this.#intakes.add(intake);
    return intake;
  }

  tap(listener: (event: AgentEvent) => boolean): () => void {
    this.#assertOpen();
    const end = this.#carrier.tap(listener);
    this.#taps.add(end);
    return () => {
      this.#taps.delete(end);
      end();
    };
  }

  read(query: ReadQuery): AsyncIterable<Recorded> {
    this.#assertOpen();
    return this.#carrier.read(query);
  }

  async groups(): Promise<readonly GroupState[]> {
    this.#assertOpen();
    return this.#carrier.groupStates();
  }

  async deleteGroup(group: string): Promise<void> {
    this.#assertOpen();
    this.#carrier.deleteGroup(group);
  }

  health(): Promise<{ readonly ok: boolean; readonly detail?: string }> {
    return Promise.resolve(this.#closed ? { ok: false, detail: "closed" } : { ok: true });
  }

  async close(): Promise<void> {
    if (this.#closed) return;
    this.#closed = true;
    for (const publishing of this.#waiting) publishing.cancel();
    for (const end of this.#taps) end();
    for (const intake of this.#intakes) await intake.close();
    this.#carrier.disconnect(this);
  }

  #assertOpen(): void {
    if (this.#closed) throw closedError();
  }
}

function closedError(): CadreError<"CLOSED"> {
  const message = "The memory transport was closed. Make another one.";
  return new CadreError("CLOSED", message, { what: "transport" });
}

class GroupIntake implements Intake, Puller {
  readonly leaseMs: number;
  readonly connection: object;
  readonly #group: MemoryGroup;
  readonly #onClose: (intake: Intake) => void;
  #closed = false;

  constructor(group: MemoryGroup, puller: Puller, onClose: (intake: Intake) => void) {
    this.#group = group;
    this.leaseMs = puller.leaseMs;
    this.connection = puller.connection;
    this.#onClose = onClose;
  }

  pull(max: number, signal: AbortSignal): Promise<readonly Lease[]> {
    if (this.#closed || this.#group.deleted) return Promise.resolve([]);
    return this.#group.pull(this, max, signal);
  }

  missed(): number {
    return this.#group.takeMissed();
  }

  close(): Promise<void> {
    if (!this.#closed) {
      this.#closed = true;
      this.#group.endPulls(this);
      this.#onClose(this);
    }
    return Promise.resolve();
  }
}
