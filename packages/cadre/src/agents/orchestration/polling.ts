/**
 * Polling mode: the same store and the same bus, looked at every so often instead of watched.
 *
 *   watch(wake)  ──▶ wake after each interval, and after what this process has written itself
 *   open(group)  ──▶ open, pull what is there, close; again after the interval
 *
 * Everything above stays as it is, and so do its promises: a wake never said anything but "look",
 * and a group keeps its place and its deliveries while nobody has it open.
 */
import { CadreError } from "../../core/errors.ts";
import type { Clock } from "../../core/clock.ts";
import type { ConsumeSpec, Intake, Lease, Transport } from "../../bus/transport.ts";
import type { EventStore } from "../../store/event-store.ts";
import type { AnyAgent } from "../agent.ts";

export interface PollingOptions {
  /** How long a look at the store or a group is apart from the next, in milliseconds. */
  readonly everyMs: number;
  readonly clock: Clock;
}

const lookMs = 200; // that a carrier is given to say what there is for a group

/** The store, looked at in intervals. */
export function pollingStore(store: EventStore, options: PollingOptions): EventStore {
  const wakes = new Set<{ wake(): void }>();
  let cancel = (): void => {};
  let isSoon = false;
  const wakeAll = (): void => {
    for (const entry of [...wakes]) entry.wake();
  };
  const arm = (): void => {
    cancel = options.clock.after(options.everyMs, () => {
      wakeAll();
      if (wakes.size > 0) arm();
    });
  };
  const watch = (wake: () => void): (() => void) => {
    const entry = { wake };
    wakes.add(entry);
    if (wakes.size === 1) arm();
    return () => {
      wakes.delete(entry);
      if (wakes.size === 0) cancel();
    };
  };
  const commit: EventStore["commit"] = async (work) => {
    const result = await store.commit(work);
    if (!isSoon) {
      isSoon = true;
      void options.clock.yield().then(() => {
        isSoon = false;
        wakeAll();
      });
    }
    return result;
  };
  return wrapped(store, { watch, commit });
}

/** The transport, whose groups are asked in intervals. */
export function pollingTransport(transport: Transport, options: PollingOptions): Transport {
  const open = async (spec: ConsumeSpec): Promise<Intake> => {
    if (spec.mode !== "group") return transport.open(spec);
    // Opened once at least: it makes the group, and finds out whether its definition is another.
    const first = await transport.open(spec);
    return new PollingIntake(transport, spec, options, first);
  };
  return wrapped(transport, { open });
}

class PollingIntake implements Intake {
  readonly #transport: Transport;
  readonly #spec: ConsumeSpec;
  readonly #options: PollingOptions;
  readonly #closing = new AbortController();
  #open: Intake | undefined;

  constructor(transport: Transport, spec: ConsumeSpec, options: PollingOptions, first: Intake) {
    this.#transport = transport;
    this.#spec = spec;
    this.#options = options;
    this.#open = first;
  }

  async pull(max: number, signal: AbortSignal): Promise<readonly Lease[]> {
    const ended = AbortSignal.any([signal, this.#closing.signal]);
    while (!ended.aborted) {
      this.#open ??= await this.#transport.open(this.#spec);
      const leases = await this.#look(this.#open, max, ended);
      if (leases.length > 0) return leases;
      await this.#shut();
      await this.#options.clock.sleep(this.#options.everyMs, ended).catch(() => undefined);
    }
    return [];
  }

  missed(): number {
    return this.#open?.missed?.() ?? 0;
  }

  async close(): Promise<void> {
    this.#closing.abort();
    await this.#shut();
  }

  async #look(intake: Intake, max: number, ended: AbortSignal): Promise<readonly Lease[]> {
    const enough = new AbortController();
    const cancel = this.#options.clock.after(lookMs, () => enough.abort());
    try {
      return await intake.pull(max, AbortSignal.any([ended, enough.signal]));
    } finally {
      cancel();
    }
  }

  async #shut(): Promise<void> {
    const open = this.#open;
    this.#open = undefined;
    await open?.close();
  }
}

/** `inner` with some members replaced; the others are its own, with it as `this`. */
function wrapped<Inner extends object>(inner: Inner, own: Partial<Inner>): Inner {
  return new Proxy(inner, {
    get(target, name) {
      if (Object.hasOwn(own, name)) return Reflect.get(own, name);
      const value: unknown = Reflect.get(target, name);
      return typeof value === "function" ? (value.bind(target) as unknown) : value;
    },
  });
}

/** @throws {CadreError} INVALID_OPTION, for a handler that only a subscription can serve */
export function assertPollable(agents: readonly AnyAgent[]): void {
  for (const { name, events } of agents) {
    const ear = events.find(({ options }) => options.ephemeral);
    if (!ear) continue;
    const message =
      `Agent "${name}", on("${ear.pattern}"): an ephemeral handler hears what is published while ` +
      'it is subscribed, and mode "polling" holds no subscription. Leave `ephemeral` out.';
    throw new CadreError("INVALID_OPTION", message, { option: "ephemeral" });
  }
}
