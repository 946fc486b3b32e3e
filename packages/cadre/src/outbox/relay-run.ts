import { CadreError, describeError, isCadreError } from "../core/errors.ts";
import type { LogPosition, StoredEvent } from "../store/event-store.ts";
import { createLeases, type HeldLease } from "../store/lease.ts";
import type { Relay, RelayContext, RelayStatus } from "./relay.ts";
import { asideWrite, dropAside, listAside, positionWrite, readPosition } from "./relay-record.ts";
import type { SetAside } from "./relay-record.ts";

const renewalsPerTerm = 3; // two may fail before the lease is lost
const stuckAfter = 5; // refusals of one event until it is an error and no more a warning

/** One running relay; `relay.ts` draws its states. */
export class RelayRun implements Relay {
  readonly name: string;
  readonly #context: RelayContext;
  readonly #stopping = new AbortController();
  #phase: RelayStatus["phase"] = "standby";
  #position: LogPosition = 0;
  #saved: LogPosition = 0;
  #unsaved = 0;
  #published = 0;
  #failing: RelayStatus["failing"];
  #error: unknown;
  #woken = false;
  #wake: () => void = () => {};
  #unwatch: () => void = () => {};
  #loop: Promise<void> = Promise.resolve();

  constructor(context: RelayContext) {
    this.#context = context;
    this.name = context.name;
  }

  async start(): Promise<void> {
    const { store } = this.#context;
    this.#position = await readPosition(store, this.name);
    this.#unwatch = store.watch(() => this.#nudge());
    this.#loop = this.#stand();
  }

  async status(): Promise<RelayStatus> {
    const { store } = this.#context;
    const position =
      this.#phase === "active" ? this.#position : await readPosition(store, this.name);
    return {
      phase: this.#phase,
      position,
      lag: Math.max(0, (await store.head()) - position),
      published: this.#published,
      setAside: (await listAside(store, this.name)).length,
      ...(this.#failing ? { failing: this.#failing } : {}),
      ...(this.#error === undefined ? {} : { error: this.#error }),
    };
  }

  async idle(): Promise<void> {
    const { store, clock, pollMs } = this.#context;
    const head = await store.head();
    const reached = async (): Promise<boolean> =>
      (this.#phase === "active" && this.#position >= head) ||
      (await readPosition(store, this.name)) >= head;
    while (!(await reached())) {
      if (this.#phase === "closed") {
        throw new CadreError("CLOSED", `The relay "${this.name}" is closed.`, { what: this.name });
      }
      await clock.sleep(Math.min(pollMs, 20));
    }
  }

  setAside(): Promise<readonly SetAside[]> {
    return listAside(this.#context.store, this.name);
  }

  async republish(position: LogPosition): Promise<boolean> {
    const { store, publish } = this.#context;
    const aside = (await this.setAside()).find((each) => each.position === position);
    if (!aside) return false;
    for await (const { event } of store.read({ id: aside.id })) await publish(event);
    await dropAside(store, this.name, position);
    return true;
  }

  async close(): Promise<void> {
    this.#stopping.abort();
    this.#unwatch();
    this.#nudge();
    await this.#loop;
    this.#phase = "closed";
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }

  get #stopped(): boolean {
    return this.#stopping.signal.aborted;
  }

  #nudge(): void {
    this.#woken = true;
    this.#wake();
  }

  /**
   * Asks for the lease again and again; each term ends by close, by loss of the lease or by trouble
   * with the store.
   */
  async #stand(): Promise<void> {
    const { store, clock, random, leaseMs } = this.#context;
    const leases = createLeases({ store, clock });
    const owner = `${this.name}-${random.id(clock.now())}`;
    while (!this.#stopped) {
      let lease: HeldLease | undefined;
      try {
        lease = await leases.tryAcquire({ name: `relay/${this.name}`, owner, ttlMs: leaseMs });
        if (lease) await this.#serve(lease);
        this.#error = undefined;
      } catch (error) {
        this.#trouble(error);
      } finally {
        this.#phase = "standby";
        this.#failing = undefined;
        if (lease) await this.#giveBack(lease);
      }
      if (!this.#stopped) await this.#pause(Math.ceil(leaseMs / renewalsPerTerm));
    }
  }

  async #serve(lease: HeldLease): Promise<void> {
    const { store } = this.#context;
    const ended = new AbortController();
    const renewing = this.#keepRenewed(lease, ended.signal);
    try {
      this.#position = this.#saved = await readPosition(store, this.name);
      this.#unsaved = 0;
      this.#phase = "active";
      while (!this.#stopped && lease.valid()) {
        this.#woken = false;
        await this.#drain(lease);
        this.#error = undefined;
        if (this.#stopped || !lease.valid()) break;
        await this.#untilWoken();
      }
    } finally {
      ended.abort();
      await renewing;
    }
  }

  async #drain(lease: HeldLease): Promise<void> {
    for await (const stored of this.#context.store.read({ after: this.#position })) {
      if (!stored.private && !(await this.#publish(stored, lease))) break;
      this.#position = Math.max(this.#position, stored.position);
      this.#unsaved += 1;
      if (this.#unsaved >= this.#context.checkpointEvery) await this.#save(lease);
      if (this.#stopped) break;
    }
    await this.#save(lease);
  }

  async #save(lease: HeldLease): Promise<void> {
    if (this.#position === this.#saved || !lease.valid()) return;
    const position = this.#position;
    await lease.commit({ slots: [positionWrite(this.name, position)] });
    this.#saved = position;
    this.#unsaved = 0;
  }

  /**
   * Publishes one event, however long it takes. False when the relay stops or loses its lease
   * before.
   */
  async #publish(stored: StoredEvent, lease: HeldLease): Promise<boolean> {
    const { publish, isPoison, minRetryMs, maxRetryMs, logger } = this.#context;
    for (let attempts = 1, pauseMs = minRetryMs; ; attempts += 1) {
      if (!lease.valid() || this.#stopped) return false;
      try {
        await publish(stored.event);
        this.#published += 1;
        if (this.#failing) logger.info("the relay goes on", { relay: this.name, attempts });
        this.#failing = undefined;
        return true;
      } catch (error) {
        if (isPoison(error, attempts)) {
          await this.#putAside(stored, error, attempts, lease);
          return true;
        }
        this.#refused(stored, error, attempts);
      }
      await this.#pause(pauseMs);
      pauseMs = Math.min(2 * pauseMs, maxRetryMs);
    }
  }

  #refused({ event, position }: StoredEvent, error: unknown, attempts: number): void {
    const { clock, raise, logger } = this.#context;
    const since = this.#failing?.position === position ? this.#failing.since : clock.now();
    this.#failing = { position, id: event.id, type: event.type, error, since, attempts };
    if (attempts !== 1 && attempts !== stuckAfter) return;
    const { message, code = "UNREACHABLE" } = describeError(error);
    const what = `cannot publish position ${position} and tries again: ${message}`;
    const text = `The relay "${this.name}" ${what}`;
    const fields = { relay: this.name, position, id: event.id, attempts, error: message };
    if (attempts === 1) logger.warn("the relay is refused and tries again", fields);
    else logger.error("the relay is stuck", fields);
    const severity = attempts === 1 ? "warning" : "error";
    raise({ severity, code, message: text, cause: error, event });
  }

  async #putAside(
    { event, position }: StoredEvent,
    error: unknown,
    attempts: number,
    lease: HeldLease,
  ): Promise<void> {
    const { clock, raise, logger } = this.#context;
    const { stack: _stack, ...record } = describeError(error);
    const { id, type } = event;
    const aside: SetAside = { position, id, type, error: record, attempts, at: clock.now() };
    await lease.commit({
      slots: [asideWrite(this.name, aside), positionWrite(this.name, position)],
    });
    this.#saved = position;
    this.#failing = undefined;
    const { message, code = "TERMINAL" } = record;
    logger.error("the relay has set an event aside", {
      relay: this.name,
      position,
      id,
      error: message,
    });
    const text = `The relay "${this.name}" has set ${type} ${id} aside: ${message}`;
    raise({ severity: "error", code, message: text, cause: error, event });
  }

  /**
   * Renews while the term lasts. A renewal that fails is tried again; when the lease has run out,
   * the term ends by itself.
   */
  async #keepRenewed(lease: HeldLease, signal: AbortSignal): Promise<void> {
    const { clock, leaseMs } = this.#context;
    while (!signal.aborted && lease.valid()) {
      try {
        await clock.sleep(Math.ceil(leaseMs / renewalsPerTerm), signal);
        await lease.renew();
      } catch (error) {
        if (signal.aborted) return;
        this.#trouble(error);
        this.#nudge();
      }
    }
  }

  async #giveBack(lease: HeldLease): Promise<void> {
    try {
      await lease.release();
    } catch (error) {
      this.#trouble(error); // it runs out by itself
    }
  }

  #trouble(error: unknown): void {
    this.#error = error;
    const fields = { relay: this.name, error: describeError(error).message };
    if (isCadreError(error, "LEASE_LOST")) {
      this.#context.logger.info("the relay has lost its lease", fields);
    } else {
      this.#context.logger.warn("the relay cannot use the store and tries again", fields);
    }
  }

  /** Until something is committed, the poll is due, or the relay stops. */
  #untilWoken(): Promise<void> {
    if (this.#woken || this.#stopped) return Promise.resolve();
    return new Promise((resolve) => {
      const cancel = this.#context.clock.after(this.#context.pollMs, () => this.#wake());
      this.#wake = () => {
        cancel();
        this.#wake = () => {};
        resolve();
      };
    });
  }

  async #pause(ms: number): Promise<void> {
    try {
      await this.#context.clock.sleep(ms, this.#stopping.signal);
    } catch {
      // Closed meanwhile; the loops see it.
    }
  }
}
