/**
 * Deadlines that are all equally long, in one list with one timer: a deadline costs no timer of its
 * own, and one that is over within its turn of the loop no reading of the clock either.
 *
 *   head (due first) ─▶ … ─▶ fresh (the first without a time) ─▶ … ─▶ tail (started last)
 *
 * The time runs from the end of the turn in which a deadline was started: then all that are fresh
 * get their time, and the timer is set for the head.
 */
import type { Clock } from "../core/clock.ts";

/** One deadline, to be started as often as its owner likes, but once at a time. */
export class Deadline {
  readonly expire: () => void;
  dueAt = 0;
  queue: DeadlineQueue | undefined = undefined;
  previous: Deadline | undefined = undefined;
  next: Deadline | undefined = undefined;

  /** @param expire is called once for each start, when the time has passed, unless cancelled */
  constructor(expire: () => void) {
    this.expire = expire;
  }

  /** Forgets the start; cancelling twice is allowed. */
  cancel(): void {
    this.queue?.remove(this);
  }
}

export class DeadlineQueue {
  readonly #clock: Clock;
  readonly #timeoutMs: number;
  #head: Deadline | undefined;
  #tail: Deadline | undefined;
  #fresh: Deadline | undefined;
  #disarm: (() => void) | undefined;
  #isTurning = false;

  constructor(clock: Clock, timeoutMs: number) {
    this.#clock = clock;
    this.#timeoutMs = timeoutMs;
  }

  get empty(): boolean {
    return this.#head === undefined;
  }

  start(deadline: Deadline): void {
    deadline.queue = this;
    deadline.previous = this.#tail;
    if (this.#tail) this.#tail.next = deadline;
    else this.#head = deadline;
    this.#tail = deadline;
    this.#fresh ??= deadline;
    if (!this.#isTurning) void this.#afterTurn();
  }

  remove(deadline: Deadline): void {
    if (deadline.queue !== this) return;
    const { previous, next } = deadline;
    if (this.#fresh === deadline) this.#fresh = next;
    if (previous) previous.next = next;
    else this.#head = next;
    if (next) next.previous = previous;
    else this.#tail = previous;
    deadline.queue = undefined;
    deadline.previous = undefined;
    deadline.next = undefined;
    if (!this.#head && this.#disarm && !this.#isTurning) void this.#afterTurn();
  }

  async #afterTurn(): Promise<void> {
    this.#isTurning = true;
    await this.#clock.yield();
    this.#isTurning = false;
    if (this.#head) {
      this.#stampFresh();
      if (!this.#disarm) this.#arm(this.#head);
    } else {
      this.#disarm?.();
      this.#disarm = undefined;
    }
  }

  #stampFresh(): void {
    if (!this.#fresh) return;
    const dueAt = this.#clock.monotonic() + this.#timeoutMs;
    for (let each: Deadline | undefined = this.#fresh; each; each = each.next) each.dueAt = dueAt;
    this.#fresh = undefined;
  }

  #arm(head: Deadline): void {
    // The timer stays set for a head that went in the meantime: setting it anew for every deadline
    // is what this list avoids.
    this.#disarm = this.#clock.after(head.dueAt - this.#clock.monotonic(), () => this.#sweep());
  }

  #sweep(): void {
    this.#disarm = undefined;
    const now = this.#clock.monotonic();
    for (
      let head = this.#head;
      head && head !== this.#fresh && head.dueAt <= now;
      head = this.#head
    ) {
      this.remove(head);
      head.expire();
    }
    if (this.#head && this.#head !== this.#fresh && !this.#disarm) this.#arm(this.#head);
  }
}

/** The queues of one owner, by their length of time. */
export class Deadlines {
  readonly #clock: Clock;
  readonly #queues = new Map<number, DeadlineQueue>();

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /** Starts a deadline that is used once. */
  add(timeoutMs: number, expire: () => void): Deadline {
    const deadline = new Deadline(expire);
    this.start(timeoutMs, deadline);
    return deadline;
  }

  start(timeoutMs: number, deadline: Deadline): void {
    let queue = this.#queues.get(timeoutMs);
    if (!queue) {
      if (this.#queues.size >= maxQueues) this.#forgetEmpty();
      queue = new DeadlineQueue(this.#clock, timeoutMs);
      this.#queues.set(timeoutMs, queue);
    }
    queue.start(deadline);
  }

  #forgetEmpty(): void {
    for (const [timeoutMs, queue] of this.#queues) if (queue.empty) this.#queues.delete(timeoutMs);
  }
}

// kept for reuse; a caller that computes its timeouts would otherwise leave one behind each time
const maxQueues = 64;
