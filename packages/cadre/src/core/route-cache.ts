/**
 * A bounded cache from a type to its route that turns itself off while it does not pay.
 *
 *   on ──fewer than 30 % of 1,024 look-ups hit──▶ off ──32,768 look-ups later──▶ on
 *
 * The first 1,024 look-ups after it was turned on fill it and are not judged: a thousand types that
 * come in turn would otherwise never get into it.
 */

// Two generations of this many types: twice the built-in registry in use at once, ten times over.
const generation = 1_024;
const window = 1_024; // look-ups between two judgements
const worthwhile = 0.3; // below it, keeping the cache costs more than the walks that it saves
const rest = 32 * window; // look-ups spent off, so that trying costs a sixteenth at most

export class RouteCache<V> {
  #young: Map<string, V> = new Map();
  #old: Map<string, V> = new Map();
  #lookups = 0;
  #hits = 0;
  #resting = 0;
  #isWarm = false;

  /** False while the cache is off because types do not come back. */
  get on(): boolean {
    return this.#resting === 0;
  }

  get(type: string): V | undefined {
    if (this.#resting > 0) {
      this.#resting--;
      return undefined;
    }
    if (++this.#lookups === window) this.#judge();
    const young = this.#young.get(type);
    if (young !== undefined) {
      this.#hits++;
      return young;
    }
    if (this.#old.size === 0) return undefined;
    const old = this.#old.get(type);
    if (old === undefined) return undefined;
    this.#hits++;
    this.set(type, old);
    return old;
  }

  set(type: string, value: V): void {
    if (this.#resting > 0) return;
    if (this.#young.size === generation) {
      this.#old = this.#young;
      this.#young = new Map();
    }
    this.#young.set(type, value);
  }

  delete(type: string): void {
    this.#young.delete(type);
    this.#old.delete(type);
  }

  clear(): void {
    if (this.#young.size > 0) this.#young = new Map();
    if (this.#old.size > 0) this.#old = new Map();
  }

  #judge(): void {
    if (this.#isWarm && this.#hits < worthwhile * window) {
      this.#resting = rest;
      this.#isWarm = false;
      this.clear();
    } else {
      this.#isWarm = true;
    }
    this.#lookups = 0;
    this.#hits = 0;
  }
}
