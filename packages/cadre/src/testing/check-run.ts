import { createBus } from "../bus/create-bus.ts";
import type { Bus, BusOptions } from "../bus/bus.ts";
import type { Capabilities, Outgoing, PublishResult, Transport } from "../bus/transport.ts";
import { systemClock, type Clock } from "../core/clock.ts";
import { CadreError, describeError } from "../core/errors.ts";
import { createEvent, type AgentEvent, type EventOptions } from "../core/event.ts";
import { secureRandom, SeededRandom, type Random } from "../core/random.ts";
import type { CarrierControls, CheckContext, ConformanceCheck } from "./conformance-check.ts";

export interface CheckRunOptions extends CarrierControls {
  readonly createTransport: () => Transport | Promise<Transport>;
  readonly clock?: Clock;
  readonly leaseMs?: number;
  readonly boundMs?: number;
  readonly timeoutMs?: number;
}

const defaults = { leaseMs: 300, boundMs: 5_000, timeoutMs: 60_000 } as const;
const pollMs = 2; // between two looks at a predicate

/** One run of one check: its context, and the end of all that it opened. */
export class CheckRun implements CheckContext {
  readonly id: string;
  readonly capabilities: Capabilities;
  readonly seed: number;
  readonly random: Random;
  readonly clock: Clock;
  readonly leaseMs: number;
  readonly controls: CarrierControls;
  readonly #check: ConformanceCheck;
  readonly #options: CheckRunOptions;
  readonly #prefix: string;
  readonly #cleanups: (() => unknown)[] = [];
  #groups = 0;

  constructor(
    check: ConformanceCheck,
    options: CheckRunOptions,
    run: { readonly capabilities: Capabilities; readonly seed: number },
    round: number,
  ) {
    this.id = check.id;
    this.capabilities = run.capabilities;
    this.seed = run.seed;
    this.random = new SeededRandom(run.seed).fork(`${check.id}/${round}`);
    this.clock = options.clock ?? systemClock;
    this.leaseMs = options.leaseMs ?? defaults.leaseMs;
    this.controls = options;
    this.#check = check;
    this.#options = options;
    // Not from the seed: a run that is repeated on the same carrier must not meet its own past.
    const unique = secureRandom
      .integer(2 ** 32)
      .toString(36)
      .padStart(7, "0");
    this.#prefix = `${check.id.toLowerCase().replace("-", "")}-${unique}`;
  }

  /** Runs the check and closes what it opened. */
  async complete(): Promise<void> {
    let failure: unknown;
    try {
      await this.#withinTime();
    } catch (error) {
      failure = error ?? new Error("The check failed with nothing.");
    }
    for (const cleanup of this.#cleanups.toReversed()) {
      try {
        await cleanup();
      } catch (error) {
        failure ??= error;
      }
    }
    if (failure === undefined) return;
    if (failure instanceof Error) failure.message += `\n(repeat with CADRE_SEED=${this.seed})`;
    throw failure;
  }

  async createTransport(): Promise<Transport> {
    const transport = await this.#options.createTransport();
    this.defer(() => transport.close());
    return transport;
  }

  async createBus(options: Partial<Omit<BusOptions, "transport">> = {}): Promise<Bus> {
    const transport = await this.#options.createTransport();
    const bus = createBus({ clock: this.clock, ...options, transport });
    this.defer(() => bus.close({ deadlineMs: 1_000 }));
    return bus;
  }

  topic(...words: readonly string[]): string {
    return ["conformance", this.#prefix, ...words].join(".");
  }

  group(label: string = "group"): string {
    this.#groups += 1;
    return `${this.#prefix}-${label}-${this.#groups}`;
  }

  event(type: string, payload: unknown = {}, options: EventOptions = {}): AgentEvent {
    // Ids come from the secure source for the same reason as the prefix.
    const context = { clock: this.clock, random: secureRandom, source: "conformance" };
    return createEvent(context, type, payload, options);
  }

  async publish(
    transport: Transport,
    events: readonly (AgentEvent | Outgoing)[],
  ): Promise<readonly (PublishResult & { readonly ok: true })[]> {
    const batch = events.map((item) => ("event" in item ? item : { event: item }));
    const results = await transport.publish(batch);
    if (results.length !== batch.length) {
      this.fail(`publish answered with ${results.length} results for ${batch.length} items`);
    }
    return results.map((result, index) => {
      if (result.ok) return result;
      return this.fail(`item ${index} was refused: ${describeError(result.error).message}`);
    });
  }

  async until(
    predicate: () => unknown,
    options: { readonly withinMs?: number; readonly what?: string } = {},
  ): Promise<void> {
    const withinMs = options.withinMs ?? this.boundMs;
    const end = this.clock.monotonic() + withinMs;
    while (!(await predicate())) {
      if (this.clock.monotonic() >= end) {
        this.fail(`${options.what ?? "what was waited for"} did not happen within ${withinMs} ms`);
      }
      await this.clock.sleep(pollMs);
    }
  }

  get boundMs(): number {
    return this.#options.boundMs ?? defaults.boundMs;
  }

  quiet(ms: number): Promise<void> {
    return this.clock.sleep(ms);
  }

  defer(cleanup: () => unknown): void {
    this.#cleanups.push(cleanup);
  }

  fail(message: string): never {
    throw new Error(`${this.id}: ${message}`);
  }

  #withinTime(): Promise<void> {
    const timeoutMs = this.#options.timeoutMs ?? defaults.timeoutMs;
    return new Promise((resolve, reject) => {
      const cancel = this.clock.after(timeoutMs, () => {
        const message = `${this.id} did not end within ${timeoutMs} ms.`;
        reject(new CadreError("TIMEOUT", message, { what: this.id, timeoutMs }));
      });
      this.#check.run(this).then(resolve, reject).finally(cancel);
    });
  }
}
