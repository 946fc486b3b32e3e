/**
 * A lease: one owner at a time, by compare-and-set on a slot.
 *
 *   (no slot) ──take──▶ held(owner, epoch 1) ──renew──▶ held, slot version + 1
 *                          │          ▲
 *                       release    take, epoch + 1: released, or unchanged for its whole time
 *                          ▼          │            as the one who takes it has seen it
 *                       released ─────┘
 *
 * Nobody compares wall clocks. The holder trusts its lease for `ttlMs` of its own monotonic time
 * since it asked for the last renewal; everybody else waits `ttlMs` and a tenth of their own since
 * they saw the slot change. The slot changes before they see it, so the holder always gives up
 * first. Whoever has only just begun to look waits the whole time.
 *
 * A holder that was paused may still believe; therefore every write that matters goes through
 * `commit`, which the slot's version fences, or carries the epoch.
 */
import type { Clock } from "../core/clock.ts";
import type { Commit, SlotWrite } from "../core/commit.ts";
import { CadreError, isCadreError } from "../core/errors.ts";
import { checkOptions, someText, wholeNumber } from "../core/options.ts";
import type { CommitResult, EventStore, Slot } from "./event-store.ts";

export interface LeaseRequest {
  readonly name: string;
  /**
   * Who asks: unique to this run of the program, so that a restarted process is not taken for its
   * former self.
   */
  readonly owner: string;
  /** How long the lease lasts without renewal, in milliseconds. */
  readonly ttlMs: number;
}

/** What the slot says, and what this observer makes of it. */
export interface LeaseView {
  readonly owner: string;
  readonly epoch: number;
  /** Released, or not renewed for its whole time since this observer began to see it so. */
  readonly ended: boolean;
  /**
   * Milliseconds until this observer will call it ended, if it sees no renewal; 0 when it has
   * ended.
   */
  readonly leftMs: number;
}

/** A lease that this process holds. */
export interface HeldLease {
  readonly name: string;
  readonly owner: string;
  /** The fencing token: larger than that of every earlier holder. */
  readonly epoch: number;
  /** False from the moment at which another may have it, and after `release`. */
  valid(): boolean;
  /** @throws {CadreError} LEASE_LOST, when it has ended or another has it */
  renew(): Promise<void>;
  /**
   * Commits only if the lease is still held, in the same transaction, and renews it by that.
   * @throws {CadreError} LEASE_LOST; nothing was written
   */
  commit(commit: Commit): Promise<CommitResult>;
  /** Lets another have it at once. Harmless when it is lost. */
  release(): Promise<void>;
}

export interface Leases {
  /** The lease, or nothing while another holds it. */
  tryAcquire(request: LeaseRequest): Promise<HeldLease | undefined>;
  /** Waits until the lease is free, looking again at least three times within its time. */
  acquire(request: LeaseRequest, signal?: AbortSignal): Promise<HeldLease>;
  /**
   * Looks at the lease without asking for it. Judging it takes looks from time to time by one and
   * the same `Leases`.
   */
  observe(name: string): Promise<LeaseView | undefined>;
}

interface LeaseRecord {
  readonly owner: string;
  readonly epoch: number;
  readonly ttlMs: number;
  readonly released?: boolean;
}

const slotPrefix = "lease/";
const looksPerTerm = 3; // while waiting: a release is noticed within a third of the term
const observerMargin = 1.1; // two machines' monotonic clocks differ by far less than a tenth

/** Leases on the slots of one store, as seen by this process. */
export function createLeases(options: {
  readonly store: EventStore;
  readonly clock: Clock;
}): Leases {
  return new SlotLeases(options.store, options.clock);
}

/**
 * Judges by the time since a value was last seen to change. Also for renewals that are kept
 * elsewhere than in lease slots, such as an agent's presence.
 */
export class ChangeObserver {
  readonly #clock: Clock;
  readonly #seen = new Map<string, { readonly version: unknown; readonly at: number }>();

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /**
   * Notes that `name` is at `version` now. Returns for how many milliseconds this observer has seen
   * it so.
   */
  unchangedMs(name: string, version: string | number): number {
    const now = this.#clock.monotonic();
    const last = this.#seen.get(name);
    if (last?.version === version) return now - last.at;
    this.#seen.set(name, { version, at: now });
    return 0;
  }

  forget(name: string): void {
    this.#seen.delete(name);
  }
}

class SlotLeases implements Leases {
  readonly #store: EventStore;
  readonly #clock: Clock;
  readonly #observer: ChangeObserver;

  constructor(store: EventStore, clock: Clock) {
    this.#store = store;
    this.#clock = clock;
    this.#observer = new ChangeObserver(clock);
  }

  async observe(name: string): Promise<LeaseView | undefined> {
    return this.#judge(name, await this.#store.slot(slotPrefix + name));
  }

  async tryAcquire(request: LeaseRequest): Promise<HeldLease | undefined> {
    const { name, owner, ttlMs } = request;
    checkOptions("a lease", request, { name: someText, owner: someText, ttlMs: wholeNumber(1) });
    const slot = await this.#store.slot(slotPrefix + name);
    const view = this.#judge(name, slot);
    if (view && !view.ended) return undefined;
    const record: LeaseRecord = { owner, epoch: (view?.epoch ?? 0) + 1, ttlMs };
    const version = slot?.version ?? 0;
    const askedAt = this.#clock.monotonic();
    try {
      await this.#store.commit({ slots: [writeOf(name, record, version)] });
    } catch (error) {
      if (isCadreError(error, "VERSION_CONFLICT")) return undefined; // another was faster
      throw error;
    }
    this.#observer.forget(name);
    return new SlotLease(this.#store, this.#clock, {
      name,
      record,
      version: version + 1,
      askedAt,
    });
  }

  async acquire(request: LeaseRequest, signal?: AbortSignal): Promise<HeldLease> {
    for (;;) {
      signal?.throwIfAborted();
      const lease = await this.tryAcquire(request);
      if (lease) return lease;
      await this.#clock.sleep(Math.ceil(request.ttlMs / looksPerTerm), signal);
    }
  }

  #judge(name: string, slot: Slot | undefined): LeaseView | undefined {
    if (!slot) {
      this.#observer.forget(name);
      return undefined;
    }
    const record = JSON.parse(slot.value) as LeaseRecord; // only this file writes these slots
    const unchangedMs = this.#observer.unchangedMs(name, slot.version);
    const leftMs = record.released
      ? 0
      : Math.max(0, Math.ceil(record.ttlMs * observerMargin) - unchangedMs);
    return { owner: record.owner, epoch: record.epoch, ended: leftMs === 0, leftMs };
  }
}

function writeOf(name: string, record: LeaseRecord, expectedVersion: number): SlotWrite {
  return { name: slotPrefix + name, expectedVersion, value: JSON.stringify(record) };
}

class SlotLease implements HeldLease {
  readonly name: string;
  readonly owner: string;
  readonly epoch: number;
  readonly #store: EventStore;
  readonly #clock: Clock;
  readonly #record: LeaseRecord;
  #version: number;
  #endsAt: number;
  #over = false;
  /** Writes to the slot, one after the other: each needs the version that the one before left. */
  #writing: Promise<unknown> = Promise.resolve();

  constructor(
    store: EventStore,
    clock: Clock,
    taken: { name: string; record: LeaseRecord; version: number; askedAt: number },
  ) {
    this.#store = store;
    this.#clock = clock;
    this.name = taken.name;
    this.owner = taken.record.owner;
    this.epoch = taken.record.epoch;
    this.#record = taken.record;
    this.#version = taken.version;
    this.#endsAt = taken.askedAt + taken.record.ttlMs;
  }

  valid(): boolean {
    return !this.#over && this.#clock.monotonic() < this.#endsAt;
  }

  async renew(): Promise<void> {
    await this.commit({});
  }

  commit(commit: Commit): Promise<CommitResult> {
    return this.#inTurn(() => this.#write(commit, this.#record));
  }

  async release(): Promise<void> {
    if (this.#over) return;
    await this.#inTurn(async () => {
      if (this.#over) return;
      try {
        await this.#write({}, { ...this.#record, released: true });
      } catch (error) {
        if (!isCadreError(error, "LEASE_LOST")) throw error;
      }
      this.#over = true;
    });
  }

  #inTurn<Result>(write: () => Promise<Result>): Promise<Result> {
    const result = this.#writing.then(write);
    this.#writing = result.then(
      () => undefined,
      () => undefined, // told to whoever asked for that write
    );
    return result;
  }

  async #write(commit: Commit, record: LeaseRecord): Promise<CommitResult> {
    for (;;) {
      if (!this.valid()) throw this.#lost();
      const askedAt = this.#clock.monotonic();
      const guard = writeOf(this.name, record, this.#version);
      try {
        const result = await this.#store.commit({
          ...commit,
          slots: [guard, ...(commit.slots ?? [])],
        });
        // A commit whose events were all there writes nothing, and renews nothing.
        if (!result.duplicate) {
          this.#version += 1;
          this.#endsAt = askedAt + this.#record.ttlMs;
        }
        return result;
      } catch (error) {
        if (!isCadreError(error, "VERSION_CONFLICT")) throw error;
        if (!(await this.#caughtUp())) throw error;
      }
    }
  }

  /**
   * After a conflict: true when the slot is ours at another version, because the answer to an
   * earlier renewal was lost; false when it is where we thought, so that something else in the
   * commit conflicted.
   * @throws {CadreError} LEASE_LOST, when the slot is another's
   */
  async #caughtUp(): Promise<boolean> {
    const slot = await this.#store.slot(slotPrefix + this.name);
    const record = slot && (JSON.parse(slot.value) as LeaseRecord);
    const ours = record?.owner === this.owner && record.epoch === this.epoch && !record.released;
    if (!slot || !ours) {
      this.#over = true;
      throw this.#lost();
    }
    if (slot.version === this.#version) return false;
    this.#version = slot.version;
    return true;
  }

  #lost(): CadreError<"LEASE_LOST"> {
    return new CadreError(
      "LEASE_LOST",
      `The lease "${this.name}" of ${this.owner} (epoch ${this.epoch}) has ended. ` +
        "Stop what it guards, and acquire it again.",
      { what: this.name },
    );
  }
}
