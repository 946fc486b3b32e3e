import { unanswered } from "../bus/ordered-publish.ts";
import type { OrderedResult } from "../bus/transport.ts";
import { CadreError, describeError, isCadreError } from "../core/errors.ts";
import type { LogPosition, StoredEvent } from "../store/event-store.ts";
import { createLeases, type HeldLease } from "../store/lease.ts";
import type { Relay, RelayContext, RelayStatus } from "./relay.ts";
import { RelayBatch } from "./relay-batch.ts";
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
  /** Events asked for at once: one after a refusal, and twice as many after each success. */
  #window = Infinity;
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
    for await (const { event } of store.read({ id: aside.id })) {
      const [result] = await publish([event], {});
      if (!result?.ok) throw result ? result.error : unanswered(event);
    }
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
    let batch = this.#newBatch();
    let goesOn = true;
    for await (const stored of this.#context.store.read({ after: this.#position })) {
      if (this.#stopped) break;
      if (!batch.add(stored)) {
        goesOn = await this.#publish(batch, lease);
        batch = this.#newBatch();
        batch.add(stored);
      }
      if (goesOn && batch.isFull) {
        goesOn = await this.#publish(batch, lease);
        batch = this.#newBatch();
      }
      if (!goesOn) break;
    }
    if (goesOn && !this.#stopped) await this.#publish(batch, lease);
    await this.#save(lease);
  }

  /** It ends where a checkpoint is due, so that a crash repeats no more than was promised. */
  #newBatch(): RelayBatch {
    return new RelayBatch(Math.max(1, this.#context.checkpointEvery - this.#unsaved));
  }

  async #save(lease: HeldLease): Promise<void> {
    if (this.#position === this.#saved || !lease.valid()) return;
    const position = this.#position;
    await lease.commit({ slots: [positionWrite(this.name, position)] });
    this.#saved = position;
    this.#unsaved = 0;
  }

  /**
   * Publishes a batch, however long it takes. False when the relay stops or loses its lease before.
   */
  async #publish(batch: RelayBatch, lease: HeldLease): Promise<boolean> {
    const { isPoison, minRetryMs, maxRetryMs, checkpointEvery } = this.#context;
    let left = batch.events;
    let attempts = 1; // of the first that is left
    while (left.length > 0) {
      if (!lease.valid() || this.#stopped) return false;
      const [first] = left;
      const results = await this.#ask(left.slice(0, this.#window), lease);
      // What the carrier took beyond a refused one is not told again.
      left = left.filter((_, index) => !results[index]?.ok);
      const [next] = left;
      if (next !== first) attempts = 1;
      this.#reach(next ? next.position - 1 : batch.upTo);
      const refusal = results.find((result) => !result?.ok);
      if (!next || !refusal || refusal.ok) continue; // published, or not tried
      if (isPoison(refusal.error, attempts)) {
        await this.#putAside(next, refusal.error, attempts, lease);
        left = left.slice(1);
        attempts = 1;
        continue;
      }
      this.#window = 1;
      this.#refused(next, refusal.error, attempts);
      await this.#pause(Math.min(minRetryMs * 2 ** Math.min(attempts - 1, 30), maxRetryMs));
      attempts += 1;
    }
    this.#reach(batch.upTo);
    this.#unsaved += batch.covered - batch.events.length;
    if (this.#unsaved >= checkpointEvery) await this.#save(lease);
    return true;
  }

  /** One result an event; none where nobody says which of several was refused. */
  async #ask(asked: readonly StoredEvent[], lease: HeldLease): Promise<readonly OrderedResult[]> {
    const events = asked.map(({ event }) => event);
    const goesOn = (): boolean => lease.valid() && !this.#stopped;
    let results: readonly OrderedResult[] = [];
    try {
      results = await this.#context.publish(events, { goesOn });
      if (!results[0]) throw unanswered(events[0]!);
    } catch (error) {
      results = events.length === 1 ? [{ ok: false, error }] : [];
    }
    const taken = results.filter((result) => result?.ok).length;
    this.#published += taken;
    this.#unsaved += taken;
    if (taken === events.length) this.#window *= 2;
    else if (results.length === 0) this.#window = 1;
    return results;
  }

  /** Nothing up to `position` is left to be published. */
  #reach(position: LogPosition): void {
    this.#position = Math.max(this.#position, position);
    if (!this.#failing || this.#failing.position > position) return;
    const { attempts } = this.#failing;
    this.#failing = undefined;
    this.#context.logger.info("the relay goes on", { relay: this.name, attempts: attempts + 1 });
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
    this.#position = this.#saved = position;
    this.#unsaved = 0;
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
