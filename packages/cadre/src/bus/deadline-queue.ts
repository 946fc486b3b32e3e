/**
 * Deadlines that are all equally long, in one list with one timer: a deadline costs no timer of its
 * own.
 *
 *   head (due first) ─▶ … ─▶ tail (added last)       one timer, set for the head
 */
import type { Clock } from "../core/clock.ts";

/** One deadline in its queue. `cancel` forgets it; cancelling twice is allowed. */
export class Deadline {
  readonly dueAt: number;
  readonly expire: () => void;
  queue: DeadlineQueue | undefined;
  previous: Deadline | undefined = undefined;
  next: Deadline | undefined = undefined;

  constructor(queue: DeadlineQueue, dueAt: number, expire: () => void) {
    this.queue = queue;
    this.dueAt = dueAt;
    this.expire = expire;
  }

  cancel(): void {
    this.queue?.remove(this);
  }
}

export class DeadlineQueue {
  readonly #clock: Clock;
  readonly #timeoutMs: number;
  #head: Deadline | undefined;
  #tail: Deadline | undefined;
  #armed: (() => void) | undefined;
  #resting = false;

  constructor(clock: Clock, timeoutMs: number) {
    this.#clock = clock;
    this.#timeoutMs = timeoutMs;
  }

  get empty(): boolean {
    return this.#head === undefined;
  }

  /** Calls `expire` once, when the queue's time has passed, unless cancelled before. */
  add(expire: () => void): Deadline {
    const deadline = new Deadline(this, this.#clock.monotonic() + this.#timeoutMs, expire);
    deadline.previous = this.#tail;
    if (this.#tail) this.#tail.next = deadline;
    else this.#head = deadline;
    this.#tail = deadline;
    if (!this.#armed) this.#arm();
    return deadline;
  }

  remove(deadline: Deadline): void {
    if (deadline.queue !== this) return;
    deadline.queue = undefined;
    if (deadline.previous) deadline.previous.next = deadline.next;
    else this.#head = deadline.next;
    if (deadline.next) deadline.next.previous = deadline.previous;
    else this.#tail = deadline.previous;
    deadline.previous = undefined;
    deadline.next = undefined;
    if (!this.#head && !this.#resting) void this.#restSoon();
  }

  /**
   * Clears the timer when the loop comes round and nothing waits: one deadline after the other, as
   * under load, would set and clear one for each.
   */
  async #restSoon(): Promise<void> {
    this.#resting = true;
    await this.#clock.yield();
    this.#resting = false;
    if (this.#head) return;
    this.#armed?.();
    this.#armed = undefined;
  }

  #arm(): void {
    const head = this.#head;
    if (!head) return;
    // The timer stays set for a head that went in the meantime: setting it anew for every deadline
    // is what this list avoids.
    this.#armed = this.#clock.after(head.dueAt - this.#clock.monotonic(), () => this.#sweep());
  }

  #sweep(): void {
    this.#armed = undefined;
    const now = this.#clock.monotonic();
    for (let head = this.#head; head && head.dueAt <= now; head = this.#head) {
      this.remove(head);
      head.expire();
    }
    if (this.#head && !this.#armed) this.#arm();
  }
}

/** The queues of one owner, by their length of time. */
export class Deadlines {
  readonly #clock: Clock;
  readonly #queues = new Map<number, DeadlineQueue>();

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  add(timeoutMs: number, expire: () => void): Deadline {
    let queue = this.#queues.get(timeoutMs);
    if (!queue) {
      if (this.#queues.size >= maxQueues) this.#forgetEmpty();
      queue = new DeadlineQueue(this.#clock, timeoutMs);
      this.#queues.set(timeoutMs, queue);
    }
    return queue.add(expire);
  }

  #forgetEmpty(): void {
    for (const [timeoutMs, queue] of this.#queues) if (queue.empty) this.#queues.delete(timeoutMs);
  }
}

// kept for reuse; a caller that computes its timeouts would otherwise leave one behind each time
const maxQueues = 64;
