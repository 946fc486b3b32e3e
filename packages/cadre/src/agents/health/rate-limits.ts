/**
 * Rate limits that all processes of one store share.
 *
 *   take ──▶ queue (first come, first served) ──one compare-and-set for all that fit──▶ granted
 *                     │  ▲                                                  │
 *                     │  └── wait: until the window has room again ◀────────┘ full
 *                     └──▶ RATE_LIMITED, when it would wait longer than its deadline
 *
 * A limit is one slot. It counts what was granted in each of the last eleven tenths of its window,
 * and their sum is never above the limit: so no window, wherever it begins, has more. What one
 * process asks for at one time is one write, so that a busy limit costs a write a round and not a
 * write a call. A write whose answer was lost counts twice: less is granted, never more.
 */
import type { Clock } from "../../core/clock.ts";
import { CadreError, isCadreError } from "../../core/errors.ts";
import type { Random } from "../../core/random.ts";
import type { EventStore } from "../../store/event-store.ts";
import { isPassing } from "../passing-trouble.ts";
import { windowOf, type RateLimit } from "./rate-limit-rules.ts";

export interface TakeOptions {
  readonly signal?: AbortSignal | undefined;
  /** Longest wait in milliseconds; who would wait longer is refused at once. @default none */
  readonly deadlineMs?: number | undefined;
}

export interface RateLimits {
  has(name: string): boolean;
  /**
   * Resolves when `amount` was taken from the limit; at once where there is no limit of that name.
   * Nothing has to be given back.
   *
   * @throws {CadreError} RATE_LIMITED, when that would take longer than `deadlineMs`
   * @throws {CadreError} INVALID_OPTION, when `amount` is more than the limit ever has
   */
  take(name: string, amount?: number, options?: TakeOptions): Promise<void>;
  /** Takes without waiting. Answers 0, or the milliseconds after which it is worth asking again. */
  tryTake(name: string, amount?: number): Promise<number>;
}

const parts = 10; // of a window: a limit gives at least ten elevenths of what it says
const maxConflictMs = 50; // the longest wait after a write that another process was faster with
const troubleMs = 250; // before the store is asked again that did not answer

/** What a slot says: the newest part of the window, and how much was granted in it and before. */
interface Granted {
  readonly newest: number;
  /** The newest first, eleven at most. */
  readonly counts: readonly number[];
}

interface Waiting {
  readonly amount: number;
  /** Monotonic. */
  readonly giveUpAt: number;
  settle(error?: unknown): void;
}

interface Bucket {
  readonly name: string;
  readonly most: number;
  readonly partMs: number;
  readonly queue: Waiting[];
  pumping: boolean;
  /** The version of the slot that was read last, and since when it is known. Monotonic. */
  seen: { readonly version: number; readonly at: number };
  /** Wakes a pump that waits for room: somebody came who must not wait. */
  wake: () => void;
}

export class SharedRateLimits implements RateLimits {
  readonly #store: Pick<EventStore, "slot" | "commit" | "now">;
  readonly #clock: Clock;
  readonly #random: Random;
  readonly #buckets = new Map<string, Bucket>();
  readonly #stop = new AbortController();

  constructor(
    context: {
      readonly store: Pick<EventStore, "slot" | "commit" | "now">;
      readonly clock: Clock;
      readonly random: Random;
    },
    limits: Readonly<Record<string, RateLimit>> = {},
  ) {
    this.#store = context.store;
    this.#clock = context.clock;
    this.#random = context.random;
    for (const [name, limit] of Object.entries(limits)) {
      const { most, windowMs } = windowOf(name, limit);
      const partMs = Math.ceil(windowMs / parts);
      const seen = { version: -1, at: 0 };
      const bucket = { name, most, partMs, queue: [], pumping: false, seen, wake: () => {} };
      this.#buckets.set(name, bucket);
    }
  }

  has(name: string): boolean {
    return this.#buckets.has(name);
  }

  take(name: string, amount = 1, options: TakeOptions = {}): Promise<void> {
    const bucket = this.#buckets.get(name);
    if (!bucket) return Promise.resolve();
    const { signal, deadlineMs = Infinity } = options;
    if (!(amount > 0) || amount > bucket.most) {
      const message =
        `${amount} of the rate limit "${name}" were asked for. ` +
        `Ask for more than 0 and at most ${bucket.most}, which is all that it ever has.`;
      return Promise.reject(
        new CadreError("INVALID_OPTION", message, { option: "amount", value: amount }),
      );
    }
    return new Promise((resolve, reject) => {
      if (this.#stop.signal.aborted) return reject(this.#stop.signal.reason);
      if (signal?.aborted) return reject(signal.reason);
      const settle = (error?: unknown): void => {
        signal?.removeEventListener("abort", onAbort);
        const at = bucket.queue.indexOf(waiting);
        if (at >= 0) bucket.queue.splice(at, 1);
        if (error === undefined) resolve();
        else reject(error);
      };
      const onAbort = (): void => settle(signal?.reason);
      const giveUpAt = this.#clock.monotonic() + deadlineMs;
      const waiting: Waiting = { amount, giveUpAt, settle };
      signal?.addEventListener("abort", onAbort, { once: true });
      bucket.queue.push(waiting);
      if (!bucket.pumping) void this.#pump(bucket);
      else bucket.wake();
    });
  }

  async tryTake(name: string, amount = 1): Promise<number> {
    try {
      await this.take(name, amount, { deadlineMs: 0 });
      return 0;
    } catch (error) {
      if (isCadreError(error, "RATE_LIMITED")) return Math.max(1, error.details.retryAfterMs);
      throw error;
    }
  }

  close(): void {
    const closed = new CadreError("CLOSED", "The runtime is closed.", { what: "runtime" });
    this.#stop.abort(closed);
    for (const { queue } of this.#buckets.values()) {
      for (const waiting of [...queue]) waiting.settle(closed);
    }
  }

  /** One at a time for each limit, as long as anybody waits for it. */
  async #pump(bucket: Bucket): Promise<void> {
    bucket.pumping = true;
    // All that ask in this turn of the loop are one write.
    await Promise.resolve();
    try {
      for (let conflicts = 0; bucket.queue.length > 0 && !this.#stop.signal.aborted;) {
        const waitMs = await this.#round(bucket, conflicts);
        conflicts = waitMs === undefined ? conflicts + 1 : 0;
        const pauseMs = waitMs ?? this.#random.next() * Math.min(maxConflictMs, 2 ** conflicts);
        if (pauseMs > 0 && bucket.queue.length > 0) await this.#pause(bucket, pauseMs);
      }
    } finally {
      bucket.pumping = false;
    }
  }

  /** Grants what fits. Answers how long nothing more will; nothing, when another was faster. */
  async #round(bucket: Bucket, conflicts: number): Promise<number | undefined> {
    try {
      const slotName = `limit/${bucket.name}`;
      const slot = await this.#store.slot(slotName);
      const now = this.#store.now ? await this.#store.now() : this.#clock.now();
      const before = slot ? (JSON.parse(slot.value) as Granted) : { newest: 0, counts: [] };
      const leftMs = this.#leftOf(bucket, slot?.version ?? 0);
      const counted = leftMs > 0 ? before : { ...before, counts: [] };
      const at = advanced(counted, Math.floor(now / bucket.partMs));
      const granted = fitting(bucket, sumOf(at.counts));
      if (granted.length > 0) {
        const taken = granted.reduce((sum, { amount }) => sum + amount, 0);
        const [newest = 0, ...older] = at.counts;
        const value = JSON.stringify({ newest: at.newest, counts: [newest + taken, ...older] });
        const expectedVersion = slot?.version ?? 0;
        await this.#store.commit({ slots: [{ name: slotName, expectedVersion, value }] });
        for (const waiting of granted) waiting.settle();
        return 0;
      }
      const waitMs = Math.min(this.#roomIn(bucket, at, now), Math.ceil(leftMs));
      this.#refuse(bucket, waitMs);
      return waitMs;
    } catch (error) {
      if (isCadreError(error, "VERSION_CONFLICT")) {
        if (conflicts > 2) this.#refuse(bucket, 1);
        return undefined;
      }
      if (!isPassing(error)) {
        for (const waiting of [...bucket.queue]) waiting.settle(error);
        return 0;
      }
      this.#refuse(bucket, troubleMs);
      return troubleMs;
    }
  }

  /**
   * How long what the slot says may hold anybody up yet: when nothing was granted for a whole
   * window, that is over, whatever a wall clock that was ahead has written there.
   */
  #leftOf(bucket: Bucket, version: number): number {
    const now = this.#clock.monotonic();
    if (bucket.seen.version !== version) bucket.seen = { version, at: now };
    return bucket.seen.at + (parts + 1) * bucket.partMs - now;
  }

  /** How long until the first that waits finds room. */
  #roomIn({ queue, most, partMs }: Bucket, { newest, counts }: Granted, now: number): number {
    const wanted = queue[0]?.amount ?? 0;
    let sum = sumOf(counts);
    for (let ahead = 1; ahead <= parts + 1; ahead += 1) {
      sum -= counts[parts + 1 - ahead] ?? 0;
      if (sum + wanted <= most) return Math.max(1, Math.ceil((newest + ahead) * partMs - now));
    }
    return (parts + 1) * partMs;
  }

  /** Who would wait too long is told now, not when the time is up. */
  #refuse(bucket: Bucket, waitMs: number): void {
    const readyAt = this.#clock.monotonic() + waitMs;
    for (const waiting of [...bucket.queue]) {
      if (waiting.giveUpAt >= readyAt) continue;
      const message =
        `The rate limit "${bucket.name}" is used up. There is room again in ${waitMs} ms: ` +
        "wait so long, or raise the limit.";
      const details = { limit: bucket.name, retryAfterMs: waitMs };
      waiting.settle(new CadreError("RATE_LIMITED", message, details));
    }
  }

  async #pause(bucket: Bucket, ms: number): Promise<void> {
    await new Promise<void>((resolve) => {
      const { signal } = this.#stop;
      const done = (): void => {
        cancel();
        signal.removeEventListener("abort", done);
        bucket.wake = () => {};
        resolve();
      };
      const cancel = this.#clock.after(ms, done);
      bucket.wake = done;
      signal.addEventListener("abort", done, { once: true });
    });
  }
}

/** The counts as of another part of the window; time in a slot never goes back. */
function advanced({ newest, counts }: Granted, index: number): Granted {
  const steps = index - newest;
  if (steps <= 0) return { newest, counts };
  const fresh = Array.from({ length: Math.min(steps, parts + 1) }, () => 0);
  return { newest: index, counts: [...fresh, ...counts].slice(0, parts + 1) };
}

function sumOf(counts: readonly number[]): number {
  return counts.reduce((sum, count) => sum + count, 0);
}

/** Those at the head of the queue that fit beside what is granted already. */
function fitting({ queue, most }: Bucket, used: number): readonly Waiting[] {
  const granted: Waiting[] = [];
  let sum = used;
  for (const waiting of queue) {
    if (sum + waiting.amount > most) break;
    sum += waiting.amount;
    granted.push(waiting);
  }
  return granted;
}
