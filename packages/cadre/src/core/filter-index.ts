/**
 * Many filters, of which an event should meet only those that can match it.
 *
 *   payload.agent ── "a-1" ─▶ filters that ask for payload.agent = "a-1"
 *        │        └─ "a-2" ─▶ …    a look-up by the event's own value
 *   payload.kind ── …
 *   the rest ─▶ filters without an equality                       asked one by one
 *
 * A filter is filed under one path: among its equalities the one whose values have the fewest
 * filters so far.
 */
import { someAt, type FieldPath } from "./filter-path.ts";
import type { CompiledFilter, FilterScalar, FilterSubject } from "./filter.ts";

interface Entry<T> {
  readonly filter: CompiledFilter;
  readonly value: T;
  /** The look-up that came by last, since an array in the event may lead here twice. */
  seen: number;
}

interface PathIndex<T> {
  readonly path: FieldPath;
  readonly buckets: Map<unknown, Entry<T>[]>;
  readonly visit: (value: unknown) => boolean;
  entries: number;
}

// Reading one more path costs every event about as much as testing this many filters costs those
// that meet them.
const worthAPath = 4;

export class FilterIndex<T> {
  readonly #paths: Map<string, PathIndex<T>> = new Map();
  readonly #rest: Entry<T>[] = [];
  #lookups = 0;
  #size = 0;
  #event: FilterSubject | undefined;
  #found: T[] = [];

  get size(): number {
    return this.#size;
  }

  /**
   * Files a value under a filter. The returned function takes it out again; calling it twice does
   * nothing more.
   */
  add(filter: CompiledFilter, value: T): () => void {
    const entry: Entry<T> = { filter, value, seen: 0 };
    const chosen = this.#choose(filter);
    if (chosen === undefined) this.#rest.push(entry);
    else this.#file(entry, chosen.path, chosen.values);
    this.#size++;
    let pending = true;
    return () => {
      if (!pending) return;
      pending = false;
      this.#size--;
      if (chosen === undefined) this.#rest.splice(this.#rest.indexOf(entry), 1);
      else this.#unfile(entry, chosen.path, chosen.values);
    };
  }

  /**
   * The values whose filters match the event, one for each addition, in a new array and in no
   * promised order.
   */
  match(event: FilterSubject): T[] {
    const found: T[] = [];
    this.#found = found;
    this.#event = event;
    this.#lookups++;
    for (const { path, visit } of this.#paths.values()) someAt(event, path, true, visit);
    for (const { filter, value } of this.#rest) if (filter.matches(event)) found.push(value);
    this.#event = undefined;
    return found;
  }

  #choose(filter: CompiledFilter): { path: string; values: readonly FilterScalar[] } | undefined {
    let best: { path: string; values: readonly FilterScalar[] } | undefined;
    let lowest = Infinity;
    for (const [path, listed] of filter.equalities) {
      const values = [...new Set(listed)];
      const index = this.#paths.get(path);
      let cost = index === undefined ? worthAPath : 0;
      for (const value of values) cost += index?.buckets.get(value)?.length ?? 0;
      if (cost < lowest) {
        lowest = cost;
        best = { path, values };
      }
    }
    return best;
  }

  #file(entry: Entry<T>, path: string, values: readonly FilterScalar[]): void {
    const index = this.#paths.get(path) ?? this.#open(path);
    index.entries++;
    for (const value of values) {
      const bucket = index.buckets.get(value);
      if (bucket === undefined) index.buckets.set(value, [entry]);
      else bucket.push(entry);
    }
  }

  #open(text: string): PathIndex<T> {
    const buckets = new Map<unknown, Entry<T>[]>();
    const index: PathIndex<T> = {
      path: { text, words: text.split(".") },
      buckets,
      visit: (value) => {
        const bucket = buckets.get(value);
        if (bucket !== undefined) this.#test(bucket);
        return false;
      },
      entries: 0,
    };
    this.#paths.set(text, index);
    return index;
  }

  #test(bucket: readonly Entry<T>[]): void {
    for (const entry of bucket) {
      if (entry.seen === this.#lookups) continue;
      entry.seen = this.#lookups;
      if (entry.filter.matches(this.#event as FilterSubject)) this.#found.push(entry.value);
    }
  }

  #unfile(entry: Entry<T>, path: string, values: readonly FilterScalar[]): void {
    const index = this.#paths.get(path) as PathIndex<T>;
    for (const value of values) {
      const bucket = index.buckets.get(value) as Entry<T>[];
      if (bucket.length === 1) index.buckets.delete(value);
      else bucket.splice(bucket.indexOf(entry), 1);
    }
    if (--index.entries === 0) this.#paths.delete(path);
  }
}
