import { performance } from "node:perf_hooks";

/**
 * The one place that reads time and sets timers. Everything that waits takes a `Clock`, so that a
 * test or the simulator can run hours in milliseconds.
 */
export interface Clock {
  /** Wall time in Unix milliseconds. It may jump; never compute a wait from it. */
  now(): number;
  /** Milliseconds from a fixed, unknown start; never goes back. For waits and leases. */
  monotonic(): number;
  /**
   * Runs `action` once, after `delayMs` milliseconds, and returns the function that cancels it. A
   * negative delay is 0. An exception of `action` is nobody's to catch: `action` must handle its
   * own. The timer doesn't keep the process alive if `background` is set.
   */
  after(
    delayMs: number,
    action: () => void,
    options?: { readonly background?: boolean },
  ): () => void;
  /**
   * Resolves after `delayMs` milliseconds; rejects with the signal's reason when `signal` is
   * aborted first.
   */
  sleep(delayMs: number, signal?: AbortSignal): Promise<void>;
  /** Lets timers and I/O run, then resolves. Long loops call it so that heartbeats are not late. */
  yield(): Promise<void>;
}

const maxTimerMs = 2_147_483_647; // a longer setTimeout fires at once

function sleepOn(clock: Clock, delayMs: number, signal: AbortSignal | undefined): Promise<void> {
  return new Promise((resolve, reject) => {
    if (signal?.aborted) {
      reject(signal.reason);
      return;
    }
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

class SystemClock implements Clock {
  now(): number {
    return Date.now();
  }

  monotonic(): number {
    return performance.now();
  }

  after(
    delayMs: number,
    action: () => void,
    options?: { readonly background?: boolean },
  ): () => void {
    const dueAt = this.monotonic() + delayMs;
    let timer: NodeJS.Timeout;
    const arm = (): void => {
      const leftMs = Math.max(0, dueAt - this.monotonic());
      timer = setTimeout(fire, Math.min(maxTimerMs, Math.ceil(leftMs)));
      if (options?.background) timer.unref();
    };
    // The loop counts whole milliseconds of its own: it may call up to one too early.
    const fire = (): void => (this.monotonic() < dueAt ? arm() : action());
    arm();
    return () => clearTimeout(timer);
  }

  sleep(delayMs: number, signal?: AbortSignal): Promise<void> {
    return sleepOn(this, delayMs, signal);
  }

  yield(): Promise<void> {
    return new Promise((resolve) => setImmediate(resolve));
  }
}

/** The machine's clock. */
export const systemClock: Clock = new SystemClock();

interface VirtualTimer {
  readonly dueAt: number;
  readonly order: number;
  readonly action: () => void;
}

/**
 * A clock that stands still until it is told to go on.
 *
 * Timers fire in the order of their due times, and of their creation where those are equal. Between
 * two timers everything that they woke runs to its end, as far as it needs no I/O.
 */
export class VirtualClock implements Clock {
  readonly #timers = new Set<VirtualTimer>();
  #elapsed = 0;
  #wallOffset: number;
  #order = 0;

  /** @param startAt wall time at the start, in Unix milliseconds; a fixed instant unless given */
  constructor(startAt: number = 1_700_000_000_000) {
    this.#wallOffset = startAt;
  }

  now(): number {
    return this.#wallOffset + this.#elapsed;
  }

  monotonic(): number {
    return this.#elapsed;
  }

  after(delayMs: number, action: () => void): () => void {
    const dueAt = this.#elapsed + Math.max(0, delayMs);
    const timer: VirtualTimer = { dueAt, order: this.#order++, action };
    this.#timers.add(timer);
    return () => void this.#timers.delete(timer);
  }

  sleep(delayMs: number, signal?: AbortSignal): Promise<void> {
    return sleepOn(this, delayMs, signal);
  }

  yield(): Promise<void> {
    return new Promise((resolve) => setImmediate(resolve));
  }

  /** Timers that are waiting. */
  get pending(): number {
    return this.#timers.size;
  }

  /** Moves wall time by `byMs` without any time passing, as when an operator sets the clock. */
  jump(byMs: number): void {
    this.#wallOffset += byMs;
  }

  /**
   * Lets `byMs` milliseconds pass, firing what falls due on the way, and lets what was woken run.
   */
  async advance(byMs: number): Promise<void> {
    const until = this.#elapsed + byMs;
    await this.settle();
    for (let next = this.#next(); next && next.dueAt <= until; next = this.#next()) {
      this.#timers.delete(next);
      this.#elapsed = Math.max(this.#elapsed, next.dueAt);
      next.action();
      await this.settle();
    }
    this.#elapsed = until;
    await this.settle();
  }

  /** Goes straight to the next timer and fires it. False when no timer waits. */
  async advanceToNext(): Promise<boolean> {
    const next = this.#next();
    if (!next) return false;
    await this.advance(next.dueAt - this.#elapsed);
    return true;
  }

  /** Lets everything that can run without time passing run. */
  async settle(): Promise<void> {
    // A turn of the loop drains all microtasks; several turns, for code that itself yields.
    for (let turn = 0; turn < settleTurns; turn += 1) {
      await new Promise((resolve) => setImmediate(resolve));
    }
  }

  #next(): VirtualTimer | undefined {
    let first: VirtualTimer | undefined;
    for (const timer of this.#timers) {
      if (
        !first ||
        timer.dueAt < first.dueAt ||
        (timer.dueAt === first.dueAt && timer.order < first.order)
      ) {
        first = timer;
      }
    }
    return first;
  }
}

const settleTurns = 8; // deeper than any chain of yields between two timers in the library
