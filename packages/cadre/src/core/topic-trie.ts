/**
 * Finds the values whose pattern matches a type: one trie of words for exact and wildcard patterns
 * alike.
 *
 *   add("task.*", a)  add("task.#", b)  add("#.error", c)
 *
 *   root ─ task ─ * = a          a last `#` is no node: b is in `task` itself, in its open list
 *     │      └ open = b
 *     └ # ── error = c
 *
 * All nodes are rows of one table of integers; a word's node is found by hashing (parent, word)
 * where the word stands in the type, so a match neither splits the type nor makes strings, and
 * patterns that do not match cost nothing.
 *
 * In front of it stands a cache from type to result. It is emptied by every change (a change of an
 * exact pattern forgets that one type only), holds two generations of at most 1,024 types, and is
 * off for a while when it does not pay: types that carry an id never come back.
 */
import { parsePattern } from "./pattern.ts";
import { maxTopicWords } from "./topic.ts";
import { RouteCache } from "./route-cache.ts";
import { WordTable } from "./word-table.ts";

const none: readonly never[] = Object.freeze([]);

// Up to here looking through the few values is quicker than a Set.
const fewValues = 16;

/** The values of a place that has more than one: most have one, which needs no list of its own. */
class Several<T> {
  readonly values: T[];
  /** Somebody outside may hold the list: it is never changed again. */
  isShared = false;

  constructor(values: T[]) {
    this.values = values;
  }
}

type Place<T> = T | Several<T> | undefined;

export class TopicTrie<T> {
  readonly #nodes = new WordTable();
  // Each node has two places at 2 × node: of the patterns that end there, and (+ 1) of those that
  // end there with a `#`.
  readonly #places: Place<T>[] = [];
  /** How often a value was added at one place beyond the first time. */
  readonly #repeats: Map<number, Map<T, number>> = new Map();
  readonly #cache: RouteCache<readonly T[]> = new RouteCache();
  readonly #starts: Int32Array = new Int32Array(maxTopicWords + 2);
  readonly #hashes: Int32Array = new Int32Array(maxTopicWords + 1);
  #words = 0;
  #type = "";
  #found: (readonly T[])[] = [];
  #size = 0;

  /** How many additions are in force. */
  get size(): number {
    return this.#size;
  }

  /**
   * Files a value under a pattern. The returned function takes this addition out again; calling it
   * twice does nothing more.
   *
   * The time is proportional to the values that are already filed under the very same pattern.
   *
   * @throws {CadreError} INVALID_PATTERN
   */
  add(pattern: string, value: T): () => void {
    const { words, literal } = parsePattern(pattern);
    const open = words.at(-1) === "#";
    let node = 0;
    for (let i = 0; i < words.length - (open ? 1 : 0); i++) {
      node = this.#nodes.child(node, words[i] as string);
    }
    const place = 2 * node + (open ? 1 : 0);
    this.#put(place, value);
    this.#forget(literal ? pattern : undefined);
    this.#size++;
    return this.#remover(place, literal ? pattern : undefined, value);
  }

  /**
   * The values whose patterns match the type, each value once however many of its patterns match
   * (compared by identity).
   *
   * The array belongs to the trie, is never changed afterwards, and is the same one for the same
   * type while it is in the cache. Its order depends only on the order of additions and removals.
   */
  match(type: string): readonly T[] {
    if (this.#size === 0) return none;
    const known = this.#cache.get(type);
    if (known !== undefined) return known;
    const values = this.#walk(type);
    this.#cache.set(type, values);
    return values;
  }

  #walk(type: string): readonly T[] {
    if (!this.#cut(type)) return none;
    this.#collect(0, 0);
    const found = this.#found;
    if (found.length === 0) return none;
    const first = found[0] as readonly T[];
    if (found.length === 1) {
      found.length = 0;
      return first;
    }
    const merged = merge(found);
    found.length = 0;
    return merged;
  }

  /**
   * Notes where each word of the type starts, and its hash. False for a type deeper than any topic.
   */
  #cut(type: string): boolean {
    const starts = this.#starts;
    const hashes = this.#hashes;
    let words = 0;
    let hash = 0;
    starts[0] = 0;
    for (let i = 0; i < type.length; i++) {
      const code = type.charCodeAt(i);
      if (code === 0x2e) {
        if (words === maxTopicWords - 1) return false;
        hashes[words++] = hash;
        starts[words] = i + 1;
        hash = 0;
      } else {
        hash = (Math.imul(hash, 31) + code) | 0;
      }
    }
    hashes[words++] = hash;
    starts[words] = type.length + 1;
    this.#words = words;
    this.#type = type;
    this.#nodes.beginMatch();
    return true;
  }

  #collect(start: number, from: number): void {
    const nodes = this.#nodes;
    let node = start;
    for (let at = from; ; at++) {
      const open = this.#places[2 * node + 1];
      if (open !== undefined) this.#take(2 * node + 1, open);
      if (at === this.#words) break;
      const hash = nodes.hashChild(node);
      if (hash !== 0) this.#collectAfterHash(hash, at);
      const star = nodes.starChild(node);
      if (star !== 0) this.#collect(star, at + 1);
      node = this.#wordChild(node, at);
      if (node === 0) return;
    }
    const exact = this.#places[2 * node];
    if (exact !== undefined) this.#take(2 * node, exact);
  }

  /**
   * A `#` in the middle: its next word may stand anywhere from here on. A match comes by one such
   * node first where it stands earliest, which covers every later place, so that no number of `#`
   * makes more than words × nodes steps.
   */
  #collectAfterHash(hash: number, from: number): void {
    if (!this.#nodes.firstVisit(hash)) return;
    for (let at = from; at < this.#words; at++) {
      const next = this.#wordChild(hash, at);
      if (next !== 0) this.#collect(next, at + 1);
    }
  }

  #wordChild(node: number, at: number): number {
    const start = this.#starts[at] as number;
    const end = (this.#starts[at + 1] as number) - 1;
    return this.#nodes.find(node, this.#hashes[at] as number, this.#type, start, end);
  }

  /** A list is made for the first match: most of many patterns wait for long, or for ever. */
  #take(place: number, filed: T | Several<T>): void {
    let list: Several<T>;
    if (filed instanceof Several) list = filed;
    else this.#places[place] = list = new Several([filed]);
    list.isShared = true;
    this.#found.push(list.values);
  }

  #put(place: number, value: T): void {
    const filed = this.#places[place];
    if (filed === undefined) {
      while (this.#places.length < place) this.#places.push(undefined);
      this.#places[place] = value === undefined ? new Several([value]) : value;
      this.#nodes.hold(place >> 1);
      return;
    }
    if (!(filed instanceof Several)) {
      if (filed !== value) {
        this.#places[place] = new Several([filed, value]);
        return;
      }
    } else if (!filed.values.includes(value)) {
      if (filed.isShared) this.#places[place] = new Several([...filed.values, value]);
      else filed.values.push(value);
      return;
    }
    const repeats = this.#repeats.get(place) ?? new Map<T, number>();
    this.#repeats.set(place, repeats.set(value, (repeats.get(value) ?? 0) + 1));
  }

  #remover(place: number, literal: string | undefined, value: T): () => void {
    let pending = true;
    return () => {
      if (!pending) return;
      pending = false;
      this.#remove(place, value);
      this.#forget(literal);
      this.#size--;
    };
  }

  #remove(place: number, value: T): void {
    const repeats = this.#repeats.get(place);
    const times = repeats?.get(value);
    if (repeats !== undefined && times !== undefined) {
      if (times > 1) repeats.set(value, times - 1);
      else if (repeats.delete(value) && repeats.size === 0) this.#repeats.delete(place);
      return;
    }
    const filed = this.#places[place];
    if (filed instanceof Several && filed.values.length > 1) {
      this.#places[place] = new Several(filed.values.filter((other) => other !== value));
    } else {
      this.#places[place] = undefined;
      this.#nodes.release(place >> 1);
    }
  }

  #forget(literal: string | undefined): void {
    if (literal === undefined) this.#cache.clear();
    else this.#cache.delete(literal);
  }
}

function merge<T>(lists: readonly (readonly T[])[]): readonly T[] {
  // One list has no value twice.
  const values: T[] = (lists[0] as readonly T[]).slice();
  let seen: Set<T> | undefined;
  for (let n = 1; n < lists.length; n++) {
    const list = lists[n] as readonly T[];
    for (let i = 0; i < list.length; i++) {
      const value = list[i] as T;
      if (seen === undefined && values.length >= fewValues) seen = new Set(values);
      if (seen === undefined ? has(values, value) : seen.has(value)) continue;
      values.push(value);
      seen?.add(value);
    }
  }
  return values;
}

/** `includes` without the call, which would cost more than the few comparisons. */
function has<T>(values: readonly T[], value: T): boolean {
  for (let i = 0; i < values.length; i++) if (values[i] === value) return true;
  return false;
}
