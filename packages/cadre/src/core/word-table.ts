/**
 * The nodes of a trie of words, as rows of one table of integers. Row 0 is the root; 0 as a link
 * means "none".
 *
 *   row:      hash · parent · next · star · hash child · uses · below
 *   buckets:  (parent, hash of the word) ─▶ first row ─next─▶ row ─next─▶ …
 *
 * `below` has a bit for every word that ever hung below the node: most look-ups that find nothing
 * end there, on a row that is at hand, and not in a bucket somewhere in memory. A `#` node has no
 * use for its hash, which holds its last visit.
 *
 * A row lives while something holds it or one of its children; then it is free, and the next new
 * word takes it.
 */

const columns = 7;
const hashAt = 0;
const parentAt = 1;
const nextAt = 2;
const starAt = 3;
const hashChildAt = 4;
const usesAt = 5; // holders and children
const belowAt = 6;

export class WordTable {
  #rows: Int32Array = new Int32Array(columns * 16);
  #words: (string | undefined)[] = [undefined];
  #buckets: Int32Array = new Int32Array(16);
  #used = 1;
  #free = 0;
  #linked = 0;
  #matches = 0;

  /** The node of `word` below `parent`, made if there is none. `*` and `#` have their own links. */
  child(parent: number, word: string): number {
    const link = word === "*" ? starAt : word === "#" ? hashChildAt : -1;
    if (link !== -1) {
      const known = this.#get(parent, link);
      if (known !== 0) return known;
      const made = this.#make(parent, word, 0);
      this.#set(parent, link, made);
      return made;
    }
    const hash = hashOf(word);
    const known = this.find(parent, hash, word, 0, word.length);
    if (known !== 0) return known;
    if (this.#linked >= this.#buckets.length) this.#rehash(2 * this.#buckets.length);
    const made = this.#make(parent, word, hash);
    this.#link(made);
    this.#set(parent, belowAt, this.#get(parent, belowAt) | (1 << (hash & 31)));
    this.#linked++;
    return made;
  }

  /**
   * The node below `parent` of the word that stands in `text` from `start` to `end`; 0 if there is
   * none.
   */
  find(parent: number, hash: number, text: string, start: number, end: number): number {
    const rows = this.#rows;
    if (((rows[parent * columns + belowAt] as number) & (1 << (hash & 31))) === 0) return 0;
    let node = this.#buckets[bucketOf(parent, hash) & (this.#buckets.length - 1)] as number;
    while (node !== 0) {
      const row = node * columns;
      if (rows[row] === hash && rows[row + parentAt] === parent) {
        if (isAt(this.#words[node] as string, text, start, end)) return node;
      }
      node = rows[row + nextAt] as number;
    }
    return 0;
  }

  starChild(node: number): number {
    return this.#get(node, starAt);
  }

  hashChild(node: number): number {
    return this.#get(node, hashChildAt);
  }

  hold(node: number): void {
    this.#set(node, usesAt, this.#get(node, usesAt) + 1);
  }

  /** Takes one hold back, and frees the node and those above it that nothing needs any more. */
  release(node: number): void {
    let at = node;
    for (;;) {
      const uses = this.#get(at, usesAt) - 1;
      this.#set(at, usesAt, uses);
      if (uses >= 1 || at === 0) return;
      const parent = this.#get(at, parentAt);
      this.#drop(at, parent);
      at = parent;
    }
  }

  beginMatch(): void {
    this.#matches = (this.#matches + 1) | 0;
  }

  /** True the first time that the running match comes by this `#` node. */
  firstVisit(node: number): boolean {
    if (this.#get(node, hashAt) === this.#matches) return false;
    this.#set(node, hashAt, this.#matches);
    return true;
  }

  #get(node: number, column: number): number {
    return this.#rows[node * columns + column] as number;
  }

  #set(node: number, column: number, value: number): void {
    this.#rows[node * columns + column] = value;
  }

  #make(parent: number, word: string, hash: number): number {
    const node = this.#free === 0 ? this.#used++ : this.#free;
    if (node === this.#free) this.#free = this.#get(node, nextAt);
    else if ((node + 1) * columns > this.#rows.length) this.#grow();
    this.#rows.fill(0, node * columns, (node + 1) * columns);
    this.#set(node, hashAt, hash);
    this.#set(node, parentAt, parent);
    this.#words[node] = word;
    this.hold(parent);
    return node;
  }

  #grow(): void {
    const rows = new Int32Array(columns * Math.ceil((this.#used + 1) * 1.25));
    rows.set(this.#rows);
    this.#rows = rows;
  }

  #drop(node: number, parent: number): void {
    if (this.#get(parent, starAt) === node) this.#set(parent, starAt, 0);
    else if (this.#get(parent, hashChildAt) === node) this.#set(parent, hashChildAt, 0);
    else this.#unlink(node, parent);
    this.#words[node] = undefined;
    this.#set(node, nextAt, this.#free);
    this.#free = node;
  }

  #link(node: number): void {
    const parent = this.#get(node, parentAt);
    const bucket = bucketOf(parent, this.#get(node, hashAt)) & (this.#buckets.length - 1);
    this.#set(node, nextAt, this.#buckets[bucket] as number);
    this.#buckets[bucket] = node;
  }

  #unlink(node: number, parent: number): void {
    const bucket = bucketOf(parent, this.#get(node, hashAt)) & (this.#buckets.length - 1);
    const next = this.#get(node, nextAt);
    let before = this.#buckets[bucket] as number;
    if (before === node) {
      this.#buckets[bucket] = next;
    } else {
      while (this.#get(before, nextAt) !== node) before = this.#get(before, nextAt);
      this.#set(before, nextAt, next);
    }
    this.#linked--;
  }

  #rehash(size: number): void {
    const linked: number[] = [];
    for (let first of this.#buckets) {
      for (; first !== 0; first = this.#get(first, nextAt)) linked.push(first);
    }
    this.#buckets = new Int32Array(size);
    for (const node of linked) this.#link(node);
  }
}

/** The same hash that a match computes while it cuts the type into words. */
function hashOf(word: string): number {
  let hash = 0;
  for (let i = 0; i < word.length; i++) hash = (Math.imul(hash, 31) + word.charCodeAt(i)) | 0;
  return hash;
}

function bucketOf(parent: number, hash: number): number {
  const mixed = Math.imul(hash ^ Math.imul(parent, 0x9e3779b1), 0x85ebca6b);
  return mixed ^ (mixed >>> 15);
}

function isAt(word: string, text: string, start: number, end: number): boolean {
  if (word.length !== end - start) return false;
  for (let i = 0; i < word.length; i++) {
    if (word.charCodeAt(i) !== text.charCodeAt(start + i)) return false;
  }
  return true;
}
