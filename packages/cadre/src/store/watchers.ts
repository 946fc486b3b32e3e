/**
 * Wakes those who wait for a commit. Wakes of one turn are merged, and come after the commit's
 * promise has been handed out, so that a watcher never runs inside a writer. A wake must not throw.
 */
export class Watchers {
  readonly #wakes = new Set<{ readonly wake: () => void }>();
  #due = false;

  add(wake: () => void): () => void {
    const entry = { wake }; // an object of its own, so that one function may watch twice
    this.#wakes.add(entry);
    return () => void this.#wakes.delete(entry);
  }

  wake(): void {
    if (this.#due || this.#wakes.size === 0) return;
    this.#due = true;
    queueMicrotask(() => {
      this.#due = false;
      for (const entry of this.#wakes) entry.wake();
    });
  }

  clear(): void {
    this.#wakes.clear();
  }
}
