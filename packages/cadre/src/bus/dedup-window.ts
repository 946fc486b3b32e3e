/**
 * The events that a group has handled, where no inbox remembers them: the last few thousand ids, in this process.
 * A mark is set with the success, never before it, so that a failed attempt does not count as seen.
 */
export class DedupWindow {
  readonly #size: number;
  readonly #handled = new Set<string>();
  readonly #running = new Map<string, Promise<void>>();

  constructor(size: number) {
    this.#size = size;
  }

  has(eventId: string): boolean {
    return this.#handled.has(eventId);
  }

  mark(eventId: string): void {
    this.#handled.delete(eventId);
    this.#handled.add(eventId);
    if (this.#handled.size > this.#size) {
      for (const oldest of this.#handled) {
        this.#handled.delete(oldest);
        break;
      }
    }
  }

  /** Waits while another delivery of the same event runs here, then takes its place. Call the result at the end. */
  async claim(eventId: string): Promise<() => void> {
    for (let other = this.#running.get(eventId); other; other = this.#running.get(eventId)) {
      await other;
    }
    let release = (): void => {};
    const running = new Promise<void>((resolve) => {
      release = resolve;
    });
    this.#running.set(eventId, running);
    return () => {
      if (this.#running.get(eventId) === running) this.#running.delete(eventId);
      release();
    };
  }
}
