/**
 * The simulator's time: one queue of timers for all simulated processes. Timers of one instant fire
 * in an order drawn from the seed.
 */
import { systemClock, type Clock } from "../core/clock.ts";
import type { Random } from "../core/random.ts";

interface SimTimer {
  readonly dueAt: number;
  readonly tie: number;
  readonly action: () => void;
  cancelled: boolean;
}

export class SimClock implements Clock {
  readonly #random: Random;
  readonly #startAt: number;
  #heap: SimTimer[] = [];
  #elapsed = 0;

  constructor(random: Random, startAt: number = 1_700_000_000_000) {
    this.#random = random;
    this.#startAt = startAt;
  }

  now(): number {
    return this.#startAt + this.#elapsed;
  }

  monotonic(): number {
    return this.#elapsed;
  }

  after(delayMs: number, action: () => void): () => void {
    const dueAt = this.#elapsed + Math.max(0, delayMs);
    const timer: SimTimer = { dueAt, tie: this.#random.next(), action, cancelled: false };
    this.#push(timer);
    return () => {
      timer.cancelled = true;
    };
  }

  sleep(delayMs: number, signal?: AbortSignal): Promise<void> {
    return sleepOn(this, delayMs, signal);
  }

  yield(): Promise<void> {
    return this.sleep(0);
  }

  /** Fires the next timer and lets everything that it woke run. False when there is none. */
  async step(): Promise<boolean> {
    let next = this.#pop();
    while (next?.cancelled) next = this.#pop();
    if (!next) return false;
    this.#elapsed = Math.max(this.#elapsed, next.dueAt);
    next.action();
    // One turn of the loop runs all microtasks to their end; simulated code waits for nothing else.
    await systemClock.yield();
    return true;
  }

  #push(timer: SimTimer): void {
    const heap = this.#heap;
    let index = heap.push(timer) - 1;
    while (index > 0) {
      const parent = (index - 1) >> 1;
      if (!isBefore(timer, heap[parent]!)) break;
      heap[index] = heap[parent]!;
      index = parent;
    }
    heap[index] = timer;
  }

  #pop(): SimTimer | undefined {
    const heap = this.#heap;
    const first = heap[0];
    const last = heap.pop();
    if (!first || !last || heap.length === 0) return first;
    let index = 0;
    for (;;) {
      let child = 2 * index + 1;
      if (child >= heap.length) break;
      if (child + 1 < heap.length && isBefore(heap[child + 1]!, heap[child]!)) child += 1;
      if (!isBefore(heap[child]!, last)) break;
      heap[index] = heap[child]!;
      index = child;
    }
    heap[index] = last;
    return first;
  }
}

/** The state of a process that its clock must know. */
export interface ClockOwner {
  readonly alive: boolean;
  /** Virtual milliseconds for which it stands still yet. */
  readonly frozenMs: number;
}

/**
 * The clock that one simulated process sees: its timers stop with the process and wait while it is
 * frozen; time itself goes on; and its wall time may be wrong.
 */
export class ProcessClock implements Clock {
  readonly #world: SimClock;
  readonly #owner: ClockOwner;
  readonly #skewMs: number;

  constructor(world: SimClock, owner: ClockOwner, skewMs: number) {
    this.#world = world;
    this.#owner = owner;
    this.#skewMs = skewMs;
  }

  now(): number {
    return this.#world.now() + this.#skewMs;
  }

  monotonic(): number {
    return this.#world.monotonic();
  }

  after(delayMs: number, action: () => void): () => void {
    const fire = (): void => {
      if (!this.#owner.alive) return;
      const { frozenMs } = this.#owner;
      if (frozenMs > 0) cancel = this.#world.after(frozenMs, fire);
      else action();
    };
    let cancel = this.#world.after(delayMs, fire);
    return () => cancel();
  }

  sleep(delayMs: number, signal?: AbortSignal): Promise<void> {
    return sleepOn(this, delayMs, signal);
  }

  yield(): Promise<void> {
    return this.sleep(0);
  }
}

function isBefore(left: SimTimer, right: SimTimer): boolean {
  return left.dueAt === right.dueAt ? left.tie < right.tie : left.dueAt < right.dueAt;
}

function sleepOn(clock: Clock, delayMs: number, signal: AbortSignal | undefined): Promise<void> {
  return new Promise((resolve, reject) => {
    if (signal?.aborted) return reject(signal.reason);
    const onAbort = (): void => {
      cancel();
      reject(signal?.reason);
    };
    const cancel = clock.after(delayMs, () => {
      signal?.removeEventListener("abort", onAbort);
      resolve();
    });
    signal?.addEventListener("abort", onAbort, { once: true });
  });
}
