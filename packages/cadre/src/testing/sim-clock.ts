/**
 * The simulator's time: one queue of timers for all simulated processes. Timers of one instant fire
 * in an order drawn from the seed.
 */
import { systemClock, type Clock } from "../core/clock.ts";
import type { Random } from "../core/random.ts";

const stepsPerTurn = 256;

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
  #steps = 0;

  constructor(random: Random, startAt: number = 1_700_000_000_000) {
    this.#random = random;
    this.#startAt = startAt;
  }

  now(): number {
    return Math.floor(this.#startAt + this.#elapsed);
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
    await this.#settle();
    return true;
  }

  /** Lets all microtasks run to their end; simulated code waits for nothing else. */
  #settle(): Promise<void> {
    this.#steps += 1;
    // Now and then the whole loop turns, so that a long run does not keep the process to itself.
    if (this.#steps % stepsPerTurn === 0) return systemClock.yield();
    // A tick comes when no microtask is left, and much sooner than the loop's next turn.
    return new Promise((resolve) => process.nextTick(resolve));
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
  /** A timer of the process is about to fire; the process may die of it, or freeze. */
  timer(): void;
}

/** How wrong a process's clocks are. */
export interface ClockWrongness {
  /** Milliseconds that its wall clock is ahead at its start. */
  readonly skewMs: number;
  /** By how much it gains on the others: 0.01 is 10 ms a second. */
  readonly drift: number;
  /** What its monotonic clock says at its start; two machines' have nothing in common. */
  readonly origin: number;
}

/**
 * The clock that one simulated process sees: its timers stop with the process and wait while it is
 * frozen; time itself goes on; and its clocks may be wrong.
 */
export class ProcessClock implements Clock {
  readonly #world: SimClock;
  readonly #owner: ClockOwner;
  readonly #wrong: ClockWrongness;
  readonly #bornAt: number;
  #jumpedMs = 0;

  constructor(world: SimClock, owner: ClockOwner, wrong: ClockWrongness) {
    this.#world = world;
    this.#owner = owner;
    this.#wrong = wrong;
    this.#bornAt = world.monotonic();
  }

  now(): number {
    const { skewMs, drift } = this.#wrong;
    const gainedMs = (this.#world.monotonic() - this.#bornAt) * drift;
    return Math.floor(this.#world.now() + skewMs + gainedMs + this.#jumpedMs);
  }

  monotonic(): number {
    const { origin, drift } = this.#wrong;
    return origin + (this.#world.monotonic() - this.#bornAt) * (1 + drift);
  }

  /** Somebody sets the wall clock. */
  jump(byMs: number): void {
    this.#jumpedMs += byMs;
  }

  after(delayMs: number, action: () => void): () => void {
    const dueAt = this.monotonic() + Math.max(0, delayMs);
    let isAsked = false;
    const fire = (): void => {
      if (!isAsked && this.#owner.alive) {
        isAsked = true;
        this.#owner.timer();
      }
      if (!this.#owner.alive) return;
      // A timer is never early, also where rounding would have it so.
      const leftMs = Math.max(this.#owner.frozenMs, this.#worldMs(dueAt - this.monotonic()));
      if (leftMs > 0) cancel = this.#world.after(leftMs + leastMs, fire);
      else action();
    };
    let cancel = this.#world.after(this.#worldMs(Math.max(0, delayMs)), fire);
    return () => cancel();
  }

  sleep(delayMs: number, signal?: AbortSignal): Promise<void> {
    return sleepOn(this, delayMs, signal);
  }

  yield(): Promise<void> {
    return this.sleep(0);
  }

  #worldMs(ownMs: number): number {
    return ownMs / (1 + this.#wrong.drift);
  }
}

const leastMs = 1e-3; // above what rounding can lose

function isBefore(left: SimTimer, right: SimTimer): boolean {
  return left.dueAt === right.dueAt ? left.tie < right.tie : left.dueAt < right.dueAt;
}

function sleepOn(clock: Clock, delayMs: number, signal: AbortSignal | undefined): Promise<void> {
  if (!signal) return new Promise((resolve) => void clock.after(delayMs, resolve));
  return new Promise((resolve, reject) => {
    if (signal.aborted) return reject(signal.reason);
    const onAbort = (): void => {
      cancel();
      reject(signal.reason);
    };
    const cancel = clock.after(delayMs, () => {
      signal.removeEventListener("abort", onAbort);
      resolve();
    });
    signal.addEventListener("abort", onAbort, { once: true });
  });
}
