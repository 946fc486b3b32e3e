/**
 * The events that a group has handled, where no inbox remembers them: the last few thousand ids, in
 * this process. A mark is set with the success, never before it, so that a failed attempt does not
 * count as seen.
 */
export class DedupWindow {
  readonly #size: number;
  readonly #handled = new Set<string>();
  // The ids in a ring: taking the oldest out of a large Set by iterating would look at all that
  // were deleted before it.
  readonly #order: string[] = [];
  #oldest = 0;
  readonly #running = new Map<string, (() => void)[]>();

  constructor(size: number) {
    this.#size = size;
  }

  has(eventId: string): boolean {
    return this.#handled.has(eventId);
  }

  mark(eventId: string): void {
    if (this.#handled.has(eventId)) return;
    this.#handled.add(eventId);
    if (this.#order.length < this.#size) {
      this.#order.push(eventId);
      return;
    }
    this.#handled.delete(this.#order[this.#oldest]!);
    this.#order[this.#oldest] = eventId;
    this.#oldest = (this.#oldest + 1) % this.#size;
  }

  /**
   * Takes the event for one delivery. False when another one of the same event runs here: wait for
   * its end, and try again.
   */
  claim(eventId: string): boolean {
    if (this.#running.has(eventId)) return false;
    this.#running.set(eventId, nobody);
    return true;
  }

  whenReleased(eventId: string): Promise<void> {
    return new Promise((resolve) => {
      const waiting = this.#running.get(eventId);
      if (waiting) this.#running.set(eventId, [...waiting, resolve]);
      else resolve();
    });
  }

  release(eventId: string): void {
    const waiting = this.#running.get(eventId);
    this.#running.delete(eventId);
    for (const resolve of waiting ?? nobody) resolve();
  }
}

const nobody: (() => void)[] = [];
